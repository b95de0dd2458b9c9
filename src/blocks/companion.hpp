// Which companion segment a block has, and when that goes.
#pragma once

#include "../platform/block.hpp"
#include "../platform/owner.hpp"

#include <belfry/detail/segment/segment.hpp>
#include <belfry/shared_memory.hpp>

#include <functional>
#include <string>
#include <string_view>

namespace belfry::detail {

/// `<name>.watch`. A name that leaves no room for that, and for the bells, is `filename_too_long`.
std::string companion_name(std::string_view block, failure& f);

/// Removes the companion of a block, and the bells of the dead, if none of its participants lives, and it holds
/// nothing for those to come: the block has lost its name, or no transaction has died. Whether it did.
bool remove_companion_if_over(std::string_view block);

/// The same for every companion there is; tells the names of those that have been removed.
void collect_companions(const std::function<void(const std::string& companion)>& tell);

/// Through a description of its own: a mapping keeps its description alive, also in the child of a
/// fork, and the lock of a transaction with it.
inline mapping map_of(const shared_memory& block, failure& f) {
  const unique_handle own = platform::reopen_block(block.native_handle(), !block.read_only(), f);
  return own ? platform::map_block(own, block.size(), 0, !block.read_only(), f) : mapping();
}

inline subject subject_of(const shared_memory& block, const unique_handle& own) {
  const platform::ownership of = platform::ownership_of(own);
  return {block.name(), platform::id_of(own), of.user, of.group};
}

/// The companion is for those who may use the block, and as they take part in it they write to it, too. Others,
/// who may only read the block, could hold up its users if they could open it.
inline channel_options options_of(const unique_handle& own) {
  channel_options o;
  o.mode = participants_mode(platform::ownership_of(own).mode) | 0600;
  return o;
}

}  // namespace belfry::detail
