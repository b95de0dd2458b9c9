#pragma once

#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

/// The terminal is closed.
inline constexpr int hang_up = SIGHUP;

inline std::string own_number() { return std::to_string(::getpid()); }

/// Starts this program once more, with these arguments. It blocks the given signals only.
inline pid_t start_again(std::vector<std::string> arguments, const sigset_t& blocked,
                         const posix_spawn_file_actions_t* actions = nullptr) {
  std::string program = "/proc/self/exe";
  std::vector<char*> given{program.data()};
  for (std::string& a : arguments) given.push_back(a.data());
  given.push_back(nullptr);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setsigmask(&attributes, &blocked);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, program.c_str(), actions, &attributes, given.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) throw std::system_error(error, std::generic_category(), "cannot start a process");
  return pid;
}

/// This program once more, with these arguments. It is killed if it still runs at the end of this object.
class process {
 public:
  process() noexcept = default;
  explicit process(std::vector<std::string> arguments) {
    sigset_t none;  // it blocks no signal, even if this process does
    ::sigemptyset(&none);
    pid_ = start_again(std::move(arguments), none);
  }
  process(process&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  process& operator=(process&& other) noexcept {
    if (this != &other) {
      kill();
      wait();
      pid_ = std::exchange(other.pid_, 0);
    }
    return *this;
  }
  ~process() {
    kill();
    wait();
  }

  void kill() noexcept {
    if (pid_ != 0) ::kill(pid_, SIGKILL);
  }
  /// Returns when it has ended; false if it has failed.
  bool wait() noexcept {
    if (pid_ == 0) return false;
    int status = 0;
    pid_t waited = -1;
    do waited = ::waitpid(pid_, &status, 0);
    while (waited == -1 && errno == EINTR);
    return waited == std::exchange(pid_, 0) && status == 0;
  }

 private:
  pid_t pid_ = 0;
};
