// Open file description locks. They belong to a description, not to a process. The kernel drops them whenever
// the process dies, even if it stays a zombie. PID namespaces and reused pids do not matter.
#include "../lock.hpp"
#include "fail.hpp"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

/// Of no bytes: of all from `offset` on.
struct ::flock bytes_at(std::uint64_t offset, short type, off_t bytes) {
  struct ::flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(offset);
  lock.l_len = bytes;
  return lock;
}
struct ::flock one_byte(short type, std::uint64_t offset) { return bytes_at(offset, type, 1); }

bool control(const unique_handle& block, int command, struct ::flock& lock) {
  int result;
  do {
    result = ::fcntl(block.get(), command, &lock);
  } while (result == -1 && errno == EINTR);
  return result == 0;
}

/// Also for a description that is read-only. If the probe fails, assume the lock is held: to take a living
/// process for dead would be the worse mistake.
bool is_held(const unique_handle& block, struct ::flock lock) {
  return !control(block, F_OFD_GETLK, lock) || lock.l_type != F_UNLCK;
}

}  // namespace

bool lock_byte(const unique_handle& block, std::uint64_t offset, failure& f) {
  auto lock = one_byte(F_WRLCK, offset);
  if (control(block, F_OFD_SETLKW, lock)) return true;
  fail(f, "lock byte " + std::to_string(offset));
  return false;
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
  return is_held(block, one_byte(F_WRLCK, offset));
}

bool is_any_locked_by_another(const unique_handle& block, std::uint64_t offset) noexcept {
  return is_held(block, bytes_at(offset, F_WRLCK, 0));
}

}  // namespace belfry::platform
