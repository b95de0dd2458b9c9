// Transactions among processes, whose holders and waiters are killed.
#include "transactions.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

TEST_CASE("waiting for a transaction that another process holds times out", "[transactions]") {
  const watchdog limit;
  const named_block b("timeout");
  const event held, go;
  child holder([&] {
    shared_memory m = shared_memory::open(b.name);
    const transaction t = m.txn();
    held.set();
    go.wait();
  });
  held.wait();
  const event waits, got;
  child next([&] {
    shared_memory m = shared_memory::open(b.name);
    error_code ec;
    EXPECT(!m.txn(std::chrono::nanoseconds(0), ec));
    EXPECT(ec == std::errc::timed_out);
    waits.set();
    EXPECT(m.txn());
    got.set();
  });
  waits.wait();
  {
    shared_memory m = shared_memory::open(b.name);
    error_code ec;
    for (int i = 0; i != 3; ++i) {
      const transaction t = m.txn(std::chrono::milliseconds(5), ec);
      CHECK(ec == std::errc::timed_out);
      CHECK_FALSE(t);
    }
    try {
      static_cast<void>(m.txn(std::chrono::milliseconds(1)));
      FAIL("held");
    } catch (const std::system_error& e) {
      CHECK(e.code() == std::errc::timed_out);
    }
    go.set();
    got.wait();  // we hold nothing, and no process waits for us
    CHECK(m.txn(std::chrono::nanoseconds::max(), ec));
    CHECK_FALSE(ec);
  }
  CHECK(holder.wait() == 0);
  CHECK(next.wait() == 0);
}

TEST_CASE("a transaction within a transaction", "[transactions]") {
  const watchdog limit;
  const named_block b("nested");
  child c([&] {
    shared_memory m = shared_memory::open(b.name);
    shared_memory other = shared_memory::open(b.name);
    error_code ec;
    {
      const transaction t = m.txn();
      EXPECT(!m.txn(ec));
      EXPECT(ec == std::errc::resource_deadlock_would_occur);
      EXPECT(t);
      EXPECT(!other.txn(std::chrono::milliseconds(1), ec));
      EXPECT(ec == std::errc::timed_out);
    }
    EXPECT(other.txn(ec));
    EXPECT(!ec);
    EXPECT(m.txn(ec));
  });
  CHECK(c.wait() == 0);
}

TEST_CASE("the death of a holder is reported to one process", "[transactions]") {
  const watchdog limit;
  for (const bool by_watch : {false, true}) {
    for (const bool holder_by_watch : {false, true}) {
      const named_block b("died");
      const event held;
      child holder([&] {
        worker w(b.name, holder_by_watch);
        const transaction t = w.begin();
        t[0] = 1;
        held.set();
        for (;;) ::pause();
      });
      const event waits;
      child waiting([&] {
        shared_memory m = shared_memory::open(b.name);
        held.wait();
        {
          net::io_context io;
          watch w(io, m);
          transaction t;
          error_code ec;
          const auto got = [&](const error_code& e, transaction given) {
            ec = e;
            t = std::move(given);
          };
          if (by_watch) w.async_txn(got);
          settle(io);
          waits.set();
          if (by_watch) {
            io.restart();
            io.run();
          } else {
            t = m.txn(ec);
          }
          EXPECT_EQ(ec, error_code(errc::owner_died));
          EXPECT(t);
          EXPECT(t.owner_died());
          EXPECT(t[0] == 1);
          t[0] = 0;
          t.end();
          t = m.txn(ec);
          EXPECT(!ec);
          EXPECT(!t.owner_died());
        }
      });
      waits.wait();
      holder.kill();
      CHECK(waiting.wait() == 0);
      shared_memory m = shared_memory::open(b.name);
      error_code ec;
      CHECK_FALSE(m.txn(ec).owner_died());
      CHECK_FALSE(ec);
    }
  }
}

TEST_CASE("a death without other participants is reported to a later one", "[transactions]") {
  const watchdog limit;
  const named_block b("later");
  child holder([&] {
    worker w(b.name, false);
    const transaction t = w.begin();
    die();
  });
  CHECK(holder.wait() == 128 + SIGKILL);
  shared_memory m = shared_memory::open(b.name);
  error_code ec;
  CHECK(m.txn(ec).owner_died());
  CHECK(ec == errc::owner_died);
  CHECK_FALSE(m.txn(ec).owner_died());
  CHECK_FALSE(ec);
}

TEST_CASE("txn() that throws owner_died has reported the death, and ended the transaction",
          "[transactions]") {
  const watchdog limit;
  const named_block b("throws");
  child holder([&] {
    worker w(b.name, true);
    const transaction t = w.begin();
    die();
  });
  CHECK(holder.wait() == 128 + SIGKILL);
  net::io_context io;
  shared_memory m = shared_memory::open(b.name);
  watch w(io, m);
  run_coroutine(io, [&]() -> net::awaitable<void> {
    bool thrown = false;
    try {
      static_cast<void>(co_await w.async_txn(net::use_awaitable));
    } catch (const net_system_error& e) {
      thrown = true;
      CHECK(e.code() == errc::owner_died);
    }
    CHECK(thrown);
    const transaction t = co_await w.async_txn(net::use_awaitable);
    CHECK(t);
    CHECK_FALSE(t.owner_died());
  });
}

