// What is compared: ways in which two processes can do the same thing.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace belfry::bench {

/// The percentiles at which the curve of a distribution is drawn.
inline constexpr std::array percentiles{50.0, 60.0, 70.0, 75.0,  80.0,  85.0,  90.0,  92.5,
                                        95.0, 96.0, 97.0, 98.0,  98.5,  99.0,  99.3,  99.5,
                                        99.7, 99.8, 99.9, 99.93, 99.95, 99.97, 99.98, 99.99};

/// The result of one round.
struct figure {
  double value = 0;    // in the unit of the case
  double p99 = 0;      // the 99th percentile; 0 if there is none
  double seconds = 0;  // how long it took, from which the next round's number of operations is computed

  // Only for an open load.
  double p999 = 0;
  double cpu = 0;                                  // seconds of processor time per million messages
  double wake_ups = 0;                             // of the receiver, per message
  std::array<double, percentiles.size()> curve{};  // 0 where there were too few messages
};

/// Constructed before the two processes are forked, with everything that both inherit. It owns whatever has
/// to be cleaned up, because it is destroyed even if a process crashes. No io_context is created before the
/// fork.
class contender {
 public:
  contender() = default;
  contender(const contender&) = delete;
  contender& operator=(const contender&) = delete;
  virtual ~contender() = default;

  /// Run in the process that measures, and in its partner at the same time. Both throw on failure.
  virtual figure lead(std::uint64_t operations) = 0;
  virtual void follow(std::uint64_t operations) = 0;
};

/// A contender that can be made again for every round.
struct entrant {
  std::string name;
  std::function<std::unique_ptr<contender>()> make;
};

template <class Contender, class... Arguments>
entrant enter(std::string name, Arguments... arguments) {
  return {std::move(name), [arguments...] { return std::make_unique<Contender>(arguments...); }};
}

}  // namespace belfry::bench
