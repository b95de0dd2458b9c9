// Create a block, open it by name, unlink and close both; against the bare system calls and CPython's
// SharedMemory.
#include "cases.hpp"
#include "../harness/memory.hpp"
#include "../peers/cpython.hpp"
#include "../harness/solo.hpp"

#include <belfry/shared_memory.hpp>

#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belfry::bench {
namespace {

void check(bool done, const char* what) {
  if (!done) throw std::runtime_error(what);
}

/// What a program calls that knows what it needs; CPython does not allocate.
void bare_life(const std::string& name, std::size_t bytes, bool allocate) {
  const auto size = static_cast<off_t>(bytes);
  const int made = ::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  check(made != -1, "shm_open");
  check(::ftruncate(made, size) == 0, "ftruncate");
  if (allocate) check(::posix_fallocate(made, 0, size) == 0, "posix_fallocate");
  void* const there = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, made, 0);
  const int opened = ::shm_open(name.c_str(), O_RDWR, 0);
  struct stat status {};
  check(::fstat(opened, &status) == 0, "fstat");
  void* const here = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
  check(there != MAP_FAILED && here != MAP_FAILED, "mmap");
  ::shm_unlink(name.c_str());
  ::munmap(here, bytes);
  ::munmap(there, bytes);
  ::close(opened);
  ::close(made);
}

std::string in_python(std::size_t bytes) {
  return "def life():\n"
         "    made = SharedMemory(create=True, size=" +
      std::to_string(bytes) +
      ")\n"
      "    opened = SharedMemory(name=made.name)\n"
      "    made.unlink()\n"
      "    opened.close()\n"
      "    made.close()\n"
      "report('life', life)\n";
}

}  // namespace

void block(report& out) {
  constexpr double microseconds = 1e6;
  const std::string name = unique_name("block");
  for (const std::size_t bytes : {std::size_t{4096}, std::size_t{1} << 20}) {
    const auto times = measure_alone(
        {
            [&] {
              shared_memory made = shared_memory::create(name, bytes);
              const shared_memory opened = shared_memory::open(name);
              made.unlink();
            },
            [&] { bare_life(name, bytes, true); },
            [&] { bare_life(name, bytes, false); },
        },
        microseconds);
    const auto theirs = run_cpython(cpython_prelude + in_python(bytes), microseconds);
    out.add({"block",
             "us",
             {{"bytes", static_cast<int>(bytes)}},
             figure{times[0]},
             {{"shm_open + mmap + fallocate", figure{times[1]}},
              {"shm_open + mmap", figure{times[2]}},
              {"CPython SharedMemory", find(theirs, "life")}}});
  }
}

}  // namespace belfry::bench
