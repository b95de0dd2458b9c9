// The name of a block's companion segment.
#pragma once

#include <belfry/shared_memory.hpp>

#include <string>

namespace belfry::detail {

inline std::string companion_name(const shared_memory& block) { return block.name() + ".watch"; }

}  // namespace belfry::detail
