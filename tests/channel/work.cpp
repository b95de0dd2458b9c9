// What a work_ring promises beyond every ring's promises: each item for one consumer, as many woken as there
// are items, leases, and a wake-up that is not lost with the consumer that was woken.
#include "support/rings.hpp"

#include <cerrno>
#include <functional>
#include <utility>
#include <vector>

#include <csignal>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

/// Called by the next ppoll(), which then fails: as if the system had no memory for it.
std::function<void()> at_next_sleep;

}  // namespace

extern "C" int ppoll(pollfd* handles, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  if (const auto f = std::exchange(at_next_sleep, nullptr)) {
    f();
    errno = ENOMEM;
    return -1;
  }
  timespec left{};  // the system call changes it
  if (timeout != nullptr) left = *timeout;
  return static_cast<int>(
      ::syscall(SYS_ppoll, handles, count, timeout == nullptr ? nullptr : &left, mask, _NSIG / 8));
}

using namespace belfry;
using namespace belfry::test;

namespace {

using errands = channel<work_ring<tick, 16>>;

/// A producer and several consumers, all in one context.
struct workshop {
  explicit workshop(std::size_t workers) : tx(meet<errands>::producer(io, name)) {
    for (std::size_t i = 0; i != workers; ++i) rx.push_back(meet<errands>::consumer(io, name));
    told.resize(workers);
  }
  ~workshop() {
    tx.close();
    rx.clear();
    meet<errands>::forget(name);
  }
  /// All wait, asleep.
  void wait() {
    for (std::size_t i = 0; i != rx.size(); ++i) rx[i].async_receive(told[i].receiver());
    settle(io);
  }
  int calls() const {
    int all = 0;
    for (const auto& t : told) all += t.calls;
    return all;
  }

  const std::string name = unique_name("work");
  net::io_context io;
  errands::producer tx;
  std::vector<errands::consumer> rx;
  std::vector<test::told> told;
};

}  // namespace

TEST_CASE("for every item one sleeping consumer is woken, and no other", "[work]") {
  workshop w(4);
  w.wait();
  for (int n = 1; n != 5; ++n) {
    w.tx.try_send({static_cast<std::uint64_t>(n), 0});
    settle(w.io);
    CHECK(w.calls() == n);
  }
  std::vector<std::uint64_t> got;
  for (const auto& t : w.told) got.push_back(t.value);
  std::sort(got.begin(), got.end());
  CHECK(got == std::vector<std::uint64_t>{1, 2, 3, 4});
}

TEST_CASE("a batch wakes as many consumers as it has items", "[work]") {
  workshop w(4);
  w.wait();
  const std::vector<tick> items{{1, 0}, {2, 0}, {3, 0}};
  CHECK(w.tx.try_send_n(items) == 3);
  settle(w.io);
  CHECK(w.calls() == 3);
}

TEST_CASE("a consumer that is woken and then cancelled hands off the wake-up", "[work]") {
  workshop w(3);
  w.wait();
  w.tx.try_send({7, 0});  // has woken the first of them
  const bool all = GENERATE(false, true);
  w.rx[0].cancel();
  if (all) w.rx[1].cancel();
  settle(w.io);
  CHECK(w.told[0].ec == net::error::operation_aborted);
  CHECK(w.told[all ? 2 : 1].value == 7);
}

TEST_CASE("a consumer that is woken and then closed hands off the wake-up", "[work]") {
  workshop w(2);
  w.wait();
  w.tx.try_send({7, 0});
  w.rx[0].close();
  settle(w.io);
  CHECK(w.told[0].ec == net::error::operation_aborted);
  CHECK(w.told[1].value == 7);
}

TEST_CASE("a consumer that is notified while already awake, and then cancelled, hands off the wake-up",
          "[work]") {
  workshop w(3);
  w.tx.try_send({1, 0});
  lease<tick> held = w.rx[0].try_receive_lease();
  REQUIRE(held);
  w.wait();
  w.tx.try_send({2, 0});  // has notified the first of them
  held.requeue();         // wakes the first, which notifies another one
  w.rx[0].cancel();
  settle(w.io);
  CHECK(w.told[0].ec == net::error::operation_aborted);
  CHECK(w.told[1].calls + w.told[2].calls == 2);
}

