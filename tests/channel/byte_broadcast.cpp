// byte_broadcast_ring with endpoints: held messages, a producer that waits for them, the newest message.
#include "support/rings.hpp"

#include <belfry/peek.hpp>

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;

namespace {

template <overflow Mode>
struct of_frames : of_messages<byte_broadcast_ring<Mode>> {
  static channel_options options() {
    channel_options o;
    o.slots = 4;
    o.message_bytes = 4096;
    o.start = start::oldest;
    return o;
  }
};
using overwriting = of_frames<overflow::overwrite>;
using blocking = of_frames<overflow::block>;
using any_mode = std::tuple<overwriting, blocking>;

template <class Kit>
struct film : linked<Kit> {
  using linked<Kit>::linked;
  void send(std::uint64_t first, std::uint64_t end) {
    for (; first != end; ++first) REQUIRE(this->tx.try_send(this->values.make(first)));
  }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("slots and message_bytes are those of the process that creates the channel", "[byte_broadcast]",
                        any_mode) {
  film<TestType> c("sizes");
  CHECK(c.tx.capacity() == 4);
  CHECK(c.tx.max_message() == 4096);
  CHECK(c.tx.try_send(std::vector<std::byte>(4096)));
  CHECK_FALSE(c.tx.try_send(std::vector<std::byte>(4097)));
  CHECK(c.tx.send(std::vector<std::byte>(4097)) == errc::message_too_large);
  CHECK(c.rx.try_receive()->size() == 4096);
  using consumer = typename TestType::channel::consumer;
  if (way_to_meet() != meeting::by_name) return;
  error_code ec;
  channel_options o;
  CHECK(consumer(c.io, c.name, o, ec).is_open());
  o.slots = 5;
  CHECK_FALSE(consumer(c.io, c.name, o, ec).is_open());
  CHECK(ec == errc::incompatible);
  o.slots = 4;
  o.message_bytes = 4090;  // rounded up to a multiple of 16
  CHECK(consumer(c.io, c.name, o, ec).is_open());
  o.message_bytes = 4097;
  CHECK_FALSE(consumer(c.io, c.name, o, ec).is_open());
  CHECK(ec == errc::incompatible);
  o = {};
  o.capacity = 4;
  CHECK_FALSE(consumer(c.io, c.name, o, ec).is_open());
  CHECK(ec == std::errc::invalid_argument);
}

TEMPLATE_LIST_TEST_CASE("several messages are held, and released in any order", "[byte_broadcast]", any_mode) {
  film<TestType> c("several");
  for (std::uint64_t round = 0; round != 50; ++round) {
    c.send(4 * round, 4 * round + 4);
    std::array<message, 4> held;
    REQUIRE(c.rx.try_receive_n(held) == 4);
    for (std::uint64_t i = 0; i != 4; ++i) CHECK(number(held[i]) == 4 * round + i);
    CHECK_FALSE(c.tx.try_send(c.values.make(99)));
    CHECK(c.tx.pinned() == 1);
    for (const std::size_t i : {2u, 0u, 3u, 1u}) held[(i + round) % 4].release();
    CHECK(c.tx.pinned() == 0);
  }
}

TEST_CASE("a producer waits while every place is held, and a release wakes it", "[byte_broadcast]") {
  film<overwriting> c("pinned");
  auto other = c.another_consumer();
  c.send(0, 4);
  std::vector<message> held;
  for (int i = 0; i != 3; ++i) held.push_back(std::move(*c.rx.try_receive()));
  for (int i = 0; i != 3; ++i) CHECK(other.try_receive());
  held.push_back(std::move(*other.try_receive()));
  CHECK(c.tx.pinned() == 2);
  CHECK_FALSE(c.tx.try_claim(10));
  CHECK(c.tx.send(c.values.make(4), 0ns) == net::error::timed_out);
  told t;
  const bool claims = GENERATE(true, false);
  if (claims) {
    c.tx.async_claim(8, [&](error_code ec, claim room) {
      t.note(ec);
      std::ranges::copy(c.values.make(4), room.bytes().begin());
      room.commit();
    });
  } else {
    c.tx.async_send(c.values.make(4), t.handler());
  }
  settle(c.io);
  CHECK(t.calls == 0);
  held.pop_back();  // from outside of any operation
  REQUIRE(run(c.io));
  CHECK(t.calls == 1);
  CHECK(t.ec == error_code());
  CHECK(number(*other.try_receive()) == 4);
  for (std::uint64_t i = 0; i != held.size(); ++i) CHECK(number(held[i]) == i);
}

TEST_CASE("a lapped consumer is told of exactly what it has lost", "[byte_broadcast]") {
  film<overwriting> c("lagged");
  message m;
  c.send(0, 10);
  CHECK(c.rx.receive(m, 0ns) == errc::lagged);
  CHECK(c.rx.lost() == 6);
  for (std::uint64_t n = 6; n != 10; ++n) {
    CHECK(c.rx.receive(m, 0ns) == error_code());
    CHECK(number(m) == n);
  }
  SECTION("while it holds a message, the place of that is passed by") {
    c.send(10, 30);
    CHECK(number(m) == 9);
    CHECK_FALSE(c.rx.try_receive());
    CHECK(c.rx.total_lost() == 6 + 17);
    CHECK(c.rx.lost() == 6);
    told t;
    c.rx.async_receive(t.receiver());
    REQUIRE(run(c.io));
    CHECK(t.ec == errc::lagged);
    CHECK(c.rx.lost() == 17);
    CHECK(number(*c.rx.try_receive()) == 27);
    CHECK(number(m) == 9);
  }
  SECTION("a batch") {
    std::array<message, 8> room;
    c.send(10, 30);
    m.release();
    CHECK(c.rx.try_receive_n(room) == 0);
    CHECK(c.rx.try_receive_n(room) == 3);
    CHECK(number(room[0]) == 27);
    CHECK(c.rx.finish_wait() == errc::lagged);
  }
}

TEMPLATE_LIST_TEST_CASE("the newest message, beside a consumer that wants every one", "[byte_broadcast]", any_mode) {
  film<TestType> c("newest");
  auto every = c.another_consumer();
  message m;
  SECTION("at once") {
    CHECK_FALSE(c.rx.try_receive_newest());
    c.send(0, 3);
    const auto newest = c.rx.try_receive_newest();
    REQUIRE(newest);
    CHECK(number(*newest) == 2);
    CHECK_FALSE(c.rx.try_receive_newest());
    CHECK_FALSE(c.rx.try_receive());
    CHECK(drain(every) == std::vector<std::uint64_t>{0, 1, 2});
  }
  SECTION("blocking") {
    CHECK(c.rx.receive_newest(m, 0ns) == net::error::timed_out);
    c.send(0, 3);
    CHECK(c.rx.receive_newest(m) == error_code());
    CHECK(number(m) == 2);
    std::stop_source stop;
    stop.request_stop();
    CHECK(c.rx.receive_newest(m, stop.get_token()) == net::error::operation_aborted);
  }
  SECTION("waiting for it") {
    told t;
    c.rx.async_receive_newest(t.receiver());
    settle(c.io);
    CHECK(t.calls == 0);
    c.send(0, 3);
    REQUIRE(run(c.io));
    CHECK(t.value == 2);
    c.rx.async_receive_newest(t.receiver());
    settle(c.io);
    c.rx.cancel();
    REQUIRE(run(c.io));
    CHECK(t.ec == net::error::operation_aborted);
    c.send(3, 4);
    CHECK(number(*c.rx.try_receive_newest()) == 3);
  }
  SECTION("in a coroutine, and then closed") {
    std::vector<std::uint64_t> got;
    c.send(0, 2);
    run_coroutine(c.io, [&]() -> net::awaitable<void> {
      for (std::uint64_t n = 2;; n += 2) {
        auto [ec, frame] = co_await c.rx.async_receive_newest(use_tuple);
        if (ec) {
          CHECK(ec == errc::closed);
          break;
        }
        got.push_back(number(frame));
        frame.release();
        every.try_receive();
        every.try_receive();
        if (n == 8) {
          c.tx.close();
        } else {
          c.send(n, n + 2);
        }
      }
    });
    CHECK(got == std::vector<std::uint64_t>{1, 3, 5, 7});
  }
  CHECK(c.rx.total_lost() == 0);
}

TEST_CASE("a consumer that takes the newest has no losses, however far behind it is", "[byte_broadcast]") {
  film<overwriting> c("newest-lapped");
  c.send(0, 100);
  told t;
  c.rx.async_receive_newest(t.receiver());
  REQUIRE(run(c.io));
  CHECK(t.ec == error_code());
  CHECK(t.value == 99);
  CHECK(c.rx.total_lost() == 0);
  // A loss that try_receive has noticed is still to be told, and does not keep a wait for the newest awake.
  c.send(100, 200);
  CHECK_FALSE(c.rx.try_receive());
  CHECK(number(*c.rx.try_receive_newest()) == 199);
  c.rx.async_receive_newest(t.receiver());
  settle(c.io);
  CHECK(t.calls == 1);
  c.rx.cancel();
  REQUIRE(run(c.io));
  message m;
  CHECK(c.rx.receive(m) == errc::lagged);
  CHECK(c.rx.lost() == 96);
}

TEST_CASE("the producer of a ring that blocks is woken by a consumer that skips to the newest", "[byte_broadcast]") {
  film<blocking> c("newest-wakes");
  c.send(0, 4);
  told t;
  c.tx.async_send(c.values.make(4), t.handler());
  settle(c.io);
  CHECK(t.calls == 0);
  CHECK(number(*c.rx.try_receive_newest()) == 3);
  REQUIRE(run(c.io));
  CHECK(t.ec == error_code());
  CHECK(number(*c.rx.try_receive()) == 4);
}

TEMPLATE_LIST_TEST_CASE("a message that outlives its consumer can still be read", "[byte_broadcast]", any_mode) {
  film<TestType> c("outlives");
  c.send(7, 8);
  message m = std::move(*c.rx.try_receive());
  c.rx.close();
  CHECK(number(m) == 7);
  c.tx.close();
  CHECK(number(m) == 7);
}

TEMPLATE_LIST_TEST_CASE("peek shows the newest messages, and takes nothing", "[byte_broadcast]", any_mode) {
  if (way_to_meet() != meeting::by_name) return;
  film<TestType> c("peek");
  c.send(0, 3);
  const peeked_channel seen = peek(c.name, 2);
  CHECK(seen.info.problem.empty());
  REQUIRE(seen.values.size() == 2);
  for (std::uint64_t i = 0; i != 2; ++i) {
    REQUIRE(seen.values[i].bytes.size() == 8);
    CHECK(std::memcmp(seen.values[i].bytes.data(), c.values.make(i + 1).data(), 8) == 0);
  }
  CHECK(peek(c.name).values.size() == 3);
  const std::optional<message> held = c.rx.try_receive();
  CHECK(drain(c.rx).size() == 2);
  const channel_info info = inspect(c.name);
  CHECK(info.problem.empty());
  CHECK(info.kind == "byte_broadcast_ring");
  CHECK(info.capacity == 4);
  CHECK(info.received.messages == 3);
  CHECK(info.received.bytes == 24);
  const bool overwrites = info.overwrites;
  CHECK(overwrites == std::same_as<TestType, overwriting>);
  CHECK(info.participants[1].held == (overwrites ? std::optional<std::uint64_t>(1) : std::nullopt));
  CHECK(info.participants[1].behind == (overwrites ? std::nullopt : std::optional<std::uint64_t>(3)));
}
