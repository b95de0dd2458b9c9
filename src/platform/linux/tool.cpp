// Standard streams, terminal, signals and secrets of the program `belfry`, and what it tells of the machine.
#include "../tool.hpp"
#include "descriptor.hpp"
#include "path.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <limits>

#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

void fail(failure& f, std::string what, int error = errno) {
  f = {std::error_code(error, std::system_category()), std::move(what)};
}

}  // namespace

void fill_standard_streams() noexcept {
  int descriptor;
  do {
    descriptor = ::open("/dev/null", O_RDWR);
  } while (descriptor >= 0 && descriptor < first_descriptor);
  if (descriptor != -1) ::close(descriptor);
}

void ignore_interrupt() noexcept {
  ::signal(SIGINT, SIG_IGN);
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  ::pthread_sigmask(SIG_UNBLOCK, &interrupt, nullptr);
}

std::string read_secret_file(const std::string& path, failure& f) {
  const detail::unique_handle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) {
    fail(f, "open \"" + path + '"');
    return {};
  }
  if (S_ISREG(status.st_mode) && (status.st_mode & 077) != 0) {
    fail(f, '"' + path + "\" can be read by other users (chmod 600 it)", EPERM);
    return {};
  }
  return read_to_end(file.get(), f);
}

std::string read_to_end(native_handle_type handle, failure& f) {
  std::string all;
  for (;;) {
    char bytes[4096];
    const ssize_t n = ::read(handle, bytes, sizeof bytes);
    if (n == -1 && errno == EINTR) continue;
    if (n == -1 && errno == EAGAIN) {
      pollfd ready{handle, POLLIN, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (n == -1) fail(f, "read from descriptor " + std::to_string(handle));
    if (n <= 0) return all;
    all.append(bytes, static_cast<std::size_t>(n));
  }
}

bool is_terminal() noexcept { return ::isatty(STDOUT_FILENO) == 1; }

terminal_size size_of_terminal() noexcept {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_col, size.ws_row};
}

kernel_version kernel() {
  kernel_version version;
  utsname names{};
  if (::uname(&names) != 0) return version;
  version.text = names.release;
  std::sscanf(names.release, "%u.%u", &version.major_number, &version.minor_number);
  return version;
}

bool measure_shared_memory(memory_space& out) noexcept {
  struct statvfs found {};
  if (::statvfs(shared_memory_directory, &found) != 0) return false;
  out = {std::uint64_t{found.f_blocks} * found.f_frsize, std::uint64_t{found.f_bavail} * found.f_frsize};
  return true;
}

std::uint64_t most_handles() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::numeric_limits<std::uint64_t>::max();
  return limit.rlim_cur;
}

bool has_barriers() noexcept {
  const long commands = ::syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  return commands > 0 && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0;
}

}  // namespace belfry::platform
