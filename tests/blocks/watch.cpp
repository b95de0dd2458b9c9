// The life of a watch, in one process.
#include "watched.hpp"

#include <deque>
#include <memory>

using namespace belfry;
using namespace belfry::test;

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
  const watch w(io, b.memory, ec);
  CHECK_FALSE(ec);
}
