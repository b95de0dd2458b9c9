// How long a coroutine may continue before other handlers must run.
#pragma once

#include <chrono>

namespace belfry::detail {

/// A coroutine whose operations are always ready would never be suspended, so its time is limited. Reading the clock
/// costs about as much as receiving a message, so the clock is read once for several attempts.
class time_slice {
  using clock = std::chrono::steady_clock;
  static constexpr unsigned unasked = 16;
  static constexpr std::chrono::microseconds length{50};

 public:
  /// Called when other handlers have run.
  void begin() noexcept { *this = {}; }

  /// Called before every attempt to continue without suspending.
  bool over() noexcept {
    if (left_-- != 0) return false;
    left_ = unasked;
    const clock::time_point now = clock::now();
    if (end_ == clock::time_point{}) end_ = now + length;
    return now >= end_;
  }

 private:
  unsigned left_ = unasked;
  clock::time_point end_{};  // set when the clock is first read
};

}  // namespace belfry::detail
