// Several rings behind one interface, for tests that hold for all of them:
//
//     TEMPLATE_TEST_CASE("...", "[tag]", of_values, of_bytes) {
//       using channel = typename TestType::channel;
//       TestType values;
//       tx.try_send(values.make(7));
//       CHECK(number(*rx.try_receive()) == 7);
#pragma once

#include "effort.hpp"
#include "meeting.hpp"
#include "test.hpp"
#include "through_any.hpp"

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace belfry::test {

struct tick {
  std::uint64_t seq;
  double price;
};

/// A ring of values. Its consumer does not miss what was sent before it joined.
template <class Ring>
struct of_ring {
  using channel = belfry::channel<Ring>;
  static constexpr std::size_t room = Ring::traits.capacity(0);

  static constexpr channel_options options() {
    channel_options o;
    o.start = start::oldest;
    return o;
  }
  static tick make(std::uint64_t n) { return {n, 0.25 * static_cast<double>(n)}; }
};
using of_values = of_ring<spsc_ring<tick, 64>>;

/// Of a byte_ring. It is mapped twice, so it has at least a page, and on Windows more.
#if !defined(BELFRY_TEST_SMALLEST_CAPACITY)
#define BELFRY_TEST_SMALLEST_CAPACITY 4096
#endif
inline constexpr std::size_t smallest_capacity = BELFRY_TEST_SMALLEST_CAPACITY;

struct of_bytes {
  using channel = belfry::channel<byte_ring>;
  static constexpr std::size_t room = smallest_capacity / 16;
  static constexpr std::size_t largest = smallest_capacity - 8;  // message, in bytes

  static constexpr channel_options options() {
    channel_options o;
    o.capacity = smallest_capacity;
    return o;
  }
  /// A message of eight bytes; stays valid until four times as many were made as there is room for.
  std::span<const std::byte> make(std::uint64_t n) {
    std::uint64_t& place = numbers_[n % numbers_.size()];
    place = n;
    return std::as_bytes(std::span(&place, 1));
  }

 private:
  std::array<std::uint64_t, 4 * room> numbers_{};
};

/// A ring with a place for each message. Its consumer does not miss what was sent before it joined.
template <class Ring>
struct of_messages : of_bytes {
  using channel = belfry::channel<Ring>;
  static constexpr std::size_t room = 16;

  static constexpr channel_options options() {
    channel_options o;
    o.slots = room;
    o.message_bytes = 1024;
    o.start = start::oldest;
    return o;
  }
};

/// Every ring, with every option, for the tests that hold for all: tests/ring/conformance.cpp without endpoints,
/// tests/channel/every_ring.cpp with them. A new ring is two more lines: by its type, and by its bytes alone.
using every_ring = std::tuple<
    of_values,
    of_bytes,
    of_ring<work_ring<tick, 16>>,
    of_ring<broadcast_ring<tick, 16, overflow::block>>,
    of_ring<broadcast_ring<tick, 16, overflow::overwrite>>,
    of_ring<latest<tick>>,
    of_messages<byte_broadcast_ring<overflow::block>>,
    of_messages<byte_broadcast_ring<overflow::overwrite>>,
    of_messages<byte_work_ring>,
    through_any<of_values>,
    through_any<of_bytes>,
    through_any<of_ring<work_ring<tick, 16>>>,
    through_any<of_ring<broadcast_ring<tick, 16, overflow::block>>>,
    through_any<of_ring<broadcast_ring<tick, 16, overflow::overwrite>>>,
    through_any<of_ring<latest<tick>>>,
    through_any<of_messages<byte_broadcast_ring<overflow::block>>>,
    through_any<of_messages<byte_broadcast_ring<overflow::overwrite>>>,
    through_any<of_messages<byte_work_ring>>>;

inline std::uint64_t number(const tick& t) { return t.seq; }
template <class Message>
  requires std::same_as<Message, message> || std::same_as<Message, copied_message>
std::uint64_t number(const Message& m) {
  std::uint64_t n = ~std::uint64_t{0};
  if (m.size() == sizeof n) std::memcpy(&n, m.bytes().data(), sizeof n);
  return n;
}

/// Sends numbers from `first` on until there is no room; returns how many it sent.
template <class Producer, class Values>
std::size_t fill(Producer& tx, Values& values, std::uint64_t first = 0) {
  std::size_t sent = 0;
  while (tx.try_send(values.make(first + sent))) ++sent;
  return sent;
}

/// Receives everything that is there; returns its numbers.
template <class Consumer>
std::vector<std::uint64_t> drain(Consumer& rx) {
  std::vector<std::uint64_t> numbers;
  while (auto v = rx.try_receive()) numbers.push_back(number(*v));
  return numbers;
}

/// A producer and a consumer in one context, which meet in the way that the program is told.
template <class Kit>
struct linked {
  explicit linked(std::string_view what)
      : name(unique_name(what)),
        tx(meet::producer(io, name, Kit::options())),
        rx(meet::consumer(io, name, Kit::options())) {}
  ~linked() {
    tx.close();
    rx.close();
    meet::forget(name);  // something may be left unread
  }

  using meet = test::meet<typename Kit::channel>;
  using producer = typename Kit::channel::producer;
  using consumer = typename Kit::channel::consumer;
  /// Another producer or consumer of the channel.
  producer another_producer() { return meet::producer(io, name, Kit::options()); }
  producer another_producer(error_code& ec) { return meet::producer(io, name, Kit::options(), ec); }
  consumer another_consumer() { return meet::consumer(io, name, Kit::options()); }
  consumer another_consumer(error_code& ec) { return meet::consumer(io, name, Kit::options(), ec); }

  net::io_context io;
  std::string name;
  Kit values;
  typename Kit::channel::producer tx;
  typename Kit::channel::consumer rx;
};

/// Runs a coroutine to its end; rethrows its exception.
template <class Function>
void run_coroutine(net::io_context& io, Function f) {
  bool ended = false;
  std::exception_ptr error;
  net::co_spawn(io, std::move(f), [&](std::exception_ptr e) {
    error = e;
    ended = true;
  });
  REQUIRE(run(io));
  REQUIRE(ended);
  if (error) std::rethrow_exception(error);
}

/// Counts the calls of a handler, and keeps its last arguments.
struct told {
  int calls = 0;
  error_code ec = errc::protocol_error;  // a value that no handler is called with
  std::size_t count = 0;
  std::uint64_t value = 0;

  auto handler() {
    return [this](const error_code& e) { note(e); };
  }
  auto counter() {
    return [this](const error_code& e, std::size_t n) {
      note(e);
      count = n;
    };
  }
  auto receiver() {
    return [this](const error_code& e, auto v) {
      note(e);
      if (!e) value = number(v);
    };
  }
  void note(const error_code& e) {
    ++calls;
    ec = e;
  }
};

inline std::span<const std::byte> as_message(std::string_view text) {
  return std::as_bytes(std::span(text));
}
inline std::string text_of(const message& m) {
  return {reinterpret_cast<const char*>(m.bytes().data()), m.size()};
}

/// Runs handlers until the condition holds. Returns false if that takes too long. (A wake-up may come through another
/// thread, and then takes a moment.)
template <class Condition>
bool comes_true(net::io_context& io, Condition condition) {
  for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60) * slowness; !condition();) {
    if (std::chrono::steady_clock::now() > end) return false;
    io.restart();
    io.run_for(std::chrono::milliseconds(1));
  }
  io.restart();
  return true;
}

/// Runs all ready handlers, and those they make ready, until every operation waits.
inline void settle(net::io_context& io) {
  io.restart();
  for (int quiet = 0; quiet != 3;) quiet = io.poll() == 0 ? quiet + 1 : 0;
  io.restart();
}

}  // namespace belfry::test
