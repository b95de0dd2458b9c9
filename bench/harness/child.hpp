// A child process that does not outlive its owner.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>

#include <chrono>
#include <functional>

#include <sys/types.h>

namespace belfry::bench {

/// Runs a function in a fork of this process, without destroying what was constructed here. The destructor
/// ends and reaps it: first by SIGTERM, then by SIGKILL. The kernel ends it if its parent is killed.
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
  /// Sends SIGTERM; the destructor also does, and gives it little time.
  void ask_to_end() const noexcept;
  /// Waits for its end.
  void wait(std::chrono::milliseconds limit) const noexcept;
  /// It has ended with a status other than 0.
  bool has_failed() const noexcept;

 private:
  void kill() noexcept;

  pid_t pid_;
  detail::unique_handle end_;
};

/// Thrown at a signal that asks this program to end; whatever it passes through cleans up.
struct interrupted {
  int signal;
};

/// From now on SIGINT, SIGTERM and SIGHUP of this process, not of its children, are reported by
/// throw_if_interrupted(); they interrupt a system call that waits.
void catch_signals();
void throw_if_interrupted();

}  // namespace belfry::bench
