// Orders stores and loads of different processes, at the cost of one side only.
#include "../barrier.hpp"

#include <chrono>
#include <thread>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

bool membarrier(int command) noexcept { return ::syscall(SYS_membarrier, command, 0, 0) == 0; }

// When the library is loaded, a process usually has one thread, and this takes a microsecond. With more
// threads it takes tens of milliseconds. The child of a fork inherits it.
const bool registered = membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);

}  // namespace

bool is_reached_by_barriers() noexcept { return registered; }

void barrier_everywhere() noexcept {
  if (membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED)) return;
  // This process may not use barriers, but others may be reached by them: no store stays in a store buffer
  // this long, and no load is executed this early.
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace belfry::platform
