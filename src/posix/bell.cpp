// Bells: a FIFO where peers meet by name, an eventfd where they meet by handles.
#include "../platform.hpp"
#include "path.hpp"
#include "signal_guard.hpp"

#include <atomic>
#include <cerrno>

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

bool is_fifo(const unique_handle& handle) {
  struct stat status {};
  return ::fstat(handle.get(), &status) == 0 && S_ISFIFO(status.st_mode);
}

}  // namespace

unique_handle new_named_bell(std::string_view name, unsigned mode, failure& f) {
  const std::string path = path_of(name);
  // A bell of this name was left by a dead owner of the slot: the caller holds its lock. Anything
  // else is somebody's.
  if (named_bell_id(name) != 0) ::unlink(path.c_str());
  if (::mkfifo(path.c_str(), 0600) != 0) {
    f = {std::error_code(errno, std::system_category()),
         "create the bell \"" + std::string(name) + '"'};
    return {};
  }
  // Opened for both directions, a FIFO never reports a hang-up to its owner however its peers come
  // and go; and as the owner is its only reader, its death still shows at the other end.
  unique_handle bell =
      above_standard(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!bell || !is_fifo(bell) || ::fchmod(bell.get(), mode & 0777) != 0) {
    f = {std::error_code(errno, std::system_category()),
         "open the bell \"" + std::string(name) + '"'};
    ::unlink(path.c_str());
    return {};
  }
  return bell;
}

unique_handle open_named_bell(std::string_view name, std::error_code& error) noexcept {
  unique_handle bell = above_standard(
      ::open(path_of(name).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!bell) error.assign(errno, std::system_category());
  if (bell && !is_fifo(bell)) bell.reset();
  return bell;
}

unique_handle open_bell_of_process(std::uint32_t pid, std::uint32_t handle, std::uint64_t id,
                                   std::error_code& error) noexcept {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(handle);
  struct stat status {};
  // To open something else could do harm.
  if (::stat(path.c_str(), &status) != 0 || !S_ISFIFO(status.st_mode) || status.st_ino != id)
    return {};
  unique_handle bell = above_standard(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  const bool out_of_reach = errno == ENOENT || errno == ENXIO || errno == EACCES;
  if (!bell && !out_of_reach) error.assign(errno, std::system_category());
  return bell;
}

void unlink_named_bell(std::string_view name) noexcept { ::unlink(path_of(name).c_str()); }

unique_handle new_anonymous_bell(failure& f) {
  unique_handle bell = above_standard(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!bell) f = {std::error_code(errno, std::system_category()), "create a bell"};
  return bell;
}

bool is_anonymous_bell(const unique_handle& bell) noexcept {
  char target[64] = {};
  const std::string link = "/proc/thread-self/fd/" + std::to_string(bell.get());
  const bool eventfd = ::readlink(link.c_str(), target, sizeof target - 1) > 0 &&
                       std::string_view(target) == "anon_inode:[eventfd]";
  return eventfd && (::fcntl(bell.get(), F_GETFL) & O_NONBLOCK) != 0;
}

std::uint64_t named_bell_id(std::string_view name) noexcept {
  struct stat status {};
  const bool there = ::lstat(path_of(name).c_str(), &status) == 0 && S_ISFIFO(status.st_mode);
  return there ? status.st_ino : 0;
}

bool ring_named_bell(const unique_handle& bell) noexcept {
  // Since Linux 6.18 a write can be told to raise no signal, which saves two system calls.
  static std::atomic<bool> can_be_told{true};
  constexpr int no_signal = 0x100;  // RWF_NOSIGNAL
  char byte = 1;
  const iovec bytes{&byte, 1};
  while (can_be_told.load(std::memory_order_relaxed)) {
    if (::pwritev2(bell.get(), &bytes, 1, -1, no_signal) == 1) return true;
    if (errno == EPIPE) return false;
    if (errno == EAGAIN) return true;  // full: it was rung 65536 times and is not quiet
    if (errno != EINTR) can_be_told.store(false, std::memory_order_relaxed);
  }

  const signal_guard guard(SIGPIPE);
  while (::write(bell.get(), &byte, 1) == -1) {
    if (errno == EINTR) continue;
    if (errno != EPIPE) return true;
    guard.take_back();
    return false;
  }
  return true;
}

bool ring_anonymous_bell(const unique_handle& bell) noexcept {
  const std::uint64_t one = 1;
  while (::write(bell.get(), &one, sizeof one) == -1 && errno == EINTR) {
  }
  return true;
}

void drain_bell(const unique_handle& bell) noexcept {
  char bytes[256];
  for (;;) {
    const ssize_t n = ::read(bell.get(), bytes, sizeof bytes);
    if (n == static_cast<ssize_t>(sizeof bytes)) continue;
    if (n == -1 && errno == EINTR) continue;
    return;
  }
}

}  // namespace belfry::platform
