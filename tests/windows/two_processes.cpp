// The promises of every ring between two processes of Windows: values in order, deaths told once, wake-ups by bells.
#include "kits.hpp"
#include "started.hpp"
#include "support/arrivals.hpp"
#include "support/catch.hpp"

#include <belfry/belfry.hpp>

#include <chrono>
#include <string>
#include <tuple>

using namespace belfry;
using namespace belfry::test;

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t count = 300;
constexpr auto use_error = [](error_code& ec) { return net::redirect_error(net::use_awaitable, ec); };

// ---- what the other process does -------------------------------------------------------------------------------------

template <class Kit>
void produce_blocking(const std::string& name) {
  net::io_context io;
  Kit values;
  typename Kit::channel::producer tx(io, name, Kit::options());
  for (std::uint64_t n = 1; n <= count; ++n) EXPECT(!tx.send(values.make(n)));
}

template <class Kit>
net::awaitable<void> produce(typename Kit::channel::producer& tx) {
  Kit values;
  for (std::uint64_t n = 1; n <= count; ++n) co_await tx.async_send(buffer_of(values.make(n)), net::use_awaitable);
}

template <class Kit>
void produce_awaiting(const std::string& name) {
  net::io_context io;
  typename Kit::channel::producer tx(io, name, Kit::options());
  std::exception_ptr failed;
  net::co_spawn(io, produce<Kit>(tx), [&](std::exception_ptr e) { failed = e; });
  io.run();
  if (failed) std::rethrow_exception(failed);
}

/// Sends one value, says so, and waits to be killed.
template <class Kit>
void produce_one(const std::string& name) {
  net::io_context io;
  Kit values;
  typename Kit::channel::producer tx(io, name, Kit::options());
  EXPECT(tx.try_send(values.make(7)));
  event(name + "-sent").set();
  sleep_forever();
}

/// Receives one value, says so, and waits to be killed.
template <class Kit>
void consume_one(const std::string& name) {
  net::io_context io;
  typename Kit::channel::consumer rx(io, name, Kit::options());
  typename Kit::channel::consumer::value_type v{};
  EXPECT(!rx.receive(v, 60s));
  event(name + "-received").set();
  sleep_forever();
}

template <class Kit>
struct bodies {
  const std::string name = Kit::name;
  const body blocking{name + "-produce-blocking", produce_blocking<Kit>};
  const body awaiting{name + "-produce-awaiting", produce_awaiting<Kit>};
  const body one{name + "-produce-one", produce_one<Kit>};
  const body consumer{name + "-consume-one", consume_one<Kit>};
};
template <class... Kits>
std::tuple<bodies<Kits>...> bodies_of(std::tuple<Kits...>);
const decltype(bodies_of(every_ring())) all_bodies;

// ---- this process ---------------------------------------------------------------------------------------------------

template <class Consumer>
std::uint64_t next_number(Consumer& rx, error_code& ec) {
  typename Consumer::value_type v{};
  ec = rx.receive(v, 60s);
  return ec ? 0 : number(v);
}

template <class Consumer>
net::awaitable<void> await_all(Consumer& rx, arrivals& arrived) {
  for (;;) {
    error_code ec;
    auto v = co_await rx.async_receive(use_error(ec));
    if (ec == errc::closed) co_return;
    if (ec == errc::lagged) continue;
    if (ec) throw net_system_error(ec);
    if (!arrived.add(number(v))) throw std::runtime_error("out of order");
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("two processes: a blocking consumer receives everything", "[two]", every_ring) {
  const std::string name = unique_name("blocking");
  net::io_context io;
  typename TestType::channel::consumer rx(io, name, TestType::options());
  started producer(std::string(TestType::name) + "-produce-blocking", name);
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
  rx.close();
  CHECK(files_of(name) == 0);
}

TEMPLATE_LIST_TEST_CASE("two processes: coroutines at both ends", "[two]", every_ring) {
  const std::string name = unique_name("awaiting");
  net::io_context io;
  typename TestType::channel::consumer rx(io, name, TestType::options());
  started producer(std::string(TestType::name) + "-produce-awaiting", name);
  arrivals arrived(TestType::channel::ring_type::traits);
  std::exception_ptr failed;
  net::co_spawn(io, await_all(rx, arrived), [&](std::exception_ptr e) { failed = e; });
  io.run();
  if (failed) std::rethrow_exception(failed);
  CHECK(arrived.largest() == count);
  CHECK(arrived.none_missing());
  CHECK(producer.wait() == 0);
}

TEMPLATE_LIST_TEST_CASE("two processes: the death of a producer is told once, and the next one continues", "[two]",
                        every_ring) {
  const std::string name = unique_name("death");
  net::io_context io;
  typename TestType::channel::consumer rx(io, name, TestType::options());
  const event sent(name + "-sent");
  error_code ec;
  for (int run = 0; run != 2; ++run) {
    started producer(std::string(TestType::name) + "-produce-one", name);
    sent.wait();
    CHECK(next_number(rx, ec) == 7);
    // The consumer sleeps when its peer is killed, in the reactor.
    error_code told;
    int calls = 0;
    rx.async_receive([&](const error_code& e, auto) {
      told = e;
      ++calls;
    });
    for (int i = 0; i != 20; ++i) io.poll();
    REQUIRE(calls == 0);
    producer.kill();
    io.restart();
    io.run();
    CHECK(calls == 1);
    CHECK(told == errc::peer_died);
    io.restart();
  }
  TestType values;
  typename TestType::channel::producer tx(io, name, TestType::options());
  CHECK(tx.try_send(values.make(9)));
  CHECK(next_number(rx, ec) == 9);
  tx.close();
  next_number(rx, ec);
  CHECK(ec == errc::closed);
}

TEMPLATE_LIST_TEST_CASE("two processes: the death of a consumer is told to a producer that waits for room", "[two]",
                        every_ring) {
  const std::string_view kind = TestType::name;
  if (kind == "overwriting" || kind == "byte_overwriting" || kind == "newest") return;  // never full
  const std::string name = unique_name("consumer-death");
  net::io_context io;
  TestType values;
  typename TestType::channel::producer tx(io, name, TestType::options());
  const event received(name + "-received");
  started consumer(std::string(kind) + "-consume-one", name);
  tx.async_wait_peer([](const error_code& e) { CHECK(e == error_code()); });
  io.run();
  CHECK(tx.try_send(values.make(1)));
  received.wait();
  while (tx.try_send(values.make(2))) {
  }
  error_code told;
  int calls = 0;
  tx.async_send(buffer_of(values.make(3)), [&](const error_code& e) {
    told = e;
    ++calls;
  });
  io.restart();
  for (int i = 0; i != 20; ++i) io.poll();
  REQUIRE(calls == 0);
  consumer.kill();
  io.restart();
  io.run();
  CHECK(calls == 1);
  // A broadcast waits for the living only.
  const bool has_room = kind == "blocking" || kind == "byte_blocking";
  CHECK(told == (has_room ? error_code() : error_code(errc::peer_died)));
  // The next one receives what was left.
  typename TestType::channel::consumer rx(io, name, TestType::options());
  error_code ec;
  const std::uint64_t n = next_number(rx, ec);
  CHECK(ec == error_code());
  CHECK((n == 1 || n == 2));
  tx.close();
  rx.close();
  TestType::channel::unlink(name, ec);
}
