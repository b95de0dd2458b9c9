// Signals that a system call raises beside its error.
#pragma once

#include <cerrno>
#include <ctime>

#include <signal.h>

namespace belfry::platform {

/// Keeps a signal that a system call of this thread may raise from ever being delivered: it is blocked around
/// the call, and taken back if the call has raised it. The process's disposition is the program's alone.
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

  /// The call has failed with the error that comes with the signal.
  void take_back() const noexcept {
    const timespec at_once{};
    while (::sigtimedwait(&only_, nullptr, &at_once) == -1 && errno == EINTR) {
    }
    // One that was pending before, while the caller had it blocked, is the caller's. The thread's own goes
    // first: that was it, unless the caller's is the process's.
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
