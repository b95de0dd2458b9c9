// Two processes make each other sleep and wake as often as they can: a lost wake-up is a hang.
//
// Random delays, mostly as short as the steps of parking, shift these steps against those of notifying, so
// that they meet in every order, many thousand times each.
#include "segment_file.hpp"
#include "traffic.hpp"

#include <belfry/detail/layout/pause.hpp>

using namespace belfry;
using namespace belfry::test;

namespace {

/// Spins for a random moment.
class jitter {
 public:
  explicit jitter(unsigned seed) : state_(seed * 2654435761u + 1) {}
  void operator()() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    const unsigned limit = (state_ >> 24) % 32 == 0 ? 1024 : 32;
    for (unsigned i = (state_ >> 4) % limit; i != 0; --i) detail::pause();
  }

 private:
  std::uint32_t state_;
};

template <std::size_t Capacity>
using numbers = channel<spsc_ring<std::uint64_t, Capacity>>;

/// Runs a coroutine, alone on its context.
void run_to_end(net::io_context& io, net::awaitable<void> body) {
  std::exception_ptr failed;
  net::co_spawn(io, std::move(body), [&](std::exception_ptr e) { failed = e; });
  io.run();
  if (failed) std::rethrow_exception(failed);
}

// ---- one way ------------------------------------------------------------------------------------------

template <class Producer>
net::awaitable<void> send_numbers(Producer& tx, std::uint64_t count, unsigned seed) {
  jitter pause(seed);
  for (std::uint64_t i = 0; i != count; ++i) {
    pause();
    co_await tx.async_send(i, net::use_awaitable);
  }
}

template <class Consumer>
net::awaitable<void> receive_numbers(Consumer& rx, std::uint64_t count, unsigned seed) {
  jitter pause(seed);
  for (std::uint64_t i = 0; i != count; ++i) {
    pause();
    EXPECT_EQ(co_await rx.async_receive(net::use_awaitable), i);
  }
}

template <class Producer>
void send_numbers(Producer& tx, how way, std::uint64_t count, unsigned seed) {
  jitter pause(seed);
  for (std::uint64_t i = 0; i != count; ++i) {
    pause();
    if (way == how::blocking) {
      EXPECT_EQ(tx.send(i), error_code());
    } else {
      while (!tx.try_send(i)) EXPECT_EQ(poll_for(tx), error_code());
    }
  }
}

template <class Consumer>
void receive_numbers(Consumer& rx, how way, std::uint64_t count, unsigned seed) {
  jitter pause(seed);
  for (std::uint64_t i = 0; i != count; ++i) {
    pause();
    std::uint64_t n = 0;
    if (way == how::blocking) {
      EXPECT_EQ(rx.receive(n), error_code());
    } else {
      std::optional<std::uint64_t> got;
      while (!(got = rx.try_receive())) EXPECT_EQ(poll_for(rx), error_code());
      n = *got;
    }
    EXPECT_EQ(n, i);
  }
}

/// How often both have parked.
std::uint64_t parks_of(const segment_file& file) {
  return file.slot(layout::role::producer).parks.load() + file.slot(layout::role::consumer).parks.load();
}

/// A stream through a ring that is empty or full most of the time.
template <std::size_t Capacity>
std::uint64_t stream(how senders_way, how receivers_way, std::uint64_t count) {
  const watchdog dog(std::chrono::seconds(180));
  const std::string name = unique_name("stream");
  const nothing_left check(name);
  const event joined;
  const event inspected;
  const unsigned seed = random_seed();
  child producer([&] {
    net::io_context io;
    auto tx = meet<numbers<Capacity>>::producer(io, name);
    joined.set();
    if (senders_way == how::awaited) {
      run_to_end(io, send_numbers(tx, count, seed + 1));
    } else {
      send_numbers(tx, senders_way, count, seed + 1);
    }
    inspected.wait();
  });
  child consumer([&] {
    net::io_context io;
    auto rx = meet<numbers<Capacity>>::consumer(io, name);
    joined.set();
    if (receivers_way == how::awaited) {
      run_to_end(io, receive_numbers(rx, count, seed + 2));
    } else {
      receive_numbers(rx, receivers_way, count, seed + 2);
    }
    joined.set();
    inspected.wait();
  });
  for (int i = 0; i != 3; ++i) joined.wait();  // the third: everything is received
  const std::uint64_t parks = parks_of(segment_file(name));
  inspected.set(2);
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
  return parks;
}

// ---- there and back -----------------------------------------------------------------------------------

template <class Producer, class Consumer>
net::awaitable<void> ping(Producer& tx, Consumer& rx, std::uint64_t count, bool first, unsigned seed) {
  jitter pause(seed);
  for (std::uint64_t i = 0; i != count; ++i) {
    pause();
    if (first) co_await tx.async_send(i, net::use_awaitable);
    EXPECT_EQ(co_await rx.async_receive(net::use_awaitable), i);
    if (!first) co_await tx.async_send(i, net::use_awaitable);
  }
}

