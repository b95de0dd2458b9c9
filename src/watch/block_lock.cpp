#include "block_lock.hpp"

#include "../platform.hpp"

#include <chrono>
#include <thread>
#include <utility>

namespace belfry::detail {

block_lock::block_lock(unique_handle block, watch_view view, std::size_t slot)
    : block_(std::move(block)), view_(view), slot_(slot) {
  platform::guard_against_fork(block_);
}

attempt block_lock::try_acquire(unsigned deaths) noexcept {
  if (held_) return attempt::would_block;  // by another transaction of this very participant
  if (view_.is_next(slot_) && lock(deaths)) {
    owner_died_ = view_.set_dirty(slot_);
    view_.drop_ticket(slot_);
    held_ = true;
    return attempt::done;
  }
  if (!view_.has_ticket(slot_)) view_.take_ticket(slot_);
  return attempt::would_block;
}

/// Whoever has died since the last attempt may have held the lock. The kernel closes the files of a
/// dead process one after the other: we may have heard of its death by one of them before it came to
/// the one with the lock, and nothing tells of that. So give it the time.
bool block_lock::lock(unsigned deaths) noexcept {
  const bool somebody_died = std::exchange(deaths_, deaths) != deaths;
  if (platform::try_lock_byte(block_, layout::txn_lock)) return true;
  for (int attempt = 0; somebody_died && attempt != 150; ++attempt) {
    std::this_thread::sleep_for(std::chrono::microseconds(attempt < 50 ? 50 : 1000));
    if (platform::try_lock_byte(block_, layout::txn_lock)) return true;
  }
  return false;
}

bool block_lock::worth_trying(unsigned deaths) const noexcept {
  if (held_) return false;
  if (!view_.has_ticket(slot_)) return true;
  return view_.is_next(slot_) &&
         (deaths != deaths_ || !platform::is_locked_by_another(block_, layout::txn_lock));
}

void block_lock::release() noexcept {
  view_.clear_dirty();
  view_.change(slot_);
  held_ = false;
  platform::unlock_byte(block_, layout::txn_lock);
}

}  // namespace belfry::detail
