// Cancelled at every possible moment, a million times, while a producer in another process sends: every
// message arrives once, in order.
#include "support/process.hpp"
#include "support/rings.hpp"

#include <random>

using namespace belfry;
using namespace belfry::test;
using namespace net::experimental::awaitable_operators;

namespace {

struct progress {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> sent{0};
};

/// Sends numbers in bursts and at random intervals, mostly when the consumer waits for them.
template <class Kit>
child live_producer(const std::string& name, const shared<progress>& p) {
  return child([&name, &p] {
    net::io_context io;
    typename Kit::channel::producer tx(io, name, Kit::options());
    Kit values;
    std::minstd_rand random(1);
    std::uint64_t n = 0;
    while (!p->stop) {
      for (unsigned burst = random() % 4; burst != 0 && !p->stop; --burst) {
        EXPECT(tx.send(values.make(n)) == error_code());
        ++n;
      }
      const bool in_step = random() % 4 != 0;
      while (in_step && tx.size() != 0 && !p->stop) std::this_thread::yield();
      // Now and then so late that the timer must win.
      const auto pause = std::chrono::nanoseconds(random() % 200 == 0 ? 500'000 : random() % 4000);
      const auto until = std::chrono::steady_clock::now() + pause;
      while (std::chrono::steady_clock::now() < until) {
      }
    }
    p->sent = n;
  });
}

/// What the consumer has received; a lost, repeated or misordered message sets `wrong`.
struct account {
  std::uint64_t next = 0;
  std::uint64_t wrong = 0;
  std::uint64_t timeouts = 0;
  bool closed = false;

  template <class Value>
  void received(const error_code& ec, const Value& v) {
    if (ec == errc::closed) {
      closed = true;
    } else if (ec || number(v) != next++) {
      ++wrong;
    }
  }
};

template <class Kit, class Step>
account stress(std::string_view what, int rounds, Step step) {
  const std::string name = unique_name(what);
  const watchdog guard(std::chrono::seconds(240));
  const shared<progress> p;
  child producer = live_producer<Kit>(name, p);
  account a;
  {
    net::io_context io;
    typename Kit::channel::consumer rx(io, name, Kit::options());
    const auto all_rounds = [&]() -> net::awaitable<void> {
      std::minstd_rand random(2);
      net::steady_timer timer(io);
      for (int i = 0; i != rounds; ++i) {
        timer.expires_after(std::chrono::nanoseconds(random() % 5000));
        co_await step(rx, timer, a);
      }
      p->stop = true;
      while (!a.closed && a.wrong == 0) {
        const auto [ec, v] = co_await rx.async_receive(use_tuple);
        a.received(ec, v);
      }
    };
    bool ended = false;
    net::co_spawn(io, all_rounds, [&](std::exception_ptr e) {
      if (e) std::rethrow_exception(e);
      ended = true;
    });
    io.run();
    CHECK(ended);
  }
  p->stop = true;
  CHECK(producer.wait() == 0);
  CHECK(a.wrong == 0);
  CHECK(a.next == p->sent);
  CHECK(a.next > 0);
  return a;
}

template <class Consumer>
net::awaitable<void> receive_or_timer(Consumer& rx, net::steady_timer& timer, account& a) {
  auto result = co_await (rx.async_receive(use_tuple) || timer.async_wait(net::use_awaitable));
  if (result.index() == 0) {
    const auto& [ec, v] = std::get<0>(result);
    a.received(ec, v);
  } else {
    ++a.timeouts;
  }
}

template <class Consumer>
net::awaitable<void> wait_or_timer(Consumer& rx, net::steady_timer& timer, account& a) {
  const auto result = co_await (rx.async_wait(net::use_awaitable) || timer.async_wait(net::use_awaitable));
  if (result.index() == 1) ++a.timeouts;
  while (auto v = rx.try_receive()) a.received({}, *v);
}

template <class Consumer>
net::awaitable<void> receive_and_timer(Consumer& rx, net::steady_timer& timer, account& a) {
  const auto v = co_await (rx.async_receive(net::use_awaitable) && timer.async_wait(net::use_awaitable));
  a.received({}, v);
}

template <class Consumer>
net::awaitable<void> wait_and_timer(Consumer& rx, net::steady_timer& timer, account& a) {
  co_await (rx.async_wait(net::use_awaitable) && timer.async_wait(net::use_awaitable));
  while (auto v = rx.try_receive()) a.received({}, *v);
}

}  // namespace

TEST_CASE("async_receive || timer", "[cancellation_stress]") {
  SECTION("values") {
    const account a = stress<of_values>("receive-or", often(60000),
                                        receive_or_timer<of_values::channel::consumer>);
    CHECK(a.timeouts > 0);
  }
  SECTION("messages") {
    const account a = stress<of_bytes>("receive-or", often(60000),
                                       receive_or_timer<of_bytes::channel::consumer>);
    CHECK(a.timeouts > 0);
  }
}

TEST_CASE("async_wait || timer, and try_receive", "[cancellation_stress]") {
  SECTION("values") {
    const account a =
        stress<of_values>("wait-or", often(20000), wait_or_timer<of_values::channel::consumer>);
    CHECK(a.timeouts > 0);
  }
  SECTION("messages") {
    const account a =
        stress<of_bytes>("wait-or", often(20000), wait_or_timer<of_bytes::channel::consumer>);
    CHECK(a.timeouts > 0);
  }
}

TEST_CASE("async_receive && timer, async_wait && timer", "[cancellation_stress]") {
  stress<of_values>("receive-and", often(20000), receive_and_timer<of_values::channel::consumer>);
  stress<of_bytes>("wait-and", often(20000), wait_and_timer<of_bytes::channel::consumer>);
}

namespace {

/// cancel() after a random number of handlers: before, among and after those of the bell.
template <class Kit>
void cancel_at_every_moment() {
  const std::string name = unique_name("moments");
  const watchdog guard(std::chrono::seconds(240));
  const shared<progress> p;
  child producer = live_producer<Kit>(name, p);
  account a;
  std::uint64_t aborted = 0;
  std::uint64_t lost_handlers = 0;
  {
    net::io_context io;
    typename Kit::channel::consumer rx(io, name, Kit::options());
    std::minstd_rand random(3);
    for (int i = 0; i != often(40000); ++i) {
      std::array<bool, 2> called{};
      for (bool& c : called) {
        rx.async_receive([&](error_code ec, auto v) {
          c = true;
          if (ec == net::error::operation_aborted) {
            ++aborted;
          } else {
            a.received(ec, v);
          }
        });
      }
      io.restart();
      for (unsigned n = random() % 6; n != 0; --n) io.poll_one();
      rx.cancel();
      io.run();
      if (!called[0] || !called[1]) ++lost_handlers;
    }
    p->stop = true;
    while (!a.closed && a.wrong == 0) {
      typename Kit::channel::consumer::value_type v;
      const error_code ec = rx.receive(v);
      a.received(ec, v);
    }
  }
  CHECK(producer.wait() == 0);
  CHECK(lost_handlers == 0);
  CHECK(a.wrong == 0);
  CHECK(a.next == p->sent);
  CHECK(aborted > 0);
}

}  // namespace

TEST_CASE("cancel() at every moment", "[cancellation_stress]") {
  SECTION("values") { cancel_at_every_moment<of_values>(); }
  SECTION("messages") { cancel_at_every_moment<of_bytes>(); }
}
