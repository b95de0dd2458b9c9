// Interleaved rounds, and their medians.
#pragma once

#include "contender.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace belfry::bench {

struct effort {
  std::uint64_t first =
      1000;  // operations of the first turn; the first rounds only find how many are needed
  double seconds = 0.05;  // intended duration of a turn
  int rounds = 15;
  std::uint64_t least = 100;  // fewest operations of a turn, however long they take
  std::chrono::seconds limit{60};  // after which a turn is given up
};

/// Every round has a new pair of processes, the same for all entrants. The entrants take turns in it, a
/// different one first in every round. Returns medians of the rounds; none for an entrant that failed.
std::vector<std::optional<figure>> measure(const std::vector<entrant>& entrants,
                                           const effort& how = {});

/// The first `count` entrants by their names, with their results.
std::vector<std::pair<std::string, std::optional<figure>>> named(
    const std::vector<entrant>& entrants, const std::vector<std::optional<figure>>& figures,
    std::size_t count);

/// For contenders that take long to set up: one pair of processes for all rounds, in which contenders keep
/// their setup between turns. The first round does not count.
std::vector<std::optional<figure>> measure_kept(const std::vector<entrant>& entrants,
                                                std::uint64_t operations, const effort& how = {});

}  // namespace belfry::bench
