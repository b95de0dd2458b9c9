// How long one goes on without giving way to other handlers.
#pragma once

#include <chrono>

namespace belfry::detail {

/// Who finds everything ready could go on for ever, so it has a turn of some time. To ask for the time
/// costs about as much as to take a message: that is done for every few of them.
class time_slice {
  using clock = std::chrono::steady_clock;
  static constexpr unsigned unasked = 16;
  static constexpr std::chrono::microseconds length{50};

 public:
  /// Others have had theirs.
  void begin() noexcept { *this = {}; }

  /// Asked before every attempt to go on.
  bool over() noexcept {
    if (left_-- != 0) return false;
    left_ = unasked;
    const clock::time_point now = clock::now();
    if (end_ == clock::time_point{}) end_ = now + length;
    return now >= end_;
  }

 private:
  unsigned left_ = unasked;
  clock::time_point end_{};  // not known before the time is asked for
};

}  // namespace belfry::detail
