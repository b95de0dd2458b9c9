// Several operations on one endpoint: first come, first served.
#include "support/rings.hpp"

using namespace belfry;
using namespace belfry::test;

TEMPLATE_TEST_CASE("receives complete in the order in which they were initiated",
                   "[pending]", of_values, of_bytes) {
  linked<TestType> c("fifo");
  std::vector<int> order;
  for (int i = 0; i != 10; ++i) {
    c.rx.async_receive([&, i](error_code ec, auto v) {
      CHECK_FALSE(ec);
      CHECK(number(v) == static_cast<std::uint64_t>(i));
      order.push_back(i);
    });
  }
  SECTION("all at once") {
    for (std::uint64_t n = 0; n != 10; ++n) c.tx.try_send(c.values.make(n));
    REQUIRE(run(c.io));
  }
  SECTION("one at a time, asleep in between") {
    for (std::uint64_t n = 0; n != 10; ++n) {
      CHECK(comes_true(c.io, [&] { return order.size() == n; }));
      settle(c.io);
      c.tx.try_send(c.values.make(n));
    }
    REQUIRE(run(c.io));
  }
  CHECK(order == std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
}

TEMPLATE_TEST_CASE("sends wait for room in order", "[pending]", of_values, of_bytes) {
  linked<TestType> c("room");
  std::uint64_t next = fill(c.tx, c.values);
  std::vector<std::uint64_t> sent;
  for (int i = 0; i != 5; ++i, ++next) {
    c.tx.async_send(c.values.make(next), [&, next](error_code ec) {
      CHECK_FALSE(ec);
      sent.push_back(next);
    });
  }
  settle(c.io);
  CHECK(sent.empty());
  std::vector<std::uint64_t> received;
  for (std::uint64_t n = 0; n != next; ++n) {
    c.rx.async_receive([&](error_code, auto v) { received.push_back(number(v)); });
  }
  REQUIRE(run(c.io));
  CHECK(sent.size() == 5);
  CHECK(std::is_sorted(sent.begin(), sent.end()));
  REQUIRE(received.size() == next);
  for (std::uint64_t n = 0; n != next; ++n) CHECK(received[n] == n);
}

TEMPLATE_TEST_CASE("different operations share one queue", "[pending]", of_values, of_bytes) {
  linked<TestType> c("mixed");
  std::vector<std::string> order;
  std::array<typename TestType::channel::consumer::value_type, 2> two;
  c.rx.async_wait([&](error_code ec) { order.push_back(ec ? "?" : "wait"); });
  c.rx.async_receive([&](error_code, auto v) { order.push_back(std::to_string(number(v))); });
  c.rx.async_receive_n(two, [&](error_code, std::size_t n) { order.push_back(std::to_string(n) + " of them"); });
  c.rx.async_wait([&](error_code ec) { order.push_back(ec ? "?" : "wait"); });
  c.rx.async_receive([&](error_code, auto v) { order.push_back(std::to_string(number(v))); });
  settle(c.io);
  for (std::uint64_t n = 0; n != 4; ++n) c.tx.try_send(c.values.make(n));
  REQUIRE(run(c.io));
  CHECK(order == std::vector<std::string>{"wait", "0", "2 of them", "wait", "3"});
}

TEMPLATE_TEST_CASE("cancel() aborts all pending operations, and receives nothing",
                   "[pending]", of_values, of_bytes) {
  linked<TestType> c("cancel");
  const bool asleep = GENERATE(true, false);
  told t;
  told peer;
  c.rx.async_receive(t.receiver());
  c.rx.async_receive(t.receiver());
  c.rx.async_wait(t.handler());
  c.rx.async_wait_peer(peer.handler());
  if (asleep) settle(c.io);
  c.tx.try_send(c.values.make(1));
  c.rx.cancel();
  CHECK(t.calls == 0);
  REQUIRE(run(c.io));
  CHECK(t.calls == 3);
  CHECK(t.ec == net::error::operation_aborted);
  CHECK_FALSE(peer.ec);  // the peer was there
  CHECK(c.rx.is_open());
  CHECK(number(*c.rx.try_receive()) == 1);

  c.rx.cancel();  // nothing pending
  c.rx.async_receive(t.receiver());
  c.tx.try_send(c.values.make(2));
  REQUIRE(run(c.io));
  CHECK(t.value == 2);
}

TEMPLATE_TEST_CASE("cancel() within a handler aborts the later operations",
                   "[pending]", of_values, of_bytes) {
  linked<TestType> c("within");
  told rest;
  std::uint64_t first = 0;
  c.rx.async_receive([&](error_code, auto v) {
    first = number(v);
    c.rx.cancel();
    CHECK(rest.calls == 0);
  });
  c.rx.async_receive(rest.receiver());
  c.rx.async_receive(rest.receiver());
  c.tx.try_send(c.values.make(1));
  c.tx.try_send(c.values.make(2));
  REQUIRE(run(c.io));
  CHECK(first == 1);
  CHECK(rest.calls == 2);
  CHECK(rest.ec == net::error::operation_aborted);
  CHECK(drain(c.rx) == std::vector<std::uint64_t>{2});
}

TEMPLATE_TEST_CASE("close() aborts all pending operations", "[pending]", of_values, of_bytes) {
  linked<TestType> c("close");
  fill(c.tx, c.values);
  told t;
  c.tx.async_send(c.values.make(100), t.handler());
  c.tx.async_send(c.values.make(101), t.handler());
  c.tx.async_wait(t.handler());
  settle(c.io);
  c.tx.close();
  REQUIRE(run(c.io));
  CHECK(t.calls == 3);
  CHECK(t.ec == net::error::operation_aborted);
  CHECK(drain(c.rx).size() == TestType::room);
}

TEMPLATE_TEST_CASE("an error ends one operation, not the later ones", "[pending]", of_values, of_bytes) {
  linked<TestType> c("error");
  told first;
  told second;
  c.rx.async_receive(first.receiver());
  c.rx.async_receive(second.receiver());
  settle(c.io);
  c.tx.close();
  REQUIRE(run(c.io));
  CHECK(first.ec == errc::closed);
  CHECK(second.ec == errc::closed);

  // With a new producer the channel works as before.
  told third;
  c.tx = c.another_producer();
  c.rx.async_receive(third.receiver());
  settle(c.io);
  CHECK(third.calls == 0);
  c.tx.try_send(c.values.make(4));
  REQUIRE(run(c.io));
  CHECK(third.value == 4);
}

TEMPLATE_TEST_CASE("a handler may initiate the next operation, without limit",
                   "[pending]", of_values, of_bytes) {
  linked<TestType> c("chain");
  std::uint64_t next = 0;
  struct again {
    linked<TestType>* c;
    std::uint64_t* next;
    void operator()(error_code ec, typename TestType::channel::consumer::value_type v) {
      if (ec) return;
      CHECK(number(v) == (*next)++);
      c->rx.async_receive(*this);
    }
  };
  c.rx.async_receive(again{&c, &next});
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    for (std::uint64_t n = 0; n != 10000; ++n) {
      co_await c.tx.async_send(c.values.make(n), net::use_awaitable);
    }
    c.tx.close();
  });
  CHECK(next == 10000);
}

