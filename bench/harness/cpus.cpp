#include "cpus.hpp"

#include <fstream>
#include <string>
#include <utility>

#include <sched.h>
#include <time.h>

namespace belfry::bench {
namespace {

/// Package and core of a processor.
std::pair<int, int> place_of(int cpu) {
  const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
  std::pair<int, int> place{0, cpu};
  std::ifstream(topology + "physical_package_id") >> place.first;
  std::ifstream(topology + "core_id") >> place.second;
  return place;
}

}  // namespace

std::vector<int> allowed_cpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::vector<int> all;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return {-1};
  for (int cpu = 0; cpu != CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) all.push_back(cpu);
  }
  return all;
}

cpu_pair choose_cpus() {
  cpu_pair best;
  for (const int cpu : allowed_cpus()) {
    if (best.lead < 0) {
      best.lead = cpu;
      continue;
    }
    const auto [package, core] = place_of(best.lead);
    const auto [other_package, other_core] = place_of(cpu);
    const bool shares_core = package == other_package && core == other_core;
    if (best.follow < 0 || (package == other_package && !shares_core)) best.follow = cpu;
    if (package == other_package && !shares_core) break;
  }
  if (best.follow < 0) return {};
  return best;
}

void pin(int cpu) {
  if (cpu < 0) return;
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(cpu, &only);
  ::sched_setaffinity(0, sizeof only, &only);
}

all_cpus::all_cpus() {
  CPU_ZERO(&set_);
  for (const int cpu : allowed_cpus())
    if (cpu >= 0) CPU_SET(cpu, &set_);
}

void all_cpus::allow() const {
  if (CPU_COUNT(&set_) != 0) ::sched_setaffinity(0, sizeof set_, &set_);
}

double cpu_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

const bool one_cpu = choose_cpus().follow < 0;

}  // namespace belfry::bench
