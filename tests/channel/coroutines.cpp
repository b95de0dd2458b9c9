// Coroutines that await operations that are ready.
#include "support/rings.hpp"

#include <chrono>
#include <string>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

/// Suspends the coroutine once. Before that, a ready operation completes as if it were not ready.
net::awaitable<void> be_suspended() {
  co_await net::post(co_await net::this_coro::executor, net::use_awaitable);
}

/// With a version of Asio of which only documented parts are used, redirect_error does suspend.
constexpr bool all_go_on = detail::awaiting<net::redirect_error_t<net::use_awaitable_t<>>>::value;

net::awaitable<int> nothing() { co_return 0; }

}  // namespace

TEMPLATE_TEST_CASE("a ready operation does not suspend a coroutine", "[coroutines]", of_values,
                   of_bytes) {
  linked<TestType> c("ready");
  bool others_ran = false;
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    co_await be_suspended();
    net::post(c.io, [&] { others_ran = true; });
    error_code ec = errc::protocol_error;
    co_await c.tx.async_send(c.values.make(1), net::use_awaitable);
    co_await c.tx.async_send(c.values.make(2), net::redirect_error(net::use_awaitable, ec));
    CHECK_FALSE(ec);
    const std::array more{c.values.make(3), c.values.make(4)};
    const auto [ec_sent, sent] = co_await c.tx.async_send_n(more, use_tuple);
    CHECK_FALSE(ec_sent);
    CHECK(sent == 2);

    ec = errc::protocol_error;
    co_await c.rx.async_wait(net::use_awaitable);
    const auto first = co_await c.rx.async_receive(net::use_awaitable);
    CHECK(number(first) == 1);
    const auto second = co_await c.rx.async_receive(net::redirect_error(net::use_awaitable, ec));
    CHECK_FALSE(ec);
    CHECK(number(second) == 2);
    const auto [ec_received, third] = co_await c.rx.async_receive(use_tuple);
    CHECK_FALSE(ec_received);
    CHECK(number(third) == 3);
    std::array<typename TestType::channel::consumer::value_type, 4> rest;
    const std::size_t count = co_await c.rx.async_receive_n(rest, net::use_awaitable);
    CHECK(count == 1);
    CHECK(number(rest[0]) == 4);
    CHECK(others_ran != all_go_on);
  });
}

TEMPLATE_TEST_CASE("other handlers run nevertheless", "[coroutines]", of_values,
                   of_bytes) {
  linked<TestType> c("turns");
  bool others_ran = false;
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    co_await be_suspended();
    net::post(c.io, [&] { others_ran = true; });
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (std::uint64_t n = 0; !others_ran && std::chrono::steady_clock::now() < deadline; ++n) {
      co_await c.tx.async_send(c.values.make(n), net::use_awaitable);
      const auto received = co_await c.rx.async_receive(net::use_awaitable);
      CHECK(number(received) == n);
    }
    CHECK(others_ran);
  });
}

TEMPLATE_TEST_CASE("a ready operation loses nothing if the other side of || completes first",
                   "[coroutines]", of_values, of_bytes) {
  using namespace net::experimental::awaitable_operators;
  linked<TestType> c("siblings");
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    co_await be_suspended();
    for (std::uint64_t n = 0; n != 100; ++n) {
      REQUIRE(c.tx.try_send(c.values.make(n)));
      // Both completions are posted: the first operation to take a value is not the first to complete.
      const auto first = co_await (nothing() || c.rx.async_receive(net::use_awaitable));
      if (first.index() == 1) {
        CHECK(number(std::get<1>(first)) == n);
      } else {
        const auto left = c.rx.try_receive();
        REQUIRE(left);
        CHECK(number(*left) == n);
      }
    }
  });
}

TEMPLATE_TEST_CASE("a coroutine does not overtake earlier waiters", "[coroutines]", of_values,
                   of_bytes) {
  linked<TestType> c("order");
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    co_await be_suspended();
    told waiting;
    c.rx.async_receive(waiting.receiver());
    REQUIRE(c.tx.try_send(c.values.make(1)));
    REQUIRE(c.tx.try_send(c.values.make(2)));
    const auto second = co_await c.rx.async_receive(net::use_awaitable);
    CHECK(number(second) == 2);
    CHECK(waiting.calls == 1);
    CHECK(waiting.value == 1);
  });
}

TEST_CASE("an operation that fails at once reports why", "[coroutines]") {
  linked<of_bytes> c("too large");
  const std::string text(of_bytes::largest + 1, 'x');
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    co_await be_suspended();
    error_code thrown;
    try {
      co_await c.tx.async_send(as_message(text), net::use_awaitable);
    } catch (const net_system_error& e) {
      thrown = e.code();
    }
    CHECK(thrown == errc::message_too_large);
    error_code ec;
    co_await c.tx.async_send(as_message(text), net::redirect_error(net::use_awaitable, ec));
    CHECK(ec == errc::message_too_large);
    const auto [told, claimed] = co_await c.tx.async_claim(text.size(), use_tuple);
    CHECK(told == errc::message_too_large);
    CHECK_FALSE(claimed);
  });
}

TEMPLATE_TEST_CASE("an awaitable that is awaited after its endpoint's end fails", "[coroutines]",
                   of_values, of_bytes) {
  linked<TestType> c("gone");
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    co_await be_suspended();
    error_code ec;
    auto late = [&] {
      auto other = c.another_consumer(ec);  // refused: there is one already
      CHECK(ec == errc::role_taken);
      ec = {};
      return other.async_receive(net::redirect_error(net::use_awaitable, ec));
    }();
    co_await std::move(late);
    CHECK(ec == errc::closed);
  });
}
