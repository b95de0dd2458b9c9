// async_wait, async_wait_peer, and what is reported of the other side.
#include "support/member.hpp"

#include <fstream>

using namespace belfry;
using namespace belfry::test;

TEMPLATE_TEST_CASE("async_wait of a consumer completes when there is a value, and does not receive it",
                   "[peers]", of_values, of_bytes) {
  linked<TestType> c("something");
  told t;
  c.rx.async_wait(t.handler());
  settle(c.io);
  CHECK(t.calls == 0);
  c.tx.try_send(c.values.make(1));
  REQUIRE(run(c.io));
  CHECK(t.calls == 1);
  CHECK_FALSE(t.ec);
  c.rx.async_wait(t.handler());  // again, as long as the value is not received
  REQUIRE(run(c.io));
  CHECK(t.calls == 2);
  CHECK(number(*c.rx.try_receive()) == 1);
  c.tx.close();
  c.rx.async_wait(t.handler());
  REQUIRE(run(c.io));
  CHECK(t.ec == errc::closed);
}

TEMPLATE_TEST_CASE("async_wait of a producer completes when there is room", "[peers]", of_values, of_bytes) {
  linked<TestType> c("room");
  told t;
  c.tx.async_wait(t.handler());
  REQUIRE(run(c.io));
  CHECK(t.calls == 1);
  fill(c.tx, c.values);
  c.tx.async_wait(t.handler());
  settle(c.io);
  CHECK(t.calls == 1);
  drain(c.rx);
  REQUIRE(run(c.io));
  CHECK(t.calls == 2);
  CHECK_FALSE(t.ec);
}

TEST_CASE("async_wait of a producer waits for the room that the last attempt needed", "[peers]") {
  linked<of_bytes> c("wanted");
  const std::string large(3000, 'x');
  REQUIRE(c.tx.try_send(as_message(large)));
  REQUIRE(c.tx.try_send(as_message("small")));
  REQUIRE_FALSE(c.tx.try_send(as_message(large)));
  told t;
  c.tx.async_wait(t.handler());
  settle(c.io);
  CHECK(t.calls == 0);  // a small message would fit
  c.rx.try_receive();
  REQUIRE(run(c.io));
  CHECK(t.calls == 1);
  CHECK(c.tx.try_send(as_message(large)));
}

TEMPLATE_TEST_CASE("async_wait_peer: the peer is there, joins later, or the wait is cancelled",
                   "[peers]", of_values, of_bytes) {
  const std::string name = unique_name("peer");
  net::io_context io;
  using channel = typename TestType::channel;
  typename channel::producer tx(io, name, TestType::options());
  told t;
  std::optional<typename channel::consumer> rx;
  SECTION("there") {
    rx.emplace(io, name);
    tx.async_wait_peer(t.handler());
    CHECK(t.calls == 0);
    REQUIRE(run(io));
  }
  SECTION("later") {
    tx.async_wait_peer(t.handler());
    tx.async_wait_peer(t.handler());
    settle(io);
    CHECK(t.calls == 0);
    rx.emplace(io, name);
    REQUIRE(run(io));
    CHECK(t.calls == 2);
  }
  SECTION("later, while a send waits for room") {
    TestType values;
    told sent;
    const std::size_t n = fill(tx, values);
    tx.async_send(values.make(n), sent.handler());
    tx.async_wait_peer(t.handler());
    settle(io);
    rx.emplace(io, name);
    settle(io);
    CHECK(t.calls == 1);
    CHECK(sent.calls == 0);
    drain(*rx);
    REQUIRE(run(io));
    CHECK(sent.calls == 1);
    CHECK(drain(*rx).size() == 1);
  }
  SECTION("cancelled, and the next one is not") {
    tx.async_wait_peer(t.handler());
    settle(io);
    tx.cancel();
    REQUIRE(run(io));
    CHECK(t.ec == net::error::operation_aborted);
    tx.async_wait_peer(t.handler());
    settle(io);
    rx.emplace(io, name);
    REQUIRE(run(io));
  }
  CHECK(t.calls >= 1);
  CHECK_FALSE(t.ec);
  CHECK(t.ec == error_code());
}

TEMPLATE_TEST_CASE("a channel is closed until another producer joins", "[peers]", of_values, of_bytes) {
  linked<TestType> c("again");
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    for (std::uint64_t n = 0; n != 5; ++n) {
      c.tx.try_send(c.values.make(n));
      c.tx.close();
      const auto v = co_await c.rx.async_receive(net::use_awaitable);
      CHECK(number(v) == n);
      const auto [closed, none] = co_await c.rx.async_receive(use_tuple);
      CHECK(closed == errc::closed);

      told there;
      c.rx.async_wait_peer(there.handler());
      co_await net::post(net::use_awaitable);
      CHECK(there.calls == 0);
      c.tx = c.another_producer();
      while (there.calls == 0) co_await net::post(net::use_awaitable);
      CHECK_FALSE(there.ec);
    }
  });
}

