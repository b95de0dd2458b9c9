// Transactions on a block, in one process.
#include "watched.hpp"

#include <array>
#include <chrono>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;

TEST_CASE("a transaction excludes other watches", "[watch]") {
  net::io_context io;
  block b("exclusive");
  watch one(io, b.memory);
  watch two(io, b.memory);
  grant first, second;
  one.async_txn(first.handler());
  CHECK(first.calls == 0);
  settle(io);
  REQUIRE(first.held);
  CHECK_FALSE(first.ec);
  CHECK_FALSE(first.held.owner_died());
  two.async_txn(second.handler());
  settle(io);
  CHECK(second.calls == 0);
  CHECK(first.held.bytes().size() == 64);
  first.held.as<int>()[3] = 1234;
  const std::uint64_t v = two.version();
  first.held.end();
  CHECK_FALSE(first.held);
  CHECK(first.held.bytes().empty());
  CHECK(two.version() != v);
  REQUIRE(run(io));
  REQUIRE(second.held);
  CHECK_FALSE(second.held.owner_died());
  CHECK(second.held.as<int>()[3] == 1234);
}

TEST_CASE("the end of a transaction notifies watchers", "[watch]") {
  net::io_context io;
  block b("told");
  watch w(io, b.memory);
  watch writer(io, b.memory);
  change all, element;
  w.async_changed(w.version(), all.handler());
  w.async_changed(w.version(), {9}, element.handler());
  grant g;
  writer.async_txn(g.handler());
  settle(io);
  REQUIRE(g.held);
  CHECK(all.calls == 0);
  g.held[0] = 7;
  { const transaction ended = std::move(g.held); }
  REQUIRE(run(io));
  CHECK(all.calls == 1);
  CHECK(element.calls == 1);

  change of_txn;
  w.async_changed(w.version(), of_txn.handler());
  settle(io);
  { const transaction t = b.memory.txn(); }
  REQUIRE(run(io));
  CHECK(of_txn.calls == 1);
  b.memory.close();  // it also participates in the companion
}

