// The companion segment of a block, and its removal.
#pragma once

#include "../platform/handle.hpp"
#include "../platform/memory.hpp"
#include "../platform/owner.hpp"
#include "block_maker.hpp"

#include <belfry/detail/segment/segment.hpp>
#include <belfry/shared_memory.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace belfry::detail {

/// `<name>.watch`. Fails with `filename_too_long` if this name, or that of a bell, would be too long.
std::string companion_name(std::string_view block, failure& f);

/// The block whose companion could have this name; none if it is no companion's name.
std::optional<std::string_view> block_of_companion(std::string_view name) noexcept;

/// Removes the companion of a block, and its bells, if no participant is alive and later participants do not need it:
/// the block has lost its name, or no holder of a transaction has died.
void remove_companion_if_over(std::string_view block);

/// Maps through its own description: a mapping keeps its description alive, also in a forked child, and would keep the
/// lock of a transaction with it.
inline mapping map_of(const shared_memory& block, failure& f) {
  const unique_handle own = platform::handle_to_map(block.native_handle(), !block.read_only(), f);
  return own ? platform::map_memory(own, block.size(), !block.read_only(), f) : mapping();
}

/// A participant's own handle of the block, which no child of a fork keeps.
inline memory_handle own_handle_of(const shared_memory& block, failure& f) {
  const platform::no_fork until_guarded;
  memory_handle own = platform::reopen_memory(block_maker::handle_of(block), !block.read_only(), f);
  if (own) platform::guard_against_fork(own.block);
  return own;
}

/// Where the lock of the block's transactions is: on the block, or, if that cannot be locked, on the companion. Takes the
/// participant's own handle, or opens one.
struct lock_place {
  unique_handle file;
  std::uint64_t offset;
};
inline lock_place lock_place_of(memory_handle& own, const segment& companion, failure& f) {
  if (platform::memory_has_locks()) return {std::move(own.block), layout::txn_lock};
  return {platform::open_guarded([&] { return platform::reopen_block(companion.block().get(), true, f); }),
          layout::txn_lock_of_companion};
}

inline subject subject_of(const shared_memory& block, const memory_handle& own) {
  const platform::ownership of = platform::ownership_of(own.block);
  return {block.name(), platform::id_of(own), of.user, of.group};
}

/// The companion is open to the users that may read and write the block, because participants write to the companion. A
/// user that may only read the block could block the others if it could open the companion.
inline channel_options options_of(const memory_handle& own) {
  channel_options o;
  o.mode = participants_mode(platform::ownership_of(own.block).mode) | 0600;
  return o;
}

}  // namespace belfry::detail
