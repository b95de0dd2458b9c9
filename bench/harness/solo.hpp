// Measurements in one process.
#pragma once

#include "contender.hpp"
#include "timer.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace belfry::bench {

/// Keeps the compiler from removing the computation of this value.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

/// Medians of rounds in which all functions take turns, per operation; `units` per second. Each function does
/// `of_each` operations.
inline std::vector<double> measure_alone(const std::vector<std::function<void()>>& all, double units,
                                         double of_each = 1) {
  constexpr int rounds = 15;
  constexpr double turn = 0.02;  // seconds
  std::vector<std::size_t> calls(all.size(), 1);
  std::vector<std::vector<double>> times(all.size());
  for (int round = -3; round != rounds; ++round) {  // the first rounds find how many calls are needed
    for (std::size_t i = 0; i != all.size(); ++i) {
      const auto begin = stopwatch::now();
      for (std::size_t n = 0; n != calls[i]; ++n) all[i]();
      const double time = seconds(stopwatch::now() - begin).count() / static_cast<double>(calls[i]);
      if (round < 0) {
        calls[i] = std::max<std::size_t>(1, static_cast<std::size_t>(turn / time));
      } else {
        times[i].push_back(time * units / of_each);
      }
    }
  }
  std::vector<double> medians;
  for (std::vector<double>& t : times) {
    std::nth_element(t.begin(), t.begin() + rounds / 2, t.end());
    medians.push_back(t[rounds / 2]);
  }
  return medians;
}

}  // namespace belfry::bench
