// Open file description locks: they belong to a description, not to a process, and the kernel drops
// them at any death, even of a zombie nobody has reaped; neither PID namespaces nor the reuse of a
// pid can deceive them.
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
  // A probe that fails tells nothing; to take the living for dead would be the worse mistake.
  return !control(block, F_OFD_GETLK, lock) || lock.l_type != F_UNLCK;
}

}  // namespace belfry::platform
