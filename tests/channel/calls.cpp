// Clients and servers in one process: how calls end.
#include "support/calls.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;

namespace {

const auto every_type = {net::cancellation_type::terminal, net::cancellation_type::partial, net::cancellation_type::total};

template <class Handler>
auto slotted(net::cancellation_signal& signal, Handler handler) {
  return net::bind_cancellation_slot(signal.slot(), std::move(handler));
}

}  // namespace

// ---- replies ----------------------------------------------------------------------------------------------

TEST_CASE("a call is answered, whichever side is there first", "[calls]") {
  const bool accept_first = GENERATE(true, false);
  called t("answered");
  accepted a;
  outcome_of_call o;
  if (accept_first) {
    t.s.async_accept(a.handler());
    settle(t.io);
  }
  t.c.async_call({7, 1}, o.handler());
  CHECK(o.calls == 0);
  if (!accept_first) {
    settle(t.io);
    CHECK(t.c.size() == 1);
    t.s.async_accept(a.handler());
  }
  settle(t.io);
  CHECK(o.calls == 0);
  REQUIRE(a.calls == 1);
  CHECK_FALSE(a.ec);
  REQUIRE(a.call);
  CHECK(a.call.request().n == 7);
  CHECK(a.call.deliveries() == 1);
  CHECK(a.call.deadline() == std::chrono::steady_clock::time_point::max());
  CHECK_FALSE(a.call.cancelled());
  CHECK(a.call.reply({70, 1}));
  CHECK_FALSE(a.call);
  CHECK_FALSE(a.call.reply({71, 1}));
  CHECK(o.calls == 0);
  REQUIRE(run(t.io));
  CHECK(o.calls == 1);
  CHECK_FALSE(o.ec);
  CHECK(o.reply.n == 70);
  CHECK(t.c.size() == 0);
}

TEST_CASE("a coroutine calls, another one answers", "[calls]") {
  called t("coroutines");
  std::uint64_t sum = 0;
  run_coroutine(t.io, [&]() -> net::awaitable<void> {
    net::co_spawn(
        t.io,
        [&]() -> net::awaitable<void> {
          for (int i = 0; i != 1000; ++i) {
            question_call c = co_await t.s.async_accept(net::use_awaitable);
            c.reply({2 * c.request().n, 0});
          }
        },
        net::detached);
    for (std::uint64_t n = 0; n != 1000; ++n) {
      const answer a = co_await t.c.async_call({n, 0}, net::use_awaitable);
      if (a.n == 2 * n) ++sum;
    }
  });
  CHECK(sum == 1000);
}

TEST_CASE("calls are answered in any order, and each completes when its own reply is there", "[calls]") {
  called t("order");
  std::array<outcome_of_call, 3> o;
  for (std::uint64_t i = 0; i != 3; ++i) t.c.async_call({i, 0}, o[i].handler());
  std::array<question_call, 3> c;
  for (question_call& each : c) {
    each = t.s.try_accept();
    REQUIRE(each);
  }
  CHECK_FALSE(t.s.try_accept());
  for (const std::size_t i : {2u, 0u, 1u}) {
    CHECK(c[i].request().n == i);
    CHECK(c[i].reply({10 + i, 0}));
    settle(t.io);
    CHECK(o[i].calls == 1);
    CHECK(o[i].reply.n == 10 + i);
  }
}

TEST_CASE("more calls than places wait in turn", "[calls]") {
  called t("turn");
  std::array<outcome_of_call, 10> o;
  for (std::uint64_t i = 0; i != 10; ++i) t.c.async_call({i, 0}, o[i].handler());
  settle(t.io);
  CHECK(t.c.size() == 4);
  for (std::uint64_t i = 0; i != 10; ++i) {
    question_call c = t.s.try_accept();
    REQUIRE(c);
    CHECK(c.request().n == i);
    c.reply({i, 0});
    settle(t.io);
    CHECK(o[i].calls == 1);
    CHECK_FALSE(o[i].ec);
  }
}

TEST_CASE("a client that waits for a place gets one of another client", "[calls]") {
  called t("other");
  questions::client other = t.client();
  std::array<outcome_of_call, 4> o;
  for (std::uint64_t i = 0; i != 4; ++i) t.c.async_call({i, 0}, o[i].handler());
  outcome_of_call waiting;
  other.async_call({9, 0}, waiting.handler());
  settle(t.io);
  for (std::uint64_t i = 0; i != 4; ++i) t.s.try_accept().reply({i, 0});
  settle(t.io);
  CHECK(o[0].calls == 1);
  question_call c = t.s.try_accept();
  REQUIRE(c);
  CHECK(c.request().n == 9);

  SECTION("it is freed by a reply") {
    c.reply({90, 0});
    settle(t.io);
    CHECK(waiting.reply.n == 90);
  }
  SECTION("it is freed by a server whose call was cancelled") {
    std::array<outcome_of_call, 3> more;
    net::cancellation_signal signal;
    outcome_of_call cancelled;
    t.c.async_call({1, 0}, slotted(signal, cancelled.handler()));
    for (outcome_of_call& m : more) t.c.async_call({1, 0}, m.handler());
    question_call held = t.s.try_accept();
    REQUIRE(held);
    outcome_of_call second;
    other.async_call({5, 0}, second.handler());  // there is no place for it, and for the last of `more`
    settle(t.io);
    signal.emit(net::cancellation_type::terminal);
    settle(t.io);
    CHECK(cancelled.ec == net::error::operation_aborted);
    CHECK(held.cancelled());
    CHECK_FALSE(held.reply({1, 0}));
    settle(t.io);
    int got = 0;
    while (question_call k = t.s.try_accept()) {
      ++got;
      k.reply({0, 0});
      settle(t.io);
    }
    CHECK(got == 4);
    CHECK(second.calls == 1);
    c.reply({0, 0});
    settle(t.io);
  }
}

