// Changes of a block, and transactions on it, awaited in one process.
#include "support/rings.hpp"

#include <belfry/shareable_list.hpp>
#include <belfry/watch.hpp>

#include <algorithm>
#include <deque>
#include <memory>

using namespace belfry;
using namespace belfry::test;

namespace {

/// A block whose name and companion are removed at the end of its scope.
struct block {
  explicit block(std::string_view what, std::size_t bytes = 64)
      : memory(shared_memory::create(unique_name(what), bytes)) {}
  ~block() {
    CHECK(files_of(companion()) == 0);
    memory.unlink();
  }
  std::string companion() const { return memory.name() + ".watch"; }

  shared_memory memory;
};

/// The result of an async_changed.
struct change {
  int calls = 0;
  error_code ec;
  std::uint64_t version = 0;

  auto handler() {
    return [this](const error_code& e, std::uint64_t v) {
      ++calls;
      ec = e;
      version = v;
    };
  }
};

/// The result of an async_txn.
struct grant {
  int calls = 0;
  error_code ec;
  transaction held;

  auto handler() {
    return [this](const error_code& e, transaction t) {
      ++calls;
      ec = e;
      held = std::move(t);
    };
  }
};

const auto types = {net::cancellation_type::terminal, net::cancellation_type::partial,
                    net::cancellation_type::total, net::cancellation_type::all};

template <class Handler>
auto bound(net::cancellation_signal& signal, Handler handler) {
  return net::bind_cancellation_slot(signal.slot(), std::move(handler));
}

}  // namespace

TEST_CASE("every notification makes a new version", "[watch]") {
  net::io_context io;
  block b("version");
  watch w(io, b.memory);
  watch other(io, b.memory);
  std::uint64_t v = w.version();
  CHECK(other.version() == v);
  for (int i = 0; i != 100; ++i) {
    watch& who = i % 2 == 0 ? w : other;
    if (i % 3 == 0) {
      who.notify(static_cast<std::size_t>(i));
    } else {
      who.notify();
    }
    CHECK(w.version() == v + 1);
    CHECK(other.version() == ++v);
  }
}

TEST_CASE("a watcher that missed ten changes is told once, with the newest version", "[watch]") {
  net::io_context io;
  block b("once");
  watch w(io, b.memory);
  watch writer(io, b.memory);
  const std::uint64_t seen = w.version();
  change c;
  w.async_changed(seen, c.handler());
  settle(io);
  CHECK(c.calls == 0);
  for (int i = 0; i != 10; ++i) writer.notify();
  REQUIRE(run(io));
  CHECK(c.calls == 1);
  CHECK_FALSE(c.ec);
  CHECK(c.version == writer.version());

  change next;
  w.async_changed(c.version, next.handler());
  settle(io);
  CHECK(next.calls == 0);
  writer.notify();
  REQUIRE(run(io));
  CHECK(next.calls == 1);
  CHECK(next.version == seen + 11);
}

TEST_CASE("an earlier change completes async_changed at once, but not within the call", "[watch]") {
  net::io_context io;
  block b("at-once");
  watch w(io, b.memory);
  const std::uint64_t seen = w.version();
  w.notify();
  change c;
  w.async_changed(seen, c.handler());
  change other;
  w.async_changed(seen + 1000, other.handler());  // versions are only compared for equality
  CHECK(c.calls == 0);
  REQUIRE(run(io));
  CHECK(c.calls == 1);
  CHECK(c.version == seen + 1);
  CHECK(other.calls == 1);
  CHECK(other.version == seen + 1);
}

TEST_CASE("a watch sees its own notifications", "[watch]") {
  net::io_context io;
  block b("own");
  watch w(io, b.memory);
  change c;
  w.async_changed(w.version(), c.handler());
  settle(io);
  w.notify();
  REQUIRE(run(io));
  CHECK(c.calls == 1);
}

TEST_CASE("a change of an element completes the waits for that element", "[watch]") {
  net::io_context io;
  block b("elements");
  watch w(io, b.memory);
  watch writer(io, b.memory);
  const std::uint64_t seen = w.version();
  change five, six, five_or_six, last, all;
  w.async_changed(seen, {5}, five.handler());
  w.async_changed(seen, {6}, six.handler());
  w.async_changed(seen, {5, 6}, five_or_six.handler());
  w.async_changed(seen, {1023}, last.handler());
  w.async_changed(seen, all.handler());
  settle(io);
  CHECK(five.calls + six.calls + five_or_six.calls + last.calls + all.calls == 0);

  writer.notify(5);
  settle(io);
  CHECK(five.calls == 1);
  CHECK(five.version == seen + 1);
  CHECK(five_or_six.calls == 1);
  CHECK(all.calls == 1);
  CHECK(six.calls == 0);
  CHECK(last.calls == 0);

  for (std::size_t i = 0; i != 1023; ++i) {
    if (i != 6) writer.notify(i);
  }
  settle(io);
  CHECK(six.calls == 0);
  CHECK(last.calls == 0);

  writer.notify(1023 + 1024);  // equal modulo 1024, so notified together
  settle(io);
  CHECK(last.calls == 1);
  CHECK(six.calls == 0);

  writer.notify();  // the block as a whole
  settle(io);
  CHECK(six.calls == 1);
  CHECK(six.version == writer.version());
  CHECK(run(io));
}

