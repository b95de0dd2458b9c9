// Which companion segment a block has.
#pragma once

#include "../platform.hpp"

#include <belfry/segment/segment.hpp>
#include <belfry/shared_memory.hpp>

#include <string>

namespace belfry::detail {

inline std::string companion_name(const shared_memory& block) { return block.name() + ".watch"; }

/// Through a description of its own: a mapping keeps its description alive, also in the child of a
/// fork, and the lock of a transaction with it.
inline mapping map_of(const shared_memory& block, failure& f) {
  const unique_handle own = platform::reopen_block(block.native_handle(), !block.read_only(), f);
  return own ? platform::map_block(own, block.size(), 0, !block.read_only(), f) : mapping();
}

inline subject subject_of(const shared_memory& block, const unique_handle& own) {
  return {block.name(), platform::id_of(own)};
}

}  // namespace belfry::detail