TEST_CASE("servers share the calls, and each reply finds its client", "[calls]") {
  called t("many");
  questions::client c2 = t.client();
  questions::server s2 = t.server();
  int answered = 0;
  std::array<int, 2> by{};
  const auto serve = [&](questions::server& s, std::uint64_t who) -> net::awaitable<void> {
    for (;;) {
      auto [ec, c] = co_await s.async_accept(use_tuple);
      if (ec) co_return;
      c.reply({c.request().n + 1, who});
    }
  };
  const auto ask = [&](questions::client& c, std::uint64_t first) -> net::awaitable<void> {
    for (std::uint64_t n = first; n != first + 200; ++n) {
      const answer a = co_await c.async_call({n, 0}, net::use_awaitable);
      if (a.n == n + 1) ++answered;
      ++by[a.by];
    }
    if (answered == 400) {
      t.s.cancel();
      s2.cancel();
    }
  };
  net::co_spawn(t.io, serve(t.s, 0), net::detached);
  net::co_spawn(t.io, serve(s2, 1), net::detached);
  net::co_spawn(t.io, ask(t.c, 0), net::detached);
  net::co_spawn(t.io, ask(c2, 1000), net::detached);
  REQUIRE(run(t.io));
  CHECK(answered == 400);
  CHECK(by[0] + by[1] == 400);
}

// ---- errors -------------------------------------------------------------------------------------------------

TEST_CASE("a server refuses a call, and its error code arrives", "[calls]") {
  called t("refused");
  for (const error_code why : {error_code(errc::closed), detail::to_net(std::make_error_code(std::errc::no_space_on_device)),
                               detail::to_net(std::error_code(5, std::system_category()))}) {
    outcome_of_call o;
    t.c.async_call({1, 0}, o.handler());
    question_call c = t.s.try_accept();
    REQUIRE(c);
    CHECK(c.fail(why));
    CHECK_FALSE(c);
    REQUIRE(run(t.io));
    CHECK(o.ec == errc::refused);
    CHECK(t.c.refusal() == why);
    CHECK(t.c.refusal().message() == why.message());
  }
  SECTION("of another category, or none") {
    for (const error_code why : {error_code(), error_code(net::error::eof)}) {
      outcome_of_call o;
      t.c.async_call({1, 0}, o.handler());
      CHECK(t.s.try_accept().fail(why));
      REQUIRE(run(t.io));
      CHECK(o.ec == errc::refused);
      CHECK(t.c.refusal() == errc::refused);
    }
  }
}

TEST_CASE("a call that is dropped unanswered may have been executed", "[calls]") {
  called t("dropped");
  outcome_of_call o;
  t.c.async_call({1, 0}, o.handler());
  settle(t.io);
  { const question_call c = t.s.try_accept(); }
  REQUIRE(run(t.io));
  CHECK(o.ec == errc::maybe_executed);
  CHECK(t.c.size() == 0);
}

TEST_CASE("a call that is dropped goes to another server, if its client says so", "[calls]") {
  channel_options again;
  again.retry = retry::another_server;
  called t("again", again);
  questions::server s2 = t.server();
  accepted a;
  s2.async_accept(a.handler());
  CHECK_FALSE(t.s.try_accept());
  settle(t.io);
  outcome_of_call o;
  t.c.async_call({1, 0}, o.handler());
  settle(t.io);
  REQUIRE(a.calls == 1);
  CHECK(a.call.deliveries() == 1);
  accepted b;
  t.s.async_accept(b.handler());
  settle(t.io);
  a.call = question_call();
  settle(t.io);
  REQUIRE(b.calls == 1);
  CHECK(b.call.deliveries() == 2);
  CHECK(b.call.reply({2, 0}));
  REQUIRE(run(t.io));
  CHECK(o.reply.n == 2);
}

