// Two processes that run contenders against each other's clock.
#pragma once

#include "contender.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace belfry::bench {

/// One contender's turn in a round.
struct turn {
  std::string name;
  contender* who = nullptr;
  std::uint64_t operations = 0;
  std::optional<figure> result;  // none: it did not come that far
};

/// Forks two processes, pinned to two cores, that take these turns one after the other, together.
/// Returns the index of the first turn that failed, after saying why on the standard error; the
/// number of turns if all is well. The processes are gone when it returns, or throws.
std::size_t run_pair(std::vector<turn>& turns, std::chrono::seconds limit_per_turn);

}  // namespace belfry::bench
