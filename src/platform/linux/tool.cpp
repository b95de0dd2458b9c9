// Standard streams, signals and secrets of the program `belfry`.
#include "../tool.hpp"
#include "descriptor.hpp"

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
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

}  // namespace belfry::platform
