#include "../machine_checks.hpp"

#include "../../platform/linux/facts.hpp"
#include "../text.hpp"

namespace belfry::cli {
namespace {

using level = diagnosis::level;

diagnosis of_kernel() {
  const platform::kernel_version k = platform::kernel();
  const bool enough = k.major_number > 5 || (k.major_number == 5 && k.minor_number >= 3);
  if (enough) return {level::ok, "kernel", "Linux " + k.text, ""};
  return {level::broken, "kernel", "Linux " + k.text, "Belfry needs Linux 5.3 or later"};
}

diagnosis of_memory() {
  platform::memory_space space;
  if (!platform::measure_shared_memory(space))
    return {level::broken, "memory", "/dev/shm cannot be read", "mount a tmpfs there"};
  if (space.bytes == 0) return {level::ok, "memory", "/dev/shm without a limit", ""};
  const std::string found =
      "/dev/shm has " + size_text(space.bytes) + ", of which " + size_text(space.free) + " are free";
  if (space.free >= space.bytes / 10) return {level::ok, "memory", found, ""};
  const char* const advice = "remove what is not needed (belfry ls), or mount -o remount,size=… /dev/shm";
  return {space.free < (64 << 10) ? level::broken : level::note, "memory", found, advice};
}

diagnosis of_handles() {
  const std::uint64_t most = platform::most_handles();
  const std::string found = "this process may open " + std::to_string(most);
  if (most >= 1024) return {level::ok, "descriptors", found, ""};
  return {level::note, "descriptors", found, "an endpoint takes up to four; raise it with ulimit -n"};
}

diagnosis of_barriers() {
  if (platform::has_barriers()) return {level::ok, "membarrier", "available", ""};
  return {level::note, "membarrier", "refused by the system",
          "consumers use a fence per message instead, which costs some nanoseconds"};
}

}  // namespace

const system_texts texts_of_system{
    "/dev/shm has to be a tmpfs that this user may write to; /proc has to be mounted",
    "open file description locks",
    "no death can be noticed: in a sandbox, permit F_OFD_SETLK and F_OFD_GETLK",
    "kill -CONT it",
};

std::vector<diagnosis> checks_of_system() { return {of_kernel(), of_memory()}; }
std::vector<diagnosis> checks_of_limits() { return {of_handles(), of_barriers()}; }

}  // namespace belfry::cli
