// Deliveries that come to an end, through endpoints: dead items, which consumers wait for them, what they keep alive; and
// leases that last too long.
#include "support/rings.hpp"

#include <belfry/any_channel.hpp>
#include <belfry/inspect.hpp>
#include <belfry/peek.hpp>

#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;

namespace {

channel_options dying_after(std::uint32_t deliveries, std::chrono::nanoseconds lease_timeout = 0ns) {
  channel_options o;
  o.max_deliveries = deliveries;
  o.lease_timeout = lease_timeout;
  return o;
}

/// Items that are copied, and held by leases.
struct of_leases : of_ring<work_ring<tick, 16>> {
  using held = lease<tick>;
  static held take(channel::consumer& rx) { return rx.try_receive_lease(); }
  template <class Handler>
  static void async_take(channel::consumer& rx, Handler h) {
    rx.async_receive_lease(std::move(h));
  }
  static std::uint64_t number(const held& h) { return h.value().seq; }
  static bool end(held& h) { return h.ack(); }
  static channel_options with(channel_options o) { return o; }
};
/// Items in place.
struct of_held_messages : of_messages<byte_work_ring> {
  using held = message;
  static held take(channel::consumer& rx) {
    auto m = rx.try_receive();
    return m ? std::move(*m) : message();
  }
  template <class Handler>
  static void async_take(channel::consumer& rx, Handler h) {
    rx.async_receive(std::move(h));
  }
  static std::uint64_t number(const held& h) { return test::number(h); }
  static bool end(held& h) { return h.release(); }
  static channel_options with(channel_options o) {
    o.slots = options().slots;
    o.message_bytes = options().message_bytes;
    return o;
  }
};

/// A producer and several consumers, all in one context.
template <class Kit>
struct shop {
  using channel = typename Kit::channel;
  using meet = test::meet<channel>;
  using held = typename Kit::held;

  explicit shop(std::size_t workers, const channel_options& o)
      : options(Kit::with(o)), tx(meet::producer(io, name, options)) {
    for (std::size_t i = 0; i != workers; ++i) rx.push_back(meet::consumer(io, name, options));
  }
  ~shop() {
    tx.close();
    rx.clear();
    meet::forget(name);
  }
  void send(std::uint64_t n) { REQUIRE(tx.try_send(values.make(n))); }
  void reject_one(std::size_t by = 0) {
    held h = Kit::take(rx[by]);
    REQUIRE(h);
    REQUIRE(h.reject());
    REQUIRE_FALSE(h);
  }
  std::vector<std::uint64_t> all_dead(std::size_t by = 0) {
    std::vector<std::uint64_t> numbers;
    while (held h = rx[by].try_receive_dead()) {
      numbers.push_back(Kit::number(h));
      CHECK(Kit::end(h));
    }
    return numbers;
  }

  const std::string name = unique_name("dead");
  net::io_context io;
  channel_options options;
  Kit values;
  typename channel::producer tx;
  std::vector<typename channel::consumer> rx;
};

/// What a handler of async_receive_dead was called with.
template <class Kit>
struct dead_receiver {
  int calls = 0;
  error_code ec = errc::protocol_error;
  typename Kit::held dead{};

  auto handler() {
    return [this](const error_code& e, typename Kit::held h) {
      ++calls;
      ec = e;
      dead = std::move(h);
    };
  }
};

}  // namespace

TEMPLATE_TEST_CASE("an item that is given back too often is dead, and wakes a consumer that waits for such", "[dead]",
                   of_leases, of_held_messages) {
  shop<TestType> s(3, dying_after(3));
  dead_receiver<TestType> f;
  told t;
  s.rx[1].async_receive(t.receiver());
  s.rx[2].async_receive_dead(f.handler());
  settle(s.io);
  s.rx[1].cancel();
  settle(s.io);
  s.send(7);
  for (unsigned n = 1; n != 4; ++n) {
    auto held = TestType::take(s.rx[0]);
    REQUIRE(held);
    CHECK(held.deliveries() == n);
    CHECK(f.calls == 0);
    CHECK(held.requeue());
    CHECK_FALSE(held.requeue());
    settle(s.io);
  }
  CHECK_FALSE(TestType::take(s.rx[0]));
  CHECK(f.calls == 1);
  CHECK(f.ec == error_code());
  REQUIRE(f.dead);
  CHECK(TestType::number(f.dead) == 7);
  CHECK(f.dead.deliveries() == 3);
  CHECK_FALSE(s.rx[0].try_receive_dead());  // it is held
  SECTION("acknowledged, it is gone") { CHECK(TestType::end(f.dead)); }
  SECTION("given back, it is dead again") {
    CHECK(f.dead.requeue());
    CHECK_FALSE(TestType::take(s.rx[0]));
    CHECK(s.all_dead() == std::vector<std::uint64_t>{7});
  }
  CHECK_FALSE(s.rx[0].try_receive_dead());
}

