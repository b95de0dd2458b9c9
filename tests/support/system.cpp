// What tests ask of Linux.
#include "test.hpp"

#include "effort.hpp"
#include "guarded_memory.hpp"

#include <cstdlib>
#include <filesystem>

#include <poll.h>
#include <sys/mman.h>
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

bool becomes_ready(native_handle_type handle, std::chrono::milliseconds limit) {
  pollfd p{handle, POLLIN, 0};
  return ::poll(&p, 1, static_cast<int>(limit.count())) == 1;
}

// SIGALRM ends the process by default, wherever it hangs.
watchdog::watchdog(std::chrono::seconds limit) { ::alarm(static_cast<unsigned>((slowness * limit).count())); }
watchdog::~watchdog() { ::alarm(0); }

namespace {

std::size_t page_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

void map(std::byte* at, std::size_t bytes, int file, std::size_t from) {
  REQUIRE(::mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, static_cast<off_t>(from)) == at);
}

}  // namespace

guarded_memory::guarded_memory(std::size_t bytes, std::size_t mirrored) : mirrored_(mirrored) {
  const std::size_t page = page_bytes();
  const std::size_t once = (bytes + page - 1) / page * page;
  void* const at = ::mmap(nullptr, page + once + mirrored + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(at != MAP_FAILED);
  begin_ = static_cast<std::byte*>(at);
  end_ = begin_ + page + once;
  const int file = ::memfd_create("guarded", 0);
  REQUIRE(::ftruncate(file, static_cast<off_t>(once)) == 0);
  map(begin_ + page, once, file, 0);
  if (mirrored != 0) map(end_, mirrored, file, once - mirrored);
  ::close(file);
}

guarded_memory::~guarded_memory() {
  ::munmap(begin_, static_cast<std::size_t>(end_ - begin_) + mirrored_ + page_bytes());
}

}  // namespace belfry::test
