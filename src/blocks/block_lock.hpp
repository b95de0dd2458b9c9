// The lock behind transactions.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/detail/layout/watch_view.hpp>
#include <belfry/detail/segment/roster.hpp>

#include <chrono>
#include <cstdint>

namespace belfry::detail {

/// One participant's access to the lock on a block. The kernel provides the exclusion, and releases the lock of a dead
/// holder. The tickets in the companion segment decide which waiter is next. The caller notifies through its roster.
class block_lock {
 public:
  /// The lock is a byte of this file, whose description must be this participant's own, not mapped, and guarded against
  /// forks: a lock lives as long as its description. `peers` must be joined, and outlive this object.
  block_lock(unique_handle file, std::uint64_t offset, watch_view view, const roster& peers);

  /// Does not wait. False: not acquired; this participant has a ticket now.
  bool try_acquire() noexcept;
  /// Whether an attempt would do something: succeed, or get a ticket.
  bool worth_trying() const noexcept;
  /// The pause after which to retry even without a notification. Zero: the holder is a live participant, or another
  /// waiter is next, so its release or death is notified. A retry is needed if the kernel reports the death of the
  /// holder before it releases its lock, or if a program that is not a participant holds the lock.
  std::chrono::nanoseconds retry_after() noexcept;
  /// Drops the ticket. The caller notifies all participants: another one may be next now.
  void withdraw() noexcept { view_.drop_ticket(slot_); }
  /// Ends the transaction and releases the lock. The caller notifies all participants.
  void release() noexcept;

  bool held() const noexcept { return held_; }
  /// The previous holder died during its transaction.
  bool owner_died() const noexcept { return owner_died_; }

 private:
  unique_handle file_;
  std::uint64_t offset_;
  watch_view view_;
  const roster& peers_;
  std::size_t slot_;
  std::uint32_t generation_;
  std::chrono::nanoseconds retry_after_{0};
  bool held_ = false;
  bool owner_died_ = false;
};

}  // namespace belfry::detail