TEMPLATE_TEST_CASE("to wait for dead items holds up no other operation, and reports no event", "[dead]", of_leases,
                   of_held_messages) {
  shop<TestType> s(2, dying_after(0));
  dead_receiver<TestType> f, g;
  told t;
  s.rx[0].async_receive_dead(f.handler());
  s.rx[0].async_receive(t.receiver());
  s.rx[1].async_receive_dead(g.handler());
  settle(s.io);
  s.send(1);
  settle(s.io);
  CHECK(t.value == 1);
  CHECK(f.calls + g.calls == 0);
  s.send(2);
  settle(s.io);
  s.reject_one(1);
  settle(s.io);
  CHECK(f.calls + g.calls == 1);  // one of them has it, the other one continues to wait
  s.send(3);
  s.reject_one(0);
  settle(s.io);
  CHECK(f.calls + g.calls == 2);
  CHECK(TestType::number(f.dead) + TestType::number(g.dead) == 5);
  dead_receiver<TestType> h;
  s.rx[0].async_receive_dead(h.handler());
  s.tx.close();
  settle(s.io);
  CHECK(h.calls == 0);
  CHECK(f.dead.requeue());
  CHECK(comes_true(s.io, [&] { return h.calls == 1; }));
}

TEMPLATE_TEST_CASE("a wait for dead items that is cancelled has taken nothing", "[dead]", of_leases, of_held_messages) {
  shop<TestType> s(2, dying_after(0));
  dead_receiver<TestType> f;
  const int how = GENERATE(0, 1, 2);
  net::cancellation_signal signal;
  s.rx[0].async_receive_dead(net::bind_cancellation_slot(signal.slot(), f.handler()));
  settle(s.io);
  s.send(1);
  s.reject_one(1);
  switch (how) {
    case 0: s.rx[0].cancel(); break;
    case 1: s.rx[0].close(); break;
    default: signal.emit(net::cancellation_type::total);
  }
  settle(s.io);
  CHECK(f.calls == 1);
  CHECK(f.ec == net::error::operation_aborted);
  CHECK_FALSE(f.dead);
  CHECK(s.all_dead(1) == std::vector<std::uint64_t>{1});
}

TEMPLATE_TEST_CASE("a consumer that is woken for an item, and only waits for dead ones, hands off the wake-up", "[dead]",
                   of_leases, of_held_messages) {
  shop<TestType> s(2, dying_after(0));
  dead_receiver<TestType> f;
  told t;
  s.rx[0].async_receive_dead(f.handler());
  settle(s.io);
  s.rx[1].async_receive(t.receiver());
  settle(s.io);
  s.send(5);
  settle(s.io);
  CHECK(t.value == 5);
  CHECK(f.calls == 0);
}

TEMPLATE_TEST_CASE("a dead item is awaited in a coroutine", "[dead]", of_leases, of_held_messages) {
  shop<TestType> s(2, dying_after(1));
  s.send(1);
  run_coroutine(s.io, [&]() -> net::awaitable<void> {
    for (std::uint64_t n = 1; n != 4; ++n) {
      {
        auto held = TestType::take(s.rx[1]);
        CHECK(held.requeue());
      }
      auto dead = co_await s.rx[0].async_receive_dead(net::use_awaitable);
      CHECK(TestType::number(dead) == n);
      CHECK(TestType::end(dead));
      s.send(n + 1);
    }
  });
}