template <class Producer, class Consumer>
void ping_blocking(Producer& tx, Consumer& rx, std::uint64_t count, bool first, unsigned seed) {
  jitter pause(seed);
  for (std::uint64_t i = 0; i != count; ++i) {
    pause();
    if (first) EXPECT_EQ(tx.send(i), error_code());
    std::uint64_t n = 0;
    EXPECT_EQ(rx.receive(n), error_code());
    EXPECT_EQ(n, i);
    if (!first) EXPECT_EQ(tx.send(i), error_code());
  }
}

/// Each waits for the other's answer: if one is not woken, both stop.
template <std::size_t Capacity>
void ping_pong(how way, std::uint64_t count) {
  const watchdog dog(std::chrono::seconds(180));
  const std::string name = unique_name("ping");
  const nothing_left check(name);
  const unsigned seed = random_seed();
  const auto play = [&](bool first) {
    net::io_context io;
    auto tx = meet<numbers<Capacity>>::producer(io, name + (first ? "-there" : "-back"));
    auto rx = meet<numbers<Capacity>>::consumer(io, name + (first ? "-back" : "-there"));
    if (way == how::awaited) {
      run_to_end(io, ping(tx, rx, count, first, seed + first));
    } else {
      ping_blocking(tx, rx, count, first, seed + first);
    }
  };
  child one([&] { play(true); });
  child other([&] { play(false); });
  CHECK(one.wait() == 0);
  CHECK(other.wait() == 0);
}

// ---- in bytes -----------------------------------------------------------------------------------------

/// Two large messages fill the ring, and a small one may still fit: the room needed differs each time.
void stream_of_bytes(how way, std::uint64_t count) {
  const watchdog dog(std::chrono::seconds(180));
  const std::string name = unique_name("bytes");
  const nothing_left check(name);
  const unsigned seed = random_seed();
  const auto size_of = [](std::uint64_t i) { return 8 + scramble({1, i}) % 4080; };
  child producer([&] {
    sender<frames> tx(name, way);
    jitter pause(seed + 1);
    std::vector<std::byte> bytes(4096);
    for (std::uint64_t i = 0; i != count; ++i) {
      pause();
      std::memcpy(bytes.data(), &i, sizeof i);
      const std::span<const std::byte> m(bytes.data(), size_of(i));
      if (way == how::blocking) {
        EXPECT_EQ(tx.tx().send(m), error_code());
      } else if (way == how::polled) {
        while (!tx.tx().try_send(m)) EXPECT_EQ(poll_for(tx.tx()), error_code());
      } else {
        error_code result;
        tx.tx().async_send(m, [&](error_code ec) { result = ec; });
        tx.io().restart();
        tx.io().run();
        EXPECT_EQ(result, error_code());
      }
    }
  });
  child consumer([&] {
    receiver<frames> rx(name, way);
    jitter pause(seed + 2);
    message held;  // the last one is kept until the next one
    for (std::uint64_t i = 0; i != count; ++i) {
      pause();
      message m;
      EXPECT_EQ(rx.receive(m), error_code());
      std::uint64_t n = 0;
      std::memcpy(&n, m.bytes().data(), sizeof n);
      EXPECT_EQ(n, i);
      EXPECT_EQ(m.size(), size_of(i));
      if (i % 3 == 0) m.release();
    }
  });
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
}

constexpr std::uint64_t scale = sanitized ? 1 : 8;

}  // namespace

TEST_CASE("no wake-up is lost in a ring of one value", "[wakeup-1]") {
  std::uint64_t parks = 0;
  for (const how there : every_way) {
    for (const how here : every_way) {
      INFO(name_of(there) << " to " << name_of(here));
      parks += stream<1>(there, here, 5'000 * scale);
    }
  }
  WARN(parks << " parkings");
}

TEST_CASE("no wake-up is lost in a ring of two values", "[wakeup-2]") {
  std::uint64_t parks = 0;
  for (const how there : every_way) {
    for (const how here : every_way) {
      INFO(name_of(there) << " to " << name_of(here));
      parks += stream<2>(there, here, 5'000 * scale);
    }
  }
  WARN(parks << " parkings");
}

TEST_CASE("no wake-up is lost in a ring that is seldom full", "[wakeup-many]") {
  for (const how way : every_way) {
    INFO(name_of(way));
    WARN(stream<100>(way, way, 10'000 * scale) << " parkings");
  }
}

TEST_CASE("no wake-up is lost in round trips", "[wakeup-ping]") {
  for (const how way : {how::awaited, how::blocking}) {
    INFO(name_of(way));
    ping_pong<1>(way, 5'000 * scale);
    ping_pong<2>(way, 5'000 * scale);
  }
}

TEST_CASE("no wake-up is lost in a ring of bytes", "[wakeup-bytes]") {
  for (const how way : every_way) {
    INFO(name_of(way));
    stream_of_bytes(way, 5'000 * scale);
  }
}
