// Blocking calls that end early: by a request to stop, by a timeout, and with something arriving at that same
// moment.
#include "support/member.hpp"
#include "support/rings.hpp"

#include <stop_token>
#include <thread>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;

namespace {

/// Reads the segment without participating.
class watcher {
 public:
  explicit watcher(const std::string& name) {
    detail::failure f;
    segment_ = detail::segment::create_or_open(name, of_values::channel::ring_type::traits, {}, f);
    REQUIRE_FALSE(f);
  }
  bool is_parked(layout::role role, std::size_t slot) const {
    return segment_.header().parked[static_cast<std::size_t>(role)].slots[slot] != 0;
  }

 private:
  detail::segment segment_;
};

/// Requests a stop as soon as the participant in this slot sleeps.
class stopper {
 public:
  stopper(const std::string& channel, layout::role role, std::size_t slot)
      : watcher_(channel), thread_([this, role, slot] {
          while (!watcher_.is_parked(role, slot)) std::this_thread::yield();
          source_.request_stop();
        }) {}
  std::stop_token token() const { return source_.get_token(); }

 private:
  watcher watcher_;
  std::stop_source source_;
  std::jthread thread_;
};

struct pair_of_values {
  const std::string name = unique_name("interrupted");
  net::io_context io;
  of_values values;
  of_values::channel::producer tx{io, name};
  of_values::channel::consumer rx{io, name};
  ~pair_of_values() {
    tx.close();
    rx.close();
    error_code not_there;
    of_values::channel::unlink(name, not_there);
  }
};

}  // namespace

TEMPLATE_TEST_CASE("after a stop requested before the call nothing is received or sent",
                   "[interrupted]", of_values, of_bytes) {
  linked<TestType> c("before");
  std::stop_source stop;
  typename TestType::channel::consumer::value_type v;
  CHECK(c.tx.send(c.values.make(1), stop.get_token()) == error_code());
  CHECK(c.tx.send(c.values.make(2), stop.get_token(), 1s) == error_code());
  CHECK(c.rx.receive(v, stop.get_token()) == error_code());
  CHECK(number(v) == 1);
  stop.request_stop();
  CHECK(c.rx.receive(v, stop.get_token()) == net::error::operation_aborted);
  CHECK(c.tx.send(c.values.make(3), stop.get_token()) == net::error::operation_aborted);
  CHECK(drain(c.rx) == std::vector<std::uint64_t>{2});
  CHECK(c.rx.receive(v, stop.get_token(), 1h) == net::error::operation_aborted);
}

TEST_CASE("a sleeping receive is woken by a stop", "[interrupted]") {
  const watchdog guard;
  pair_of_values c;
  tick t{};
  {
    const stopper stop(c.name, consumer_role, 1);
    CHECK(c.rx.receive(t, stop.token()) == net::error::operation_aborted);
  }
  // The stop does not notify the bell afterwards, and the endpoint is unchanged.
  REQUIRE(c.rx.prepare_wait());
  CHECK_FALSE(is_ready(c.rx.native_handle()));
  CHECK_FALSE(c.rx.finish_wait());
  c.tx.try_send({5, 0});
  CHECK(c.rx.receive(t) == error_code());
  CHECK(t.seq == 5);
  const stopper stop(c.name, consumer_role, 1);
  CHECK(c.rx.receive(t, stop.token(), 1h) == net::error::operation_aborted);
}

TEST_CASE("a sleeping send is woken by a stop, and has sent nothing", "[interrupted]") {
  const watchdog guard;
  pair_of_values c;
  const std::size_t sent = fill(c.tx, c.values);
  {
    const stopper stop(c.name, producer_role, 0);
    CHECK(c.tx.send({99, 0}, stop.token()) == net::error::operation_aborted);
  }
  CHECK(drain(c.rx).size() == sent);
}

TEST_CASE("a stop may be requested at any moment", "[interrupted]") {
  const watchdog guard;
  pair_of_values c;
  for (int i = 0; i != often(3000); ++i) {
    std::stop_source stop;
    std::jthread other([&] { stop.request_stop(); });
    tick t{};
    REQUIRE(c.rx.receive(t, stop.get_token()) == net::error::operation_aborted);
  }
}

TEST_CASE("a stop after the call does nothing", "[interrupted]") {
  pair_of_values c;
  std::stop_source stop;
  tick t{};
  c.tx.try_send({1, 0});
  CHECK(c.rx.receive(t, stop.get_token()) == error_code());
  CHECK(c.rx.receive(t, stop.get_token(), 0ns) == net::error::timed_out);
  stop.request_stop();
  REQUIRE(c.rx.prepare_wait());
  CHECK_FALSE(is_ready(c.rx.native_handle()));
  CHECK_FALSE(c.rx.finish_wait());
}

