// Signals that a system call raises in addition to its error.
#pragma once

#include <cerrno>
#include <ctime>

#include <signal.h>

namespace belfry::platform {

/// Prevents the delivery of a signal that a system call of this thread may raise. The signal is blocked
/// around the call, and removed if the call has raised it. The process's disposition is not touched.
class signal_guard {
 public:
  explicit signal_guard(int signal) noexcept : signal_(signal) {
    ::sigemptyset(&only_);
    ::sigaddset(&only_, signal);
    ::pthread_sigmask(SIG_BLOCK, &only_, &before_);
    callers_own_ = was_blocked() && is_pending();
  }
  ~signal_guard() {
    if (!was_blocked()) ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  signal_guard(const signal_guard&) = delete;
  signal_guard& operator=(const signal_guard&) = delete;

  /// To be called when the call has failed with the error that comes with the signal.
  void take_back() const noexcept {
    const timespec at_once{};
    while (::sigtimedwait(&only_, nullptr, &at_once) == -1 && errno == EINTR) {
    }
    // If the caller had blocked the signal and one was already pending, that one must stay pending.
    // sigtimedwait() takes the thread's signal first: this was ours, unless the caller's was pending for the
    // whole process. If none is pending now, raise it again.
    if (callers_own_ && !is_pending()) ::raise(signal_);
  }

 private:
  bool was_blocked() const noexcept { return ::sigismember(&before_, signal_) == 1; }
  bool is_pending() const noexcept {
    sigset_t set;
    return ::sigpending(&set) == 0 && ::sigismember(&set, signal_) == 1;
  }

  int signal_;
  bool callers_own_;
  sigset_t only_;
  sigset_t before_;
};

}  // namespace belfry::platform
