// The roster's lock.
#pragma once

#include "../platform/lock.hpp"

#include <belfry/detail/layout/layout.hpp>

#include <chrono>
#include <thread>

namespace belfry::detail {

/// Held for a few system calls; the kernel releases it when its holder dies. But a holder may be stopped. So only a
/// setup call may wait for the lock without a limit, and code on a reactor's thread only where a participant leaves a
/// segment of several users.
class roster_guard {
 public:
  enum how {
    only_try,
    /// For some tenths of a second at most. On a busy machine a holder may lose its processor for that long; only one
    /// that is stopped takes longer.
    try_for_a_moment,
  };
  roster_guard(const unique_handle& block, how h) : block_(block), locked_(lock(block, h)) {}
  /// Waits.
  roster_guard(const unique_handle& block, failure& f)
      : block_(block), locked_(platform::lock_byte(block, layout::roster_lock, f)) {}
  ~roster_guard() {
    if (locked_) platform::unlock_byte(block_, layout::roster_lock);
  }
  roster_guard(const roster_guard&) = delete;
  roster_guard& operator=(const roster_guard&) = delete;

  explicit operator bool() const noexcept { return locked_; }

 private:
  static bool lock(const unique_handle& block, how h) noexcept {
    for (int attempt = 0; !platform::try_lock_byte(block, layout::roster_lock); ++attempt) {
      if (h == only_try || attempt == 1000) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return true;
  }

  const unique_handle& block_;
  bool locked_;
};

}  // namespace belfry::detail