TEST_CASE("a call ends when it was delivered max_deliveries times, and its client is told", "[calls]") {
  channel_options again;
  again.retry = retry::another_server;
  again.max_deliveries = 2;
  called t("too-often", again);
  std::optional<questions::server> last(t.server());
  std::array<outcome_of_call, 2> o;
  t.c.async_call({1, 0}, o[0].handler());
  settle(t.io);
  const auto take = [](questions::server& s, unsigned deliveries) {
    question_call c = s.try_accept();
    REQUIRE(c);
    CHECK(c.request().n == 1);
    CHECK(c.deliveries() == deliveries);
    return c;
  };
  { const question_call dropped = take(t.s, 1); }
  settle(t.io);
  CHECK(o[0].calls == 0);
  question_call held = take(*last, 2);
  SECTION("its last server drops it") { held = question_call(); }
  SECTION("its last server closes") { last->close(); }
  SECTION("its last server answers it") {
    CHECK(held.reply({5, 0}));
    settle(t.io);
    CHECK(o[0].ec == error_code());
    CHECK(o[0].reply.n == 5);
    return;
  }
  settle(t.io);
  REQUIRE(o[0].calls == 1);
  CHECK(o[0].ec == errc::maybe_executed);
  CHECK_FALSE(t.s.try_accept());
  CHECK(t.c.size() == 0);
  t.c.async_call({2, 0}, o[1].handler());
  CHECK(t.s.try_accept().reply({6, 0}));
  settle(t.io);
  CHECK(o[1].reply.n == 6);
  if (way_to_meet() == meeting::by_name) CHECK(inspect(t.name).max_deliveries == 2);
}

TEST_CASE("a call that is requeued has not been started", "[calls]") {
  called t("requeued");
  outcome_of_call o;
  t.c.async_call({1, 0}, o.handler());
  settle(t.io);
  question_call first = t.s.try_accept();
  REQUIRE(first);
  questions::server other = t.server();
  accepted second;
  other.async_accept(second.handler());
  settle(t.io);
  CHECK(second.calls == 0);
  CHECK(first.requeue());
  CHECK_FALSE(first);
  CHECK_FALSE(first.requeue());
  settle(t.io);
  REQUIRE(second.calls == 1);
  CHECK(second.call.deliveries() == 1);
  CHECK(second.call.requeue());
  CHECK(o.calls == 0);
  other.close();
  first = t.s.try_accept();
  REQUIRE(first);
  CHECK(first.deliveries() == 1);
  CHECK(first.reply({7, 0}));
  settle(t.io);
  CHECK(o.calls == 1);
  CHECK(o.reply.n == 7);

  // Nor does it wait for another server, if its client does not want that.
  channel_options impatient;
  impatient.wait_for_server = false;
  questions::client c = t.client(impatient);
  outcome_of_call none;
  c.async_call({2, 0}, none.handler());
  settle(t.io);
  first = t.s.try_accept();
  REQUIRE(first);
  CHECK(first.requeue());
  settle(t.io);
  CHECK(none.calls == 0);
  t.s.close();
  REQUIRE(run(t.io));
  CHECK(none.ec == errc::no_server);
}

TEST_CASE("a server that closes drops its calls", "[calls]") {
  const retry what = GENERATE(retry::never, retry::another_server);
  channel_options options;
  options.retry = what;
  called t("closes", options);
  outcome_of_call o;
  t.c.async_call({1, 0}, o.handler());
  settle(t.io);
  question_call c = t.s.try_accept();
  REQUIRE(c);
  questions::server s2 = t.server();
  t.s.close();
  settle(t.io);
  CHECK(c);
  CHECK(c.cancelled());
  CHECK_FALSE(c.reply({1, 0}));
  if (what == retry::never) {
    CHECK(o.ec == errc::maybe_executed);
  } else {
    CHECK(o.calls == 0);
    question_call second = s2.try_accept();
    REQUIRE(second);
    CHECK(second.deliveries() == 2);
    CHECK(second.reply({5, 0}));
    settle(t.io);
    CHECK(o.reply.n == 5);
  }
}

TEST_CASE("without a server a call waits, or ends at once", "[calls]") {
  channel_options o;
  SECTION("it waits") {
    called t("waits", o);
    t.s.close();
    outcome_of_call r;
    t.c.async_call({1, 0}, r.handler());
    settle(t.io);
    CHECK(r.calls == 0);
    questions::server s = t.server();
    settle(t.io);
    CHECK(s.try_accept().reply({3, 0}));
    REQUIRE(run(t.io));
    CHECK(r.reply.n == 3);
  }
  o.wait_for_server = false;
  SECTION("there is none") {
    called t("none", o);
    t.s.close();
    outcome_of_call r;
    t.c.async_call({1, 0}, r.handler());
    CHECK(r.calls == 0);
    REQUIRE(run(t.io));
    CHECK(r.ec == errc::no_server);
    answer a;
    CHECK(t.c.call({1, 0}, a) == errc::no_server);
    CHECK_FALSE(t.c.try_call({1, 0}));
    CHECK(t.c.size() == 0);
  }
  SECTION("the last one leaves before it has taken the call") {
    called t("leaves", o);
    outcome_of_call r;
    t.c.async_call({1, 0}, r.handler());
    settle(t.io);
    CHECK(r.calls == 0);
    t.s.close();
    REQUIRE(run(t.io));
    CHECK(r.ec == errc::no_server);
    CHECK(t.c.size() == 0);
  }
  SECTION("the last one leaves with a call that may go to another one") {
    o.retry = retry::another_server;
    called t("leaves-again", o);
    outcome_of_call r;
    t.c.async_call({1, 0}, r.handler());
    settle(t.io);
    const question_call c = t.s.try_accept();
    REQUIRE(c);
    t.s.close();
    REQUIRE(run(t.io));
    CHECK(r.ec == errc::maybe_executed);
  }
}

