// The lock behind transactions.
#pragma once

#include <belfry/detail/native_handle.hpp>
#include <belfry/detail/watch_view.hpp>
#include <belfry/ring/ring.hpp>

#include <cstddef>

namespace belfry::detail {

/// One participant's access to the lock on a block. The kernel excludes, and forgives the dead; the
/// tickets in the companion segment decide who is next; the roster, which the caller has, wakes.
class block_lock {
 public:
  /// The block's description must be this participant's own, and not mapped: locks belong to
  /// descriptions, and go with them.
  block_lock(unique_handle block, watch_view view, std::size_t slot);

  /// `done`: held. Else this participant has a ticket now. `deaths`: how many the roster has counted.
  attempt try_acquire(unsigned deaths) noexcept;
  /// Whether an attempt would do something: succeed, or get a ticket.
  bool worth_trying(unsigned deaths) const noexcept;
  /// Waits no longer. The caller rings everyone: another may be next now.
  void withdraw() noexcept { view_.drop_ticket(slot_); }
  /// The data is whole again. The caller rings everyone.
  void release() noexcept;

  bool held() const noexcept { return held_; }
  /// The holder before had not come to its end.
  bool owner_died() const noexcept { return owner_died_; }

 private:
  bool lock(unsigned deaths) noexcept;

  unique_handle block_;
  watch_view view_;
  std::size_t slot_;
  unsigned deaths_ = 0;  // at the last attempt
  bool held_ = false;
  bool owner_died_ = false;
};

}  // namespace belfry::detail