TEST_CASE("a consumer that only waits for peers is not woken for an item", "[work]") {
  const std::string name = unique_name("work-peer");
  net::io_context idle_io, busy_io;
  auto idle = meet<errands>::consumer(idle_io, name);
  auto busy = meet<errands>::consumer(busy_io, name);
  told there, received;
  idle.async_wait_peer(there.handler());  // asleep, until a producer joins
  busy.async_receive(received.receiver());
  settle(idle_io);
  settle(busy_io);
  auto tx = meet<errands>::producer(busy_io, name);
  settle(busy_io);  // has seen the producer, and sleeps again
  tx.try_send({5, 0});
  settle(busy_io);
  CHECK(received.value == 5);  // although the other one is the first in the roster, and does not run
  settle(idle_io);
  CHECK(there.calls == 1);
  tx.close();
  idle.close();
  busy.close();
  meet<errands>::forget(name);
}

TEST_CASE("a lease is acknowledged, given back, or dropped", "[work]") {
  workshop w(2);
  lease<tick> held;
  error_code ec = errc::protocol_error;
  w.rx[0].async_receive_lease([&](error_code e, lease<tick> l) {
    ec = e;
    held = std::move(l);
  });
  settle(w.io);
  w.tx.try_send({1, 0});
  settle(w.io);
  CHECK(ec == error_code());
  REQUIRE(held);
  CHECK(held.value().seq == 1);
  CHECK_FALSE(w.rx[1].try_receive());

  SECTION("acknowledged") {
    CHECK(held.ack());
    CHECK_FALSE(held.ack());
    CHECK_FALSE(held.requeue());
    CHECK_FALSE(w.rx[1].try_receive());
  }
  SECTION("given back, it wakes a waiting consumer") {
    w.rx[1].async_receive(w.told[1].receiver());
    settle(w.io);
    CHECK(held.requeue());
    settle(w.io);
    CHECK(w.told[1].value == 1);
  }
  SECTION("given back, it may be received again") {
    CHECK(held.requeue());
    CHECK(w.rx[0].try_receive()->seq == 1);
  }
  SECTION("destroyed") {
    held = {};
    CHECK(w.rx[1].try_receive()->seq == 1);
  }
  SECTION("its consumer is closed") {
    w.rx[0].close();
    CHECK(w.rx[1].try_receive()->seq == 1);
    CHECK_FALSE(held.ack());  // too late
  }
}

TEST_CASE("a cancelled async_receive_lease has taken nothing", "[work]") {
  workshop w(1);
  error_code ec;
  bool empty = false;
  w.rx[0].async_receive_lease([&](error_code e, lease<tick> l) {
    ec = e;
    empty = !l;
  });
  settle(w.io);
  w.tx.try_send({1, 0});
  w.rx[0].cancel();
  settle(w.io);
  CHECK(ec == net::error::operation_aborted);
  CHECK(empty);
  CHECK(w.rx[0].try_receive()->seq == 1);
}

TEST_CASE("a blocking receive that is woken and cannot sleep hands off the wake-up", "[work]") {
  const std::string name = unique_name("sleepless");
  net::io_context io, own;
  auto tx = meet<errands>::producer(io, name);
  auto blocking = meet<errands>::consumer(io, name);
  auto other = meet<errands>::consumer(own, name);
  told t;
  other.async_receive(t.receiver());
  settle(own);
  at_next_sleep = [&] { tx.try_send({7, 0.5}); };
  tick v{};
  CHECK(blocking.receive(v, std::chrono::seconds(60)) == std::errc::not_enough_memory);
  CHECK(run(own, std::chrono::seconds(5)));
  CHECK(t.value == 7);
  meet<errands>::forget(name);
}
