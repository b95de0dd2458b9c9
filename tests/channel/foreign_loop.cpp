// native_handle, prepare_wait and finish_wait: an event loop other than Asio's.
#include "support/member.hpp"

using namespace belfry;
using namespace belfry::test;

namespace {

bool wait(native_handle_type handle) {
  pollfd p{handle, POLLIN, 0};
  return ::poll(&p, 1, 60000) == 1;
}

}  // namespace

TEMPLATE_TEST_CASE("the handle is ready when there is a reason to look", "[foreign_loop]", of_values,
                   of_bytes) {
  linked<TestType> c("handle");
  const native_handle_type handle = c.rx.native_handle();
  REQUIRE(handle >= 0);
  CHECK(c.rx.native_handle() == handle);
  c.rx.finish_wait();
  CHECK_FALSE(is_ready(handle));

  REQUIRE(c.rx.prepare_wait());
  CHECK_FALSE(is_ready(handle));
  c.tx.try_send(c.values.make(1));
  CHECK(is_ready(handle));
  CHECK_FALSE(c.rx.finish_wait());
  CHECK_FALSE(is_ready(handle));
  CHECK(number(*c.rx.try_receive()) == 1);

  c.tx.try_send(c.values.make(2));
  CHECK_FALSE(is_ready(handle));       // awake: not notified
  CHECK_FALSE(c.rx.prepare_wait());    // look at once
  CHECK_FALSE(c.rx.finish_wait());
  CHECK(number(*c.rx.try_receive()) == 2);
  CHECK(c.rx.native_handle() == handle);
}

TEMPLATE_TEST_CASE("the handle of a producer is ready when there is room",
                   "[foreign_loop]", of_values, of_bytes) {
  linked<TestType> c("room");
  const native_handle_type handle = c.tx.native_handle();
  CHECK_FALSE(c.tx.prepare_wait());  // there is room
  CHECK_FALSE(c.tx.finish_wait());
  const std::size_t sent = fill(c.tx, c.values);
  REQUIRE(c.tx.prepare_wait());
  CHECK_FALSE(is_ready(handle));
  drain(c.rx);
  CHECK(is_ready(handle));
  CHECK_FALSE(c.tx.finish_wait());
  CHECK(c.tx.try_send(c.values.make(sent)));
}

TEMPLATE_TEST_CASE("a stream through poll()", "[foreign_loop]", of_values, of_bytes) {
  linked<TestType> c("stream");
  const watchdog guard;
  const std::uint64_t total = static_cast<std::uint64_t>(often(50000));
  const native_handle_type sender_handle = c.tx.native_handle();
  const native_handle_type handle = c.rx.native_handle();
  std::jthread sender([&] {
    for (std::uint64_t n = 0; n != total;) {
      if (c.tx.try_send(c.values.make(n))) {
        ++n;
        continue;
      }
      if (c.tx.prepare_wait()) wait(sender_handle);
      if (c.tx.finish_wait()) break;
    }
    c.tx.close();
  });
  std::uint64_t expected = 0;
  error_code end;
  while (!end) {
    while (auto v = c.rx.try_receive()) {
      if (number(*v) == expected) ++expected;
    }
    if (c.rx.prepare_wait() && !wait(handle)) break;
    end = c.rx.finish_wait();
  }
  sender.join();
  CHECK(end == errc::closed);
  CHECK(expected == total);
}

TEMPLATE_TEST_CASE("values in the ring are received before closed", "[foreign_loop]", of_values, of_bytes) {
  linked<TestType> c("end");
  const native_handle_type handle = c.rx.native_handle();
  REQUIRE(c.rx.prepare_wait());
  c.tx.try_send(c.values.make(1));
  c.tx.close();
  CHECK(is_ready(handle));
  CHECK_FALSE(c.rx.finish_wait());
  CHECK_FALSE(c.rx.prepare_wait());
  CHECK_FALSE(c.rx.finish_wait());
  CHECK(number(*c.rx.try_receive()) == 1);
  CHECK_FALSE(c.rx.prepare_wait());
  CHECK(c.rx.finish_wait() == errc::closed);
  CHECK_FALSE(c.rx.finish_wait());  // reported once

  // The loop sleeps until another producer joins; then the channel is open again.
  CHECK_FALSE(c.rx.has_peer());
  REQUIRE(c.rx.prepare_wait());
  CHECK_FALSE(is_ready(handle));
  auto next = c.another_producer();
  CHECK(is_ready(handle));
  CHECK_FALSE(c.rx.finish_wait());
  CHECK(c.rx.has_peer());
  CHECK(c.rx.prepare_wait());
  next.try_send(c.values.make(2));
  CHECK(is_ready(handle));
  CHECK_FALSE(c.rx.finish_wait());
  CHECK(number(*c.rx.try_receive()) == 2);
}

TEST_CASE("a death makes the handle ready, and is reported once", "[foreign_loop]") {
  const std::string name = unique_name("death");
  const watchdog guard;
  net::io_context io;
  of_values::channel::consumer rx(io, name);
  const native_handle_type handle = rx.native_handle();
  victim tx(name, producer_role, [](member& m) {
    of_values::channel::ring_type::writer(m.segment().ring(), m->slot()).push({1, 0});
  });
  rx.prepare_wait();
  CHECK_FALSE(rx.finish_wait());
  CHECK(rx.try_receive()->seq == 1);
  REQUIRE(rx.prepare_wait());
  tx.kill();
  CHECK(wait(handle));
  CHECK(rx.finish_wait() == errc::peer_died);
  CHECK_FALSE(rx.finish_wait());
  CHECK_FALSE(is_ready(handle));

  // A successor, watched by the same handle.
  victim next(name, producer_role);
  CHECK(is_ready(handle));
  CHECK_FALSE(rx.finish_wait());
  REQUIRE(rx.prepare_wait());
  next.kill();
  CHECK(wait(handle));
  CHECK(rx.finish_wait() == errc::peer_died);
}

