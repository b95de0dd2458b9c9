// A lapped consumer is told of every loss, by whichever operation; no loss is reported as another error.
#include "support/rings.hpp"

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;

namespace {

/// An overwriting broadcast_ring of four values, whose consumer begins with the oldest.
struct of_lossy_feed {
  using channel = belfry::channel<broadcast_ring<tick, 4, overflow::overwrite>>;
  static channel_options options() {
    channel_options o;
    o.start = start::oldest;
    return o;
  }
  static tick make(std::uint64_t n) { return {n, 0}; }
};

struct feed : linked<of_lossy_feed> {
  using linked::linked;
  /// Sends this many further values.
  void send(std::uint64_t count) {
    for (; count != 0; --count) tx.try_send({sent++, 0});
  }
  std::uint64_t sent = 0;
};

}  // namespace

TEST_CASE("two losses of the same size are reported separately", "[lagging]") {
  feed c("equal");
  tick t{};
  for (std::uint64_t n = 1; n != 4; ++n) {
    c.send(10);
    CHECK(c.rx.receive(t, 0ns) == errc::lagged);
    CHECK(c.rx.lost() == 6);
    CHECK(c.rx.total_lost() == 6 * n);
    for (int i = 0; i != 4; ++i) CHECK(c.rx.receive(t, 0ns) == error_code());
    CHECK(t.seq + 1 == c.sent);
    CHECK(c.rx.receive(t, 0ns) == net::error::timed_out);
  }
}

TEST_CASE("a loss that try_receive skipped is reported by the next operation that can", "[lagging]") {
  feed c("try");
  const bool in_batches = GENERATE(false, true);
  const auto nothing = [&] {
    std::array<tick, 2> room{};
    return in_batches ? c.rx.try_receive_n(room) == 0 : !c.rx.try_receive();
  };
  c.send(10);
  CHECK(nothing());
  CHECK(c.rx.total_lost() == 6);
  CHECK(c.rx.lost() == 0);  // not reported yet
  SECTION("finish_wait, before the values in the ring") {
    CHECK_FALSE(c.rx.prepare_wait());
    CHECK(c.rx.finish_wait() == errc::lagged);
    CHECK(c.rx.lost() == 6);
    CHECK_FALSE(c.rx.finish_wait());
    CHECK(c.rx.try_receive()->seq == 6);
  }
  SECTION("receive") {
    tick t{};
    CHECK(c.rx.receive(t) == errc::lagged);
    CHECK(c.rx.lost() == 6);
    CHECK(c.rx.receive(t) == error_code());
    CHECK(t.seq == 6);
  }
  SECTION("async_receive, async_receive_n, a coroutine") {
    told t;
    std::array<tick, 8> room{};
    if (in_batches) {
      c.rx.async_receive_n(room, t.counter());
      REQUIRE(run(c.io));
    } else {
      run_coroutine(c.io, [&]() -> net::awaitable<void> {
        co_await c.tx.async_wait(net::use_awaitable);  // suspended once
        auto [ec, v] = co_await c.rx.async_receive(use_tuple);
        t.note(ec);
      });
    }
    CHECK(t.ec == errc::lagged);
    CHECK(c.rx.lost() == 6);
  }
  SECTION("async_wait does not sleep over it") {
    CHECK(drain(c.rx).size() == 4);
    told t;
    c.rx.async_wait(t.handler());
    REQUIRE(run(c.io));
    CHECK_FALSE(t.ec);
    CHECK(c.rx.finish_wait() == errc::lagged);
  }
  SECTION("several losses are reported as one with their sum") {
    CHECK(c.rx.try_receive()->seq == 6);
    c.send(10);
    CHECK(nothing());
    CHECK(c.rx.total_lost() == 15);
    CHECK(c.rx.finish_wait() == errc::lagged);
    CHECK(c.rx.lost() == 15);
    CHECK_FALSE(c.rx.finish_wait());
  }
}

TEST_CASE("every missing value of a stream was reported as lost", "[lagging]") {
  const watchdog guard;
  feed c("account");
  const native_handle_type handle = c.rx.native_handle();
  const std::uint64_t total = static_cast<std::uint64_t>(often(400000));
  const bool blocking = GENERATE(true, false);
  std::jthread sender([&] {
    c.send(total);
    c.tx.close();
  });
  std::uint64_t received = 0;
  std::uint64_t told = 0;
  std::uint64_t misplaced = 0;
  std::uint64_t next = 0;
  for (error_code ec; ec != errc::closed;) {
    const auto take = [&](const tick& t) {
      misplaced += t.seq != next;
      next = t.seq + 1;
      ++received;
    };
    if (blocking) {
      tick t{};
      ec = c.rx.receive(t, 0ns);
      if (!ec) take(t);
    } else {
      while (const auto t = c.rx.try_receive()) take(*t);
      if (c.rx.prepare_wait()) becomes_ready(handle, 60s);
      ec = c.rx.finish_wait();
    }
    if (ec == errc::lagged) {
      told += c.rx.lost();
      next += c.rx.lost();
    }
  }
  CHECK(received + told == total);
  CHECK(misplaced == 0);
  CHECK(c.rx.total_lost() == told);
}
