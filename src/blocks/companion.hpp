// The companion segment of a block, and its removal.
#pragma once

#include "../platform/block.hpp"
#include "../platform/owner.hpp"

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
  const unique_handle own = platform::reopen_block(block.native_handle(), !block.read_only(), f);
  return own ? platform::map_block(own, block.size(), 0, !block.read_only(), f) : mapping();
}

inline subject subject_of(const shared_memory& block, const unique_handle& own) {
  const platform::ownership of = platform::ownership_of(own);
  return {block.name(), platform::id_of(own), of.user, of.group};
}

/// The companion is open to the users that may read and write the block, because participants write to the companion. A
/// user that may only read the block could block the others if it could open the companion.
inline channel_options options_of(const unique_handle& own) {
  channel_options o;
  o.mode = participants_mode(platform::ownership_of(own).mode) | 0600;
  return o;
}

}  // namespace belfry::detail
