// The promises of every ring, in every way of meeting, within one process; other_process.cpp has those between two. (Every
// test may run with BELFRY_TEST_MEET, see support/meeting.hpp.)
#include "channel/next_number.hpp"

using namespace belfry;
using namespace belfry::test;

TEMPLATE_LIST_TEST_CASE("every ring: values are received, and then closed is reported", "[every_ring]", every_ring) {
  linked<TestType> c("every-closed");
  told t;
  c.rx.async_receive(t.receiver());
  settle(c.io);
  CHECK(t.calls == 0);
  CHECK(c.tx.try_send(c.values.make(7)));
  REQUIRE(run(c.io));
  CHECK(t.calls == 1);
  CHECK(t.ec == error_code());
  CHECK(t.value == 7);
  CHECK(c.tx.try_send(c.values.make(8)));
  c.tx.close();
  error_code ec;
  CHECK(next_number(c.rx, ec) == 8);
  next_number(c.rx, ec);
  CHECK(ec == errc::closed);
}

TEMPLATE_LIST_TEST_CASE("every ring: a receive that is cancelled takes nothing", "[every_ring]", every_ring) {
  linked<TestType> c("every-cancel");
  told t;
  c.rx.async_receive(t.receiver());
  settle(c.io);
  c.tx.try_send(c.values.make(1));
  c.rx.cancel();
  REQUIRE(run(c.io));
  CHECK(t.calls == 1);
  CHECK(t.ec == net::error::operation_aborted);
  const auto v = c.rx.try_receive();
  REQUIRE(v);
  CHECK(number(*v) == 1);
}

TEMPLATE_LIST_TEST_CASE("every ring: values wait for a consumer that joins later", "[every_ring]", every_ring) {
  const std::string name = unique_name("every-first");
  net::io_context io;
  TestType values;
  if (way_to_meet() == meeting::by_name) {
    auto tx = producer_of<TestType>(io, name);
    tx.try_send(values.make(5));
  } else {  // without a name a participant must keep it alive
    auto tx = producer_of<TestType>(io, name);
    auto rx = consumer_of<TestType>(io, name);
    tx.try_send(values.make(5));
    CHECK(number(*rx.try_receive()) == 5);
    meet<typename TestType::channel>::forget(name);
    return;
  }
  CHECK(files_of(name) == 1);
  auto rx = consumer_of<TestType>(io, name);
  error_code ec;
  CHECK(next_number(rx, ec) == 5);
  rx.close();
  CHECK(files_of(name) == 0);
}

TEMPLATE_LIST_TEST_CASE("every ring: a moved-from endpoint behaves as a closed one", "[every_ring]", every_ring) {
  linked<TestType> c("every-moved");
  auto tx = std::move(c.tx);
  auto rx = std::move(c.rx);
  told t;
  SECTION("calls") {
    CHECK_FALSE(c.tx.is_open());
    CHECK(c.tx.name().empty());
    CHECK(c.tx.capacity() == 0);
    CHECK(c.rx.size() == 0);
    CHECK_FALSE(c.tx.try_send(c.values.make(1)));
    CHECK_FALSE(c.rx.try_receive());
    CHECK(c.tx.send(c.values.make(1)) == errc::closed);
    typename TestType::channel::consumer::value_type v{};
    CHECK(c.rx.receive(v) == errc::closed);
    error_code ec;
    CHECK(c.rx.native_handle(ec) == detail::no_handle);
    CHECK(ec == errc::closed);
    CHECK_FALSE(c.rx.prepare_wait());
    CHECK(c.rx.finish_wait() == errc::closed);
    c.rx.cancel();
    c.rx.close();
    c.tx.close();
  }
  SECTION("every operation completes with closed, through its executor") {
    std::vector<typename TestType::channel::consumer::value_type> room(2);
    const std::array<typename TestType::channel::producer::value_type, 1> one{c.values.make(1)};
    c.rx.async_receive(t.receiver());
    c.rx.async_receive_n(room, t.counter());
    c.rx.async_wait(t.handler());
    c.rx.async_wait_peer(t.handler());
    c.tx.async_send(c.values.make(1), t.handler());
    c.tx.async_send_n(one, t.counter());
    c.tx.async_wait(t.handler());
    c.tx.async_wait_peer(t.handler());
    CHECK(t.calls == 0);
    CHECK(c.rx.get_executor() == c.io.get_executor());
    REQUIRE(run(c.io));
    CHECK(t.calls == 8);
    CHECK(t.ec == errc::closed);
  }
  SECTION("a coroutine gets closed, too") {
    run_coroutine(c.io, [&]() -> net::awaitable<void> {
      for (int i = 0; i != 2; ++i) {  // the second one would not suspend the coroutine
        auto [ec, v] = co_await c.rx.async_receive(use_tuple);
        t.note(ec);
      }
      auto [ec] = co_await c.tx.async_send(c.values.make(1), use_tuple);
      t.note(ec);
    });
    CHECK(t.calls == 3);
    CHECK(t.ec == errc::closed);
  }
  // It can be assigned to.
  c.tx = std::move(tx);
  c.rx = std::move(rx);
  CHECK(c.tx.try_send(c.values.make(4)));
  CHECK(number(*c.rx.try_receive()) == 4);
}
