#include "block_lock.hpp"

#include "../platform.hpp"

namespace belfry::detail {

attempt block_lock::try_acquire() noexcept {
  if (held_) return attempt::would_block;  // by another transaction of this very participant
  if (view_.is_next(slot_) && platform::try_lock_byte(block_, layout::txn_lock)) {
    view_.drop_ticket(slot_);
    owner_died_ = view_.set_dirty(slot_);
    held_ = true;
    return attempt::done;
  }
  if (!view_.has_ticket(slot_)) view_.take_ticket(slot_);
  return attempt::would_block;
}

bool block_lock::worth_trying() const noexcept {
  if (held_) return false;
  return !view_.has_ticket(slot_) ||
         (view_.is_next(slot_) && !platform::is_locked_by_another(block_, layout::txn_lock));
}

void block_lock::release() noexcept {
  view_.clear_dirty();
  view_.change(slot_);
  held_ = false;
  platform::unlock_byte(block_, layout::txn_lock);
}

}  // namespace belfry::detail
