// Every type of cancellation, in every state of an operation: it completes with operation_aborted, and
// nothing was received or sent.
#include "support/rings.hpp"

using namespace belfry;
using namespace belfry::test;

namespace {

const auto types = {net::cancellation_type::terminal, net::cancellation_type::partial,
                    net::cancellation_type::total, net::cancellation_type::all};

template <class Handler>
auto bound(net::cancellation_signal& signal, Handler handler) {
  return net::bind_cancellation_slot(signal.slot(), std::move(handler));
}

}  // namespace

TEMPLATE_TEST_CASE("a sleeping receive is cancelled", "[cancellation]", of_values, of_bytes) {
  for (const auto type : types) {
    linked<TestType> c("asleep");
    net::cancellation_signal signal;
    told t;
    c.rx.async_receive(bound(signal, t.receiver()));
    settle(c.io);
    signal.emit(type);
    CHECK(t.calls == 0);  // not within emit()
    c.tx.try_send(c.values.make(1));
    REQUIRE(run(c.io));
    CHECK(t.calls == 1);
    CHECK(t.ec == net::error::operation_aborted);
    CHECK(number(*c.rx.try_receive()) == 1);
    CHECK_FALSE(signal.slot().has_handler());
  }
}

TEMPLATE_TEST_CASE("a receive that is ready but has not run yet is cancelled",
                   "[cancellation]", of_values, of_bytes) {
  for (const auto type : types) {
    linked<TestType> c("ready");
    net::cancellation_signal signal;
    told t;
    c.tx.try_send(c.values.make(1));
    c.rx.async_receive(bound(signal, t.receiver()));
    signal.emit(type);
    signal.emit(type);
    REQUIRE(run(c.io));
    CHECK(t.calls == 1);
    CHECK(t.ec == net::error::operation_aborted);
    CHECK(number(*c.rx.try_receive()) == 1);
  }
}

TEMPLATE_TEST_CASE("a receive that was notified is cancelled at every moment before its handler runs",
                   "[cancellation]", of_values, of_bytes) {
  // The context runs one handler at a time; the cancellation comes after the first, the second, ...
  bool received_once = false;
  for (int moment = 0; !received_once; ++moment) {
    REQUIRE(moment < 100);
    linked<TestType> c("moment");
    net::cancellation_signal signal;
    told t;
    c.rx.async_receive(bound(signal, t.receiver()));
    settle(c.io);
    c.tx.try_send(c.values.make(1));
    for (int i = 0; i != moment && t.calls == 0; ++i) c.io.run_one();
    const bool in_time = t.calls == 0;
    signal.emit(net::cancellation_type::terminal);
    REQUIRE(run(c.io));
    CHECK(t.calls == 1);
    if (in_time) {
      CHECK(t.ec == net::error::operation_aborted);
      CHECK(number(*c.rx.try_receive()) == 1);
    } else {
      CHECK(t.value == 1);
      CHECK_FALSE(c.rx.try_receive());
      received_once = true;
    }
  }
}

TEMPLATE_TEST_CASE("the first, the middle and the last of several receives are cancelled",
                   "[cancellation]", of_values, of_bytes) {
  const std::size_t which = GENERATE(0u, 1u, 2u);
  const bool asleep = GENERATE(true, false);
  linked<TestType> c("several");
  std::array<net::cancellation_signal, 3> signals;
  std::array<told, 3> t;
  if (!asleep) c.tx.try_send(c.values.make(0));
  for (std::size_t i = 0; i != 3; ++i) c.rx.async_receive(bound(signals[i], t[i].receiver()));
  if (asleep) {
    settle(c.io);
    c.tx.try_send(c.values.make(0));
  }
  c.tx.try_send(c.values.make(1));
  signals[which].emit(net::cancellation_type::total);
  REQUIRE(run(c.io));
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i != 3; ++i) {
    CHECK(t[i].calls == 1);
    if (i == which) {
      CHECK(t[i].ec == net::error::operation_aborted);
    } else {
      CHECK(t[i].value == expected++);
    }
  }
}

TEMPLATE_TEST_CASE("a cancelled send that waited for room has sent nothing",
                   "[cancellation]", of_values, of_bytes) {
  for (const auto type : types) {
    linked<TestType> c("send");
    const std::size_t sent = fill(c.tx, c.values);
    net::cancellation_signal signal;
    told t;
    c.tx.async_send(c.values.make(sent), bound(signal, t.handler()));
    settle(c.io);
    signal.emit(type);
    REQUIRE(run(c.io));
    CHECK(t.ec == net::error::operation_aborted);
    CHECK(drain(c.rx).size() == sent);
  }
}