TEMPLATE_TEST_CASE("other handlers run while an endpoint is always ready", "[pending]", of_values, of_bytes) {
  linked<TestType> c("fair");
  bool stop = false;
  net::steady_timer timer(c.io, std::chrono::milliseconds(1));
  timer.async_wait([&](error_code) { stop = true; });
  std::uint64_t received = 0;
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    while (!stop) {
      co_await c.tx.async_send(c.values.make(received), net::use_awaitable);
      const auto value = co_await c.rx.async_receive(net::use_awaitable);
      CHECK(number(value) == received++);
    }
  });
  CHECK(received > 0);
}

TEMPLATE_TEST_CASE("operations behave the same with spin", "[pending]", of_values, of_bytes) {
  const std::string name = unique_name("spin");
  net::io_context io;
  channel_options options = TestType::options();
  options.spin = GENERATE(std::chrono::nanoseconds(1), std::chrono::nanoseconds(100000),
                          std::chrono::nanoseconds(10000000));
  typename TestType::channel::producer tx(io, name, options);
  typename TestType::channel::consumer rx(io, name, options);
  TestType values;
  told idle;
  run_coroutine(io, [&]() -> net::awaitable<void> {
    for (std::uint64_t n = 0; n != 1000; ++n) {
      co_await tx.async_send(values.make(n), net::use_awaitable);
      const auto value = co_await rx.async_receive(net::use_awaitable);
      CHECK(number(value) == n);
    }
    // The last message was recent: this receive spins, and then sleeps.
    rx.async_receive(idle.receiver());
    net::steady_timer timer(io, std::chrono::milliseconds(30));
    co_await timer.async_wait(net::use_awaitable);
    CHECK(idle.calls == 0);
    co_await tx.async_send(values.make(7), net::use_awaitable);
  });
  CHECK(idle.value == 7);
  rx.async_receive(idle.receiver());
  rx.cancel();
  REQUIRE(run(io));
  CHECK(idle.ec == net::error::operation_aborted);
  std::uint64_t n = 0;
  auto blocked = [&] { return rx.receive(*std::make_unique<typename decltype(rx)::value_type>(), std::chrono::milliseconds(n++)); };
  CHECK(blocked() == net::error::timed_out);
  CHECK(blocked() == net::error::timed_out);
}
