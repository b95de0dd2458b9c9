// When recorded messages are to be sent again.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace belfry::cli {

class pace {
 public:
  using clock = std::chrono::steady_clock;

  /// The first message is due at `began`; the next ones `speed` times as fast as they were recorded. 0: all at once.
  pace(double speed, clock::time_point began) : speed_(speed), began_(began) {}

  /// For a message that was recorded at this time, counted from any moment. At most 30 years after the first.
  clock::time_point due(std::chrono::nanoseconds recorded) {
    if (!std::exchange(any_, true)) first_ = recorded;
    if (speed_ <= 0) return began_;
    constexpr double longest = 1e18;
    const double later = static_cast<double>((recorded - first_).count()) / speed_;
    return began_ + std::chrono::nanoseconds(static_cast<std::int64_t>(std::clamp(later, 0.0, longest)));
  }

 private:
  double speed_;
  clock::time_point began_;
  std::chrono::nanoseconds first_{0};
  bool any_ = false;
};

}  // namespace belfry::cli
