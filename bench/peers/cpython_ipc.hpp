// CPython's multiprocessing between two processes, as cpython_ipc.py measures it.
#pragma once

#include "../harness/contender.hpp"
#include "../harness/cpus.hpp"
#include "cpython.hpp"

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace belfry::bench {

inline constexpr std::array cpython_sleepers{"Queue", "Pipe"};
inline constexpr std::array cpython_ways{"Queue", "Pipe", "shared_memory"};  // the last one polls

/// Adds these ways of `what`: `rtt`, or `stream BYTES`. They run separately from the other entrants.
template <class Ways>
void add_cpython(std::vector<std::pair<std::string, std::optional<figure>>>& peers,
                 const std::string& what, double units, const Ways& ways) {
  const cpu_pair cpus = choose_cpus();
  const auto figures =
      figures_of("python3 '" BELFRY_BENCH_SOURCES "/peers/cpython_ipc.py' " +
                     std::to_string(cpus.lead) + ' ' + std::to_string(cpus.follow) + ' ' + what,
                 units);
  for (const char* const way : ways) {
    std::optional<figure> f = find(figures, way);
    const auto p99 = find(figures, way + std::string("-p99"));
    if (f && p99) f->p99 = p99->value;
    peers.emplace_back(std::string("CPython ") + way, f);
  }
}

}  // namespace belfry::bench
