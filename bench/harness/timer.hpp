// Stopwatches for the process that measures.
#pragma once

#include "contender.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace belfry::bench {

using seconds = std::chrono::duration<double>;
using stopwatch = std::chrono::steady_clock;

/// Times laps of some operations each. The first tenth does not count: it warms up.
///
///     lap_timer timer(n, 1);
///     for (std::uint64_t i = 0; i != n; ++i) { round_trip(); timer.done(); }
///     return timer.median(1e6);                                            // microseconds
class lap_timer {
 public:
  /// An operation that is shorter than reading the clock needs many operations per lap.
  lap_timer(std::uint64_t operations, std::uint64_t per_lap)
      : per_lap_(per_lap), warm_up_(std::max<std::uint64_t>(operations / per_lap / 10, 1)) {
    laps_.reserve(operations / per_lap);
    last_ = begin_ = stopwatch::now();
  }

  void done() {
    if (++count_ % per_lap_ != 0) return;
    const auto now = stopwatch::now();
    laps_.push_back(now - last_);
    last_ = now;
  }
  /// A lap of one operation that began at `begin`, and not at the end of the previous lap.
  void done_since(stopwatch::time_point begin) {
    last_ = begin;
    done();
  }

  /// Per operation; `units` per second.
  figure median(double units) {
    const auto first = laps_.begin() +
                       static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(warm_up_, laps_.size()));
    std::sort(first, laps_.end());
    const auto at = [&](double quantile) {
      const auto n = laps_.end() - first;
      if (n == 0) return 0.0;
      const double lap =
          first[static_cast<std::ptrdiff_t>(quantile * static_cast<double>(n))].count();
      return lap / static_cast<double>(per_lap_) * units;
    };
    return {at(0.5), per_lap_ == 1 ? at(0.99) : 0, seconds(last_ - begin_).count()};
  }

 private:
  std::uint64_t per_lap_;
  std::uint64_t warm_up_;
  std::uint64_t count_ = 0;
  stopwatch::time_point begin_;
  stopwatch::time_point last_;
  std::vector<seconds> laps_;
};

/// The rate at which messages arrive, after the first tenth of them.
class rate_timer {
 public:
  explicit rate_timer(std::uint64_t messages) : warm_up_(messages / 10) {}

  /// `count` messages have arrived so far.
  void arrived(std::uint64_t count) {
    if (count < warm_up_ || started_) return;
    started_ = true;
    first_ = count;
    begin_ = stopwatch::now();
  }
  /// All `count` messages have arrived.
  figure per_second(std::uint64_t count) const {
    const double time = seconds(stopwatch::now() - begin_).count();
    return {static_cast<double>(count - first_) / time, 0, time};
  }

 private:
  std::uint64_t warm_up_;
  std::uint64_t first_ = 0;
  bool started_ = false;
  stopwatch::time_point begin_;
};

}  // namespace belfry::bench
