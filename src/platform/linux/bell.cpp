// Bells: FIFOs where peers meet by name, pipes where they meet by handles.
#include "../bell.hpp"
#include "../block.hpp"
#include "../handle.hpp"
#include "../owner.hpp"
#include "path.hpp"
#include "signal_guard.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

bool is_fifo(const unique_handle& handle) {
  struct stat status {};
  return ::fstat(handle.get(), &status) == 0 && S_ISFIFO(status.st_mode);
}

std::error_code no_such_bell() {
  return std::make_error_code(std::errc::no_such_file_or_directory);
}

bool is_meant(const struct stat& found, const named_bell& which) {
  struct stat block {};
  return S_ISFIFO(found.st_mode) && found.st_ino == which.id &&
         ::fstat(which.block.get(), &block) == 0 && found.st_dev == block.st_dev;
}
bool is_meant(const unique_handle& bell, const named_bell& which) {
  struct stat status {};
  return ::fstat(bell.get(), &status) == 0 && is_meant(status, which);
}

std::string handle_path(const unique_handle& handle) {
  return "/proc/thread-self/fd/" + std::to_string(handle.get());
}

/// The last name that the kernel knows for the target of a link in /proc.
std::string last_name_of(const std::string& link) {
  std::string target(4096, '\0');
  target.resize(static_cast<std::size_t>(
      std::max<ssize_t>(::readlink(link.c_str(), target.data(), target.size()), 0)));
  constexpr std::string_view gone = " (deleted)";
  if (target.ends_with(gone)) target.resize(target.size() - gone.size());
  return target.substr(target.rfind('/') + 1);
}

}  // namespace

made_bell new_named_bell(std::string_view name, const unique_handle& block, unsigned mode, failure& f) {
  const std::string path = path_of(name);
  // A bell of this name was left by a dead owner of the slot: the caller holds the slot's lock. Any other
  // file belongs to another program.
  if (named_bell_id(name) != 0) ::unlink(path.c_str());
  if (::mkfifo(path.c_str(), 0600) != 0) {
    f = {std::error_code(errno, std::system_category()),
         "create the bell \"" + std::string(name) + '"'};
    return {};
  }
  // A FIFO opened for both directions never reports a hang-up to its owner when its peers come and go. As the
  // owner is the only reader, its death still shows at the writing end.
  unique_handle bell =
      above_standard(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!bell || !is_fifo(bell)) {
    f = {std::error_code(errno, std::system_category()),
         "open the bell \"" + std::string(name) + '"'};
    ::unlink(path.c_str());
    return {};
  }
  ownership users = ownership_of(block);
  users.mode = mode;
  if (!give_to_users(bell, users, f)) {
    ::unlink(path.c_str());
    return {};
  }
  const std::uint64_t id = id_of(bell);
  return {std::move(bell), id};
}

notifying_end open_named_bell(const named_bell& which, std::error_code& error) noexcept {
  const std::string path = path_of(which.name);
  unique_handle bell =
      above_standard(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!bell) {
    error.assign(errno, std::system_category());
    // For another bell the system's error does not matter.
    if (named_bell_id(which.name) != which.id) error = no_such_bell();
  } else if (!is_meant(bell, which)) {
    bell.reset();
    error = no_such_bell();
  }
  return {std::move(bell), {}};
}

notifying_end open_bell_of_process(const named_bell& which, std::error_code& error) noexcept {
  error = no_such_bell();
  const std::string path = "/proc/" + std::to_string(which.owner) + "/fd/" + std::to_string(which.number);
  struct stat status {};
  // All three numbers come from shared memory. Opening another file could do harm, and writing to a pipe of
  // our own even more: it must be a bell of this name, in the directory of shared memory.
  if (::stat(path.c_str(), &status) != 0 || !is_meant(status, which) ||
      last_name_of(path) != which.name) {
    return {};
  }
  unique_handle bell = above_standard(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!bell) {
    const bool out_of_reach = errno == ENOENT || errno == ENXIO || errno == EACCES;
    if (!out_of_reach) error.assign(errno, std::system_category());
  } else if (!is_meant(bell, which)) {
    bell.reset();  // the process has ended meanwhile, and another one has its number
  } else {
    error.clear();
  }
  return {std::move(bell), {}};
}

void unlink_named_bell(std::string_view name) noexcept { ::unlink(path_of(name).c_str()); }

std::uint64_t named_bell_id(std::string_view name) noexcept {
  struct stat status {};
  const bool there = ::lstat(path_of(name).c_str(), &status) == 0 && S_ISFIFO(status.st_mode);
  return there ? status.st_ino : 0;
}

bool is_deserted_bell(std::string_view name) noexcept {
  const unique_handle bell = above_standard(
      ::open(path_of(name).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  return !bell && errno == ENXIO;
}

// Its mode lets in any process that was given the handle, whichever user it belongs to: access is by handle
// alone.
unique_handle new_anonymous_bell(failure& f) {
  int ends[2];
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0) {
    const unique_handle other_end(ends[1]);
    unique_handle bell = above_standard(ends[0]);
    if (bell && ::fchmod(bell.get(), 0666) == 0) return bell;
  }
  f = {std::error_code(errno, std::system_category()), "create a bell"};
  return {};
}

unique_handle open_anonymous_bell(const unique_handle& bell, std::error_code& error) noexcept {
  unique_handle own =
      above_standard(::open(handle_path(bell).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!own) error.assign(errno, std::system_category());
  return own;
}

bool is_anonymous_bell(const unique_handle& bell) noexcept {
  char target[64] = {};
  return ::readlink(handle_path(bell).c_str(), target, sizeof target - 1) > 0 &&
         std::string_view(target).starts_with("pipe:");
}

bool ring_bell(native_handle_type bell, native_handle_type) noexcept {
  // Since Linux 6.18 a write can be told to raise no signal, which saves two system calls.
  static std::atomic<bool> can_be_told{true};
  constexpr int no_signal = 0x100;  // RWF_NOSIGNAL
  char byte = 1;
  const iovec bytes{&byte, 1};
  while (can_be_told.load(std::memory_order_relaxed)) {
    if (::pwritev2(bell, &bytes, 1, -1, no_signal) == 1) return true;
    if (errno == EPIPE) return false;
    if (errno == EAGAIN) return true;  // full: 65536 notifications are pending
    if (errno != EINTR) can_be_told.store(false, std::memory_order_relaxed);
  }

  const signal_guard guard(SIGPIPE);
  while (::write(bell, &byte, 1) == -1) {
    if (errno == EINTR) continue;
    if (errno != EPIPE) return true;
    guard.take_back();
    return false;
  }
  return true;
}

void ring_own_bell(native_handle_type bell) noexcept {
  const char byte = 1;
  while (::write(bell, &byte, 1) == -1 && errno == EINTR) {
  }
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
