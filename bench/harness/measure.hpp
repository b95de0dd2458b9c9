// Rounds, interleaved, and their medians.
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
      1000;  // operations of the very first turn; the first rounds only find out how many it takes
  double seconds = 0.05;  // how long a contender's turn in a round is meant to take
  int rounds = 15;
  std::uint64_t least = 100;  // operations of a turn, however long they take
  std::chrono::seconds limit{60};  // when a turn is given up
};

/// Every round is a fresh pair of processes, the same for all entrants, which take turns in it,
/// another one first in every round. Medians of the rounds; none for an entrant that could not run.
std::vector<std::optional<figure>> measure(const std::vector<entrant>& entrants,
                                           const effort& how = {});

/// The first so many entrants by their names, with what they have achieved.
std::vector<std::pair<std::string, std::optional<figure>>> named(
    const std::vector<entrant>& entrants, const std::vector<std::optional<figure>>& figures,
    std::size_t count);

/// For what takes long to set up: one pair of processes for all rounds, in which contenders can keep what
/// they have set up between their turns. The first round does not count.
std::vector<std::optional<figure>> measure_kept(const std::vector<entrant>& entrants,
                                                std::uint64_t operations, const effort& how = {});

}  // namespace belfry::bench