TEST_CASE("without a free place a call ends at once, if its client says so", "[calls]") {
  channel_options o;
  o.wait_for_place = false;
  called t("overloaded", o);
  std::array<outcome_of_call, 5> r;
  for (std::uint64_t i = 0; i != 5; ++i) t.c.async_call({i, 0}, r[i].handler());
  settle(t.io);
  CHECK(r[4].ec == errc::overloaded);
  CHECK(r[3].calls == 0);
  CHECK(t.s.try_accept().reply({0, 0}));
  settle(t.io);
  CHECK(r[0].calls == 1);
  outcome_of_call more;
  t.c.async_call({9, 0}, more.handler());
  settle(t.io);
  CHECK(more.calls == 0);
  CHECK(t.c.size() == 4);
}

// ---- deadlines ----------------------------------------------------------------------------------------------

TEST_CASE("a deadline passes before a server has the call: it was not started", "[calls]") {
  called t("not-started");
  outcome_of_call o;
  t.c.async_call({1, 0}, in(20ms), o.handler());
  REQUIRE(run(t.io));
  CHECK(o.ec == errc::not_started);
  CHECK(t.c.size() == 0);
  CHECK_FALSE(t.s.try_accept());

  SECTION("it had passed before") {
    outcome_of_call p;
    t.c.async_call({1, 0}, in(-1s), p.handler());
    CHECK(p.calls == 0);
    REQUIRE(run(t.io));
    CHECK(p.ec == errc::not_started);
  }
}

TEST_CASE("a deadline passes while a server has the call, which is told", "[calls]") {
  called t("exceeded");
  outcome_of_call o;
  const auto deadline = in(400ms);
  t.c.async_call({1, 0}, deadline, o.handler());
  accepted a;
  t.s.async_accept(a.handler());
  settle(t.io);
  REQUIRE(a.calls == 1);
  CHECK(a.call.deadline() == deadline);
  told cancelled;
  a.call.async_wait_cancelled(cancelled.handler());
  REQUIRE(run(t.io));
  CHECK(std::chrono::steady_clock::now() >= deadline);
  CHECK(o.ec == errc::deadline_exceeded);
  CHECK(cancelled.calls == 1);
  CHECK_FALSE(cancelled.ec);
  CHECK(a.call.cancelled());
  CHECK_FALSE(a.call.reply({1, 0}));
  CHECK(t.c.size() == 0);
}

