// Joining, sending or receiving, and leaving, killed before and after every system call: the survivors
// continue, a successor finds what was promised, and nothing is left behind.
#include "traffic.hpp"

#include <sys/ptrace.h>
#include <sys/wait.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// Runs `body` in a child up to its n-th stop (each system call has two), and kills it there. False if it has
/// ended before.
bool killed_at(int n, const std::function<void()>& body) {
  child victim([&] {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(77);
    ::raise(SIGSTOP);
    body();
    ::_exit(0);
  });
  const pid_t pid = victim.pid();
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip("ptrace is not permitted");
  REQUIRE(WIFSTOPPED(status));
  REQUIRE(::ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0);
  for (int stops = 0; stops != n;) {
    REQUIRE(::ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr) == 0);
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status)) {
      CHECK(WEXITSTATUS(status) == 0);
      victim.forget();
      return false;
    }
    REQUIRE(WIFSTOPPED(status));
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) ++stops;
  }
  victim.kill();
  return true;
}

/// Everything up to `closed`, and how many deaths were reported in between. A wait for peers also returns for
/// peers that have left.
template <class Channel>
std::vector<item> receive_until(receiver<Channel>& rx, item last, int& deaths) {
  std::vector<item> got;
  for (;;) {
    const auto r = rx.receive();
    if (r.error == errc::peer_died) {
      ++deaths;
    } else if (r.error == errc::closed) {
      if (!got.empty() && got.back() == last) return got;
      rx.wait_peer();
    } else {
      EXPECT_EQ(r.error, error_code());
      got.push_back(r.what);
    }
  }
}

template <class Channel>
void expect_with_or_without(const std::vector<item>& got, item uncertain, item certain) {
  EXPECT(got == std::vector{certain} || got == std::vector{uncertain, certain});
}

/// For slow builds: every third call, another third each time.
constexpr int step = sanitized ? 7 : 1;
const int first = 1 + static_cast<int>(::getpid()) % step;

}  // namespace

TEMPLATE_TEST_CASE("a producer is killed at every system call, alone", "[crash-points]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("alone");
  const nothing_left check(name);
  const auto victim = [&] {
    sender<TestType> tx(name, how::blocking);
    EXPECT_EQ(tx.send({1, 0}), error_code());
  };
  const auto follow = [&] {
    {
      sender<TestType> tx(name, how::blocking);
      EXPECT_EQ(tx.send({2, 0}), error_code());
    }
    receiver<TestType> rx(name, how::blocking);
    int deaths = 0;
    expect_with_or_without<TestType>(receive_until(rx, {2, 0}, deaths), {1, 0}, {2, 0});
    EXPECT_EQ(deaths, 0);  // its successor has noticed it already
  };
  for (int n = first;; n += step) {
    INFO("stop " << n);
    const bool again = killed_at(n, victim);
    child successor(follow);
    REQUIRE(successor.wait() == 0);
    REQUIRE(files_of(name) == 0);
    if (!again) break;
  }
}

TEMPLATE_TEST_CASE("a producer is killed at every system call, its consumer waits", "[crash-points]",
                   values, frames) {
  const watchdog dog;
  const std::string name = unique_name("awaited");
  const nothing_left check(name);
  for (int n = first;; n += step) {
    INFO("stop " << n);
    const event joined;
    child survivor([&] {
      receiver<TestType> rx(name);
      joined.set();
      int deaths = 0;
      expect_with_or_without<TestType>(receive_until(rx, {2, 0}, deaths), {1, 0}, {2, 0});
      EXPECT(deaths <= 1);
    });
    joined.wait();
    const bool again = killed_at(n, [&] {
      sender<TestType> tx(name, how::blocking);
      EXPECT_EQ(tx.send({1, 0}), error_code());
    });
    child successor([&] {
      sender<TestType> tx(name, how::blocking);
      EXPECT_EQ(tx.send({2, 0}), error_code());
    });
    REQUIRE(successor.wait() == 0);
    REQUIRE(survivor.wait() == 0);
    REQUIRE(files_of(name) == 0);
    if (!again) break;
  }
}

TEMPLATE_TEST_CASE("a consumer is killed at every system call, its producer waits", "[crash-points]",
                   values, frames) {
  const watchdog dog;
  const std::string name = unique_name("full");
  const nothing_left check(name);
  constexpr std::uint64_t count = 100;  // more than fit in the ring
  for (int n = first;; n += step) {
    INFO("stop " << n);
    const event joined;
    child survivor([&] {
      sender<TestType> tx(name);
      joined.set();
      for (std::uint64_t seq = 0; seq != count; ++seq) tx.insist({1, seq});
    });
    joined.wait();
    const bool again = killed_at(n, [&] {
      receiver<TestType> rx(name, how::blocking);
      rx.expect({1, 0});
    });
    child successor([&] {
      receiver<TestType> rx(name, how::blocking);
      const auto first = rx.receive();
      EXPECT_EQ(first.error, error_code());
      EXPECT(first.what.seq <= 1);
      for (std::uint64_t seq = first.what.seq + 1; seq != count; ++seq) rx.expect({1, seq});
      rx.expect(errc::closed);
    });
    REQUIRE(successor.wait() == 0);
    REQUIRE(survivor.wait() == 0);
    REQUIRE(files_of(name) == 0);
    if (!again) break;
  }
}