TEMPLATE_TEST_CASE("a cancelled async_send_n reports how many it has sent",
                   "[cancellation]", of_values, of_bytes) {
  linked<TestType> c("send_n");
  std::vector<typename TestType::channel::producer::value_type> batch;
  for (std::uint64_t n = 0; n != TestType::room + 10; ++n) batch.push_back(c.values.make(n));
  net::cancellation_signal signal;
  told t;
  c.tx.async_send_n(batch, bound(signal, t.counter()));
  settle(c.io);
  CHECK(t.calls == 0);
  CHECK(number(*c.rx.try_receive()) == 0);
  signal.emit(net::cancellation_type::partial);
  REQUIRE(run(c.io));
  CHECK(t.ec == net::error::operation_aborted);
  const auto received = drain(c.rx);
  CHECK(t.count == received.size() + 1);
  for (std::size_t i = 0; i != received.size(); ++i) CHECK(received[i] == i + 1);
}

TEMPLATE_TEST_CASE("waits are cancelled", "[cancellation]", of_values, of_bytes) {
  for (const auto type : types) {
    linked<TestType> c("waits");
    std::array<net::cancellation_signal, 4> signals;
    std::array<told, 4> t;
    std::array<typename TestType::channel::consumer::value_type, 2> out;
    const std::size_t sent = fill(c.tx, c.values);
    c.tx.async_wait(bound(signals[0], t[0].handler()));
    typename TestType::channel::consumer alone(c.io, c.name + "-2", TestType::options());
    alone.async_wait(bound(signals[1], t[1].handler()));
    alone.async_receive_n(out, bound(signals[2], t[2].counter()));
    alone.async_wait_peer(bound(signals[3], t[3].handler()));
    settle(c.io);
    for (auto& s : signals) s.emit(type);
    REQUIRE(run(c.io));
    for (const told& each : t) {
      CHECK(each.calls == 1);
      CHECK(each.ec == net::error::operation_aborted);
    }
    CHECK(t[2].count == 0);
    CHECK(drain(c.rx).size() == sent);
  }
}

TEST_CASE("an async_claim is cancelled", "[cancellation]") {
  linked<of_bytes> c("claim");
  const std::size_t sent = fill(c.tx, c.values);
  net::cancellation_signal signal;
  bool empty = false;
  error_code result;
  c.tx.async_claim(8, bound(signal, [&](error_code ec, claim room) {
    result = ec;
    empty = !room;
  }));
  settle(c.io);
  signal.emit(net::cancellation_type::terminal);
  REQUIRE(run(c.io));
  CHECK(result == net::error::operation_aborted);
  CHECK(empty);
  CHECK(drain(c.rx).size() == sent);
  CHECK(c.tx.try_send(c.values.make(1)));
}

TEMPLATE_TEST_CASE("a cancelled waiter hands off its wake-up to the next", "[cancellation]", of_values,
                   of_bytes) {
  linked<TestType> c("passed-on");
  net::cancellation_signal signal;
  told first;
  told second;
  c.rx.async_receive(bound(signal, first.receiver()));
  c.rx.async_receive(second.receiver());
  settle(c.io);
  c.tx.try_send(c.values.make(1));
  for (int i = 0; i != 100 && first.calls == 0; ++i) {
    signal.emit(net::cancellation_type::total);
    c.io.poll_one();
  }
  REQUIRE(run(c.io));
  CHECK(first.ec == net::error::operation_aborted);
  CHECK(second.value == 1);
}

TEMPLATE_TEST_CASE("a cancellation after the completion, or after the endpoint's end, does nothing",
                   "[cancellation]", of_values, of_bytes) {
  linked<TestType> c("late");
  net::cancellation_signal signal;
  told t;
  c.tx.try_send(c.values.make(1));
  c.rx.async_receive(bound(signal, t.receiver()));
  REQUIRE(run(c.io));
  signal.emit(net::cancellation_type::all);
  CHECK(t.calls == 1);

  net::cancellation_signal other;
  {
    typename TestType::channel::consumer rx(c.io, c.name + "-2", TestType::options());
    rx.async_receive(bound(other, t.receiver()));
  }
  other.emit(net::cancellation_type::all);
  other.emit(net::cancellation_type::none);
  REQUIRE(run(c.io));
  CHECK(t.calls == 2);
  CHECK(t.ec == net::error::operation_aborted);
}

TEMPLATE_TEST_CASE("a coroutine is cancelled from outside", "[cancellation]", of_values, of_bytes) {
  linked<TestType> c("coroutine");
  net::cancellation_signal signal;
  std::exception_ptr error;
  bool ended = false;
  net::co_spawn(
      c.io, [&]() -> net::awaitable<void> { co_await c.rx.async_receive(net::use_awaitable); },
      bound(signal, [&](std::exception_ptr e) {
        error = e;
        ended = true;
      }));
  settle(c.io);
  c.tx.try_send(c.values.make(1));
  signal.emit(net::cancellation_type::terminal);
  REQUIRE(run(c.io));
  REQUIRE(ended);
  REQUIRE(error);
  try {
    std::rethrow_exception(error);
  } catch (const net_system_error& e) {
    CHECK(e.code() == net::error::operation_aborted);
  }
  CHECK(number(*c.rx.try_receive()) == 1);
}
