// Batches: try_send_n, try_receive_n, async_send_n, async_receive_n.
#include "support/rings.hpp"

using namespace belfry;
using namespace belfry::test;

namespace {

template <class Kit>
auto numbers(Kit& values, std::uint64_t first, std::size_t count) {
  std::vector<typename Kit::channel::producer::value_type> all;
  for (std::size_t i = 0; i != count; ++i) all.push_back(values.make(first + i));
  return all;
}

template <class Values>
std::vector<std::uint64_t> numbers_of(const Values& values, std::size_t count) {
  std::vector<std::uint64_t> all;
  for (std::size_t i = 0; i != count; ++i) all.push_back(number(values[i]));
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("try_send_n sends as many as there is room for, try_receive_n receives as many as there are",
                   "[batches]", of_values, of_bytes) {
  linked<TestType> c("try_n");
  std::vector<typename TestType::channel::consumer::value_type> out(TestType::room + 1);
  CHECK(c.rx.try_receive_n(out) == 0);
  CHECK(c.tx.try_send_n({}) == 0);
  CHECK(c.tx.try_send_n(numbers(c.values, 0, 3)) == 3);
  CHECK(c.rx.try_receive_n(std::span(out).first(2)) == 2);
  CHECK(numbers_of(out, 2) == std::vector<std::uint64_t>{0, 1});
  CHECK(c.rx.try_receive_n({}) == 0);
  CHECK(c.rx.try_receive_n(out) == 1);
  CHECK(number(out[0]) == 2);
  out.clear();
  out.resize(TestType::room + 1);

  CHECK(c.tx.try_send_n(numbers(c.values, 0, TestType::room + 5)) == TestType::room);
  CHECK(c.tx.try_send_n(numbers(c.values, 0, 1)) == 0);
  CHECK(c.rx.try_receive_n(out) == TestType::room);
  for (std::size_t i = 0; i != TestType::room; ++i) CHECK(number(out[i]) == i);
}

TEMPLATE_TEST_CASE("async_send_n continues when there is room again, until all are sent",
                   "[batches]", of_values, of_bytes) {
  linked<TestType> c("send_n");
  const std::size_t count = 3 * TestType::room + 7;
  told sent;
  c.tx.async_send_n(numbers(c.values, 0, 0), sent.counter());
  REQUIRE(run(c.io));
  CHECK(sent.calls == 1);
  CHECK(sent.count == 0);
  CHECK_FALSE(sent.ec);

  const auto batch = numbers(c.values, 0, count);
  c.tx.async_send_n(batch, sent.counter());
  std::uint64_t expected = 0;
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    while (expected != count) {
      const auto v = co_await c.rx.async_receive(net::use_awaitable);
      CHECK(number(v) == expected++);
    }
  });
  CHECK(sent.calls == 2);
  CHECK(sent.count == count);
  CHECK_FALSE(sent.ec);
}

TEMPLATE_TEST_CASE("async_send_n reports how many it sent when its consumer closes", "[batches]", of_values,
                   of_bytes) {
  linked<TestType> c("closed");
  const auto batch = numbers(c.values, 0, TestType::room + 7);
  told sent;
  c.tx.async_send_n(batch, sent.counter());
  settle(c.io);
  for (std::uint64_t n = 0; n != 3; ++n) CHECK(number(*c.rx.try_receive()) == n);
  c.rx.close();
  REQUIRE(run(c.io));
  CHECK(sent.calls == 1);
  CHECK(sent.ec == errc::closed);
  CHECK(sent.count == TestType::room + 3);
}

TEST_CASE("async_send_n stops at a message that is too large", "[batches]") {
  linked<of_bytes> c("large");
  const std::string large(of_bytes::largest + 1, 'x');
  const std::array<std::span<const std::byte>, 3> batch{as_message("a"), as_message(large), as_message("b")};
  CHECK(c.tx.try_send_n(batch) == 1);
  told sent;
  c.tx.async_send_n(batch, sent.counter());
  REQUIRE(run(c.io));
  CHECK(sent.ec == errc::message_too_large);
  CHECK(sent.count == 1);
  CHECK(text_of(*c.rx.try_receive()) == "a");
  CHECK(text_of(*c.rx.try_receive()) == "a");
  CHECK_FALSE(c.rx.try_receive());
}

TEMPLATE_TEST_CASE("async_receive_n receives what is there, at least one", "[batches]", of_values, of_bytes) {
  linked<TestType> c("receive_n");
  std::array<typename TestType::channel::consumer::value_type, 4> out;
  told t;
  c.rx.async_receive_n({}, t.counter());
  REQUIRE(run(c.io));
  CHECK(t.count == 0);
  CHECK_FALSE(t.ec);

  c.rx.async_receive_n(out, t.counter());
  settle(c.io);
  CHECK(t.calls == 1);
  c.tx.try_send(c.values.make(0));
  REQUIRE(run(c.io));
  CHECK(t.count == 1);
  CHECK(number(out[0]) == 0);

  c.tx.try_send_n(numbers(c.values, 1, 6));
  c.rx.async_receive_n(out, t.counter());
  REQUIRE(run(c.io));
  CHECK(t.count == 4);
  CHECK(numbers_of(out, 4) == std::vector<std::uint64_t>{1, 2, 3, 4});

  c.tx.close();
  c.rx.async_receive_n(out, t.counter());
  REQUIRE(run(c.io));
  CHECK(t.count == 2);
  CHECK(numbers_of(out, 2) == std::vector<std::uint64_t>{5, 6});
  c.rx.async_receive_n(out, t.counter());
  REQUIRE(run(c.io));
  CHECK(t.ec == errc::closed);
  CHECK(t.count == 0);
}

TEMPLATE_TEST_CASE("batches of any sizes on both sides", "[batches]", of_values, of_bytes) {
  linked<TestType> c("stream");
  constexpr std::uint64_t total = 20000;
  net::co_spawn(
      c.io,
      [&]() -> net::awaitable<void> {
        for (std::uint64_t n = 0; n != total;) {
          const auto batch = numbers(c.values, n, std::min<std::uint64_t>(total - n, 1 + n % 100));
          const std::size_t sent = co_await c.tx.async_send_n(batch, net::use_awaitable);
          CHECK(sent == batch.size());
          n += sent;
        }
        c.tx.close();
      },
      net::detached);
  std::uint64_t expected = 0;
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    std::vector<typename TestType::channel::consumer::value_type> out(70);
    for (;;) {
      const std::span some(out.data(), 1 + expected % out.size());
      const auto [ec, n] = co_await c.rx.async_receive_n(some, use_tuple);
      if (ec == errc::closed) break;
      for (std::size_t i = 0; i != n; ++i) CHECK(number(out[i]) == expected++);
      for (auto& v : out) v = {};
    }
  });
  CHECK(expected == total);
}
