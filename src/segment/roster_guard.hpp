// The roster's lock.
#pragma once

#include "../platform/lock.hpp"

#include <belfry/detail/layout/layout.hpp>

#include <chrono>
#include <thread>

namespace belfry::detail {

/// Held for a few system calls; the kernel releases it when its holder dies. But a holder may be stopped. So only a
/// setup call may wait for the lock, and never code on a reactor's thread.
class roster_guard {
 public:
  enum how {
    wait,
    only_try,
    try_for_a_moment,  ///< for some milliseconds at most; a holder that is not stopped is done by then
  };
  roster_guard(const unique_handle& block, how h) : block_(block), locked_(lock(block, h)) {}
  ~roster_guard() {
    if (locked_) platform::unlock_byte(block_, layout::roster_lock);
  }
  roster_guard(const roster_guard&) = delete;
  roster_guard& operator=(const roster_guard&) = delete;

  explicit operator bool() const noexcept { return locked_; }

 private:
  static bool lock(const unique_handle& block, how h) noexcept {
    if (h == wait) return platform::lock_byte(block, layout::roster_lock);
    for (int attempt = 0; !platform::try_lock_byte(block, layout::roster_lock); ++attempt) {
      if (h == only_try || attempt == 40) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return true;
  }

  const unique_handle& block_;
  bool locked_;
};

}  // namespace belfry::detail
