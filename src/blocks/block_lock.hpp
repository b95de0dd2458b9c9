// The lock behind transactions.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/detail/layout/watch_view.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/detail/segment/roster.hpp>

#include <chrono>

namespace belfry::detail {

/// One participant's access to the lock on a block. The kernel excludes, and forgives the dead; the
/// tickets in the companion segment decide which is next; the roster, which the caller has, wakes.
class block_lock {
 public:
  /// The block's description must be this participant's own, not mapped, and guarded against forks: locks
  /// belong to descriptions, and go with them. `peers` is joined, and outlives the lock.
  block_lock(unique_handle block, watch_view view, const roster& peers);

  /// `done`: held. Else this participant has a ticket now. Does not wait.
  attempt try_acquire() noexcept;
  /// Whether an attempt would do something: succeed, or get a ticket.
  bool worth_trying() const noexcept;
  /// After how long to try again, whatever is told until then. Zero: the holder lives, or another waiter is
  /// next, and its release, or its death, is told. But the kernel may show the death of a process before
  /// it drops its lock, or the lock may be held by a program that does not take part: then nothing tells.
  std::chrono::nanoseconds retry_after() noexcept;
  /// Waits no longer. The caller rings everyone: another may be next now.
  void withdraw() noexcept { view_.drop_ticket(slot_); }
  /// The data is whole again. The caller rings everyone.
  void release() noexcept;

  bool held() const noexcept { return held_; }
  /// The holder before had not come to its end.
  bool owner_died() const noexcept { return owner_died_; }

 private:
  unique_handle block_;
  watch_view view_;
  const roster& peers_;
  std::size_t slot_;
  std::uint32_t generation_;
  std::chrono::nanoseconds retry_after_{0};
  bool held_ = false;
  bool owner_died_ = false;
};

}  // namespace belfry::detail
