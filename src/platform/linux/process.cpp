// Processes: our own identity, the death of another, and what a forked child must not keep.
#include "../handle.hpp"
#include "../machine.hpp"
#include "../process.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <unordered_set>

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

/// The handles by which others see that this process lives. The child of a fork without exec inherits them,
/// and its parent would still look alive after its death.
class fork_guard {
 public:
  static fork_guard& instance() {
    static fork_guard* const guard = new fork_guard;  // never destroyed: a fork may come late
    return *guard;
  }

  void add(int handle) {
    const std::scoped_lock lock(mutex_);
    handles_.insert(handle);
  }
  /// In one step for forks: a child of just then would have the handle, and not give it up.
  void close(int handle) noexcept {
    const std::scoped_lock lock(mutex_);
    handles_.erase(handle);
    ::close(handle);
  }
  void hold_forks() { forks_.lock(); }
  void let_fork() { forks_.unlock(); }

 private:
  fork_guard() {
    ::pthread_atfork(
        [] {
          instance().forks_.lock();
          instance().mutex_.lock();
        },
        [] {
          instance().mutex_.unlock();
          instance().forks_.unlock();
        },
        [] { instance().in_child(); });
  }

  // Every number stays in use, by a handle that never becomes ready: the objects that own it will close it,
  // and Asio, when it is notified of the fork, will register it again. Only calls that are safe between fork
  // and exec.
  void in_child() {
    detail::fork_generation.fetch_add(1, std::memory_order_relaxed);
    const int nothing = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (const int handle : handles_) {
      if (nothing == -1 || ::dup3(nothing, handle, O_CLOEXEC) == -1) ::close(handle);
    }
    if (nothing != -1) ::close(nothing);
    mutex_.unlock();
    forks_.unlock();
  }

  // Held from before a handle is opened until it is in `handles_`. Locked first.
  std::mutex forks_;
  std::mutex mutex_;
  std::unordered_set<int> handles_;
};

}  // namespace

std::array<char, 16> program_name() noexcept {
  std::array<char, 16> name{};
  const std::string_view full = program_invocation_short_name;
  std::ranges::copy(full.substr(0, name.size()), name.begin());
  return name;
}

const char* trusted_environment(const char* variable) noexcept { return ::secure_getenv(variable); }

std::uint32_t process_id() noexcept { return static_cast<std::uint32_t>(::getpid()); }

std::uint64_t process_namespace() noexcept {
  struct stat status {};
  return ::stat("/proc/thread-self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

unique_handle watch_process(std::uint32_t pid, std::error_code& error) noexcept {
  // 434 everywhere: system calls since Linux 5.0 have the same number on all architectures. The descriptor is
  // always close-on-exec.
  constexpr long pidfd_open_number = 434;
  unique_handle handle = above_standard(
      static_cast<int>(::syscall(pidfd_open_number, static_cast<pid_t>(pid), 0)));
  if (!handle) error.assign(errno, std::system_category());
  return handle;
}

void guard_against_fork(const unique_handle& handle) { fork_guard::instance().add(handle.get()); }

no_fork::no_fork() { fork_guard::instance().hold_forks(); }
no_fork::~no_fork() { fork_guard::instance().let_fork(); }

unsigned processors() noexcept {
  // Once, as it reads a file.
  static const unsigned count = [] {
    const long n = ::sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? static_cast<unsigned>(n) : 1u;
  }();
  return count;
}

// A sandbox may refuse the system call, and still have the device.
bool fill_random(std::span<std::byte> out, failure& f) {
  unique_handle device;
  while (!out.empty()) {
    const ssize_t n = device ? ::read(device.get(), out.data(), out.size())
                             : ::getrandom(out.data(), out.size(), 0);
    if (n > 0) {
      out = out.subspan(static_cast<std::size_t>(n));
    } else if (n == -1 && errno == EINTR) {
      continue;
    } else if (device ||
               !(device = above_standard(::open("/dev/urandom", O_RDONLY | O_CLOEXEC)))) {
      f = {std::error_code(n == 0 ? EIO : errno, std::system_category()), "get random bytes"};
      return false;
    }
  }
  return true;
}

}  // namespace belfry::platform

namespace belfry::detail {

void close_handle(native_handle_type handle) noexcept {
  platform::fork_guard::instance().close(handle);
}

}  // namespace belfry::detail
