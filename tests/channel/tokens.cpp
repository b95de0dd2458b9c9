// Every operation with every kind of completion token.
#include "support/rings.hpp"

#include <memory>

using namespace belfry;
using namespace belfry::test;

TEMPLATE_TEST_CASE("every kind of handler is called", "[tokens]", of_values, of_bytes) {
  linked<TestType> c("callback");
  SECTION("a lambda") {
    told sent;
    told received;
    c.tx.async_send(c.values.make(1), sent.handler());
    c.rx.async_receive(received.receiver());
    REQUIRE(run(c.io));
    CHECK(sent.calls == 1);
    CHECK_FALSE(sent.ec);
    CHECK(sent.ec == error_code());
    CHECK(received.value == 1);
  }
  SECTION("an lvalue, copied") {
    told received;
    auto handler = received.receiver();
    const auto constant = received.receiver();
    fill(c.tx, c.values);
    c.rx.async_receive(handler);
    c.rx.async_receive(constant);
    REQUIRE(run(c.io));
    CHECK(received.calls == 2);
    CHECK(received.value == 1);
  }
  SECTION("a move-only handler, called as an rvalue") {
    struct once {
      std::unique_ptr<int> calls;
      int* sum;
      void operator()(const error_code& ec) && { *sum += ec ? 100 : *calls; }
    };
    int sum = 0;
    c.tx.async_send(c.values.make(1), once{std::make_unique<int>(1), &sum});
    c.tx.async_wait(once{std::make_unique<int>(10), &sum});
    c.tx.async_wait_peer(once{std::make_unique<int>(5), &sum});
    REQUIRE(run(c.io));
    CHECK(sum == 16);
  }
  SECTION("a std::function") {
    int calls = 0;
    const std::function<void(error_code)> f = [&](error_code) { ++calls; };
    c.tx.async_send(c.values.make(1), f);
    REQUIRE(run(c.io));
    CHECK(calls == 1);
  }
}

TEMPLATE_TEST_CASE("every operation completes with its signature", "[tokens]", of_values, of_bytes) {
  linked<TestType> c("signatures");
  using received = typename TestType::channel::consumer::value_type;
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    co_await c.tx.async_wait_peer(net::use_awaitable);
    co_await c.tx.async_wait(net::use_awaitable);
    co_await c.tx.async_send(c.values.make(1), net::use_awaitable);
    const std::array batch{c.values.make(2), c.values.make(3)};
    const std::size_t sent = co_await c.tx.async_send_n(batch, net::use_awaitable);
    CHECK(sent == 2);

    co_await c.rx.async_wait_peer(net::use_awaitable);
    co_await c.rx.async_wait(net::use_awaitable);
    const received first = co_await c.rx.async_receive(net::use_awaitable);
    CHECK(number(first) == 1);
    std::array<received, 5> rest;
    const std::size_t n = co_await c.rx.async_receive_n(rest, net::use_awaitable);
    CHECK(n == 2);
    CHECK(number(rest[0]) == 2);
    CHECK(number(rest[1]) == 3);
  });
}

TEMPLATE_TEST_CASE("use_awaitable throws what as_tuple and redirect_error return", "[tokens]", of_values,
                   of_bytes) {
  linked<TestType> c("errors");
  c.tx.close();
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    bool thrown = false;
    try {
      co_await c.rx.async_receive(net::use_awaitable);
    } catch (const net_system_error& e) {
      thrown = e.code() == errc::closed;
    }
    CHECK(thrown);

    const auto [ec, value] = co_await c.rx.async_receive(use_tuple);
    CHECK(ec == errc::closed);
    const auto [ec_wait] = co_await c.rx.async_wait(as_tuple(net::use_awaitable));
    CHECK(ec_wait == errc::closed);

    error_code redirected;
    co_await c.rx.async_receive(net::redirect_error(net::use_awaitable, redirected));
    CHECK(redirected == errc::closed);
    std::array<typename TestType::channel::consumer::value_type, 1> out;
    const std::size_t n =
        co_await c.rx.async_receive_n(out, net::redirect_error(net::use_awaitable, redirected));
    CHECK(redirected == errc::closed);
    CHECK(n == 0);
  });
}

TEMPLATE_TEST_CASE("use_future returns a future", "[tokens]", of_values, of_bytes) {
  linked<TestType> c("future");
  auto received = c.rx.async_receive(net::use_future);
  auto sent = c.tx.async_send(c.values.make(3), net::use_future);
  auto there = c.tx.async_wait_peer(net::use_future);
  REQUIRE(run(c.io));
  CHECK_NOTHROW(sent.get());
  CHECK_NOTHROW(there.get());
  CHECK(number(received.get()) == 3);

  c.tx.close();
  auto closed = c.rx.async_receive(net::use_future);
  auto waited = c.rx.async_wait(net::use_future);
  REQUIRE(run(c.io));
  CHECK_THROWS_AS(closed.get(), net_system_error);
  CHECK_THROWS_AS(waited.get(), net_system_error);
}

