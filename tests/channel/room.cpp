// A consumer that makes room notifies the producers that wait for it: at once, as many as there is room for,
// whatever the consumer does next.
#include "support/rings.hpp"

#include <atomic>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

struct of_work {
  using channel = belfry::channel<work_ring<tick, 64>>;
  static channel_options options() { return {}; }
  static tick make(std::uint64_t n) { return {n, 0}; }
};
struct of_news {
  using channel = belfry::channel<broadcast_ring<tick, 64>>;
  static channel_options options() { return {}; }
  static tick make(std::uint64_t n) { return {n, 0}; }
};

/// Several producers of one full ring, all asleep.
template <std::size_t N>
struct crowd {
  using channel = belfry::channel<work_ring<tick, N>>;

  explicit crowd(std::size_t producers) : rx(meet<channel>::consumer(io, name)) {
    for (std::size_t i = 0; i != producers; ++i) tx.push_back(meet<channel>::producer(io, name));
    told.resize(producers);
  }
  ~crowd() {
    tx.clear();
    rx.close();
    meet<channel>::forget(name);
  }
  void wait() {
    for (std::size_t i = 0; i != tx.size(); ++i) tx[i].async_send({100 + i, 0}, told[i].handler());
    settle(io);
  }
  int calls() const {
    int all = 0;
    for (const auto& t : told) all += t.calls;
    return all;
  }

  const std::string name = unique_name("crowd");
  net::io_context io;
  typename channel::consumer rx;
  std::vector<typename channel::producer> tx;
  std::vector<test::told> told;
};

}  // namespace

TEMPLATE_TEST_CASE("the first room in a full ring wakes its producer", "[room]", of_values, of_bytes, of_work,
                   of_news) {
  linked<TestType> c("room-first");
  const std::size_t sent = fill(c.tx, c.values);
  for (std::uint64_t n = 0; n != 3; ++n) {
    told t;
    c.tx.async_send(c.values.make(sent + n), t.handler());
    settle(c.io);
    CHECK(t.calls == 0);
    CHECK(number(*c.rx.try_receive()) == n);  // and does nothing more with this channel
    CHECK(comes_true(c.io, [&] { return t.calls == 1; }));
  }
}

TEST_CASE("releasing a message, or acknowledging a lease, makes room at once", "[room]") {
  SECTION("a message") {
    linked<of_bytes> c("room-message");
    const std::size_t sent = fill(c.tx, c.values);
    std::vector<message> held;
    while (auto m = c.rx.try_receive()) held.push_back(std::move(*m));
    CHECK(held.size() == sent);
    told t;
    c.tx.async_send(c.values.make(sent), t.handler());
    settle(c.io);
    CHECK(t.calls == 0);
    held.front().release();
    CHECK(comes_true(c.io, [&] { return t.calls == 1; }));
  }
  SECTION("a lease") {
    linked<of_work> c("room-lease");
    const std::size_t sent = fill(c.tx, c.values);
    std::vector<lease<tick>> held;
    while (auto l = c.rx.try_receive_lease()) held.push_back(std::move(l));
    CHECK(held.size() == sent);
    told t;
    c.tx.async_send(c.values.make(sent), t.handler());
    settle(c.io);
    CHECK(t.calls == 0);
    held[5].ack();
    CHECK(comes_true(c.io, [&] { return t.calls == 1; }));
    for (auto& l : held) l.ack();
  }
}

TEST_CASE("two coroutines, a server and a client", "[room]") {
  const std::string name = unique_name("room-serve");
  using requests = channel<spsc_ring<tick, 256>>;
  using replies = channel<spsc_ring<tick, 4>>;
  constexpr std::uint64_t count = 2000;
  net::io_context io;
  auto ask = meet<requests>::producer(io, name + "-q");
  auto serve = meet<requests>::consumer(io, name + "-q");
  auto reply = meet<replies>::producer(io, name + "-a");
  auto listen = meet<replies>::consumer(io, name + "-a");
  std::uint64_t answered = 0;
  net::co_spawn(
      io,
      [&]() -> net::awaitable<void> {
        for (std::uint64_t n = 0; n != count; ++n) {
          const tick t = co_await serve.async_receive(net::use_awaitable);
          co_await reply.async_send(t, net::use_awaitable);
        }
      },
      net::detached);
  run_coroutine(io, [&]() -> net::awaitable<void> {
    // At most as many as fit in the rings, and one that the server holds.
    for (std::uint64_t n = 0; answered != count;) {
      for (; n != count && n - answered != 256 + 4 + 1; ++n) {
        co_await ask.async_send({n, 0}, net::use_awaitable);
      }
      const tick t = co_await listen.async_receive(net::use_awaitable);
      CHECK(t.seq == answered++);
    }
  });
  CHECK(answered == count);
  ask.close();
  serve.close();
  reply.close();
  listen.close();
  meet<requests>::forget(name + "-q");
  meet<replies>::forget(name + "-a");
}

TEST_CASE("as many producers are woken as there is room for", "[room]") {
  SECTION("a batch") {
    crowd<64> c(4);
    while (c.tx[0].try_send({1, 0})) {
    }
    c.wait();
    CHECK(c.calls() == 0);
    std::vector<tick> all(64);
    CHECK(c.rx.try_receive_n(all) == 64);
    settle(c.io);
    CHECK(c.calls() == 4);
  }
  SECTION("not more than that") {
    crowd<64> c(4);
    while (c.tx[0].try_send({1, 0})) {
    }
    c.wait();
    std::vector<tick> two(2);
    CHECK(c.rx.try_receive_n(two) == 2);
    settle(c.io);
    CHECK(c.calls() == 2);
  }
  SECTION("room that an old item had hidden") {
    crowd<4> c(4);
    while (c.tx[0].try_send({1, 0})) {
    }
    lease<tick> oldest = c.rx.try_receive_lease();
    std::vector<tick> rest(3);
    CHECK(c.rx.try_receive_n(rest) == 3);
    oldest.requeue();  // no producer passes it: one item makes the ring full
    CHECK_FALSE(c.tx[0].try_send({2, 0}));
    c.wait();
    CHECK(c.calls() == 0);
    CHECK(c.rx.try_receive());
    settle(c.io);
    CHECK(c.calls() == 4);
  }
}

TEST_CASE("a consumer turns to something else after one message, just when its producer parks", "[room]") {
  const watchdog guard;
  using narrow = channel<spsc_ring<tick, 2>>;
  const std::string name = unique_name("room-race");
  net::io_context io;
  auto tx = meet<narrow>::producer(io, name);
  auto rx = meet<narrow>::consumer(io, name);
  const std::uint64_t count = static_cast<std::uint64_t>(often(100000));
  std::atomic<std::uint64_t> sent{0};
  std::jthread producer([&] {
    for (std::uint64_t n = 0; n != count; ++n) {
      if (tx.send({n, 0})) return;
      sent.store(n + 1, std::memory_order_release);
    }
  });
  std::uint64_t received = 0;
  while (received != count) {
    const auto v = rx.try_receive();
    if (!v) continue;
    REQUIRE(v->seq == received);
    ++received;
    // It waits only for what is sent next, and that is in another channel.
    const std::uint64_t next = std::min(received + 2, count);
    while (sent.load(std::memory_order_acquire) < next) {
    }
  }
  producer.join();
  tx.close();
  rx.close();
  meet<narrow>::forget(name);
}
