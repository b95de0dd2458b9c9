// Operation, endpoint and context end in every order. Nothing leaks, and no handler is called that must not
// be.
#include "support/rings.hpp"

#include <memory>

using namespace belfry;
using namespace belfry::test;

namespace {

/// Counts its instances, for example those in a handler that must be destroyed without being called.
struct witness {
  explicit witness(int& alive) : alive_(&alive) { ++*alive_; }
  witness(const witness& other) : alive_(other.alive_) { ++*alive_; }
  ~witness() { --*alive_; }
  int* alive_;
};

template <class Consumer>
net::awaitable<void> receive_for_ever(Consumer rx, witness, int& received) {
  for (;;) {
    co_await rx.async_receive(net::use_awaitable);
    ++received;
  }
}

template <class Consumer>
net::awaitable<void> wait_for_a_peer(Consumer rx, witness) {
  co_await rx.async_wait_peer(net::use_awaitable);
}

template <class Producer, class Kit>
net::awaitable<void> send_for_ever(Producer tx, witness, Kit& values) {
  for (std::uint64_t n = 0;; ++n) co_await tx.async_send(values.make(n), net::use_awaitable);
}

}  // namespace

TEMPLATE_TEST_CASE("a destroyed endpoint's operations complete with operation_aborted",
                   "[lifetime]", of_values, of_bytes) {
  net::io_context io;
  const std::string name = unique_name("destroyed");
  told received;
  told waited;
  told peer;
  {
    typename TestType::channel::consumer rx(io, name, TestType::options());
    rx.async_receive(received.receiver());
    rx.async_wait(waited.handler());
    rx.async_wait_peer(peer.handler());
    settle(io);
  }
  CHECK(received.calls + waited.calls + peer.calls == 0);  // not within the destructor
  REQUIRE(run(io));
  for (const told* t : {&received, &waited, &peer}) {
    CHECK(t->calls == 1);
    CHECK(t->ec == net::error::operation_aborted);
  }
}

TEMPLATE_TEST_CASE("a destroyed endpoint's ready operations complete with operation_aborted",
                   "[lifetime]", of_values, of_bytes) {
  linked<TestType> c("scheduled");
  told t;
  c.tx.try_send(c.values.make(1));
  c.rx.async_receive(t.receiver());
  c.rx.async_receive(t.receiver());
  c.rx.async_wait(t.handler());
  c.rx.close();
  CHECK(t.calls == 0);
  REQUIRE(run(c.io));
  CHECK(t.calls == 3);
  CHECK(t.ec == net::error::operation_aborted);
  auto next = c.another_consumer();
  CHECK(number(*next.try_receive()) == 1);  // the value was not taken
}

TEMPLATE_TEST_CASE("a destroyed context destroys callbacks that own their endpoint", "[lifetime]", of_values,
                   of_bytes) {
  const std::string name = unique_name("callback");
  int alive = 0;
  int calls = 0;
  const bool asleep = GENERATE(true, false);
  std::weak_ptr<typename TestType::channel::consumer> weak;
  {
    net::io_context io;
    auto rx = std::make_shared<typename TestType::channel::consumer>(io, name, TestType::options());
    weak = rx;
    const auto count = [rx, w = witness(alive), &calls](auto&&...) { ++calls; };
    rx->async_receive(count);
    rx->async_receive(count);
    rx->async_wait_peer(count);
    rx.reset();
    if (asleep) settle(io);
  }
  CHECK(weak.expired());
  CHECK(alive == 0);
  CHECK(calls == 0);
  CHECK(files_of(name) == 0);
}

TEMPLATE_TEST_CASE("a destroyed context destroys coroutines that own their endpoint", "[lifetime]", of_values,
                   of_bytes) {
  const std::string name = unique_name("frame");
  int alive = 0;
  int received = 0;
  TestType values;
  using channel = typename TestType::channel;
  {
    net::io_context io;
    typename channel::consumer rx(io, name, TestType::options());
    typename channel::producer tx(io, name, TestType::options());
    SECTION("asleep, on the context's executor") {
      net::co_spawn(io, receive_for_ever(std::move(rx), witness(alive), received), net::detached);
      settle(io);
    }
    SECTION("asleep, on a strand") {
      net::co_spawn(net::make_strand(io), receive_for_ever(std::move(rx), witness(alive), received),
                    net::detached);
      settle(io);
    }
    SECTION("woken, and not run yet") {
      net::co_spawn(io, receive_for_ever(std::move(rx), witness(alive), received), net::detached);
      settle(io);
      tx.try_send(values.make(1));
    }
    SECTION("not even started") {
      net::co_spawn(io, receive_for_ever(std::move(rx), witness(alive), received), net::detached);
    }
    SECTION("a producer without room") {
      net::co_spawn(io, send_for_ever(std::move(tx), witness(alive), values), net::detached);
      settle(io);
    }
    SECTION("a consumer without a producer") {
      tx.close();
      net::co_spawn(net::make_strand(io), wait_for_a_peer(std::move(rx), witness(alive)), net::detached);
    }
    CHECK(alive > 0);
  }
  CHECK(alive == 0);
  CHECK(received == 0);
  error_code not_there;
  channel::unlink(name, not_there);
}

