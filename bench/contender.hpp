// What is compared: one way in which two processes can do it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace belfry::bench {

/// What one round has brought.
struct figure {
  double value = 0;    // in the unit of the case
  double p99 = 0;      // the 99th percentile; 0 where there is none
  double seconds = 0;  // how long it took, so that the next round can take as long as is wanted
};

/// Constructed before the two processes are forked, with everything that both inherit; whatever has
/// to be cleaned up belongs to it, as it is destroyed even if one of them crashes. No io_context is
/// created before the fork.
class contender {
 public:
  contender() = default;
  contender(const contender&) = delete;
  contender& operator=(const contender&) = delete;
  virtual ~contender() = default;

  /// The process that measures, and its partner, which is doing its part at the same time. Both
  /// throw what goes wrong.
  virtual figure lead(std::uint64_t operations) = 0;
  virtual void follow(std::uint64_t operations) = 0;
};

/// A contender that can be made anew for every round.
struct entrant {
  std::string name;
  std::function<std::unique_ptr<contender>()> make;
};

template <class Contender, class... Arguments>
entrant enter(std::string name, Arguments... arguments) {
  return {std::move(name), [arguments...] { return std::make_unique<Contender>(arguments...); }};
}

}  // namespace belfry::bench
