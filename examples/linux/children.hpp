#pragma once

#include "files.hpp"
#include "process.hpp"

#include <csignal>
#include <iostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

/// Starts and watches this program, several times. The signals that it waits for are blocked, so that none is lost.
class children {
 public:
  children() {
    ::sigemptyset(&signals_);
    for (const int s : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&signals_, s);
    ::signal(SIGCHLD, SIG_DFL);
    ::sigprocmask(SIG_BLOCK, &signals_, &before_);
    if (::pipe2(report_, O_CLOEXEC) == -1) fail("cannot make a pipe");
  }
  children(const children&) = delete;
  children& operator=(const children&) = delete;
  ~children() {
    stop();
    wait();
    for (const int end : report_) ::close(end);
  }

  enum class output { shown, kept };

  void start(const char* who, std::vector<std::string> arguments, output o = output::shown) {
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    if (o == output::kept) ::posix_spawn_file_actions_adddup2(&actions, report_[1], STDOUT_FILENO);
    try {
      running_.push_back({start_again(std::move(arguments), before_, &actions), who});
    } catch (...) {
      ::posix_spawn_file_actions_destroy(&actions);
      throw;
    }
    ::posix_spawn_file_actions_destroy(&actions);
  }

  /// True if all succeeded. If one fails, the other learns that from the channel, and ends. If the other was still
  /// waiting for its peer to join, it is stopped.
  bool wait() {
    const timespec second{1, 0};
    bool good = true;
    while (!running_.empty()) {
      const int signal = ::sigtimedwait(&signals_, nullptr, &second);
      if (signal == -1 ? !good : signal != SIGCHLD) {
        good = false;
        stop();
      }
      std::erase_if(running_, [&](const child& c) {
        int status = 0;
        if (::waitpid(c.pid, &status, WNOHANG) != c.pid) return false;
        if (status != 0) good = false;
        if (WIFSIGNALED(status)) {
          std::cerr << std::string(c.who) + ": killed by signal " + std::to_string(WTERMSIG(status)) + '\n';
        }
        return true;
      });
    }
    return good;
  }

  void stop() const {
    for (const child& c : running_) ::kill(c.pid, SIGTERM);
  }

  /// What the one with `output::kept` has printed: a line.
  std::string kept() {
    std::string line(200, '\0');
    line.resize(read_some(report_[0], std::as_writable_bytes(std::span(line))));
    return line;
  }

 private:
  struct child {
    pid_t pid;
    const char* who;
  };
  sigset_t signals_;
  sigset_t before_;
  int report_[2];
  std::vector<child> running_;
};
