#include "child.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace belfry::bench {
namespace {

constexpr std::array signals{SIGINT, SIGTERM, SIGHUP};
volatile std::sig_atomic_t caught_signal = 0;

}  // namespace

child::child(const std::function<bool()>& body) {
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == -1) throw std::system_error(errno, std::system_category(), "fork");
  if (pid_ == 0) {
    for (const int s : signals) ::signal(s, SIG_DFL);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);
    ::_exit(body() ? 0 : 1);
  }
  end_ = detail::unique_handle(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!end_) {
    const std::system_error error(errno, std::system_category(), "pidfd_open");
    kill();
    throw error;
  }
}

child::~child() {
  ask_to_end();
  wait(std::chrono::seconds(2));
  kill();
}

void child::ask_to_end() const noexcept { ::kill(pid_, SIGTERM); }

void child::kill() noexcept {
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) == -1 && errno == EINTR) {
  }
}

void child::wait(std::chrono::milliseconds limit) const noexcept {
  pollfd event{end(), POLLIN, 0};
  ::poll(&event, 1, static_cast<int>(limit.count()));
}

bool child::has_failed() const noexcept {
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
  return info.si_pid != 0 && (info.si_code != CLD_EXITED || info.si_status != 0);
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int signal) { caught_signal = signal; };
  for (const int s : signals) ::sigaction(s, &action, nullptr);
}

void throw_if_interrupted() {
  if (caught_signal != 0) throw interrupted{caught_signal};
}

}  // namespace belfry::bench
