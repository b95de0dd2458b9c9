// What the commands print for programs: one JSON object a line. Its keys are stable.
#pragma once

#include "findings.hpp"

#include <belfry/collect_garbage.hpp>
#include <belfry/inspect.hpp>

#include <string>

namespace belfry::cli {

/// The same keys for everything in shared memory; what it does not have is null.
std::string json_of(const channel_info& info);
std::string json_of(const garbage& g);
std::string json_of(const diagnosis& d);

}  // namespace belfry::cli
