#include "process.hpp"

#include "test.hpp"

#include <cstdio>
#include <cstdlib>
#include <system_error>

#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace belfry::test {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

[[noreturn]] void run_child(const std::function<void()>& body, pid_t parent) {
  int status = 1;
  try {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const pid_t now = ::getppid();  // 0: not in this PID namespace
    if (now != parent && now != 0) ::_exit(2);  // the parent died before prctl()
    ::alarm(240);
    body();
    status = 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "child %d: %s\n", static_cast<int>(::getpid()), e.what());
  }
  std::fflush(nullptr);
  ::_exit(status);
}

}  // namespace

child::child(const std::function<void()>& body) {
  std::fflush(nullptr);  // otherwise the child would write it again
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == -1) fail("fork");
  if (pid_ == 0) run_child(body, parent);
}

child& child::operator=(child&& other) noexcept {
  if (this != &other) {
    kill();
    pid_ = std::exchange(other.pid_, -1);
  }
  return *this;
}

int child::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) == -1) {
    if (errno != EINTR) fail("waitpid");
  }
  pid_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void child::kill() noexcept {
  if (!running()) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) == -1 && errno == EINTR) {
  }
  pid_ = -1;
}

void child::kill_unreaped() {
  ::kill(pid_, SIGKILL);
  siginfo_t info;
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) == -1) {
    if (errno != EINTR) fail("waitid");
  }
}

void child::stop() {
  ::kill(pid_, SIGSTOP);
  siginfo_t info;
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED) == -1) {
    if (errno != EINTR) fail("waitid");
  }
}

event::event() : descriptor_(::eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC)) {
  if (descriptor_ == -1) fail("eventfd");
}

event::~event() { ::close(descriptor_); }

void event::set(std::uint64_t times) const {
  if (::write(descriptor_, &times, sizeof times) != sizeof times) fail("set an event");
}

void event::wait() const {
  std::uint64_t one;
  while (::read(descriptor_, &one, sizeof one) != sizeof one) {
    if (errno != EINTR) fail("wait for an event");
  }
}

void skip(std::string_view why) {
  std::fprintf(stderr, "skipped: %.*s\n", static_cast<int>(why.size()), why.data());
  std::exit(77);
}

}  // namespace belfry::test