TEST_CASE("a change of an element before the version seen does not count", "[watch]") {
  net::io_context io;
  block b("before");
  watch w(io, b.memory);
  watch writer(io, b.memory);
  const std::uint64_t before = w.version();
  writer.notify(3);
  const std::uint64_t seen = w.version();
  writer.notify(4);
  change old, again;
  w.async_changed(before, {3}, old.handler());
  w.async_changed(seen, {3}, again.handler());
  settle(io);
  CHECK(old.calls == 1);
  CHECK(again.calls == 0);
  writer.notify(3);
  REQUIRE(run(io));
  CHECK(again.calls == 1);
}

TEST_CASE("for a watcher that has seen a version of an earlier companion all elements have changed",
          "[watch]") {
  net::io_context io;
  block b("anew");
  std::uint64_t seen = 0;
  {
    watch first(io, b.memory);
    for (int i = 0; i != 10; ++i) first.notify(3);
    seen = first.version();
  }
  REQUIRE(files_of(b.companion()) == 0);
  watch w(io, b.memory);
  change at_once;
  w.async_changed(seen, {3}, at_once.handler());
  REQUIRE(run(io));
  CHECK(at_once.calls == 1);
  CHECK(at_once.version == w.version());

  // Even if there have been more notifications, of another element, than in the earlier companion.
  for (int i = 0; i != 20; ++i) w.notify(4);
  change later, none;
  w.async_changed(seen, {3}, later.handler());
  w.async_changed(at_once.version, {3}, none.handler());
  settle(io);
  CHECK(later.calls == 1);
  CHECK(none.calls == 0);
}

TEST_CASE("several waits on one watch complete independently", "[watch]") {
  net::io_context io;
  block b("several");
  watch w(io, b.memory);
  watch writer(io, b.memory);
  const std::uint64_t seen = w.version();
  std::deque<change> waiting(40);
  for (std::size_t i = 0; i != waiting.size(); ++i) {
    const std::array<std::size_t, 1> element{i};
    w.async_changed(seen, element, waiting[i].handler());
  }
  settle(io);
  for (const std::size_t step : {7u, 3u, 11u, 1u}) {
    for (std::size_t i = step; i < waiting.size(); i += 13) {
      REQUIRE(waiting[i].calls == 0);
      writer.notify(i);
      settle(io);
      CHECK(waiting[i].calls == 1);
    }
  }
  const auto done = std::count_if(waiting.begin(), waiting.end(), [](auto& c) { return c.calls == 1; });
  CHECK(done == 3 + 3 + 3 + 3);
  writer.notify();
  REQUIRE(run(io));
  for (const change& c : waiting) CHECK(c.calls == 1);
}

TEST_CASE("a wait for a change can be cancelled", "[watch]") {
  for (const auto type : types) {
    net::io_context io;
    block b("cancel");
    watch w(io, b.memory);
    net::cancellation_signal signal;
    change cancelled, other;
    w.async_changed(w.version(), bound(signal, cancelled.handler()));
    w.async_changed(w.version(), other.handler());
    settle(io);
    signal.emit(type);
    CHECK(cancelled.calls == 0);
    settle(io);
    CHECK(cancelled.calls == 1);
    CHECK(cancelled.ec == net::error::operation_aborted);
    CHECK(other.calls == 0);
    w.notify();
    REQUIRE(run(io));
    CHECK(other.calls == 1);
    CHECK_FALSE(other.ec);
  }
}

