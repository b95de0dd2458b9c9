// send and receive, which block the calling thread.
#include "support/rings.hpp"

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;

TEMPLATE_TEST_CASE("send and receive return at once if they can", "[blocking]", of_values, of_bytes) {
  linked<TestType> c("at-once");
  const watchdog guard;
  typename TestType::channel::consumer::value_type v;
  CHECK(c.tx.send(c.values.make(1)) == error_code());
  CHECK(c.tx.send(c.values.make(2), 0ns) == error_code());
  CHECK(c.rx.receive(v) == error_code());
  CHECK(number(v) == 1);
  CHECK(c.rx.receive(v, 0ns) == error_code());
  CHECK(number(v) == 2);
}

TEMPLATE_TEST_CASE("after timed_out nothing was received or sent", "[blocking]", of_values, of_bytes) {
  linked<TestType> c("timeout");
  const watchdog guard;
  typename TestType::channel::consumer::value_type v;
  for (const std::chrono::nanoseconds timeout : {-1s, 0s}) {
    CHECK(c.rx.receive(v, timeout) == net::error::timed_out);
  }
  const auto before = std::chrono::steady_clock::now();
  CHECK(c.rx.receive(v, 20ms) == net::error::timed_out);
  CHECK(std::chrono::steady_clock::now() - before >= 20ms);

  const std::size_t sent = fill(c.tx, c.values);
  CHECK(c.tx.send(c.values.make(sent), 5ms) == net::error::timed_out);
  CHECK(drain(c.rx).size() == sent);
  CHECK(c.tx.send(c.values.make(7)) == error_code());
  CHECK(c.rx.receive(v, 1h) == error_code());
  CHECK(number(v) == 7);
}

TEMPLATE_TEST_CASE("one thread sends, another one receives", "[blocking]", of_values, of_bytes) {
  linked<TestType> c("threads");
  const watchdog guard;
  const std::uint64_t total = static_cast<std::uint64_t>(often(100000));
  bool all_sent = true;
  std::jthread sender([&] {
    for (std::uint64_t n = 0; n != total; ++n) {
      if (c.tx.send(c.values.make(n))) all_sent = false;
    }
    c.tx.close();
  });
  std::uint64_t received = 0;
  typename TestType::channel::consumer::value_type v;
  error_code ec;
  while (!(ec = c.rx.receive(v))) {
    if (number(v) == received) ++received;
  }
  sender.join();
  CHECK(ec == errc::closed);
  CHECK(all_sent);
  CHECK(received == total);
}

TEMPLATE_TEST_CASE("a blocking receive gets what a coroutine sends", "[blocking]", of_values, of_bytes) {
  linked<TestType> c("mixed");
  const watchdog guard;
  const std::uint64_t total = static_cast<std::uint64_t>(often(20000));
  net::io_context sending;
  typename TestType::channel::producer tx(sending, c.name + "-2", TestType::options());
  typename TestType::channel::consumer rx(c.io, c.name + "-2");
  net::co_spawn(
      sending,
      [&]() -> net::awaitable<void> {
        for (std::uint64_t n = 0; n != total; ++n) {
          co_await tx.async_send(c.values.make(n), net::use_awaitable);
        }
        tx.close();
      },
      net::detached);
  std::jthread thread([&] { sending.run(); });
  std::uint64_t received = 0;
  typename TestType::channel::consumer::value_type v;
  while (!rx.receive(v)) {
    if (number(v) == received) ++received;
  }
  thread.join();
  CHECK(received == total);
}

TEMPLATE_TEST_CASE("the wait ends when the other side leaves", "[blocking]", of_values, of_bytes) {
  linked<TestType> c("closed");
  const watchdog guard;
  typename TestType::channel::consumer::value_type v;
  SECTION("a producer that closes, after what it has sent") {
    c.tx.try_send(c.values.make(1));
    std::jthread other([&] { c.tx.close(); });
    CHECK(c.rx.receive(v) == error_code());
    CHECK(c.rx.receive(v) == errc::closed);
    CHECK(c.rx.receive(v) == errc::closed);
  }
  SECTION("a consumer that closes while there is no room") {
    fill(c.tx, c.values);
    std::jthread other([&] { c.rx.close(); });
    CHECK(c.tx.send(c.values.make(0)) == errc::closed);
  }
}

TEST_CASE("a blocking send of a message that is too large fails", "[blocking]") {
  linked<of_bytes> c("large");
  const std::string large(of_bytes::largest + 1, 'x');
  CHECK(c.tx.send(as_message(large)) == errc::message_too_large);
  CHECK(c.tx.send(as_message(large), 1ms) == errc::message_too_large);
}

TEMPLATE_TEST_CASE("blocking calls are refused while asynchronous operations are pending",
                   "[blocking]", of_values, of_bytes) {
  linked<TestType> c("busy");
  const watchdog guard;
  typename TestType::channel::consumer::value_type v;
  told t;
  c.rx.async_receive(t.receiver());
  CHECK(c.rx.receive(v, 0s) == std::errc::operation_in_progress);
  CHECK_FALSE(c.rx.prepare_wait());
  CHECK(c.rx.finish_wait() == std::errc::operation_in_progress);
  c.tx.try_send(c.values.make(1));
  REQUIRE(run(c.io));
  CHECK(t.value == 1);
  c.tx.try_send(c.values.make(2));
  CHECK(c.rx.receive(v) == error_code());
  CHECK(number(v) == 2);
}

TEMPLATE_TEST_CASE("blocking calls also work in a handler of the context",
                   "[blocking]", of_values, of_bytes) {
  linked<TestType> c("handler");
  const watchdog guard;
  std::jthread other;
  typename TestType::channel::consumer::value_type v;
  error_code ec = errc::protocol_error;
  c.rx.async_receive([&](error_code, auto) {
    other = std::jthread([&] { c.tx.send(c.values.make(2)); });
    ec = c.rx.receive(v);
  });
  settle(c.io);
  c.tx.try_send(c.values.make(1));
  REQUIRE(run(c.io));
  other.join();
  CHECK(ec == error_code());
  CHECK(number(v) == 2);
}

TEMPLATE_TEST_CASE("blocking calls with spin", "[blocking]", of_values, of_bytes) {
  const std::string name = unique_name("spin");
  const watchdog guard;
  net::io_context io;
  channel_options options = TestType::options();
  options.spin = 1ms;
  typename TestType::channel::producer tx(io, name, options);
  typename TestType::channel::consumer rx(io, name, options);
  TestType values;
  typename TestType::channel::consumer::value_type v;
  REQUIRE(tx.send(values.make(1)) == error_code());
  REQUIRE(rx.receive(v) == error_code());
  CHECK(rx.receive(v, 0s) == net::error::timed_out);
  CHECK(rx.receive(v, 100us) == net::error::timed_out);
  CHECK(rx.receive(v, 20ms) == net::error::timed_out);
  std::jthread other([&] { tx.send(values.make(3)); });
  CHECK(rx.receive(v) == error_code());
  CHECK(number(v) == 3);
}