TEMPLATE_TEST_CASE("poll and asynchronous operations alternate", "[foreign_loop]", of_values, of_bytes) {
  linked<TestType> c("turns");
  const native_handle_type handle = c.rx.native_handle();
  told t;
  for (std::uint64_t n = 0; n != 10; ++n) {
    c.rx.async_receive(t.receiver());
    settle(c.io);
    c.tx.try_send(c.values.make(n));
    REQUIRE(run(c.io));
    CHECK(t.value == n);

    REQUIRE(c.rx.prepare_wait());
    CHECK_FALSE(is_ready(handle));
    c.tx.try_send(c.values.make(n));
    CHECK(is_ready(handle));
    CHECK_FALSE(c.rx.finish_wait());
    CHECK(number(*c.rx.try_receive()) == n);
  }
}

TEST_CASE("a notification for a blocking call does not make the handle ready afterwards", "[foreign_loop]") {
  const std::string name = unique_name("rung");
  const watchdog guard;
  net::io_context io;
  of_values::channel::consumer rx(io, name);
  const native_handle_type handle = rx.native_handle();
  member tx(name, producer_role);
  REQUIRE(tx.join() == member::joined::yes);
  REQUIRE_FALSE(rx.finish_wait());  // the newcomer has notified
  std::jthread sender([&] {
    while (!is_marked(tx, consumer_role, 1)) std::this_thread::yield();
    of_values::channel::ring_type::writer(tx.segment().ring(), tx->slot()).push({7, 0});
    tx->notify();
  });
  of_values::channel::consumer::value_type v;
  CHECK(rx.receive(v) == error_code());
  CHECK(v.seq == 7);
  REQUIRE(rx.prepare_wait());
  CHECK_FALSE(is_ready(handle));
  CHECK_FALSE(rx.finish_wait());
}

TEMPLATE_TEST_CASE("a loop is told once each time the other side leaves, and sleeps in between",
                   "[foreign_loop]", of_values, of_bytes) {
  linked<TestType> c("comes-and-goes");
  const native_handle_type handle = c.rx.native_handle();
  std::vector<error_code> said;
  std::vector<std::uint64_t> got;
  int sleeps = 0;
  const auto turn = [&] {  // runs the loop until it sleeps
    for (;; ++sleeps) {
      for (const std::uint64_t n : drain(c.rx)) got.push_back(n);
      const bool sleep = c.rx.prepare_wait();
      if (sleep && !is_ready(handle)) return;
      if (const error_code ec = c.rx.finish_wait()) said.push_back(ec);
      REQUIRE(sleeps < 100);
    }
  };
  turn();
  c.tx.close();
  turn();
  CHECK(said == std::vector<error_code>(1, errc::closed));
  for (std::uint64_t n = 0; n != 3; ++n) {
    // Joined, sent and left while the loop did not look.
    auto next = c.another_producer();
    next.try_send(c.values.make(n));
    next.close();
    CHECK(c.rx.has_peer());
    turn();
    CHECK_FALSE(c.rx.has_peer());
  }
  CHECK(said == std::vector<error_code>(4, errc::closed));
  CHECK(got == std::vector<std::uint64_t>{0, 1, 2});
  // An operation still gets the error.
  typename TestType::channel::consumer::value_type v;
  c.rx.finish_wait();
  CHECK(c.rx.receive(v, std::chrono::nanoseconds(0)) == errc::closed);
}

TEMPLATE_TEST_CASE("a producer's loop is told once that its consumer has left", "[foreign_loop]", of_values,
                   of_bytes) {
  linked<TestType> c("gone-consumer");
  const native_handle_type handle = c.tx.native_handle();
  fill(c.tx, c.values);
  REQUIRE(c.tx.prepare_wait());
  c.rx.close();
  CHECK(is_ready(handle));
  CHECK(c.tx.finish_wait() == errc::closed);
  CHECK_FALSE(c.tx.has_peer());
  REQUIRE(c.tx.prepare_wait());
  CHECK_FALSE(is_ready(handle));
  auto next = c.another_consumer();
  CHECK(is_ready(handle));
  CHECK_FALSE(c.tx.finish_wait());
  CHECK(c.tx.has_peer());
  REQUIRE(c.tx.prepare_wait());
  CHECK(next.try_receive());
  CHECK(is_ready(handle));
  CHECK_FALSE(c.tx.finish_wait());
}

TEST_CASE("the death of one producer does not hide that another one left", "[foreign_loop]") {
  const std::string name = unique_name("both");
  const watchdog guard;
  using jobs = channel<work_ring<test::tick, 16>>;
  net::io_context io;
  jobs::consumer rx(io, name);
  const native_handle_type handle = rx.native_handle();
  jobs::producer leaves(io, name);
  event ready;
  child dies([&] {
    net::io_context own;
    jobs::producer tx(own, name);
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  rx.prepare_wait();
  rx.finish_wait();
  leaves.close();
  REQUIRE(rx.prepare_wait());
  dies.kill();
  std::vector<error_code> said;
  while (said.size() != 2) {
    if (rx.prepare_wait()) REQUIRE(wait(handle));
    if (const error_code ec = rx.finish_wait()) said.push_back(ec);
  }
  CHECK(said == std::vector<error_code>{errc::peer_died, errc::closed});
  REQUIRE(rx.prepare_wait());
  CHECK_FALSE(is_ready(handle));
}