TEMPLATE_TEST_CASE("an endpoint may outlive its context", "[lifetime]", of_values, of_bytes) {
  const std::string name = unique_name("outlive");
  TestType values;
  int alive = 0;
  using channel = typename TestType::channel;
  auto io = std::make_unique<net::io_context>();
  typename channel::consumer rx(*io, name, TestType::options());
  rx.async_receive([w = witness(alive)](auto&&...) {});
  rx.async_wait_peer([w = witness(alive)](auto&&...) {});
  settle(*io);
  io.reset();
  CHECK(alive == 0);
  net::io_context other;
  typename channel::producer tx(other, name);
  tx.try_send(values.make(1));
  CHECK(number(*rx.try_receive()) == 1);
  rx.close();
}

TEMPLATE_TEST_CASE("an operation is closed while it is dispatched, and then its context is destroyed",
                   "[lifetime]", of_values, of_bytes) {
  const std::string name = unique_name("closed");
  TestType values;
  int alive = 0;
  std::weak_ptr<typename TestType::channel::consumer> weak;
  {
    net::io_context io;
    typename TestType::channel::producer tx(io, name, TestType::options());
    tx.try_send(values.make(1));
    auto rx = std::make_shared<typename TestType::channel::consumer>(io, name, TestType::options());
    weak = rx;
    rx->async_receive([rx, w = witness(alive)](auto&&...) {});
    rx->close();
  }
  CHECK(weak.expired());
  CHECK(alive == 0);
  TestType::channel::unlink(name);
}

TEMPLATE_TEST_CASE("an endpoint is moved while operations are pending", "[lifetime]", of_values, of_bytes) {
  linked<TestType> c("moved");
  told t;
  c.rx.async_receive(t.receiver());
  settle(c.io);
  auto moved = std::move(c.rx);
  c.rx = std::move(moved);
  c.tx.try_send(c.values.make(3));
  REQUIRE(run(c.io));
  CHECK(t.value == 3);
}

TEMPLATE_TEST_CASE("a handler may destroy its endpoint", "[lifetime]", of_values, of_bytes) {
  linked<TestType> c("suicide");
  auto rx = std::make_unique<typename TestType::channel::consumer>(std::move(c.rx));
  told second;
  c.tx.try_send(c.values.make(1));
  bool called = false;
  rx->async_receive([&](error_code ec, auto) {
    CHECK_FALSE(ec);
    rx.reset();
    called = true;
    CHECK(second.calls == 0);
  });
  rx->async_receive(second.receiver());
  REQUIRE(run(c.io));
  CHECK(called);
  CHECK(second.ec == net::error::operation_aborted);
  c.rx = c.another_consumer();
}

TEMPLATE_TEST_CASE("a handler that throws leaves its endpoint intact", "[lifetime]", of_values, of_bytes) {
  linked<TestType> c("throws");
  const bool asleep = GENERATE(true, false);
  told second;
  c.rx.async_receive([](error_code, auto) { throw std::runtime_error("from a handler"); });
  c.rx.async_receive(second.receiver());
  if (asleep) settle(c.io);
  fill(c.tx, c.values);
  c.io.restart();
  CHECK_THROWS_WITH(c.io.run_for(std::chrono::seconds(60)), "from a handler");
  REQUIRE(run(c.io));
  CHECK(second.value == 1);
}

TEMPLATE_TEST_CASE("run() returns when nothing is pending, and not before",
                   "[lifetime]", of_values, of_bytes) {
  linked<TestType> c("work");
  CHECK(c.io.run_for(std::chrono::seconds(60)) == 0);  // an open endpoint alone is not work
  CHECK(c.io.stopped());
  c.io.restart();
  told t;
  c.rx.async_receive(t.receiver());
  settle(c.io);
  CHECK_FALSE(c.io.stopped());  // a sleeping operation counts as work
  net::steady_timer timer(c.io, std::chrono::milliseconds(1));
  timer.async_wait([&](error_code) { c.tx.try_send(c.values.make(1)); });
  REQUIRE(run(c.io));
  CHECK(t.value == 1);
  CHECK(c.io.stopped());

  c.rx.async_wait_peer(t.handler());
  c.rx.async_receive(t.receiver());
  settle(c.io);
  c.rx.cancel();
  REQUIRE(run(c.io));
  CHECK(t.calls == 3);
}

TEMPLATE_TEST_CASE("an endpoint that has failed to join holds no descriptor", "[lifetime]", of_values, of_bytes) {
  linked<TestType> c("refused");
  const std::size_t before = open_descriptors();
  error_code ec;
  const auto second = c.another_producer(ec);
  CHECK(ec == errc::role_taken);
  CHECK(open_descriptors() == before);
}
