// What is sent from many to many, and the shapes of it.
#pragma once

#include "crowd.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace belfry::bench {

inline constexpr auto fan_turn = std::chrono::milliseconds(200);
/// How often a sleeping process checks whether the turn is over.
inline constexpr std::chrono::milliseconds timeout{20};

/// The same number in each word.
struct item {
  std::array<std::uint64_t, 8> words;
};
inline void check(const item& i) {
  if (std::any_of(i.words.begin(), i.words.end(), [&](auto w) { return w != i.words[0]; })) {
    throw std::runtime_error("an item is torn");
  }
}

struct shape {
  std::size_t producers;
  std::size_t consumers;
  std::string name() const { return std::to_string(producers) + " x " + std::to_string(consumers); }
};

inline double rate_of(const shape& s, const std::function<part(std::size_t)>& producer,
                      const std::function<part(std::size_t)>& consumer) {
  std::vector<part> parts;
  for (std::size_t i = 0; i != s.producers; ++i) parts.push_back(producer(i));
  for (std::size_t i = 0; i != s.consumers; ++i) parts.push_back(consumer(i));
  return rate(parts, fan_turn);
}

}  // namespace belfry::bench
