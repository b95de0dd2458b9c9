// The promises of every ring between two processes, and when one of them is killed. (Every test may run with
// BELFRY_TEST_MEET, see support/meeting.hpp.)
#include "channel/next_number.hpp"
#include "support/arrivals.hpp"
#include "support/process.hpp"

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;

TEMPLATE_LIST_TEST_CASE("every ring: the other side may be another process", "[every_ring]", every_ring) {
  const watchdog dog;
  if (way_to_meet() == meeting::by_handles) return;  // tests/processes/handles.cpp
  const std::string name = unique_name("every-process");
  constexpr std::uint64_t count = 500;
  net::io_context io;
  auto rx = consumer_of<TestType>(io, name);
  child producer([&] {
    net::io_context own;
    TestType values;
    auto tx = producer_of<TestType>(own, name);
    for (std::uint64_t n = 1; n <= count; ++n) EXPECT_EQ(tx.send(values.make(n)), error_code());
  });
  arrivals arrived(TestType::channel::ring_type::traits);
  error_code ec;
  while (ec != errc::closed) {
    const std::uint64_t n = next_number(rx, ec);
    if (ec == errc::lagged || ec == errc::closed) continue;
    REQUIRE(ec == error_code());
    REQUIRE(arrived.add(n));
  }
  CHECK(arrived.largest() == count);
  CHECK(arrived.none_missing());
  CHECK(producer.wait() == 0);
}

TEMPLATE_LIST_TEST_CASE("every ring: the death of a producer is reported once, and the next one continues",
                        "[every_ring]", every_ring) {
  const watchdog dog;
  if (way_to_meet() == meeting::by_handles) return;
  const std::string name = unique_name("every-death");
  net::io_context io;
  auto rx = consumer_of<TestType>(io, name);
  error_code ec;
  for (std::uint64_t run = 1; run <= 3; ++run) {
    const event sent;
    child producer([&] {
      net::io_context own;
      TestType values;
      auto tx = producer_of<TestType>(own, name);
      EXPECT(tx.try_send(values.make(run)));
      sent.set();
      for (;;) ::pause();
    });
    sent.wait();
    CHECK(next_number(rx, ec) == run);
    producer.kill_unreaped();
    next_number(rx, ec);
    CHECK(ec == errc::peer_died);
  }
  TestType values;
  auto tx = producer_of<TestType>(io, name);
  tx.try_send(values.make(9));
  CHECK(next_number(rx, ec) == 9);
}

TEMPLATE_LIST_TEST_CASE("every ring: a killed consumer holds no other up", "[every_ring]", every_ring) {
  const watchdog dog;
  if (way_to_meet() == meeting::by_handles) return;
  const std::string name = unique_name("every-consumer");
  net::io_context io;
  TestType values;
  auto tx = producer_of<TestType>(io, name);
  const event joined;
  child consumer([&] {
    net::io_context own;
    auto rx = consumer_of<TestType>(own, name);
    joined.set();
    for (;;) ::pause();
  });
  joined.wait();
  std::uint64_t n = 0;
  while (n != 300 && tx.try_send(values.make(n + 1))) ++n;
  consumer.kill_unreaped();
  // Another one joins; then there is room again.
  auto rx = consumer_of<TestType>(io, name);
  std::uint64_t last = 0;
  while (last != 1000) {
    while (n != 1000 && tx.try_send(values.make(n + 1))) ++n;
    error_code ec;
    const std::uint64_t got = next_number(rx, ec);
    if (ec == errc::lagged) continue;
    REQUIRE(ec == error_code());
    REQUIRE(got > last);
    last = got;
  }
}

TEST_CASE("a consumer in another process that is killed holds nothing", "[byte_broadcast]") {
  const watchdog dog;
  if (way_to_meet() == meeting::by_handles) return;
  using channel = belfry::channel<byte_broadcast_ring<overflow::overwrite>>;
  channel_options options;
  options.slots = 4;
  options.message_bytes = 4096;
  options.start = start::oldest;
  const std::string name = unique_name("killed-holder");
  net::io_context io;
  of_bytes values;
  auto tx = meet<channel>::producer(io, name, options);
  for (std::uint64_t n = 0; n != 4; ++n) tx.try_send(values.make(n));
  const event holds;
  child holder([&] {
    net::io_context own;
    auto rx = meet<channel>::consumer(own, name, options);
    std::vector<message> held(4);
    EXPECT_EQ(rx.try_receive_n(held), std::size_t{4});
    holds.set();
    for (;;) ::pause();
  });
  holds.wait();
  CHECK(tx.pinned() == 1);
  if (way_to_meet() == meeting::by_name) {
    const channel_info info = inspect(name);
    CHECK(info.problem.empty());
    CHECK(info.overwrites);
    CHECK(info.message_bytes == 4096);
    CHECK(info.unread == 4u);
    REQUIRE(info.participants.size() == 2);
    CHECK(info.participants[0].held == std::nullopt);
    CHECK(info.participants[1].held == 4u);
  }
  told t;
  tx.async_send(values.make(4), t.handler());
  settle(io);
  CHECK(t.calls == 0);
  holder.kill_unreaped();
  REQUIRE(run(io));
  CHECK(t.ec == error_code());  // there was room as soon as the death was noticed
  CHECK(tx.pinned() == 0);
  CHECK(tx.send(values.make(5)) == error_code());
  tx.close();
  meet<channel>::forget(name);
}

TEST_CASE("a peer that is killed ends the wait", "[blocking]") {
  const std::string name = unique_name("killed");
  const watchdog guard;
  event ready;
  child producer([&] {
    net::io_context io;
    of_values::channel::producer tx(io, name);
    tx.try_send({1, 0});
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  net::io_context io;
  of_values::channel::consumer rx(io, name);
  tick t{};
  CHECK(rx.receive(t) == error_code());
  CHECK(rx.receive(t, 1ms) == net::error::timed_out);
  std::jthread killer([&] { producer.kill(); });
  CHECK(rx.receive(t) == errc::peer_died);
  killer.join();
  CHECK(rx.receive(t, 1ms) == net::error::timed_out);  // reported once
}
