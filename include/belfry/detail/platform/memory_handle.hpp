// A handle of a user's block.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>

namespace belfry::detail {

/// Of the block, and of what tells it from other blocks that had its name: nothing where the block itself does.
struct memory_handle {
  unique_handle block;
  unique_handle identity;  // closed before the block: the next process to open the block makes another one

  explicit operator bool() const noexcept { return static_cast<bool>(block); }
  void reset() noexcept {
    identity.reset();
    block.reset();
  }
};

}  // namespace belfry::detail
