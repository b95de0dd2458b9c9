// CPython's own multiprocessing.shared_memory for comparison.
#pragma once

#include "../harness/contender.hpp"

#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace belfry::bench {

/// The output of a shell command, lines of `name seconds`, in other units. Empty if it cannot be run.
inline std::map<std::string, double> figures_of(const std::string& command, double units) {
  struct close_pipe {
    void operator()(std::FILE* f) const { ::pclose(f); }
  };
  const std::unique_ptr<std::FILE, close_pipe> in(::popen(command.c_str(), "r"));
  std::map<std::string, double> figures;
  char name[64];
  for (double time = 0; in && std::fscanf(in.get(), "%63s %lf", name, &time) == 2;) {
    figures[name] = time * units;
  }
  return figures;
}

/// The same for a Python program.
inline std::map<std::string, double> run_cpython(const std::string& program, double units) {
  return figures_of("python3 - <<'END'\n" + program + "\nEND\n", units);
}

inline std::optional<figure> find(const std::map<std::string, double>& figures,
                                  const std::string& name) {
  const auto found = figures.find(name);
  return found == figures.end() ? std::nullopt : std::optional(figure{found->second});
}

/// Medians of 9 rounds of at least 10 ms, like CPython's timeit.
inline constexpr const char* cpython_prelude = R"(
from multiprocessing.shared_memory import SharedMemory, ShareableList
from statistics import median
from timeit import Timer

def report(name, statement, of_each=1):
    timer = Timer(statement)
    n = 1
    while timer.timeit(n) < 0.01:
        n *= 2
    print(name, median(timer.repeat(9, n)) / n / of_each)
)";

}  // namespace belfry::bench
