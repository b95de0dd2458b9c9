// Open file description locks. They belong to a description, not to a process. The kernel drops them whenever
// the process dies, even if it stays a zombie. PID namespaces and reused pids do not matter.
#include "../lock.hpp"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

struct ::flock one_byte(short type, std::uint64_t offset) {
  struct ::flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(offset);
  lock.l_len = 1;
  return lock;
}

bool control(const unique_handle& block, int command, struct ::flock& lock) {
  int result;
  do {
    result = ::fcntl(block.get(), command, &lock);
  } while (result == -1 && errno == EINTR);
  return result == 0;
}

}  // namespace

bool lock_byte(const unique_handle& block, std::uint64_t offset) noexcept {
  auto lock = one_byte(F_WRLCK, offset);
  return control(block, F_OFD_SETLKW, lock);
}

bool try_lock_byte(const unique_handle& block, std::uint64_t offset) noexcept {
  auto lock = one_byte(F_WRLCK, offset);
  return control(block, F_OFD_SETLK, lock);
}

void unlock_byte(const unique_handle& block, std::uint64_t offset) noexcept {
  auto lock = one_byte(F_UNLCK, offset);
  control(block, F_OFD_SETLK, lock);
}

bool is_locked_by_another(const unique_handle& block, std::uint64_t offset) noexcept {
  auto lock = one_byte(F_WRLCK, offset);
  // If the probe fails, assume the lock is held: to take a living process for dead would be the worse
  // mistake.
  return !control(block, F_OFD_GETLK, lock) || lock.l_type != F_UNLCK;
}

}  // namespace belfry::platform