TEMPLATE_TEST_CASE("a thread waits for dead items", "[dead]", of_leases, of_held_messages) {
  const watchdog dog;
  shop<TestType> s(2, dying_after(1));
  typename TestType::held dead;
  const auto receive_dead = [&](auto... how) { return s.rx[0].receive_dead(dead, how...); };
  SECTION("if there is one, at once") {
    s.send(1);
    s.reject_one(1);
    CHECK(receive_dead(0ns) == error_code());
    REQUIRE(dead);
    CHECK(TestType::number(dead) == 1);
    CHECK_FALSE(s.rx[1].try_receive_dead());  // it is held
    CHECK(TestType::end(dead));
    CHECK_FALSE(s.rx[1].try_receive_dead());
  }
  SECTION("until the timeout, or a request to stop; an item that is alive is not for it") {
    s.send(1);
    CHECK(receive_dead(0ns) == net::error::timed_out);
    const auto before = std::chrono::steady_clock::now();
    CHECK(receive_dead(5ms) == net::error::timed_out);
    CHECK(std::chrono::steady_clock::now() - before >= 5ms);
    std::stop_source stop;
    std::jthread stopper([&] {
      std::this_thread::sleep_for(2ms);
      stop.request_stop();
    });
    CHECK(receive_dead(stop.get_token()) == net::error::operation_aborted);
    CHECK(receive_dead(stop.get_token(), 1h) == net::error::operation_aborted);
    CHECK_FALSE(dead);
    CHECK(s.all_dead(1).empty());
    CHECK(number(*s.rx[1].try_receive()) == 1);
  }
  SECTION("woken when an item dies, and neither for one that is alive nor by the end of the producer") {
    std::jthread worker([&] {
      std::this_thread::sleep_for(2ms);
      s.tx.try_send(s.values.make(1));
      s.tx.try_send(s.values.make(2));
      s.tx.close();
      std::this_thread::sleep_for(2ms);
      auto held = TestType::take(s.rx[1]);
      held.requeue();
    });
    CHECK(receive_dead() == error_code());
    worker.join();
    CHECK(TestType::number(dead) == 1);
    CHECK(dead.deliveries() == 1);
    CHECK(receive_dead(1ms) == net::error::timed_out);  // the earlier item is still held
    CHECK(TestType::number(dead) == 1);
    CHECK(TestType::end(dead));
    typename TestType::channel::consumer::value_type v{};
    CHECK(s.rx[0].receive(v) == error_code());
    CHECK(number(v) == 2);
    CHECK(s.rx[0].receive(v) == errc::closed);  // that was not reported yet
  }
  SECTION("not beside asynchronous operations, and not of a closed consumer") {
    told t;
    s.rx[0].async_receive(t.receiver());
    CHECK(receive_dead(1h) == std::errc::operation_in_progress);
    s.rx[0].cancel();
    settle(s.io);
    s.rx[0].close();
    CHECK(receive_dead(1h) == errc::closed);
  }
}

TEST_CASE("a thread is woken for an item that stuck consumers have held too often", "[dead]") {
  const watchdog dog;
  shop<of_leases> s(2, dying_after(1, 20ms));
  s.send(9);
  auto stuck = s.rx[0].try_receive_lease();
  REQUIRE(stuck);
  lease<tick> dead;
  CHECK(s.rx[1].receive_dead(dead) == error_code());
  CHECK(dead.value().seq == 9);
  CHECK_FALSE(stuck.ack());
  CHECK(dead.ack());
}

TEMPLATE_TEST_CASE("a producer that waits for room is woken when it may drop a dead item", "[dead]", of_leases,
                   of_held_messages) {
  shop<TestType> s(1, dying_after(1));
  std::vector<typename TestType::held> held;
  REQUIRE(fill(s.tx, s.values) == 16);
  while (auto h = TestType::take(s.rx[0])) held.push_back(std::move(h));
  REQUIRE(held.size() == 16);
  told t;
  s.tx.async_send(s.values.make(100), t.handler());
  settle(s.io);
  CHECK(t.calls == 0);
  for (std::size_t i = 0; i != 4; ++i) CHECK(held[i].reject());  // so many may stay
  settle(s.io);
  CHECK(t.calls == 0);
  CHECK(held[4].reject());
  settle(s.io);
  CHECK(t.calls == 1);
  CHECK(t.ec == error_code());
  for (std::size_t i = 5; i != held.size(); ++i) CHECK(held[i].requeue());  // dead, too
  CHECK(number(*s.rx[0].try_receive()) == 100);
  CHECK(s.all_dead().size() == 15);
}