TEST_CASE("transactions that wait on one watch begin in order", "[watch]") {
  net::io_context io;
  block b("order");
  watch w(io, b.memory);
  constexpr int n = 20;
  std::vector<int> order;
  transaction held;
  for (int i = 0; i != n; ++i) {
    w.async_txn([&, i](const error_code& ec, transaction t) {
      REQUIRE_FALSE(ec);
      CHECK_FALSE(held);  // one at a time
      order.push_back(i);
      held = std::move(t);
      net::post(io, [&] { held.end(); });
    });
  }
  REQUIRE(run(io));
  REQUIRE(order.size() == n);
  CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("transactions that wait on several watches begin in the order of their tickets", "[watch]") {
  net::io_context io;
  block b("tickets");
  std::deque<watch> watches;
  for (int i = 0; i != 8; ++i) watches.emplace_back(io, b.memory);
  std::vector<int> order;
  transaction held;
  grant first;
  watches[0].async_txn(first.handler());
  settle(io);
  const std::array<int, 7> queue = {5, 2, 7, 1, 6, 3, 4};
  for (const int i : queue) {
    watches[static_cast<std::size_t>(i)].async_txn([&, i](const error_code& ec, transaction t) {
      REQUIRE_FALSE(ec);
      order.push_back(i);
      held = std::move(t);
      net::post(io, [&] { held.end(); });
    });
    settle(io);
  }
  first.held.end();
  watches[0].async_txn([&](const error_code&, transaction) { order.push_back(0); });  // after the others
  REQUIRE(run(io));
  CHECK(order == std::vector<int>{5, 2, 7, 1, 6, 3, 4, 0});
}

TEST_CASE("a cancelled transaction holds nothing, and the next waiter gets the lock", "[watch]") {
  for (const auto type : types) {
    net::io_context io;
    block b("cancelled");
    watch one(io, b.memory);
    watch two(io, b.memory);
    watch three(io, b.memory);
    grant first, cancelled, next;
    net::cancellation_signal signal;
    one.async_txn(first.handler());
    settle(io);
    two.async_txn(bound(signal, cancelled.handler()));
    settle(io);
    three.async_txn(next.handler());
    settle(io);
    signal.emit(type);
    settle(io);
    CHECK(cancelled.calls == 1);
    CHECK(cancelled.ec == net::error::operation_aborted);
    CHECK_FALSE(cancelled.held);
    CHECK(next.calls == 0);
    first.held.end();
    REQUIRE(run(io));
    CHECK(next.held);
  }
}

TEST_CASE("a transaction cancelled at every moment before its handler runs", "[watch]") {
  bool granted = false;
  for (int moment = 0; !granted; ++moment) {
    REQUIRE(moment < 100);
    net::io_context io;
    block b("moment");
    watch one(io, b.memory);
    watch two(io, b.memory);
    grant first, g;
    net::cancellation_signal signal;
    one.async_txn(first.handler());
    settle(io);
    two.async_txn(bound(signal, g.handler()));
    settle(io);
    first.held.end();
    for (int i = 0; i != moment && g.calls == 0; ++i) io.run_one();
    granted = g.calls != 0;
    signal.emit(net::cancellation_type::all);
    REQUIRE(run(io));
    CHECK(g.calls == 1);
    CHECK(static_cast<bool>(g.held) == granted);
    if (granted) {
      g.held.end();
    } else {
      CHECK(g.ec == net::error::operation_aborted);
    }
    grant after;
    one.async_txn(after.handler());
    REQUIRE(run(io));
    CHECK(after.held);
    CHECK_FALSE(after.ec);
  }
}

TEST_CASE("a transaction whose context goes while it waits keeps no place in the queue", "[watch]") {
  net::io_context io;
  block b("gone");
  watch one(io, b.memory);
  watch two(io, b.memory);
  watch three(io, b.memory);
  grant first, lost, next;
  one.async_txn(first.handler());
  settle(io);
  {
    net::io_context passing;
    two.async_txn(net::bind_executor(passing.get_executor(), lost.handler()));
    passing.poll();  // it waits now
    first.held.end();
    settle(io);  // and is on its way once more
  }
  three.async_txn(next.handler());
  REQUIRE(run(io));
  CHECK(lost.calls == 0);
  CHECK(next.held);
}

TEST_CASE("a waiter keeps its place when another wait on the same watch is cancelled", "[watch]") {
  net::io_context io;
  block b("place");
  watch holder(io, b.memory);
  watch w(io, b.memory);
  watch later(io, b.memory);
  grant first;
  holder.async_txn(first.handler());
  settle(io);
  std::vector<char> order;
  transaction held;
  const auto note = [&](char who) {
    return [&, who](const error_code& ec, transaction t) {
      if (ec) return;
      order.push_back(who);
      held = std::move(t);
      net::post(io, [&] { held.end(); });
    };
  };
  net::cancellation_signal signal;
  w.async_txn(note('w'));
  settle(io);
  w.async_txn(bound(signal, note('x')));
  settle(io);
  later.async_txn(note('l'));
  settle(io);
  signal.emit(net::cancellation_type::all);
  settle(io);
  first.held.end();
  REQUIRE(run(io));
  CHECK(order == std::vector<char>{'w', 'l'});
}

TEST_CASE("a held transaction is kept when a waiting one on the same watch is cancelled",
          "[watch]") {
  net::io_context io;
  block b("keeps");
  watch w(io, b.memory);
  watch other(io, b.memory);
  grant first, cancelled, second;
  net::cancellation_signal signal;
  w.async_txn(first.handler());
  settle(io);
  w.async_txn(bound(signal, cancelled.handler()));
  other.async_txn(second.handler());
  settle(io);
  signal.emit(net::cancellation_type::all);
  settle(io);
  CHECK(cancelled.ec == net::error::operation_aborted);
  CHECK(first.held);
  CHECK(second.calls == 0);
  first.held.end();
  REQUIRE(run(io));
  CHECK(second.held);
}

TEST_CASE("an open transaction ends with its watch", "[watch]") {
  net::io_context io;
  block b("ends");
  auto w = std::make_unique<watch>(io, b.memory);
  watch other(io, b.memory);
  grant g, next;
  w->async_txn(g.handler());
  settle(io);
  other.async_txn(next.handler());
  settle(io);
  w.reset();
  REQUIRE(run(io));
  CHECK(next.calls == 1);
  CHECK(next.held);
  CHECK_FALSE(next.ec);
  CHECK_FALSE(next.held.owner_died());
}

TEST_CASE("a transaction whose handler never ran ends with its context", "[watch]") {
  block b("unfetched");
  net::io_context other_io;
  watch other(other_io, b.memory);
  grant next;
  {
    net::io_context io;
    watch w(io, b.memory);
    grant g;
    w.async_txn(g.handler());
    change c;
    w.async_changed(w.version(), c.handler());
    other.async_txn(next.handler());
  }
  REQUIRE(run(other_io));
  CHECK(next.held);
}

TEST_CASE("transactions of threads and of watches exclude each other", "[watch]") {
  const watchdog limit;
  net::io_context io;
  block b("threads");
  watch w(io, b.memory);
  constexpr int each = 500;
  int& counter = b.memory.as<int>()[0];
  std::thread threads[2];
  for (std::thread& t : threads) {
    t = std::thread([&] {
      shared_memory own = shared_memory::open(b.memory.name());
      for (int i = 0; i != each; ++i) ++own.txn().as<int>()[0];
    });
  }
  run_coroutine(io, [&]() -> net::awaitable<void> {
    for (int i = 0; i != each; ++i) {
      auto t = co_await w.async_txn(net::use_awaitable);
      ++t.as<int>()[0];
    }
  });
  for (std::thread& t : threads) t.join();
  CHECK(counter == 3 * each);
}

TEST_CASE("a blocking wait for a transaction ends by a stop, or by a timeout, however short", "[watch]") {
  const watchdog limit;
  block b("stopped");
  shared_memory other = shared_memory::open(b.memory.name());
  error_code ec;
  CHECK(other.txn(std::stop_token(), ec));
  CHECK_FALSE(ec);
  {
    const transaction held = b.memory.txn();
    for (const auto timeout : {std::chrono::nanoseconds::min(), std::chrono::nanoseconds(-1)}) {
      CHECK_FALSE(other.txn(timeout, ec));
      CHECK(ec == std::errc::timed_out);
    }
    for (int i = 0; i != 200; ++i) {
      std::stop_source stop;
      std::jthread stopper([&] { stop.request_stop(); });
      CHECK_FALSE(other.txn(stop.get_token(), ec));
      CHECK(ec == net::error::operation_aborted);
    }
    std::stop_source stop;
    stop.request_stop();
    CHECK(error_of([&] { static_cast<void>(other.txn(stop.get_token())); }) ==
          std::error_code(error_code(net::error::operation_aborted)));
  }
  // It no longer waits, and holds no other waiter up.
  CHECK(b.memory.txn(std::chrono::seconds(60), ec));
  CHECK_FALSE(ec);
  std::stop_source stop;
  stop.request_stop();
  CHECK_FALSE(b.memory.txn(stop.get_token(), ec));  // the lock is free, but the stop came before
  CHECK(b.memory.txn());
  b.memory.close();
}

TEST_CASE("a second transaction of the same object while the first is held", "[watch]") {
  const watchdog limit;
  block b("nested");
  {
    const transaction t = b.memory.txn();
    CHECK(t);
    error_code ec;
    const transaction nested = b.memory.txn(ec);
    CHECK(ec == std::errc::resource_deadlock_would_occur);
    CHECK_FALSE(nested);
    CHECK_THROWS_AS(b.memory.txn(), std::system_error);
    shared_memory other = shared_memory::open(b.memory.name());
    const transaction late = other.txn(std::chrono::milliseconds(5), ec);
    CHECK(ec == std::errc::timed_out);
    CHECK_FALSE(late);
    const transaction at_once = other.txn(std::chrono::nanoseconds(0), ec);
    CHECK(ec == std::errc::timed_out);
  }
  CHECK(b.memory.txn());
  b.memory.close();
  error_code ec;
  const transaction closed = b.memory.txn(ec);
  CHECK(ec == std::errc::bad_file_descriptor);
}
