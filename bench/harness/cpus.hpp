// Which processors the processes run on, and how much processor time they used.
#pragma once

#include <belfry/detail/layout/pause.hpp>

#include <vector>

#include <sched.h>

namespace belfry::bench {

/// Two processors that share no core, if the machine and the process's affinity have them.
struct cpu_pair {
  int lead = -1;  // -1: the scheduler chooses
  int follow = -1;
};

cpu_pair choose_cpus();

/// All processors that this process may use; -1 alone if unknown.
std::vector<int> allowed_cpus();

/// Pins this process to a processor; does nothing for -1.
void pin(int cpu);

/// The processors that this process might use when it was constructed.
class all_cpus {
 public:
  all_cpus();
  /// Undoes pin(): for processes that depend on others, which run anywhere.
  void allow() const;

 private:
  cpu_set_t set_;
};

/// Processor time that this process has used.
double cpu_seconds();

/// Whether both processes must share one processor.
extern const bool one_cpu;

/// For a loop that waits for the other process.
inline void relax() noexcept {
  if (one_cpu) {
    ::sched_yield();
  } else {
    detail::pause();
  }
}

}  // namespace belfry::bench
