// Transactions and notifications among processes, some of which are killed.
#include "support/process.hpp"
#include "support/rings.hpp"

#include <belfry/watch.hpp>

#include <csignal>
#include <memory>
#include <random>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr std::size_t workers = 6;
constexpr std::uint64_t each = 3000;

/// A block whose name is removed at the end of its scope, and that no process has opened before the forks.
struct named_block {
  explicit named_block(std::string_view what) : name(unique_name(what)) {
    shared_memory::create(name, 4096);
  }
  ~named_block() {
    CHECK(files_of(name + ".watch") == 0);
    shared_memory::unlink(name);
    CHECK(files_of(name) == 0);
  }
  std::string name;
};

/// What the workers know of each other, besides the block.
struct notes {
  std::atomic<std::uint64_t> inside{0};   // 1: a process is in a transaction, or has died in one
  std::atomic<std::uint64_t> counted{0};  // the value that the block's counter must have
  std::array<std::atomic<std::uint64_t>, workers> done{};
  std::atomic<std::uint64_t> deaths_inside{0};
  std::atomic<std::uint64_t> told{0};
  std::atomic<std::uint64_t> restarts{0};
};

[[noreturn]] void die() {
  for (;;) ::kill(::getpid(), SIGKILL);
}

/// Gets transactions in one of two ways.
class worker {
 public:
  worker(const std::string& name, bool async) : block_(shared_memory::open(name)) {
    if (async) watch_ = std::make_unique<watch>(io_, block_);
  }

  transaction begin() {
    transaction held;
    error_code ec = errc::protocol_error;
    if (watch_) {
      watch_->async_txn([&](const error_code& e, transaction t) {
        ec = e;
        held = std::move(t);
      });
      io_.restart();
      io_.run();
    } else {
      held = block_.txn(ec);
    }
    EXPECT_EQ(ec, held.owner_died() ? error_code(errc::owner_died) : error_code());
    EXPECT(held);
    return held;
  }