TEST_CASE("cancel, close and destruction of a watch abort its waits", "[watch]") {
  enum class how { cancel, close, destroy, assign };
  for (const how h : {how::cancel, how::close, how::destroy, how::assign}) {
    net::io_context io;
    block b("abort");
    auto holder = std::make_unique<watch>(io, b.memory);
    auto w = std::make_unique<watch>(io, b.memory);
    grant holding;
    holder->async_txn(holding.handler());
    settle(io);
    REQUIRE(holding.held);
    change all, element;
    grant g, second;
    w->async_changed(w->version(), all.handler());
    w->async_changed(w->version(), {1}, element.handler());
    w->async_txn(g.handler());
    w->async_txn(second.handler());
    settle(io);
    switch (h) {
      case how::cancel: w->cancel(); break;
      case how::close: w->close(); break;
      case how::destroy: w.reset(); break;
      case how::assign: *w = watch(io, b.memory); break;
    }
    REQUIRE(run(io));
    for (const error_code& ec : {all.ec, element.ec, g.ec, second.ec}) {
      CHECK(ec == net::error::operation_aborted);
    }
    CHECK(all.calls + element.calls + g.calls + second.calls == 4);
    CHECK_FALSE(g.held);
    CHECK_FALSE(second.held);
    // The cancelled waits leave nothing behind that affects others.
    holding.held.end();
    grant after;
    holder->async_txn(after.handler());
    REQUIRE(run(io));
    CHECK(after.held);
    after.held.end();
    if (h == how::close) {
      CHECK_FALSE(w->is_open());
      w->close();
      change closed;
      w->async_changed(0, closed.handler());
      grant no;
      w->async_txn(no.handler());
      REQUIRE(run(io));
      CHECK(closed.calls == 1);
      CHECK(closed.ec);
      CHECK(no.ec);
      w->notify();  // no watcher is left to notify
    }
  }
}

TEST_CASE("a watch on which nothing waits does not keep its context running", "[watch]") {
  net::io_context io;
  block b("idle");
  watch w(io, b.memory);
  watch other(io, b.memory);
  CHECK(run(io));
  other.notify();
  CHECK(run(io));
  change c;
  w.async_changed(w.version(), c.handler());
  other.notify();
  CHECK(run(io));
  CHECK(c.calls == 1);
  grant g;
  w.async_txn(g.handler());
  CHECK(run(io));
  CHECK(g.held);
  CHECK(run(io));  // though the transaction is held
}

TEST_CASE("a moved watch keeps its waits", "[watch]") {
  net::io_context io;
  block b("move");
  watch w(io, b.memory);
  change c;
  w.async_changed(w.version(), c.handler());
  watch moved = std::move(w);
  settle(io);
  moved.notify();
  REQUIRE(run(io));
  CHECK(c.calls == 1);
  CHECK_FALSE(c.ec);
  CHECK_FALSE(w.is_open());
}

TEST_CASE("a watch that was moved from, or never opened, behaves as a closed one", "[watch]") {
  net::io_context io;
  block b("moved-from");
  error_code ec;
  watch never(io, shared_memory(), ec);
  watch from(io, b.memory);
  const watch to = std::move(from);
  watch assigned(io, b.memory);
  watch other(io, b.memory);
  other = std::move(assigned);
  for (watch* w : {&never, &from, &assigned}) {
    CHECK_FALSE(w->is_open());
    CHECK(w->version() == 0);
    w->notify();
    w->notify(3);
    w->cancel();
    change all, element;
    grant g;
    w->async_changed(0, all.handler());
    w->async_changed(0, {1}, element.handler());
    w->async_txn(g.handler());
    REQUIRE(run(io));
    io.restart();
    CHECK(all.ec == errc::closed);
    CHECK(element.ec == errc::closed);
    CHECK(g.ec == errc::closed);
    CHECK(all.calls + element.calls + g.calls == 3);
    w->close();
    CHECK(w->get_executor() == io.get_executor());
  }
  other = watch(io, b.memory);
  CHECK(other.is_open());
  from = std::move(other);
  CHECK(from.is_open());
}

TEST_CASE("a moved-from transaction and a moved-from block", "[watch]") {
  block b("moved-block");
  transaction from = b.memory.txn();
  transaction to = std::move(from);
  CHECK_FALSE(from);
  CHECK_FALSE(from.owner_died());
  CHECK(from.bytes().empty());
  CHECK_THROWS_AS(from[0], std::out_of_range);
  CHECK_THROWS_AS(from.as<int>(), std::length_error);
  from.end();
  to[63] = 1;
  CHECK_THROWS_AS(to[64], std::out_of_range);
  to.end();
  CHECK_THROWS_AS(to[0], std::out_of_range);

  shared_memory memory = shared_memory::open(b.memory.name());
  shared_memory moved = std::move(memory);
  CHECK_FALSE(memory.is_open());
  CHECK(memory.buf().empty());
  CHECK(memory.name().empty());
  CHECK_THROWS_AS(memory.as<int>(), std::length_error);
  error_code ec;
  CHECK_FALSE(memory.txn(ec));
  CHECK(ec == std::errc::bad_file_descriptor);
  CHECK_THROWS_AS(memory.unlink(), std::system_error);
  net::io_context io;
  const watch w(io, memory, ec);
  CHECK(ec == std::errc::bad_file_descriptor);
  memory.close();
  CHECK(moved.is_open());
  b.memory.close();
}

