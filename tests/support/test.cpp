#include "test.hpp"

#include "process.hpp"

#include <cstdlib>
#include <filesystem>

#include <unistd.h>

/// For the leak sanitizer. The threads of Asio's system executor end after libcrypto, which then no longer frees what it
/// keeps for each thread.
extern "C" const char* __lsan_default_suppressions() { return "leak:libcrypto.so"; }

namespace belfry::test {

#if defined(BELFRY_TEST_PROGRAM)
namespace {
/// The library looks for the program `belfry` beside itself; here it is part of a test. Runs before other
/// initialisers, which may start a manager.
[[gnu::constructor(101)]] void tell_program() { ::setenv("BELFRY_EXECUTABLE", BELFRY_TEST_PROGRAM, 0); }
}  // namespace
#endif

/// By how much a watchdog waits longer.
#if defined(BELFRY_TEST_EMULATED)
constexpr int slowness = 10;
#else
constexpr int slowness = sanitized ? 4 : 1;
#endif

std::string unique_name(std::string_view what) {
  static std::atomic<int> count{0};
  return "belfry-test-" + std::to_string(::getpid()) + '-' + std::to_string(++count) + '-' +
      std::string(what);
}

std::size_t files_of(std::string_view name) {
  std::size_t n = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    if (entry.path().filename().string().starts_with(name)) ++n;
  }
  return n;
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all))) - 1;  // without the iterator's own descriptor
}

bool run(net::io_context& io, std::chrono::seconds watchdog) {
  io.restart();
  io.run_for(slowness * watchdog);
  return io.stopped();
}

// SIGALRM ends the process by default, wherever it hangs.
watchdog::watchdog(std::chrono::seconds limit) { ::alarm(static_cast<unsigned>((slowness * limit).count())); }
watchdog::~watchdog() { ::alarm(0); }

}  // namespace belfry::test
