// native_handle, prepare_wait and finish_wait: an event loop that is not Asio's.
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
  CHECK_FALSE(is_ready(handle));       // awake: nobody rings
  CHECK_FALSE(c.rx.prepare_wait());    // look at once
  CHECK_FALSE(c.rx.finish_wait());
  CHECK(number(*c.rx.try_receive()) == 2);
  CHECK(c.rx.native_handle() == handle);
}

TEMPLATE_TEST_CASE("room for a producer", "[foreign_loop]", of_values, of_bytes) {
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

TEMPLATE_TEST_CASE("a whole stream through poll", "[foreign_loop]", of_values, of_bytes) {
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

TEMPLATE_TEST_CASE("what is in the ring comes before the end", "[foreign_loop]", of_values, of_bytes) {
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
  CHECK(c.rx.finish_wait() == errc::closed);

  // Another one comes: it is open again.
  auto next = c.another_producer();
  CHECK_FALSE(c.rx.finish_wait());
  CHECK(c.rx.prepare_wait());
  next.try_send(c.values.make(2));
  CHECK(is_ready(handle));
  CHECK_FALSE(c.rx.finish_wait());
  CHECK(number(*c.rx.try_receive()) == 2);
}

TEST_CASE("a death makes the handle ready, and is told once", "[foreign_loop]") {
  const std::string name = unique_name("death");
  const watchdog guard;
  net::io_context io;
  of_values::channel::consumer rx(io, name);
  const native_handle_type handle = rx.native_handle();
  victim tx(name, producer_role, [](member& m) {
    of_values::channel::ring_type::writer(m.segment().ring()).push({1, 0});
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

TEMPLATE_TEST_CASE("poll and asynchronous operations by turns", "[foreign_loop]", of_values, of_bytes) {
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

TEST_CASE("what has rung for a call that blocks does not ring for the loop", "[foreign_loop]") {
  const std::string name = unique_name("rung");
  const watchdog guard;
  net::io_context io;
  of_values::channel::consumer rx(io, name);
  const native_handle_type handle = rx.native_handle();
  member tx(name, producer_role);
  REQUIRE(tx.join() == member::joined::yes);
  REQUIRE_FALSE(rx.finish_wait());  // the newcomer has rung
  std::jthread sender([&] {
    while (!is_marked(tx, consumer_role, 1)) std::this_thread::yield();
    of_values::channel::ring_type::writer(tx.segment().ring()).push({7, 0});
    tx->notify();
  });
  of_values::channel::consumer::value_type v;
  CHECK(rx.receive(v) == error_code());
  CHECK(v.seq == 7);
  REQUIRE(rx.prepare_wait());
  CHECK_FALSE(is_ready(handle));
  CHECK_FALSE(rx.finish_wait());
}