TEMPLATE_TEST_CASE("dead items keep their channel, and are seen from outside", "[dead]", of_leases, of_held_messages) {
  if (way_to_meet() != meeting::by_name) return;
  std::string name;
  {
    shop<TestType> s(1, dying_after(2, 1h));
    for (std::uint64_t n = 0; n != 3; ++n) s.send(n);
    s.reject_one();
    channel_info info = inspect(s.name);
    CHECK(info.problem == "");
    CHECK(info.dead == 1u);
    CHECK(info.unread == 2u);
    CHECK(info.dropped == 0u);
    CHECK(info.max_deliveries == 2);
    CHECK(info.lease_timeout == 1h);
    const peeked_channel seen = peek(s.name);
    CHECK(seen.info.problem == "");
    REQUIRE(seen.values.size() == 3);
    for (const peeked_value& v : seen.values) {
      std::uint64_t n = 99;
      std::memcpy(&n, v.bytes.data(), sizeof n);
      CHECK(v.dead == (n == 0));
      CHECK(v.position == n);
    }
    CHECK(peek(s.name, 1).values.size() == 2);  // a dead one, and another
    CHECK(inspect(s.name, inspection::counters).dead == std::nullopt);
    CHECK(drain(s.rx[0]) == std::vector<std::uint64_t>{1, 2});
    name = s.name;
    s.tx.close();
    s.rx[0].close();
    CHECK(inspect(name).dead == 1u);
    s.rx[0] = typename TestType::channel::consumer(s.io, name);
    CHECK(s.all_dead() == std::vector<std::uint64_t>{0});
    s.rx[0].close();
    error_code ec;
    inspect(name, ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
  }
}

TEMPLATE_TEST_CASE("any_channel receives dead items", "[dead]", of_leases, of_held_messages) {
  if (way_to_meet() != meeting::by_name) return;
  shop<TestType> s(1, dying_after(0));
  any_channel::consumer rx(s.io, s.name);
  std::array<std::byte, 1024> room{};
  const auto number = [&] {
    std::uint64_t n = 0;
    std::memcpy(&n, room.data(), sizeof n);
    return n;
  };
  CHECK_FALSE(rx.try_receive_dead(room));
  std::size_t size = 0;
  error_code ec = errc::protocol_error;
  rx.async_receive_dead(net::buffer(room), [&](const error_code& e, std::size_t n) {
    ec = e;
    size = n;
  });
  settle(s.io);
  for (std::uint64_t n = 1; n != 4; ++n) {
    s.send(n);
    s.reject_one();
    settle(s.io);
  }
  CHECK(ec == error_code());
  CHECK(number() == 1);
  CHECK(size >= 8);
  CHECK_FALSE(rx.try_receive_dead(std::span(room).first(7)));  // too small: it stays
  rx.async_receive_dead(net::buffer(room.data(), 7), [&](const error_code& e, std::size_t n) {
    ec = e;
    size = n;
  });
  settle(s.io);
  CHECK(ec == errc::message_too_large);
  CHECK(size == 0);
  CHECK(rx.try_receive_dead(room) == (std::same_as<TestType, of_leases> ? sizeof(tick) : 8u));
  CHECK(number() == 2);
  CHECK(rx.try_receive_dead(room));
  CHECK(number() == 3);
  CHECK_FALSE(rx.try_receive_dead(room));
}

TEMPLATE_TEST_CASE("a lease_timeout that is shorter than a look does not keep an event loop busy", "[dead]", of_leases,
                   of_held_messages) {
  const watchdog limit;
  shop<TestType> s(2, dying_after(0, 1ns));
  typename TestType::held h;
  TestType::async_take(s.rx[0], [&](const error_code& ec, typename TestType::held taken) {
    CHECK(ec == error_code());
    h = std::move(taken);
  });
  for (int i = 0; i != 100; ++i) s.io.poll();
  CHECK_FALSE(h);
  s.send(9);
  REQUIRE(run(s.io));
  CHECK(h);
}

TEMPLATE_TEST_CASE("an item that a stuck consumer holds is delivered again to one that waits, in every way", "[dead]",
                   of_leases, of_held_messages) {
  shop<TestType> s(2, dying_after(0, 50ms));
  s.send(9);
  typename TestType::held stuck, other;
  const auto late = [&] {
    CHECK_FALSE(TestType::end(stuck));
    CHECK_FALSE(stuck.requeue());
    CHECK_FALSE(stuck.reject());
  };
  SECTION("in a reactor") {
    stuck = TestType::take(s.rx[0]);
    REQUIRE(stuck);
    TestType::async_take(s.rx[1], [&](const error_code& ec, typename TestType::held h) {
      CHECK(ec == error_code());
      other = std::move(h);
    });
    REQUIRE(run(s.io));
  }
  SECTION("in a reactor that has slept before the item was taken") {
    const auto from = std::chrono::steady_clock::now();
    TestType::async_take(s.rx[0], [&](const error_code& ec, typename TestType::held h) {
      CHECK(ec == error_code());
      stuck = std::move(h);
      TestType::async_take(s.rx[1], [&](const error_code&, typename TestType::held again) { other = std::move(again); });
    });
    REQUIRE(run(s.io));
    CHECK(std::chrono::steady_clock::now() - from >= 50ms);
  }
  SECTION("in a blocking call, by its room or by a lease") {
    stuck = TestType::take(s.rx[0]);
    typename TestType::channel::consumer::value_type v{};
    CHECK(s.rx[1].receive(v, 60s) == error_code());
    CHECK(number(v) == 9);
    return late();
  }
  SECTION("in a foreign loop") {
    stuck = TestType::take(s.rx[0]);
    const native_handle_type handle = s.rx[1].native_handle();
    for (int rounds = 0; rounds != 100 && !(other = TestType::take(s.rx[1])); ++rounds) {
      if (s.rx[1].prepare_wait()) CHECK(becomes_ready(handle, 60s));
      CHECK(s.rx[1].finish_wait() == error_code());
    }
  }
  SECTION("by the same consumer") {
    stuck = TestType::take(s.rx[0]);
    TestType::async_take(s.rx[0], [&](const error_code&, typename TestType::held h) { other = std::move(h); });
    REQUIRE(run(s.io));
  }
  REQUIRE(stuck);
  REQUIRE(other);
  CHECK(TestType::number(other) == 9);
  CHECK(other.deliveries() == 2);
  late();
  CHECK(TestType::end(other));
  CHECK_FALSE(TestType::take(s.rx[1]));
}

TEMPLATE_TEST_CASE("an item that stuck consumers hold too often is dead, and wakes those that wait for dead ones", "[dead]",
                   of_leases, of_held_messages) {
  shop<TestType> s(2, dying_after(1, 50ms));
  s.send(9);
  auto stuck = TestType::take(s.rx[0]);
  REQUIRE(stuck);
  dead_receiver<TestType> f;
  s.rx[1].async_receive_dead(f.handler());
  REQUIRE(run(s.io));
  CHECK(f.calls == 1);
  CHECK(TestType::number(f.dead) == 9);
  CHECK_FALSE(TestType::end(stuck));
  CHECK(TestType::end(f.dead));
}

TEST_CASE("only some rings deliver again, and only so often", "[dead]") {
  net::io_context io;
  error_code ec;
  const std::string name = unique_name("dead-options");
  const auto refused = [&](auto kit, const channel_options& o) {
    typename decltype(kit)::channel::producer tx(io, name, o, ec);
    const bool no = ec == std::errc::invalid_argument && !tx.is_open();
    tx.close();
    return no;
  };
  for (const channel_options& o : {dying_after(1), dying_after(0, 1ns)}) {
    CHECK(refused(of_values(), o));
    CHECK(refused(of_bytes(), o));
    CHECK(refused(of_ring<latest<tick>>(), o));
    CHECK_FALSE(refused(of_leases(), o));
    CHECK_FALSE(refused(of_held_messages(), o));
    channel<byte_call_ring>::client c(io, name, o, ec);  // its calls, too, but it has no leases
    CHECK(c.is_open() == (o.lease_timeout == 0ns));
    CHECK((c.is_open() || ec == std::errc::invalid_argument));
  }
  CHECK(refused(of_leases(), dying_after(256)));
  CHECK_FALSE(refused(of_leases(), dying_after(255)));
  CHECK(refused(of_held_messages(), dying_after(0, -1ns)));
}

TEST_CASE("max_deliveries and lease_timeout are those of the creator", "[dead]") {
  shop<of_leases> s(1, dying_after(1, 1h));
  auto other = meet<of_leases::channel>::consumer(s.io, s.name, of_leases::with(dying_after(0)));
  auto producer = meet<of_leases::channel>::producer(s.io, s.name, of_leases::with(dying_after(7, 2h)));
  s.send(1);
  auto held = other.try_receive_lease();
  CHECK(held.requeue());
  CHECK_FALSE(other.try_receive_lease());
  CHECK(s.all_dead() == std::vector<std::uint64_t>{1});
}
