// Processes that count together in transactions, while some of them are killed.
#include "transactions.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr std::size_t workers = 6;
constexpr std::uint64_t each = 3000;

/// What the workers know of each other, besides the block.
struct notes {
  std::atomic<std::uint64_t> inside{0};   // 1: a process is in a transaction, or has died in one
  std::atomic<std::uint64_t> counted{0};  // the value that the block's counter must have
  std::array<std::atomic<std::uint64_t>, workers> done{};
  std::atomic<std::uint64_t> deaths_inside{0};
  std::atomic<std::uint64_t> told{0};
  std::atomic<std::uint64_t> restarts{0};
};

enum class deaths { none, chosen, anywhere };

/// The block has two counters, which differ only while a process counts.
void count(const std::string& name, std::size_t which, deaths how, notes& n) {
  worker w(name, which % 2 == 1);
  std::mt19937 random(static_cast<unsigned>(::getpid()));
  while (n.done[which].load() != each) {
    transaction t = w.begin();
    const auto counters = t.as<std::uint64_t>();
    const bool died = n.inside.exchange(1) != 0;
    if (t.owner_died()) {
      n.told.fetch_add(1);
      counters[1] = counters[0];
      n.counted.store(counters[0]);
    }
    // No other process is inside. A death inside is always reported; nothing else is, except at the moments
    // around, in which no process dies on purpose.
    if (died) EXPECT(t.owner_died());
    if (how != deaths::anywhere) EXPECT(t.owner_died() == died);
    EXPECT_EQ(counters[0], counters[1]);
    EXPECT_EQ(counters[0], n.counted.load());

    const auto fate = how == deaths::chosen ? random() % 500 : 500;
    if (fate < 3) n.deaths_inside.fetch_add(1);
    if (fate == 0) die();
    ++counters[1];
    if (fate == 1) die();
    ++counters[0];
    n.done[which].fetch_add(1);
    n.counted.fetch_add(1);
    if (fate == 2) die();
    n.inside.store(0);
  }
}

/// Keeps a worker alive until it has finished.
void supervise(const std::string& name, std::size_t which, deaths how, notes& n) {
  std::mt19937 random(static_cast<unsigned>(::getpid()));
  for (;;) {
    child c([&] { count(name, which, how, n); });
    if (how == deaths::anywhere && n.restarts.load() < 200) {
      const std::uint64_t until = std::min(each, n.done[which].load() + 1 + random() % 100);
      await([&] { return n.done[which].load() >= until; });
      for (auto spin = random() % 20'000; spin != 0; --spin) std::atomic_signal_fence(std::memory_order_seq_cst);
      if (n.done[which].load() < each) {
        c.kill();
        n.restarts.fetch_add(1);
        continue;
      }
    }
    const int status = c.wait();
    if (status == 0) return;
    EXPECT(how == deaths::chosen);
    EXPECT_EQ(status, 128 + SIGKILL);
    n.restarts.fetch_add(1);
  }
}

void count_together(deaths how) {
  const watchdog limit(std::chrono::seconds(200));
  const named_block b("count");
  const nothing_left check(b.name + ".watch");
  shared<notes> n;
  {
    std::vector<child> supervisors;
    for (std::size_t i = 0; i != workers; ++i) {
      supervisors.emplace_back([&, i] { supervise(b.name, i, how, *n); });
    }
    for (child& c : supervisors) CHECK(c.wait() == 0);
  }
  shared_memory m = shared_memory::open(b.name);
  error_code ec;
  {
    // If a process died in the very last transaction, it is reported to us.
    const transaction t = m.txn(ec);
    REQUIRE(t);
    if (n->inside.load() != 0) CHECK(t.owner_died());
    if (t.owner_died()) {
      CHECK(ec == errc::owner_died);
      n->told.fetch_add(1);
      n->counted.store(t.as<std::uint64_t>()[0]);
    }
    CHECK(t.as<std::uint64_t>()[0] == n->counted.load());
  }
  std::uint64_t done = 0;
  for (const auto& d : n->done) done += d.load();
  if (how == deaths::none) CHECK(n->told.load() == 0);
  if (how != deaths::anywhere) {
    CHECK(n->counted.load() == done);
    CHECK(done == workers * each);
    CHECK(n->told.load() == n->deaths_inside.load());
    CHECK(n->restarts.load() == n->deaths_inside.load());
  } else {
    // Killed between two lines: one of the two numbers may be ahead by one, once per death.
    CHECK(n->counted.load() - done <= n->restarts.load());
    CHECK(n->told.load() <= n->restarts.load());
  }
  if (how != deaths::none) CHECK(n->restarts.load() > 0);
  m.close();
}

}  // namespace

TEST_CASE("six processes count", "[transactions]") { count_together(deaths::none); }

TEST_CASE("six processes count, and die within a transaction now and then", "[transactions]") {
  count_together(deaths::chosen);
}

TEST_CASE("six processes count, and are killed anywhere", "[transactions]") {
  count_together(deaths::anywhere);
}
