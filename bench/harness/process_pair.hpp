// Two processes that run contenders against each other.
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
  std::optional<figure> result;  // none: it has failed
};

/// Forks two processes, pinned to two cores, that take these turns together, one after the other. Returns the
/// index of the first turn that failed, after printing the reason to standard error; the number of turns if
/// all succeeded. The processes have ended when it returns or throws.
std::size_t run_pair(std::vector<turn>& turns, std::chrono::seconds limit_per_turn);

}  // namespace belfry::bench