TEST_CASE("a process killed while it waits holds no other up", "[transactions]") {
  const watchdog limit;
  const named_block b("queue");
  const event start_victim, victim_waits, start_next, next_waits, got;
  child victim([&] {
    start_victim.wait();
    net::io_context io;
    watch w(io, shared_memory::open(b.name));
    w.async_txn([](const error_code&, const transaction&) {});
    settle(io);
    victim_waits.set();
    io.run();
    for (;;) ::pause();
  });
  child next([&] {
    start_next.wait();
    net::io_context io;
    watch w(io, shared_memory::open(b.name));
    bool done = false;
    w.async_txn([&](const error_code& ec, transaction t) {
      EXPECT_EQ(ec, error_code());  // the previous one had not begun a transaction
      EXPECT(t);
      done = true;
    });
    settle(io);
    EXPECT(!done);
    next_waits.set();
    io.run();
    EXPECT(done);
    got.set();
  });
  shared_memory m = shared_memory::open(b.name);
  SECTION("before it is next") {
    transaction t = m.txn();
    start_victim.set();
    victim_waits.wait();
    start_next.set();
    next_waits.wait();
    victim.kill();
    t.end();
    got.wait();
  }
  SECTION("when it is next") {
    transaction t = m.txn();
    start_victim.set();
    victim_waits.wait();
    start_next.set();
    next_waits.wait();
    victim.stop();  // so that it does not learn that it is next
    t.end();
    victim.kill();
    got.wait();
  }
  CHECK(next.wait() == 0);
}

TEST_CASE("a failed wait for a transaction holds no other up", "[transactions]") {
  const watchdog limit;
  const named_block b("failed");
  const event held, end, join, waits, got;
  child holder([&] {
    shared_memory m = shared_memory::open(b.name);
    const transaction t = m.txn();
    held.set();
    end.wait();
  });
  child newcomer([&] {
    join.wait();
    net::io_context io;
    watch w(io, shared_memory::open(b.name));  // notifies all others, and they must be able to reach it
    w.async_txn([&](const error_code& ec, const transaction& t) {
      EXPECT_EQ(ec, error_code());
      EXPECT(t);
      got.set();
    });
    settle(io);
    waits.set();
    io.run();
  });
  held.wait();
  net::io_context io;
  watch w(io, shared_memory::open(b.name));
  int calls = 0;
  error_code error;
  w.async_txn([&](const error_code& ec, const transaction& t) {
    ++calls;
    error = ec;
    CHECK_FALSE(t);
  });
  settle(io);
  REQUIRE(calls == 0);
  // From here on there is no free descriptor.
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  const int lowest = ::dup(0);
  ::close(lowest);
  none.rlim_cur = static_cast<rlim_t>(lowest);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  join.set();
  const bool ended = run(io);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(ended);
  CHECK(calls == 1);
  CHECK(error == std::errc::too_many_files_open);
  waits.wait();
  end.set();
  got.wait();
  CHECK(holder.wait() == 0);
  CHECK(newcomer.wait() == 0);
}

TEST_CASE("a forked child does not keep the transaction of its killed parent", "[transactions]") {
  const bool before = GENERATE(true, false);
  INFO((before ? "forked before" : "forked while it is held"));
  const named_block b("forked");
  const event ready;
  const shared<std::atomic<pid_t>> grandchild;
  const auto fork_idle = [&] {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::alarm(60);
      for (;;) ::pause();
    }
    grandchild->store(pid);
  };
  child holder([&] {
    shared_memory m = shared_memory::open(b.name);
    m.txn().end();
    if (before) fork_idle();
    const transaction t = m.txn();
    if (!before) fork_idle();
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  holder.kill();
  CHECK(::kill(grandchild->load(), 0) == 0);  // it is still alive
  {
    shared_memory m = shared_memory::open(b.name);
    error_code ec;
    const transaction t = m.txn(std::chrono::seconds(30), ec);
    CHECK(ec == errc::owner_died);
    CHECK(t);
  }
  CHECK(::kill(grandchild->load(), SIGKILL) == 0);
}

TEST_CASE("a fork that destroys its copies does not affect its parent's transaction", "[transactions]") {
  const bool async = GENERATE(true, false);
  INFO((async ? "of a watch" : "of a block"));
  const named_block b("dropped");
  const event ready;
  const event go;
  child holder([&] {
    auto w = std::make_unique<worker>(b.name, async);
    transaction t = w->begin();
    const pid_t pid = ::fork();
    if (pid == 0) {
      t.end();
      w.reset();
      ::_exit(0);
    }
    int status = -1;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    ready.set();
    go.wait();
    t.end();
  });
  ready.wait();
  shared_memory m = shared_memory::open(b.name);
  error_code ec;
  CHECK_FALSE(m.txn(std::chrono::milliseconds(50), ec));
  CHECK(ec == std::errc::timed_out);
  go.set();
  CHECK(m.txn(std::chrono::seconds(30), ec));
  CHECK(ec == error_code());
  CHECK(holder.wait() == 0);
}
