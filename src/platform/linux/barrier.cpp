// Order between the stores and loads of different processes, where one side shall not pay for it.
#include "../barrier.hpp"

#include <chrono>
#include <thread>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

bool membarrier(int command) noexcept { return ::syscall(SYS_membarrier, command, 0, 0) == 0; }

// When the library is loaded a process has one thread as a rule, and this costs a microsecond; with more than
// one, tens of milliseconds. The child of a fork inherits it.
const bool registered = membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);

}  // namespace

bool is_reached_by_barriers() noexcept { return registered; }

void barrier_everywhere() noexcept {
  if (membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED)) return;
  // Refused to us, and perhaps not to the others: no store stays in a processor for so long.
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace belfry::platform
