// Which processors the two processes run on, and for how long.
#pragma once

#include <belfry/detail/layout/pause.hpp>

#include <vector>

#include <sched.h>

namespace belfry::bench {

/// Two processors that share no core, if the machine and the process's affinity have such.
struct cpu_pair {
  int lead = -1;  // -1: leave it to the scheduler
  int follow = -1;
};

cpu_pair choose_cpus();

/// All that this process may run on; -1 alone if that is not known.
std::vector<int> allowed_cpus();

/// Keeps this process on one processor; nothing for -1.
void pin(int cpu);

/// Processor time that this process has used.
double cpu_seconds();

/// Whether both processes have to share one processor.
extern const bool one_cpu;

/// In a loop that waits for the other process.
inline void relax() noexcept {
  if (one_cpu) {
    ::sched_yield();
  } else {
    detail::pause();
  }
}

}  // namespace belfry::bench