TEMPLATE_TEST_CASE("a producer that joined and left unnoticed", "[peers]", of_values, of_bytes) {
  linked<TestType> c("short");
  c.tx.close();
  told t;
  c.rx.async_receive(t.receiver());
  REQUIRE(run(c.io));
  REQUIRE(t.ec == errc::closed);
  c.rx.async_wait_peer(t.handler());
  settle(c.io);
  {
    auto brief = c.another_producer();
    brief.try_send(c.values.make(3));
  }
  REQUIRE(run(c.io));
  CHECK(t.calls == 2);
  CHECK(number(*c.rx.try_receive()) == 3);
}

TEST_CASE("after a death: all values, then peer_died once, then the next producer", "[peers]") {
  const std::string name = unique_name("death");
  net::io_context io;
  of_values::channel::consumer rx(io, name);
  const auto send_two = [](member& m) {
    of_values::channel::ring_type::writer writer(m.segment().ring(), m->slot());
    writer.push({1, 0});
    writer.push({2, 0});
  };
  victim tx(name, producer_role, send_two);
  told t;
  const auto receive = [&] {
    rx.async_receive(t.receiver());
    settle(io);
    return t.calls;
  };
  CHECK(receive() == 1);
  CHECK(t.value == 1);
  CHECK(receive() == 2);
  CHECK(t.value == 2);
  CHECK(receive() == 2);  // asleep
  tx.kill();
  REQUIRE(run(io));
  CHECK(t.calls == 3);
  CHECK(t.ec == errc::peer_died);

  CHECK(receive() == 3);  // waits for a successor
  told there;
  rx.async_wait_peer(there.handler());
  settle(io);
  CHECK(there.calls == 0);
  const victim next(name, producer_role, send_two);
  REQUIRE(run(io));
  CHECK(there.calls == 1);
  CHECK(t.calls == 4);
  CHECK_FALSE(t.ec);
  CHECK(t.value == 1);
  CHECK(drain(rx) == std::vector<std::uint64_t>{2});
}

TEST_CASE("a producer without room is told once of its consumer's death", "[peers]") {
  const std::string name = unique_name("consumer");
  net::io_context io;
  of_values::channel::producer tx(io, name);
  of_values values;
  victim rx(name, consumer_role);
  fill(tx, values);
  told t;
  tx.async_send({100, 0}, t.handler());
  tx.async_send({101, 0}, t.handler());
  settle(io);
  CHECK(t.calls == 0);
  rx.kill();
  settle(io);
  CHECK(t.calls == 1);
  CHECK(t.ec == errc::peer_died);
  of_values::channel::consumer next(io, name);
  CHECK(drain(next).size() == 64);
  REQUIRE(run(io));
  CHECK(t.calls == 2);
  CHECK_FALSE(t.ec);
  CHECK(drain(next) == std::vector<std::uint64_t>{101});
}

TEST_CASE("a death is noticed by handles as well", "[peers]") {
  const channel_handles handles = of_values::channel::make_handles();
  event ready;
  child producer([&] {
    net::io_context io;
    of_values::channel::producer tx(io, handles);
    tx.try_send({5, 0});
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  net::io_context io;
  of_values::channel::consumer rx(io, handles);
  told t;
  rx.async_receive(t.receiver());
  REQUIRE(run(io));
  CHECK(t.value == 5);
  rx.async_receive(t.receiver());
  settle(io);
  producer.kill();
  REQUIRE(run(io));
  CHECK(t.ec == errc::peer_died);
}

TEST_CASE("a wait for peers that is cancelled between its wake-up and its dispatch holds up no other",
          "[peers]") {
  net::io_context io;
  const std::string name = unique_name("cancelled in between");
  of_values::channel::consumer rx(io, name);
  auto strand = net::make_strand(io);
  net::cancellation_signal signal;
  told first, second;
  rx.async_wait_peer(net::bind_cancellation_slot(
      signal.slot(), net::bind_executor(strand, first.handler())));
  settle(io);
  std::ofstream("/dev/shm/" + name + ".bell.1") << 'x' << std::flush;  // a spurious notification
  REQUIRE(io.run_one_for(std::chrono::seconds(5)) == 1);               // the wake-up is now posted to the strand
  signal.emit(net::cancellation_type::terminal);
  rx.async_wait_peer(second.handler());
  settle(io);
  CHECK(first.ec == net::error::operation_aborted);
  of_values::channel::producer tx(io, name);
  REQUIRE(run(io));
  CHECK(second.calls == 1);
  CHECK_FALSE(second.ec);
}