TEMPLATE_TEST_CASE("deferred starts nothing until it is called", "[tokens]", of_values, of_bytes) {
  linked<TestType> c("deferred");
  auto send = c.tx.async_send(c.values.make(4), deferred);
  auto receive = c.rx.async_receive(deferred);
  auto wait = c.rx.async_wait(deferred);
  auto there = c.rx.async_wait_peer(deferred);
  settle(c.io);
  CHECK(c.rx.size() == 0);

  told t;
  std::move(there)(t.handler());
  std::move(send)(t.handler());
  std::move(wait)(t.handler());
  std::move(receive)(t.receiver());
  CHECK(t.calls == 0);
  REQUIRE(run(c.io));
  CHECK(t.calls == 4);
  CHECK(t.value == 4);

  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    co_await c.tx.async_send(c.values.make(5), deferred)(net::use_awaitable);
    const auto value = co_await c.rx.async_receive(deferred)(net::use_awaitable);
    CHECK(number(value) == 5);
  });
}

TEMPLATE_TEST_CASE("detached completes without a handler", "[tokens]", of_values, of_bytes) {
  linked<TestType> c("detached");
  c.tx.async_send(c.values.make(1), net::detached);
  REQUIRE(run(c.io));
  CHECK(c.rx.size() != 0);
  c.rx.async_receive(net::detached);
  REQUIRE(run(c.io));
  CHECK(c.rx.size() == 0);
}

TEMPLATE_TEST_CASE("as_default_on: no token needs to be named", "[tokens]", of_values, of_bytes) {
  const std::string name = unique_name("default");
  net::io_context io;
  TestType values;
  using awaitable = net::use_awaitable_t<>;
  using producer = typename awaitable::template as_default_on_t<typename TestType::channel::producer>;
  using consumer = typename awaitable::template as_default_on_t<typename TestType::channel::consumer>;
  STATIC_REQUIRE(std::is_same_v<producer, typename TestType::channel::producer::template rebind_executor<
                                              typename producer::executor_type>::other>);
  producer tx(io, name, TestType::options());
  consumer rx(io, name, TestType::options());
  run_coroutine(io, [&]() -> net::awaitable<void> {
    co_await tx.async_wait_peer();
    co_await tx.async_wait();
    co_await tx.async_send(values.make(1));
    const std::array batch{values.make(2)};
    const std::size_t sent = co_await tx.async_send_n(batch);
    CHECK(sent == 1);
    const auto value = co_await rx.async_receive();
    CHECK(number(value) == 1);
    co_await rx.async_wait();
    std::array<typename consumer::value_type, 2> out;
    const std::size_t n = co_await rx.async_receive_n(out);
    CHECK(n == 1);
    if constexpr (std::is_same_v<TestType, of_bytes>) {
      claim room = co_await tx.async_claim(8);
      room.commit();
      const message received = co_await rx.async_receive();
      CHECK(received.size() == 8);
    }
  });

  // An existing object gets a default token by conversion.
  tx.close();
  auto converted = net::use_awaitable.as_default_on(typename TestType::channel::producer(io, name));
  CHECK(converted.is_open());
  run_coroutine(io, [&]() -> net::awaitable<void> {
    co_await converted.async_send(values.make(9));
    const auto value = co_await rx.async_receive();
    CHECK(number(value) == 9);
  });
}

TEST_CASE("endpoints with another type of executor", "[tokens]") {
  using producer = basic_producer<spsc_ring<tick, 64>, net::io_context::executor_type>;
  using consumer = basic_consumer<spsc_ring<tick, 64>, net::strand<net::io_context::executor_type>>;
  const std::string name = unique_name("executor");
  net::io_context io;
  producer tx(io.get_executor(), name);
  consumer rx(net::make_strand(io), name);
  STATIC_REQUIRE(std::is_same_v<producer::executor_type, net::io_context::executor_type>);
  CHECK(tx.get_executor() == io.get_executor());
  told t;
  rx.async_receive(t.receiver());
  tx.async_send({6, 0}, net::detached);
  REQUIRE(run(io));
  CHECK(t.value == 6);

  basic_producer<spsc_ring<tick, 64>> general(std::move(tx));
  CHECK(general.is_open());
  CHECK(general.get_executor() == io.get_executor());
}

TEST_CASE("an Asio buffer is sent as a message", "[tokens]") {
  linked<of_bytes> c("buffer");
  const std::string text = "hello";
  told sent;
  told received;
  std::string got;
  c.tx.async_send(net::buffer(text), sent.handler());
  c.rx.async_receive([&](error_code, message m) { got = text_of(m); });
  REQUIRE(run(c.io));
  CHECK(sent.calls == 1);
  CHECK(got == "hello");

  CHECK(c.tx.try_send(net::buffer(text)));
  CHECK(c.tx.send(net::buffer(text, 2)) == error_code());
  CHECK(c.tx.send(net::buffer(text, 1), std::chrono::seconds(1)) == error_code());
  CHECK(text_of(*c.rx.try_receive()) == "hello");
  CHECK(text_of(*c.rx.try_receive()) == "he");
  CHECK(text_of(*c.rx.try_receive()) == "h");
}
