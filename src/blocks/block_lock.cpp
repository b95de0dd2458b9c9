
#include "block_lock.hpp"

#include "../platform/lock.hpp"

#include <algorithm>
#include <utility>

namespace belfry::detail {

block_lock::block_lock(unique_handle file, std::uint64_t offset, watch_view view, const roster& peers)
    : file_(std::move(file)),
      offset_(offset),
      view_(view),
      peers_(peers),
      slot_(peers.slot()),
      generation_(peers.generation()) {}

bool block_lock::try_acquire() noexcept {
  if (held_) return false;  // by another transaction of this participant
  if (view_.is_next(slot_) && platform::try_lock_byte(file_, offset_)) {
    owner_died_ = view_.set_dirty(slot_, generation_);
    view_.drop_ticket(slot_);
    held_ = true;
    return true;
  }
  if (!view_.has_ticket(slot_)) view_.take_ticket(slot_);
  return false;
}

bool block_lock::worth_trying() const noexcept {
  if (held_) return false;
  if (!view_.has_ticket(slot_)) return true;
  return view_.is_next(slot_) && !platform::is_locked_by_another(file_, offset_);
}

std::chrono::nanoseconds block_lock::retry_after() noexcept {
  using namespace std::chrono_literals;
  const watch_view::owner holder = view_.holder();
  const bool is_told =
      held_ || !view_.is_next(slot_) || peers_.lives(holder.slot, holder.generation);
  retry_after_ = is_told ? 0ns : std::clamp<std::chrono::nanoseconds>(2 * retry_after_, 100us, 10ms);
  return retry_after_;
}

void block_lock::release() noexcept {
  view_.clear_dirty();
  view_.change(slot_);
  held_ = false;
  platform::unlock_byte(file_, offset_);
}

}  // namespace belfry::detail
