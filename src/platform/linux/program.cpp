// Starting and ending programs.
#include "../handle.hpp"
#include "../process.hpp"
#include "../program.hpp"
#include "../socket.hpp"
#include "descriptor.hpp"
#include "fail.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <vector>

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace belfry::platform {
namespace {

/// Owns the arguments of posix_spawn.
struct spawn_orders {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  spawn_orders() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  ~spawn_orders() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  spawn_orders(const spawn_orders&) = delete;
  spawn_orders& operator=(const spawn_orders&) = delete;
};

void send_signal(const child_process& child, int signal) noexcept {
  constexpr long pidfd_send_signal_number = 424;
  ::syscall(pidfd_send_signal_number, child.handle.get(), signal, nullptr, 0);
}

/// The directory of the file that contains this code.
std::string own_directory() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&belfry_program), &info) == 0) return {};
  char* const path = ::realpath(info.dli_fname, nullptr);
  const std::string resolved = path != nullptr ? path : "";
  std::free(path);
  return resolved.substr(0, resolved.rfind('/') + 1);
}

}  // namespace

child_process start_program(const std::string& path, std::span<const std::string> arguments,
                            std::span<const native_handle_type> handles, failure& f) {
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);

  spawn_orders orders;
  // A source must not be overwritten before it is duplicated: so all of them are moved out of the way first.
  std::vector<unique_handle> copies;
  const int lowest = std::max(first_descriptor, static_cast<int>(handles.size()));
  for (const native_handle_type handle : handles) {
    copies.push_back(
        open_guarded([&] { return unique_handle(::fcntl(handle, F_DUPFD_CLOEXEC, lowest)); }));
    if (!copies.back() && errno == EBADF) {  // for example if this process has closed its standard error
      const unique_handle nothing = above_standard(::open("/dev/null", O_RDWR | O_CLOEXEC));
      copies.back() = unique_handle(::fcntl(nothing.get(), F_DUPFD_CLOEXEC, lowest));
    }
    if (!copies.back()) {
      fail(f, "duplicate a handle", errno);
      return {};
    }
  }
  for (std::size_t i = 0; i != copies.size(); ++i) {
    ::posix_spawn_file_actions_adddup2(&orders.actions, copies[i].get(), static_cast<int>(i));
  }
  sigset_t interrupt;
  sigset_t none;
  sigemptyset(&interrupt);
  sigemptyset(&none);
  sigaddset(&interrupt, SIGINT);
  ::posix_spawnattr_setsigmask(&orders.attributes, &interrupt);
  sigset_t defaults;  // dispositions of this process that the program must not inherit
  sigemptyset(&defaults);
  for (const int signal : {SIGTERM, SIGHUP, SIGPIPE, SIGCHLD}) sigaddset(&defaults, signal);
  ::posix_spawnattr_setsigdefault(&orders.attributes, &defaults);
  ::posix_spawnattr_setflags(&orders.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  pid_t pid = 0;
  const int error =
      ::posix_spawnp(&pid, path.c_str(), &orders.actions, &orders.attributes, argv.data(), environ);
  if (error != 0) {
    fail(f, "start \"" + path + '"', error);
    return {};
  }
  child_process child;
  child.pid = static_cast<std::uint32_t>(pid);
  std::error_code watched;
  child.handle = watch_process(child.pid, watched);
  if (watched) {
    f = {watched, "watch \"" + path + '"'};
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return {};
  }
  return child;
}

void end_process(const child_process& child, how_to_end how) noexcept {
  if (child.handle) send_signal(child, how == how_to_end::please ? SIGTERM : SIGKILL);
}

bool reap_process(child_process& child, std::chrono::steady_clock::time_point deadline) noexcept {
  if (!child.handle) return true;
  if (!wait_for_socket(child.handle.get(), false, deadline)) return false;
  // Fails if the user's program reaps all children itself; that is just as good.
  while (::waitpid(static_cast<pid_t>(child.pid), nullptr, 0) == -1 && errno == EINTR) {
  }
  child = {};
  return true;
}

std::string belfry_program() {
  if (const char* const told = trusted_environment("BELFRY_EXECUTABLE");
      told != nullptr && *told != '\0')
    return told;
  const std::string here = own_directory();
  for (const char* const relative : {BELFRY_INSTALLED_PROGRAM, BELFRY_BUILT_PROGRAM}) {
    if (const std::string path = here + relative; ::access(path.c_str(), X_OK) == 0) return path;
  }
  return "belfry";
}

}  // namespace belfry::platform