TEST_CASE("a watch outlives the object of its block", "[watch]") {
  net::io_context io;
  block b("outlive");
  std::unique_ptr<watch> w;
  {
    shared_memory again = shared_memory::open(b.memory.name());
    w = std::make_unique<watch>(io, again);
  }
  grant g;
  w->async_txn(g.handler());
  REQUIRE(run(io));
  REQUIRE(g.held);
  g.held[7] = 42;
  g.held.end();
  CHECK(b.memory.buf()[7] == std::byte{42});
}

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

TEST_CASE("a read-only block can be watched and notified, but permits no transaction", "[watch]") {
  net::io_context io;
  block b("read-only");
  shared_memory r = shared_memory::open(b.memory.name(), access::read_only);
  watch w(io, r);
  watch writer(io, b.memory);
  change c;
  w.async_changed(w.version(), c.handler());
  settle(io);
  writer.notify();
  REQUIRE(run(io));
  CHECK(c.calls == 1);
  change d;
  writer.async_changed(writer.version(), d.handler());
  settle(io);
  w.notify();
  REQUIRE(run(io));
  CHECK(d.calls == 1);
  grant g;
  w.async_txn(g.handler());
  REQUIRE(run(io));
  CHECK(g.calls == 1);
  CHECK(g.ec == std::errc::permission_denied);
  CHECK_FALSE(g.held);
  error_code ec;
  const transaction t = r.txn(ec);
  CHECK(ec == std::errc::permission_denied);
  CHECK_FALSE(t);
  grant possible;
  writer.async_txn(possible.handler());
  REQUIRE(run(io));
  CHECK(possible.held);
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

TEST_CASE("a list can be watched element by element", "[watch]") {
  net::io_context io;
  shareable_list limits({1, 2, 3, "four"});
  const unlink_on_destroy owner(limits.shm());
  watch w(io, limits.shm());
  bool notified = false;
  run_coroutine(io, [&]() -> net::awaitable<void> {
    net::post(io, [&] {
      limits[3] = "100";
      notified = true;
      watch(io, limits.shm()).notify(3);  // destroyed at once
    });
    const std::array<std::size_t, 1> third{3};
    auto [ec, version] = co_await w.async_changed(w.version(), third, use_tuple);
    CHECK_FALSE(ec);
    CHECK(version == w.version());
    CHECK(notified);
    CHECK(limits.at(3) == shareable_list::value("100"));
  });
}

TEST_CASE("the companion exists as long as a watch does", "[watch]") {
  net::io_context io;
  block b("companion");
  CHECK(files_of(b.companion()) == 0);
  auto one = std::make_unique<watch>(io, b.memory);
  auto two = std::make_unique<watch>(io, b.memory);
  CHECK(files_of(b.companion()) > 0);
  one.reset();
  CHECK(files_of(b.companion()) > 0);
  { const transaction t = b.memory.txn(); }
  two.reset();
  CHECK(files_of(b.companion()) > 0);  // the block's own participant
  b.memory.close();
  CHECK(files_of(b.companion()) == 0);
}

TEST_CASE("a block has at most 64 watches", "[watch]") {
  net::io_context io;
  block b("full");
  std::deque<watch> all;
  for (int i = 0; i != 64; ++i) all.emplace_back(io, b.memory);
  error_code ec;
  const watch refused(io, b.memory, ec);
  CHECK(ec == errc::roster_full);
  CHECK_FALSE(refused.is_open());
  CHECK_THROWS_AS(watch(io, b.memory), std::system_error);
  CHECK_THROWS_AS(b.memory.txn(), std::system_error);
  std::deque<change> changes(all.size());
  for (std::size_t i = 0; i != all.size(); ++i) {
    all[i].async_changed(all[i].version(), changes[i].handler());
  }
  settle(io);
  all[63].notify();
  REQUIRE(run(io));
  for (const change& c : changes) CHECK(c.calls == 1);
  all.pop_front();
  const watch fits(io, b.memory, ec);
  CHECK_FALSE(ec);
}

TEST_CASE("blocks that cannot be watched", "[watch]") {
  net::io_context io;
  block b("not");
  error_code ec;
  const watch nothing(io, shared_memory(), ec);
  CHECK(ec == std::errc::bad_file_descriptor);
  CHECK_FALSE(nothing.is_open());
  {
    shared_memory other = shared_memory::create(b.companion(), 8192);
    const unlink_on_destroy owner(other);
    const watch w(io, b.memory, ec);
    CHECK(ec == errc::incompatible);
  }
  const watch w(io, b.memory, ec);
  CHECK_FALSE(ec);
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
