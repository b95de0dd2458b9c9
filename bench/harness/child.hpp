// A child process that does not outlive its owner.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>

#include <chrono>
#include <functional>

#include <sys/types.h>

namespace belfry::bench {

/// Runs a function in a fork of this process, without destroying there what was constructed here.
/// Ended, asked nicely first, and reaped at the latest by the destructor; and by the kernel if its
/// parent is killed.
class child {
 public:
  /// The status is 0 if `body` returns true.
  explicit child(const std::function<bool()>& body);
  ~child();
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  pid_t pid() const noexcept { return pid_; }
  /// Becomes readable when the process has ended.
  int end() const noexcept { return end_.get(); }
  /// Asks it to, as the destructor does, which gives it little time.
  void ask_to_end() const noexcept;
  /// Waits for its end.
  void wait(std::chrono::milliseconds limit) const noexcept;
  /// It has ended, and not with status 0.
  bool has_failed() const noexcept;

 private:
  void kill() noexcept;

  pid_t pid_;
  detail::unique_handle end_;
};

/// What to throw at a signal that wants an end of it; whoever passes it on cleans up.
struct interrupted {
  int signal;
};

/// From now on SIGINT, SIGTERM and SIGHUP of this process, not of its children, are asked for with
/// throw_if_interrupted(); they end a system call that waits.
void catch_signals();
void throw_if_interrupted();

}  // namespace belfry::bench
