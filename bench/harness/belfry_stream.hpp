// A stream of messages through one Belfry channel, of either ring, in all modes.
#pragma once

#include "asio.hpp"
#include "contender.hpp"
#include "cpus.hpp"
#include "memory.hpp"
#include "messages.hpp"
#include "timer.hpp"

#include <belfry/belfry.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <type_traits>

namespace belfry::bench {

/// Both sides do the same.
enum class mode {
  try_one,      // try_send, try_receive in a loop
  try_batch,    // try_send_n, try_receive_n
  await_one,    // co_await async_send, async_receive
  await_batch,  // co_await async_send_n, async_receive_n
};
inline constexpr std::size_t batch = 32;

/// How messages of a size go through a ring: as values, or as bytes.
template <std::size_t Bytes, std::size_t N>
struct through_spsc {
  using ring_channel = channel<spsc_ring<message<Bytes>, N>>;
  static constexpr std::size_t capacity = 0;

  static const message<Bytes>& outgoing(const message<Bytes>& m) noexcept { return m; }
  static void incoming(const message<Bytes>& m, std::uint64_t n) { check(m, n); }
};
template <std::size_t Bytes, std::size_t Capacity>
struct through_bytes {
  using ring_channel = channel<byte_ring>;
  static constexpr std::size_t capacity = Capacity;

  static std::span<const std::byte> outgoing(const message<Bytes>& m) noexcept {
    return std::as_bytes(std::span(m.words));
  }
  static void incoming(belfry::message& m, std::uint64_t n) {
    if (m.size() != Bytes) throw std::runtime_error("a message of another size");
    message<Bytes> copy;
    std::memcpy(&copy, m.bytes().data(), Bytes);
    m.release();
    check(copy, n);
  }
};

template <std::size_t Bytes, class Through>
class belfry_stream final : public contender {
  using ring_channel = typename Through::ring_channel;
  using producer = typename ring_channel::producer;
  using consumer = typename ring_channel::consumer;

 public:
  explicit belfry_stream(mode how) : channel_("stream"), how_(how) {
    options_.capacity = Through::capacity;
  }

  figure lead(std::uint64_t n) override {
    net::io_context io(1);
    consumer rx = channel_.consumer(io, options_);
    rate_timer timer(n);
    switch (how_) {
      case mode::try_one: receive_one(rx, n, timer); break;
      case mode::try_batch: receive_batch(rx, n, timer); break;
      case mode::await_one: run(io, async_receive_one(rx, n, timer)); break;
      case mode::await_batch: run(io, async_receive_batch(rx, n, timer)); break;
    }
    return timer.per_second(n);
  }

  void follow(std::uint64_t n) override {
    net::io_context io(1);
    producer tx = channel_.producer(io, options_);
    switch (how_) {
      case mode::try_one: send_one(tx, n); break;
      case mode::try_batch: send_batch(tx, n); break;
      case mode::await_one: run(io, async_send_one(tx, n)); break;
      case mode::await_batch: run(io, async_send_batch(tx, n)); break;
    }
  }

 private:
  /// The next messages to be sent, written again every time.
  class pack {
   public:
    std::span<const typename producer::value_type> next(std::uint64_t first, std::uint64_t n) {
      const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(batch, n - first));
      for (std::size_t k = 0; k != count; ++k) {
        messages_[k].number(first + k);
        if constexpr (!by_value) spans_[k] = Through::outgoing(messages_[k]);
      }
      if constexpr (by_value) {
        return std::span(messages_).first(count);
      } else {
        return std::span(spans_).first(count);
      }
    }

   private:
    static constexpr bool by_value = std::is_same_v<typename producer::value_type, message<Bytes>>;
    std::array<message<Bytes>, batch> messages_{};
    std::array<typename producer::value_type, by_value ? 0 : batch> spans_{};
  };
  using parcel = std::array<typename consumer::value_type, batch>;

  static void send_one(producer& tx, std::uint64_t n) {
    message<Bytes> m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      m.number(i);
      while (!tx.try_send(Through::outgoing(m))) relax();
    }
  }
  static void receive_one(consumer& rx, std::uint64_t n, rate_timer& timer) {
    for (std::uint64_t i = 0; i != n;) {
      if (auto m = rx.try_receive()) {
        Through::incoming(*m, i);
        timer.arrived(++i);
      } else {
        relax();
      }
    }
  }

  static void send_batch(producer& tx, std::uint64_t n) {
    pack messages;
    for (std::uint64_t i = 0; i < n; i += batch) {
      auto rest = messages.next(i, n);
      for (;;) {
        rest = rest.subspan(tx.try_send_n(rest));
        if (rest.empty()) break;
        relax();
      }
    }
  }
  static void receive_batch(consumer& rx, std::uint64_t n, rate_timer& timer) {
    parcel messages;
    for (std::uint64_t i = 0; i != n;) {
      const std::size_t count = rx.try_receive_n(messages);
      if (count == 0) relax();
      for (std::size_t k = 0; k != count; ++k) Through::incoming(messages[k], i++);
      timer.arrived(i);
    }
  }

  static net::awaitable<void> async_send_one(producer& tx, std::uint64_t n) {
    message<Bytes> m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      m.number(i);
      co_await tx.async_send(Through::outgoing(m), net::use_awaitable);
    }
  }
  static net::awaitable<void> async_receive_one(consumer& rx, std::uint64_t n, rate_timer& timer) {
    for (std::uint64_t i = 0; i != n;) {
      auto m = co_await rx.async_receive(net::use_awaitable);
      Through::incoming(m, i);
      timer.arrived(++i);
    }
  }

  static net::awaitable<void> async_send_batch(producer& tx, std::uint64_t n) {
    pack messages;
    for (std::uint64_t i = 0; i < n; i += batch) {
      co_await tx.async_send_n(messages.next(i, n), net::use_awaitable);
    }
  }
  static net::awaitable<void> async_receive_batch(consumer& rx, std::uint64_t n,
                                                  rate_timer& timer) {
    parcel messages;
    for (std::uint64_t i = 0; i != n;) {
      const std::size_t count = co_await rx.async_receive_n(messages, net::use_awaitable);
      for (std::size_t k = 0; k != count; ++k) Through::incoming(messages[k], i++);
      timer.arrived(i);
    }
  }

  meeting_point<ring_channel> channel_;
  channel_options options_;
  mode how_;
};

}  // namespace belfry::bench
