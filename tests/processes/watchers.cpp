// Watchers in other processes, and killed notifiers.
#include "transactions.hpp"

#include <csignal>
#include <string>
#include <vector>

#include <sys/resource.h>

using namespace belfry;
using namespace belfry::test;

TEST_CASE("a watcher in another process is woken", "[transactions]") {
  const watchdog limit;
  const named_block b("woken");
  constexpr int rounds = 200;
  const event ready;
  child watcher([&] {
    net::io_context io;
    const shared_memory m = shared_memory::open(b.name, access::read_only);
    watch w(io, m);
    std::uint64_t seen = w.version();
    for (int i = 0; i != rounds; ++i) {
      int calls = 0;
      const auto told = [&](const error_code& ec, std::uint64_t v) {
        EXPECT_EQ(ec, error_code());
        ++calls;
        seen = v;
      };
      if (i % 2 == 0) {
        w.async_changed(seen, told);
      } else {
        w.async_changed(seen, {7}, told);
      }
      settle(io);
      EXPECT(calls == 0);
      ready.set();
      io.run();
      EXPECT(calls == 1);
      EXPECT(std::to_integer<int>(m.buf()[0]) == i % 100);
    }
  });
  shared_memory m = shared_memory::open(b.name);
  {
    net::io_context io;
    watch w(io, m);
    for (int i = 0; i != rounds; ++i) {
      ready.wait();
      if (i % 3 == 0) {
        const transaction t = m.txn();
        t[0] = static_cast<unsigned char>(i % 100);
      } else {
        m.buf()[0] = static_cast<std::byte>(i % 100);
        i % 3 == 1 ? w.notify() : w.notify(7);
      }
    }
    CHECK(watcher.wait() == 0);
  }
}

TEST_CASE("a killed notifier counts as having notified", "[transactions]") {
  const watchdog limit;
  for (const bool element : {false, true}) {
    const named_block b("heard");
    const event start;
    child notifier([&] {
      start.wait();
      net::io_context io;
      shared_memory m = shared_memory::open(b.name);
      watch w(io, m);
      m.buf()[0] = std::byte{42};
      element ? w.notify(5) : w.notify();
      die();
    });
    shared_memory m = shared_memory::open(b.name);
    net::io_context io;
    watch w(io, m);
    const std::uint64_t seen = w.version();
    int calls = 0;
    w.async_changed(seen, {5}, [&](const error_code& ec, std::uint64_t v) {
      ++calls;
      CHECK_FALSE(ec);
      CHECK(v != seen);
      CHECK(m.buf()[0] == std::byte{42});
    });
    settle(io);
    CHECK(calls == 0);
    start.set();
    REQUIRE(run(io));
    CHECK(calls == 1);
    CHECK(notifier.wait() == 128 + SIGKILL);
    const transaction t = m.txn();  // and nothing is left that holds others up
    CHECK_FALSE(t.owner_died());
  }
}

TEST_CASE("a thousand watched blocks in one context", "[transactions]") {
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  constexpr std::size_t blocks = 1000;
  constexpr std::size_t changed = 100;
  if (limit.rlim_max < 5 * blocks) skip("not so many descriptors are permitted");

  const std::string name = unique_name("thousand");
  const auto name_of = [&](std::size_t i) { return name + '-' + std::to_string(i); };
  const event go;
  child notifier([&] {
    go.wait();
    net::io_context io;
    for (std::size_t i = 0; i != changed; ++i) {
      watch(io, shared_memory::open(name_of(i * 7 % blocks))).notify();
    }
  });
  {
    net::io_context io;
    std::vector<watch> watches;
    std::vector<int> told(blocks);
    std::size_t all = 0;
    for (std::size_t i = 0; i != blocks; ++i) {
      watches.emplace_back(io, shared_memory::create(name_of(i), 64));
      watches[i].async_changed(watches[i].version(), [&, i](const error_code& ec, std::uint64_t) {
        if (ec) return;
        ++told[i];
        if (++all == changed) io.stop();
      });
    }
    go.set();
    io.run();
    CHECK(notifier.wait() == 0);
    io.poll();
    for (std::size_t i = 0; i != changed; ++i) CHECK(told[i * 7 % blocks] == 1);
    CHECK(all == changed);
  }
  for (std::size_t i = 0; i != blocks; ++i) shared_memory::unlink(name_of(i));
  CHECK(files_of(name) == 0);
}
