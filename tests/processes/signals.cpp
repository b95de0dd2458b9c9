// Notifying a dead process's bell raises SIGPIPE in the kernel. The user never sees it, and the process's
// signal handling is not touched.
#include "segment_file.hpp"
#include "traffic.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

using namespace belfry;
using namespace belfry::test;

namespace {

volatile sig_atomic_t seen = 0;
void see(int) { seen = seen + 1; }

/// All signal-related state of a process.
struct signal_state {
  std::array<struct sigaction, 65> actions{};
  sigset_t mask{};
  sigset_t pending{};

  signal_state() {
    for (int s = 1; s <= 64; ++s) ::sigaction(s, nullptr, &actions[static_cast<std::size_t>(s)]);
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    ::sigpending(&pending);
  }
  void expect_unchanged() const {
    const signal_state now;
    for (int s = 1; s <= 64; ++s) {
      const auto i = static_cast<std::size_t>(s);
      EXPECT(now.actions[i].sa_handler == actions[i].sa_handler);
      EXPECT_EQ(now.actions[i].sa_flags, actions[i].sa_flags);
      EXPECT_EQ(::sigismember(&now.mask, s), ::sigismember(&mask, s));
      EXPECT_EQ(::sigismember(&now.pending, s), ::sigismember(&pending, s));
    }
  }
};

void dispose(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  EXPECT_EQ(::sigaction(SIGPIPE, &action, nullptr), 0);
}

void mask_sigpipe(int what) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGPIPE);
  EXPECT_EQ(::pthread_sigmask(what, &set, nullptr), 0);
}

bool sigpipe_is_pending() {
  sigset_t set;
  ::sigpending(&set);
  return ::sigismember(&set, SIGPIPE) == 1;
}

/// Simulates an older kernel: a write cannot be told to raise no signal.
void forget_that_writes_can_be_silent() {
  const sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(code)),
                           const_cast<sock_filter*>(code)};
  EXPECT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  EXPECT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/// A producer that notifies consumers which were killed in their sleep.
void ring_the_dead(const std::string& name) {
  const event come;
  std::vector<child> consumers;  // forked before there is a context
  for (int i = 0; i != 3; ++i) {
    consumers.emplace_back([&] {
      dispose(SIG_DFL);
      come.wait();
      receiver<values> rx(name, how::blocking);
      for (;;) EXPECT(rx.receive().error != errc::closed);
    });
  }
  sender<values> tx(name);
  for (std::uint64_t run = 0; run != 3; ++run) {
    come.set();
    await([&] { return tx.tx().try_send(outgoing_value({run, 0}).get()); });
    const segment_file file(name);
    // Whichever of the three it was: it has received that, and sleeps again.
    const auto asleep = [&] {
      return file.live(layout::role::consumer) && file.asleep(layout::role::consumer) &&
          tx.tx().size() == 0;
    };
    await(asleep);
    EXPECT(tx.tx().try_send(outgoing_value({run, 1}).get()));  // notifies, and has the bell open from now on
    await(asleep);
    const pid_t pid = static_cast<pid_t>(file.slot(layout::role::consumer).pid.load());
    for (child& c : consumers) {
      if (c.pid() == pid) c.kill_unreaped();
    }
    EXPECT(tx.tx().try_send(outgoing_value({run, 2}).get()));  // notifies a dead bell
  }
}

/// In a child, with the present kernel and with a simulated older one.
void with_both_kernels(const std::function<void(const std::string&)>& body) {
  const watchdog dog;
  for (const bool yesterday : {false, true}) {
    INFO((yesterday ? "yesterday" : "today"));
    const std::string name = unique_name("signals");
    const nothing_left check(name);
    child c([&] {
      if (yesterday) forget_that_writes_can_be_silent();
      body(name);
    });
    CHECK(c.wait() == 0);
    error_code ignored;
    values::unlink(name, ignored);  // the last message is unread
  }
}

}  // namespace

TEST_CASE("a handler of SIGPIPE is never called", "[signals]") {
  with_both_kernels([](const std::string& name) {
    dispose(see);
    const signal_state before;
    ring_the_dead(name);
    before.expect_unchanged();
    EXPECT_EQ(seen, 0);
  });
}

TEST_CASE("a process with the default action for SIGPIPE does not die", "[signals]") {
  with_both_kernels([](const std::string& name) {
    dispose(SIG_DFL);
    const signal_state before;
    ring_the_dead(name);
    before.expect_unchanged();
  });
}

TEST_CASE("a process that ignores SIGPIPE still ignores it", "[signals]") {
  with_both_kernels([](const std::string& name) {
    dispose(SIG_IGN);
    const signal_state before;
    ring_the_dead(name);
    before.expect_unchanged();
  });
}

TEST_CASE("no SIGPIPE becomes pending where it is blocked", "[signals]") {
  with_both_kernels([](const std::string& name) {
    dispose(see);
    mask_sigpipe(SIG_BLOCK);
    const signal_state before;
    ring_the_dead(name);
    before.expect_unchanged();
    EXPECT(!sigpipe_is_pending());
    mask_sigpipe(SIG_UNBLOCK);
    EXPECT_EQ(seen, 0);
  });
}

TEST_CASE("a SIGPIPE of the user's own stays pending, exactly one", "[signals]") {
  const bool of_thread = GENERATE(true, false);
  INFO((of_thread ? "of the thread" : "of the process"));
  with_both_kernels([=](const std::string& name) {
    dispose(see);
    mask_sigpipe(SIG_BLOCK);
    if (of_thread) {
      ::raise(SIGPIPE);
    } else {
      ::kill(::getpid(), SIGPIPE);
    }
    EXPECT(sigpipe_is_pending());
    const signal_state before;
    ring_the_dead(name);
    before.expect_unchanged();
    EXPECT(sigpipe_is_pending());
    mask_sigpipe(SIG_UNBLOCK);
    EXPECT_EQ(seen, 1);
  });
}

TEMPLATE_TEST_CASE("no use of the library changes a disposition, or the mask", "[signals]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("use");
  const nothing_left check(name);
  std::array<channel_handles, every_way.size()> handles;
  for (channel_handles& h : handles) h = TestType::make_handles(options<TestType>());
  const auto use = [&](bool first) {
    const signal_state before;
    for (const how way : every_way) {
      const channel_handles& h = handles[static_cast<std::size_t>(way)];
      if (first) {
        sender<TestType> by_name(name + name_of(way), way);
        sender<TestType> by_handles(h, way);
        for (std::uint64_t seq = 0; seq != 200; ++seq) by_name.insist({1, seq});
        for (std::uint64_t seq = 0; seq != 200; ++seq) by_handles.insist({1, seq});
        before.expect_unchanged();
      } else {
        receiver<TestType> by_name(name + name_of(way), way);
        receiver<TestType> by_handles(h, way);
        for (std::uint64_t seq = 0; seq != 200; ++seq) by_name.expect({1, seq});
        for (std::uint64_t seq = 0; seq != 200; ++seq) by_handles.expect({1, seq});
        by_name.expect(errc::closed);
        by_handles.expect(errc::closed);
        before.expect_unchanged();
      }
    }
    before.expect_unchanged();
  };
  child producer([&] { use(true); });
  child consumer([&] { use(false); });
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
}