TEST_CASE("a consumer that was woken for an item and is stopped hands off the wake-up", "[interrupted]") {
  const watchdog guard;
  const std::string name = unique_name("handed-on");
  using errands = channel<work_ring<tick, 16>>;
  net::io_context io;
  errands::producer tx(io, name);
  errands::consumer first(io, name);
  errands::consumer second(io, name);
  // The stop is requested, and the item sent, while the first one sleeps. Whichever it sees first, it
  // receives nothing, and the second one, also asleep, gets the item.
  for (int i = 0; i != often(300); ++i) {
    std::stop_source stop_first;
    error_code ec;
    std::jthread one([&] {
      tick t{};
      ec = first.receive(t, stop_first.get_token());
      if (!ec) tx.try_send(t);  // the first was in time to receive it: send again, for the second
    });
    tick got{};
    std::jthread two([&] { CHECK(second.receive(got) == error_code()); });
    tx.try_send({7, 0});
    stop_first.request_stop();
    two.join();
    one.join();
    CHECK(got.seq == 7);
    while (second.try_receive()) {
    }
  }
}

TEMPLATE_TEST_CASE("a timeout of zero or less ends at once, the largest never", "[interrupted]",
                   of_values, of_bytes) {
  linked<TestType> c("timeouts");
  const watchdog guard(20s);
  typename TestType::channel::consumer::value_type v;
  for (const auto timeout : {std::chrono::nanoseconds::min(), std::chrono::nanoseconds::min() + 1ns,
                             std::chrono::nanoseconds(-1h), 0ns}) {
    CHECK(c.rx.receive(v, timeout) == net::error::timed_out);
  }
  const std::size_t sent = fill(c.tx, c.values);
  for (const auto timeout : {std::chrono::nanoseconds::min(), std::chrono::nanoseconds(-1s), 0ns}) {
    CHECK(c.tx.send(c.values.make(sent), timeout) == net::error::timed_out);
  }
  CHECK(drain(c.rx).size() == sent);
  for (const auto timeout : {std::chrono::nanoseconds::max(), std::chrono::nanoseconds::max() - 1ns}) {
    std::jthread other([&] { c.tx.send(c.values.make(3)); });
    CHECK(c.rx.receive(v, timeout) == error_code());
    CHECK(number(v) == 3);
  }
}

TEST_CASE("an event at the deadline is reported as what it is", "[interrupted]") {
  using detail::outcome;
  using ring = broadcast_ring<tick, 4, overflow::overwrite>;
  const watchdog guard;
  const std::string name = unique_name("deadline");
  net::io_context io;
  const auto rx = std::make_shared<detail::consumer_endpoint<ring>>(io.get_executor(), channel_options{});
  detail::failure f;
  rx->open(name, f);
  REQUIRE_FALSE(f);
  /// Finds nothing before it sleeps; then returns what the test says.
  struct late final : detail::request {
    outcome try_once() noexcept override { return tries++ == 0 ? outcome::would_block : then; }
    bool ready() noexcept override { return false; }
    int tries = 0;
    outcome then = outcome::would_block;
  };
  const auto told_at_deadline = [&](outcome then) {
    late wanted;
    wanted.then = then;
    return rx->block(wanted, 1ms, {});
  };
  CHECK(told_at_deadline(outcome::done) == std::error_code());
  CHECK(told_at_deadline(outcome::would_block) == detail::timed_out());
  CHECK(told_at_deadline(outcome::lagged) == errc::lagged);
  CHECK(told_at_deadline(outcome::corrupted) == errc::corrupted);
  CHECK(told_at_deadline(outcome::too_large) == errc::message_too_large);
  CHECK(told_at_deadline(outcome::denied) == std::errc::permission_denied);
  rx->close();
}

TEST_CASE("a wait in the reactor that had ended before a blocking call does not end its sleep", "[interrupted]") {
  const watchdog guard;
  pair_of_values c;
  const watcher segment(c.name);
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  net::posix::stream_descriptor first(c.io, ends[0]);
  tick got{};
  error_code ec;
  std::jthread blocked;
  first.async_wait(net::posix::stream_descriptor::wait_read, [&](const error_code&) {
    // The reactor has found the bell ready, too, and says so after this handler.
    c.rx.cancel();
    CHECK(c.rx.try_receive());
    blocked = std::jthread([&] { ec = c.rx.receive(got, 20s); });
    while (!segment.is_parked(consumer_role, 1)) std::this_thread::yield();
  });
  told t;
  c.rx.async_receive(t.receiver());
  CHECK(::write(ends[1], "x", 1) == 1);
  CHECK(c.tx.try_send(c.values.make(1)));
  while (t.calls == 0) c.io.run_one();
  CHECK(t.ec == net::error::operation_aborted);
  // It may wake once for the bell of the first value; then it sleeps.
  while (!segment.is_parked(consumer_role, 1)) std::this_thread::yield();
  CHECK(c.tx.try_send(c.values.make(2)));
  blocked.join();
  CHECK(ec == error_code());
  CHECK(number(got) == 2);
  ::close(ends[1]);
}