TEST_CASE("a call that is dropped after its deadline ends with that, however late its client runs", "[calls]") {
  called t("late");
  outcome_of_call o;
  const auto deadline = in(400ms);
  t.c.async_call({1, 0}, deadline, o.handler());
  settle(t.io);
  {
    const question_call c = t.s.try_accept();
    REQUIRE(c);
    while (std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_until(deadline);
  }
  REQUIRE(run(t.io));
  CHECK(o.ec == errc::deadline_exceeded);
  CHECK(t.c.size() == 0);
}

TEST_CASE("deadlines are kept in any order, also by calls that wait for a place", "[calls]") {
  called t("several");
  std::array<outcome_of_call, 8> o;
  const std::array<int, 8> ms{60, 20, 80, 40, 70, 10, 50, 30};
  int early = 0;
  for (std::size_t i = 0; i != 8; ++i) {
    const auto deadline = in(std::chrono::milliseconds(ms[i]));
    t.c.async_call({i, 0}, deadline, [&, i, deadline](error_code ec, answer) {
      ++o[i].calls;
      o[i].ec = ec;
      early += std::chrono::steady_clock::now() < deadline;  // (several may end together, if this process was not run)
    });
  }
  REQUIRE(run(t.io));
  for (const outcome_of_call& each : o) {
    CHECK(each.calls == 1);
    CHECK(each.ec == errc::not_started);
  }
  CHECK(early == 0);
}

TEST_CASE("a deadline is kept by a call that waits behind others for a place", "[calls]") {
  called t("behind");
  std::array<outcome_of_call, 5> o;
  for (std::uint64_t i = 0; i != 5; ++i) t.c.async_call({i, 0}, o[i].handler());
  settle(t.io);  // asleep, the fifth waits for a place without a deadline
  outcome_of_call behind, late;
  t.c.async_call({5, 0}, in(20ms), behind.handler());
  t.c.async_call({6, 0}, in(-1s), late.handler());
  t.io.restart();
  while (behind.calls == 0) REQUIRE(t.io.run_one_for(10s) == 1);
  CHECK(behind.ec == errc::not_started);
  CHECK(late.ec == errc::not_started);
  for (const outcome_of_call& each : o) CHECK(each.calls == 0);
}

TEST_CASE("a reply in time leaves nothing that keeps the context running", "[calls]") {
  called t("in-time");
  outcome_of_call o;
  t.c.async_call({1, 0}, in(1h), o.handler());
  settle(t.io);
  CHECK(t.s.try_accept().reply({2, 0}));
  REQUIRE(run(t.io));
  CHECK(o.reply.n == 2);
}

TEST_CASE("an expired call is not delivered, although its client does not run", "[calls]") {
  called t("stopped");
  net::io_context elsewhere;
  questions::client c = called::meet::client(elsewhere, t.name);
  outcome_of_call o;
  c.async_call({1, 0}, in(10ms), o.handler());
  std::this_thread::sleep_for(20ms);
  CHECK_FALSE(t.s.try_accept());
  REQUIRE(run(elsewhere));
  CHECK(o.ec == errc::not_started);
}

// ---- cancellation -------------------------------------------------------------------------------------------

TEST_CASE("a call is cancelled before a server has it: no server gets it", "[calls]") {
  for (const auto type : every_type) {
    called t("withdrawn");
    net::cancellation_signal signal;
    outcome_of_call o;
    t.c.async_call({1, 0}, slotted(signal, o.handler()));
    if (type != net::cancellation_type::partial) settle(t.io);
    signal.emit(type);
    CHECK(o.calls == 0);
    CHECK(t.c.size() == 0);
    CHECK_FALSE(t.s.try_accept());
    REQUIRE(run(t.io));
    CHECK(o.calls == 1);
    CHECK(o.ec == net::error::operation_aborted);
  }
}

TEST_CASE("a call is cancelled while a server has it, which is told", "[calls]") {
  const bool closes = GENERATE(false, true);
  called t("abandoned");
  net::cancellation_signal signal;
  outcome_of_call o;
  t.c.async_call({1, 0}, slotted(signal, o.handler()));
  settle(t.io);
  question_call c = t.s.try_accept();
  REQUIRE(c);
  told cancelled, twice;
  c.async_wait_cancelled(cancelled.handler());
  c.async_wait_cancelled(twice.handler());
  settle(t.io);
  CHECK(cancelled.calls == 0);
  if (closes) {
    t.c.close();
  } else {
    signal.emit(net::cancellation_type::terminal);
  }
  settle(t.io);
  CHECK(o.ec == net::error::operation_aborted);
  CHECK(cancelled.calls == 1);
  CHECK_FALSE(cancelled.ec);
  CHECK(twice.calls == 1);
  CHECK(c.cancelled());
  CHECK(t.s.size() == 1);
  CHECK_FALSE(c.reply({1, 0}));
  CHECK(t.s.size() == 0);
}

TEST_CASE("a call that waits for a place is cancelled", "[calls]") {
  called t("no-place");
  std::array<outcome_of_call, 4> o;
  for (std::uint64_t i = 0; i != 4; ++i) t.c.async_call({i, 0}, o[i].handler());
  net::cancellation_signal signal;
  outcome_of_call waiting, next;
  t.c.async_call({4, 0}, slotted(signal, waiting.handler()));
  t.c.async_call({5, 0}, next.handler());
  settle(t.io);
  signal.emit(net::cancellation_type::total);
  settle(t.io);
  CHECK(waiting.ec == net::error::operation_aborted);
  for (const std::uint64_t n : {0, 1, 2, 3, 5}) {
    question_call c;
    REQUIRE(comes_true(t.io, [&] {
      c = t.s.try_accept();
      return bool(c);
    }));
    CHECK(c.request().n == n);
    c.reply({0, 0});
  }
  REQUIRE(comes_true(t.io, [&] { return next.calls == 1; }));
  CHECK_FALSE(next.ec);
}

TEST_CASE("a call under || is cancelled by the other operation", "[calls]") {
  using namespace net::experimental::awaitable_operators;
  called t("or");
  bool timer_won = false;
  net::co_spawn(
      t.io,
      [&]() -> net::awaitable<void> {
        net::steady_timer timer(t.io, 10ms);
        const auto result = co_await (t.c.async_call({1, 0}, net::use_awaitable) || timer.async_wait(net::use_awaitable));
        timer_won = result.index() == 1;
      },
      net::detached);
  REQUIRE(run(t.io));
  CHECK(timer_won);
  CHECK(t.c.size() == 0);
  CHECK_FALSE(t.s.try_accept());
}

TEST_CASE("a wait for a cancellation ends with its call", "[calls]") {
  called t("ends");
  std::array<outcome_of_call, 2> o;
  for (outcome_of_call& each : o) t.c.async_call({1, 0}, each.handler());
  question_call first = t.s.try_accept();
  question_call second = t.s.try_accept();
  told of_first, of_second;
  first.async_wait_cancelled(of_first.handler());
  second.async_wait_cancelled(of_second.handler());
  settle(t.io);
  first.reply({1, 0});
  settle(t.io);
  CHECK(of_first.ec == net::error::operation_aborted);
  CHECK(of_second.calls == 0);
  second = question_call();
  settle(t.io);
  CHECK(of_second.ec == net::error::operation_aborted);
  told of_none;
  second.async_wait_cancelled(net::bind_executor(t.io, of_none.handler()));
  REQUIRE(run(t.io));
  CHECK(of_none.ec == net::error::operation_aborted);
}

TEST_CASE("an accept that is cancelled has taken no call, and hands its wake-up off", "[calls]") {
  called t("handed-off");
  questions::server s2 = t.server();
  net::cancellation_signal signal;
  accepted a, b;
  t.s.async_accept(slotted(signal, a.handler()));
  settle(t.io);
  s2.async_accept(b.handler());
  settle(t.io);
  outcome_of_call o;
  t.c.async_call({1, 0}, o.handler());
  signal.emit(net::cancellation_type::terminal);
  settle(t.io);
  CHECK(a.ec == net::error::operation_aborted);
  REQUIRE(b.calls == 1);
  b.call.reply({1, 0});
  REQUIRE(run(t.io));
  CHECK(o.calls == 1);
}

TEST_CASE("a server that only waits for a cancellation is not woken for a call", "[calls]") {
  called t("busy");
  outcome_of_call o, p;
  t.c.async_call({1, 0}, o.handler());
  question_call held = t.s.try_accept();
  REQUIRE(held);
  // It sleeps in a context that does not run.
  told cancelled;
  held.async_wait_cancelled(cancelled.handler());
  settle(t.io);
  net::io_context elsewhere;
  questions::server s2 = called::meet::server(elsewhere, t.name);
  accepted a;
  s2.async_accept(a.handler());
  elsewhere.poll();
  elsewhere.restart();
  t.c.async_call({2, 0}, p.handler());
  for (int i = 0; i != 100 && a.calls == 0; ++i) elsewhere.run_one_for(10ms);
  REQUIRE(a.calls == 1);
  a.call.reply({2, 0});
  held.reply({1, 0});
  settle(t.io);
  CHECK(o.calls == 1);
  CHECK(p.calls == 1);
  CHECK(cancelled.ec == net::error::operation_aborted);
}

TEST_CASE("a client or server that is closed refuses, and a moved-from one behaves the same", "[calls]") {
  called t("closed");
  questions::client c = std::move(t.c);
  questions::server s = std::move(t.s);
  outcome_of_call o;
  accepted a;
  t.c.async_call({1, 0}, o.handler());
  t.s.async_accept(a.handler());
  settle(t.io);
  CHECK(o.ec == errc::closed);
  CHECK(a.ec == errc::closed);
  c.close();
  s.close();
  answer r;
  CHECK(c.call({1, 0}, r) == errc::closed);
  CHECK_FALSE(c.try_call({1, 0}));
  CHECK_FALSE(s.try_accept());
  question_call k;
  CHECK(s.accept(k, 1s) == errc::closed);
  CHECK(c.size() == 0);
}

TEST_CASE("pending operations end when their endpoint is destroyed, or its context", "[calls]") {
  const bool context_first = GENERATE(false, true);
  const std::string name = unique_name("ends");
  outcome_of_call o;
  accepted a;
  told cancelled;
  std::optional<net::io_context> io(std::in_place);
  {
    auto c = std::make_optional(called::meet::client(*io, name));
    auto s = std::make_optional(called::meet::server(*io, name));
    c->async_call({1, 0}, o.handler());
    question_call held = s->try_accept();
    REQUIRE(held);
    held.async_wait_cancelled(cancelled.handler());
    c->async_call({1, 0}, in(1h), o.handler());
    s->async_accept(a.handler());
    settle(*io);
    question_call second = std::move(a.call);
    s->async_accept(a.handler());
    if (context_first) {
      held = question_call();
      second = question_call();
      s->cancel();
      io->poll();
      io->restart();
      c.reset();
      s.reset();
      io.reset();
    } else {
      c.reset();
      s.reset();
      settle(*io);
      CHECK(o.calls == 2);
      CHECK(o.ec == net::error::operation_aborted);
      CHECK(a.ec == net::error::operation_aborted);
    }
  }
  called::meet::forget(name);
}

// ---- blocking -----------------------------------------------------------------------------------------------

TEST_CASE("a thread calls, another one answers", "[calls]") {
  const watchdog dog;
  called t("threads");
  net::io_context of_server;
  questions::server s = called::meet::server(of_server, t.name);
  t.s.close();
  std::jthread server([&](std::stop_token stop) {
    for (question_call c; !s.accept(c, stop);) {
      if (c.request().more == 1) {
        c.fail(errc::closed);
      } else if (c.request().more == 2) {
        c = question_call();
      } else {
        c.reply({c.request().n + 1, 0});
      }
    }
  });
  answer a;
  for (std::uint64_t n = 0; n != 200; ++n) {
    REQUIRE(t.c.call({n, 0}, a) == error_code());
    REQUIRE(a.n == n + 1);
  }
  CHECK(t.c.call({1, 1}, a) == errc::refused);
  CHECK(t.c.refusal() == errc::closed);
  CHECK(t.c.call({1, 2}, a, 10s) == errc::maybe_executed);
}

TEST_CASE("a thread that calls waits until the timeout, or a request to stop", "[calls]") {
  const watchdog dog;
  called t("timeout");
  answer a;
  CHECK(t.c.call({1, 0}, a, 20ms) == errc::not_started);
  CHECK(t.c.call({1, 0}, a, 0ms) == errc::not_started);
  CHECK(t.c.size() == 0);
  net::io_context of_client;
  questions::client c = called::meet::client(of_client, t.name);
  error_code ec;
  std::jthread caller([&](const std::stop_token& stop) { ec = c.call({2, 0}, a, stop); });
  question_call k;
  REQUIRE(t.s.accept(k, 10s) == error_code());
  caller.request_stop();
  caller.join();
  CHECK(ec == net::error::operation_aborted);
  CHECK(k.cancelled());
  k = question_call();

  std::jthread with_timeout([&] { ec = c.call({3, 0}, a, 50ms); });
  REQUIRE(t.s.accept(k, 10s) == error_code());
  with_timeout.join();
  CHECK(ec == errc::deadline_exceeded);
  CHECK(t.s.accept(k, 10ms) == net::error::timed_out);
}

TEST_CASE("a thread that waits for a place gets one", "[calls]") {
  const watchdog dog;
  called t("place");
  std::array<outcome_of_call, 4> o;
  for (std::uint64_t i = 0; i != 4; ++i) t.c.async_call({i, 0}, o[i].handler());
  net::io_context of_client;
  questions::client c = called::meet::client(of_client, t.name);
  answer a;
  CHECK(c.call({1, 0}, a, 20ms) == errc::not_started);
  error_code ec = errc::protocol_error;
  std::jthread caller([&] { ec = c.call({9, 0}, a); });
  std::this_thread::sleep_for(20ms);
  for (int i = 0; i != 5; ++i) {
    question_call k;
    REQUIRE(t.s.accept(k, 10s) == error_code());
    k.reply({k.request().n, 0});
    settle(t.io);
  }
  caller.join();
  CHECK(ec == error_code());
  CHECK(a.n == 9);
}

// ---- foreign loops --------------------------------------------------------------------------------------------

namespace {

template <class Endpoint>
error_code sleep_in_poll(Endpoint& e) {
  const native_handle_type handle = e.native_handle();
  if (e.prepare_wait()) becomes_ready(handle, 10s);
  return e.finish_wait();
}

/// Until it really sleeps: it may have been notified before, of a peer that has joined.
template <class Endpoint>
bool falls_asleep(Endpoint& e) {
  const native_handle_type handle = e.native_handle();
  for (int i = 0; i != 10; ++i) {
    if (e.prepare_wait() && !becomes_ready(handle, 0ms)) return true;
    e.finish_wait();
  }
  return false;
}

}  // namespace

TEST_CASE("foreign loops call and answer", "[calls]") {
  const watchdog dog;
  called t("loops");
  error_code failed;
  std::jthread server([&] {
    for (int i = 0; i != 100;) {
      if (question_call c = t.s.try_accept()) {
        c.reply({c.request().n + 1, 0});
        ++i;
      } else if (const error_code ec = sleep_in_poll(t.s)) {
        failed = ec;
      }
    }
  });
  for (std::uint64_t n = 0; n != 100; ++n) {
    auto call = t.c.try_call({n, 0});
    REQUIRE(call);
    while (!call.done()) CHECK_FALSE(sleep_in_poll(t.c));
    answer a;
    CHECK_FALSE(call.take(a));
    CHECK(a.n == n + 1);
    CHECK_FALSE(call);
  }
  server.join();
  CHECK(failed == error_code());
}

TEST_CASE("a foreign loop is woken by a deadline, by a free place and by a cancellation", "[calls]") {
  const watchdog dog;
  called t("woken");
  answer a;
  t.c.native_handle();
  t.s.native_handle();
  SECTION("a deadline") {
    auto call = t.c.try_call({1, 0}, in(300ms));
    REQUIRE(call);
    CHECK(call.take(a) == std::errc::operation_in_progress);
    while (!call.done()) CHECK_FALSE(sleep_in_poll(t.c));
    CHECK(call.take(a) == errc::not_started);
  }
  SECTION("a free place") {
    std::array<outcome_of_call, 4> o;
    questions::client other = t.client();
    for (std::uint64_t i = 0; i != 4; ++i) other.async_call({i, 0}, o[i].handler());
    auto call = t.c.try_call({1, 0});
    CHECK_FALSE(call);
    REQUIRE(falls_asleep(t.c));
    const native_handle_type handle = t.c.native_handle();
    t.s.try_accept().reply({0, 0});
    settle(t.io);
    CHECK(becomes_ready(handle, 10s));
    CHECK_FALSE(t.c.finish_wait());
    call = t.c.try_call({1, 0});
    CHECK(call);
  }
  SECTION("a cancellation") {
    auto call = t.c.try_call({1, 0});
    question_call held = t.s.try_accept();
    REQUIRE(held);
    REQUIRE(falls_asleep(t.s));
    const native_handle_type handle = t.s.native_handle();
    call = pending_call<questions::ring_type>();
    CHECK(becomes_ready(handle, 10s));
    CHECK_FALSE(t.s.finish_wait());
    CHECK_FALSE(t.s.prepare_wait());  // not told yet
    t.s.finish_wait();
    CHECK(held.cancelled());
    CHECK(t.s.prepare_wait());
    t.s.finish_wait();
    held = question_call();
  }
}

// ---- other ------------------------------------------------------------------------------------------------------

TEST_CASE("a client and a server wait for each other", "[calls]") {
  called t("peers");
  t.s.close();
  told of_client;
  t.c.async_wait_peer(of_client.handler());
  settle(t.io);
  CHECK(of_client.calls == 0);
  questions::server s = t.server();
  settle(t.io);
  CHECK(of_client.calls == 1);
  told of_server, room;
  s.async_wait_peer(of_server.handler());
  t.c.async_wait(room.handler());
  settle(t.io);
  CHECK(of_server.calls == 1);
  CHECK(room.calls == 1);
  CHECK(t.c.capacity() == 4);
  t.c.close();
  settle(t.io);
  told gone;
  s.async_wait_peer(gone.handler());
  settle(t.io);
  CHECK(gone.calls == 0);
}

TEST_CASE("with spin, calls are answered without sleeping in between", "[calls]") {
  channel_options o;
  o.spin = 200us;
  called t("spin", o, o);
  int answered = 0;
  net::co_spawn(
      t.io,
      [&]() -> net::awaitable<void> {
        for (int i = 0; i != 300; ++i) {
          question_call c = co_await t.s.async_accept(net::use_awaitable);
          c.reply({c.request().n, 0});
        }
      },
      net::detached);
  SECTION("in a coroutine") {
    net::co_spawn(
        t.io,
        [&]() -> net::awaitable<void> {
          for (std::uint64_t i = 0; i != 300; ++i) {
            const answer a = co_await t.c.async_call({i, 0}, net::use_awaitable);
            answered += a.n == i;
          }
        },
        net::detached);
    REQUIRE(run(t.io));
  }
  SECTION("several at a time, with handlers") {
    for (std::uint64_t i = 0; i != 300; ++i) {
      t.c.async_call({i, 0}, [&, i](error_code ec, answer a) { answered += !ec && a.n == i; });
    }
    REQUIRE(run(t.io));
  }
  CHECK(answered == 300);
}

TEST_CASE("handlers in other contexts and strands are called there", "[calls]") {
  called t("elsewhere");
  net::io_context other;
  const auto strand = net::make_strand(t.io);
  std::array<int, 3> calls{};
  t.c.async_call({1, 0}, net::bind_executor(other.get_executor(), [&](error_code, answer) { ++calls[0]; }));
  t.c.async_call({2, 0}, net::bind_executor(strand, [&](error_code, answer) { ++calls[1]; }));
  t.c.async_call({3, 0}, [&](error_code, answer) { ++calls[2]; });
  settle(t.io);
  for (int i = 0; i != 3; ++i) {
    question_call c = t.s.try_accept();
    REQUIRE(c);
    c.reply({0, 0});
  }
  settle(t.io);
  CHECK(calls == std::array{0, 1, 1});
  settle(other);
  settle(t.io);
  CHECK(calls == std::array{1, 1, 1});
}

TEST_CASE("another request or reply is incompatible, and the text names the field", "[calls]") {
  if (way_to_meet() != meeting::by_name) return;
  struct other_answer {
    std::uint64_t n;
    double by;
  };
  struct other_question {
    std::uint64_t n;
    std::uint32_t more;
  };
  called t("types");
  const auto text_of = [&]<class Channel>(const Channel*) -> std::string {
    try {
      typename Channel::client c(t.io, t.name);
    } catch (const std::system_error& e) {
      CHECK(e.code() == errc::incompatible);
      return e.what();
    }
    return {};
  };
  const channel<call_ring<question, other_answer, 4>>* reply = nullptr;
  const channel<call_ring<other_question, answer, 4>>* request = nullptr;
  const channel<call_ring<question, answer, 5>>* size = nullptr;
  const channel<byte_call_ring>* bytes = nullptr;
  INFO(text_of(reply));
  CHECK(text_of(reply).find("field \"reply.1\" is u64") != std::string::npos);
  CHECK(text_of(request).find("field \"request.1\" is u64") != std::string::npos);
  CHECK(text_of(size).find("capacity is 4, expected 5") != std::string::npos);
  CHECK(text_of(bytes).find("value size") != std::string::npos);
}

TEST_CASE("inspect shows the calls of a ring", "[calls]") {
  if (way_to_meet() != meeting::by_name) return;
  called t("inspect");
  std::array<outcome_of_call, 3> o;
  for (std::uint64_t i = 0; i != 3; ++i) t.c.async_call({i, 0}, o[i].handler());
  question_call c = t.s.try_accept();
  settle(t.io);
  for (const inspection what : {inspection::all, inspection::counters}) {
    const channel_info i = inspect(t.name, what);
    CHECK(i.problem.empty());
    CHECK(i.kind == "call_ring");
    CHECK(i.unread == 3);
    CHECK(i.capacity == 4);
    CHECK(i.sent.messages == 3);
    CHECK(i.received.messages == 1);
    CHECK(i.alive(participant_role::producer) == 1);
  }
  const std::string type = inspect(t.name).type;
  CHECK(type.find("\"request\"") != std::string::npos);
  CHECK(type.find("\"reply\"") != std::string::npos);
  bool listed = false;
  for (const segment_entry& e : list_segments()) listed = listed || (e.name == t.name && e.kind == "call_ring");
  CHECK(listed);
  std::string refusal;
  try {
    any_channel::consumer any(t.io, t.name);
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::incompatible);
    refusal = e.what();
  }
  CHECK(refusal.find("clients and servers") != std::string::npos);
  c.reply({0, 0});
}