 private:
  shared_memory block_;
  net::io_context io_;
  std::unique_ptr<watch> watch_;
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
      co_await w.async_txn(net::use_awaitable);
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

TEST_CASE("another block of the same name is independent of the first one's companion",
          "[transactions]") {
  const std::string name = unique_name("again");
  shared_memory first = shared_memory::create(name, 64);
  const event ready;
  const event go;
  child holder([&] {
    shared_memory mine = shared_memory::open(name);
    const transaction t = mine.txn();
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  child watcher([&] {  // watches the first block, and continues with it
    const shared_memory mine = shared_memory::open(name);
    net::io_context io;
    watch w(io, mine);
    ready.set();
    go.wait();
    error_code error = errc::protocol_error;
    w.async_changed(w.version(), [&](const error_code& ec, std::uint64_t) { error = ec; });
    ready.set();
    io.run();
    EXPECT_EQ(error, error_code());
  });
  ready.wait();
  net::io_context io;
  watch of_first(io, first);
  holder.kill();
  shared_memory::unlink(name);

  shared_memory second = shared_memory::create(name, 64);
  const unlink_on_destroy owner(second);
  {
    error_code ec;
    const transaction t = second.txn(ec);
    CHECK(ec == error_code());  // deaths happened in the first block only
    CHECK(t);
  }
  watch of_second(io, second);
  const std::uint64_t seen = of_second.version();
  go.set();
  ready.wait();
  of_first.notify();
  CHECK(watcher.wait() == 0);
  CHECK(of_second.version() == seen);
  {
    error_code ec;
    CHECK_FALSE(first.txn(ec));
    CHECK(ec == std::errc::no_such_file_or_directory);  // its companion's name belongs to the second
  }
  of_first.close();
  of_second.close();
  first.close();
  second.close();
  CHECK(files_of(name + ".watch") == 0);
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

// ---- nothing is left ---------------------------------------------------------------------------------

namespace {

/// The tutorial's program: writes 0 to 9 into a block that another process has made, and reads them.
void write_and_read(const std::string& name, bool die_within) {
  shared_memory m = shared_memory::open(name);
  {
    const transaction t = m.txn();
    for (std::size_t i = 0; i != 10; ++i) t.as<std::uint64_t>()[i] = i;
    if (die_within) die();
  }
  transaction t = m.txn();
  for (std::size_t i = 0; i != 10; ++i) EXPECT_EQ(t.as<std::uint64_t>()[i], i);
  t.end();
  ::_exit(0);  // without destructors
}

constexpr const char* block_of_program = "BELFRY_TEST_BLOCK";

/// Has its own watch and is killed, as the last participant.
void watch_and_die(const std::string& name) {
  net::io_context io;
  watch w(io, shared_memory::open(name));
  die();
}

}  // namespace

TEST_CASE("a program that writes and reads", "[.]") {  // started by another test
  const char* const name = ::getenv(block_of_program);
  if (name != nullptr) write_and_read(name, false);
}

TEST_CASE("nothing is left of a block whose processes ended without destructors",
          "[transactions]") {
  const watchdog limit;
  const std::string name = unique_name("left");
  const nothing_left check(name);
  enum class how { forks, programs, killed, killed_within, watchers };
  const how h = GENERATE(how::forks, how::programs, how::killed, how::killed_within, how::watchers);
  const bool takes_part = GENERATE(false, true);
  CAPTURE(static_cast<int>(h), takes_part);
  child processes([&] {
    shared_memory m = shared_memory::create(name, 80);
    if (takes_part) m.txn().end();
    for (int i = 0; i != 2; ++i) {
      child c([&] {
        switch (h) {
          case how::forks: return write_and_read(name, false);
          case how::programs:
            ::setenv(block_of_program, name.c_str(), 1);
            ::execl("/proc/self/exe", "tests", "a program that writes and reads", nullptr);
            break;
          case how::killed: m.txn().end(); die();
          case how::killed_within: return write_and_read(name, true);
          case how::watchers: return watch_and_die(name);
        }
        EXPECT(!"reached");
      });
      const bool killed = h != how::forks && h != how::programs;
      EXPECT_EQ(c.wait(), killed ? 128 + SIGKILL : 0);
    }
    m.close();
    m.unlink();
    ::_exit(0);
  });
  CHECK(processes.wait() == 0);
}

TEST_CASE("the last survivor removes the companion of a removed block", "[transactions]") {
  const watchdog limit;
  const std::string name = unique_name("last");
  const nothing_left check(name);
  shared_memory m = shared_memory::create(name, 80);
  net::io_context io;
  watch w(io, m);
  child dies([&] { write_and_read(name, true); });
  CHECK(dies.wait() == 128 + SIGKILL);
  m.unlink();
  CHECK(files_of(name) > 0);  // this process participates
  w.close();
}

TEST_CASE("belfry gc removes only companions without living participants", "[transactions]") {
  const watchdog limit;
  const std::string name = unique_name("gc");
  const nothing_left check(name);
  const auto collect = [] {
    child c([] {
      const char* const program = ::getenv("BELFRY_EXECUTABLE");
      EXPECT(program != nullptr);
      ::execl(program, program, "gc", nullptr);
    });
    CHECK(c.wait() == 0);
  };
  const auto make_with_dead = [&](const std::string& which, bool within) {
    shared_memory::create(name + which, 80);
    child c([&] { write_and_read(name + which, within); });
    CHECK(c.wait() == (within ? 128 + SIGKILL : 0));
    CHECK(files_of(name + which + ".watch") > 0);
  };
  make_with_dead("-over", false);
  make_with_dead("-to-be-told", true);
  make_with_dead("-gone", true);
  REQUIRE(::unlink(("/dev/shm/" + name + "-gone").c_str()) == 0);  // like CPython
  {
    net::io_context io;
    const watch w(io, shared_memory::create(name + "-used", 80));
    collect();
    CHECK(files_of(name + "-used.watch") == 2);  // with the bell
  }
  CHECK(files_of(name + "-over.watch") == 0);
  CHECK(files_of(name + "-gone") == 0);
  error_code ec;
  CHECK(shared_memory::open(name + "-to-be-told").txn(ec).owner_died());
  for (const char* which : {"-over", "-to-be-told", "-used"}) shared_memory::unlink(name + which);
}

TEST_CASE("how long the name of a block with transactions may be", "[transactions]") {
  const watchdog limit;
  const std::string begin = unique_name("long");
  const nothing_left check(begin);
  for (const std::size_t length : {241u, 242u, 247u, 248u, 255u}) {
    shared_memory m = shared_memory::create(begin + std::string(length - begin.size(), 'x'), 64);
    const unlink_on_destroy owner(m);
    net::io_context io;
    error_code ec;
    if (length == 241) {
      CHECK(m.txn());
      watch w(io, m, ec);
      CHECK_FALSE(ec);
      w.notify();
      continue;
    }
    const auto text_of = [](auto f) -> std::string {
      try {
        f();
      } catch (const std::system_error& e) {
        CHECK(e.code() == std::errc::filename_too_long);
        return e.what();
      }
      return {};
    };
    for (const std::string& text : {text_of([&] { static_cast<void>(m.txn()); }), text_of([&] { watch(io, m); })}) {
      CAPTURE(text);
      CHECK(text.find("companion") != text.npos);
      CHECK(text.find("241") != text.npos);
    }
    CHECK_FALSE(m.txn(ec));
    CHECK(ec == std::errc::filename_too_long);
    const watch w(io, m, ec);
    CHECK(ec == std::errc::filename_too_long);
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

TEST_CASE("an unnamed block does not take another block's companion", "[transactions]") {
  const std::string name = unique_name("nameless");
  const shared_memory first = shared_memory::create(name, 64);
  net::io_context io;
  watch of_first(io, first);
  shared_memory::unlink(name);
  const shared_memory second = shared_memory::create(name, 64);
  watch of_second(io, second);
  shared_memory::unlink(name);

  error_code ec;
  const watch late(io, first, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  watch fellow(io, second);  // whose companion it still is
  const std::uint64_t seen = of_second.version();
  fellow.notify();
  CHECK(of_second.version() != seen);
}
