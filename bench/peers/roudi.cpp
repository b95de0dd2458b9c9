#include "roudi.hpp"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

namespace belfry::bench {
namespace {

constexpr auto start_limit = std::chrono::seconds(20);
constexpr auto stop_limit = std::chrono::seconds(10);
constexpr const char* lock_file = "/tmp/iox-unique-roudi.lock";

/// Whether another process runs a daemon. A lock file left without its process is not locked.
bool is_running() {
  const detail::unique_handle lock(::open(lock_file, O_RDONLY | O_CLOEXEC));
  return lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0;
}

/// What the daemon removes when it ends normally: its sockets and locks, its own segment and that of the
/// group for whose processes it has made memory.
void remove_files() {
  std::error_code ignored;
  for (const char* file : {"/tmp/roudi", "/tmp/roudi.lock", lock_file, "/dev/shm/iceoryx_mgmt"}) {
    std::filesystem::remove(file, ignored);
  }
  if (const group* const g = ::getgrgid(::getegid())) {
    std::filesystem::remove(std::filesystem::path("/dev/shm") / g->gr_name, ignored);
  }
}

/// Reads its output until it is ready; throws if it fails.
void wait_until_ready(int output) {
  std::string text;
  char part[512];
  pollfd event{output, POLLIN, 0};
  while (text.find("ready for clients") == std::string::npos) {
    const int n =
        ::poll(&event, 1, static_cast<int>(std::chrono::milliseconds(start_limit).count()));
    throw_if_interrupted();
    if (n == -1 && errno == EINTR) continue;
    const ssize_t bytes = n == 1 ? ::read(output, part, sizeof part) : 0;
    if (bytes <= 0) throw std::runtime_error("iox-roudi does not start: " + text);
    text.append(part, static_cast<std::size_t>(bytes));
  }
}

}  // namespace

void roudi::need() { static const roudi one; }

roudi::roudi() : owner_(::getpid()) {
  if (is_running()) throw std::runtime_error("another iox-roudi is already running");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::system_category(), "pipe");
  }
  output_ = detail::unique_handle(ends[0]);
  process_.emplace([&] {
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    ::execlp("iox-roudi", "iox-roudi", "--log-level", "fatal", nullptr);
    std::perror("iox-roudi");
    return false;
  });
  ::close(ends[1]);
  try {
    wait_until_ready(output_.get());
  } catch (...) {
    stop();
    throw;
  }
}

roudi::~roudi() {
  if (::getpid() != owner_) return;  // a fork of the owner that ends in the same way
  stop();
}

void roudi::stop() {
  process_->ask_to_end();
  process_->wait(stop_limit);
  process_.reset();
  remove_files();
}

}  // namespace belfry::bench
