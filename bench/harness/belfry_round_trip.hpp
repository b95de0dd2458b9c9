// Round trips over two Belfry channels, one in each direction.
#pragma once

#include "asio.hpp"
#include "contender.hpp"
#include "cpus.hpp"
#include "memory.hpp"
#include "messages.hpp"
#include "timer.hpp"

#include <belfry/belfry.hpp>

namespace belfry::bench {

using letter = message<16>;
using letters = channel<spsc_ring<letter, 64>>;

/// How round trips are timed.
struct pace {
  double units;           // per second
  std::uint64_t per_lap;  // round trips
};
inline constexpr pace microseconds{1e6, 1};
inline constexpr pace nanoseconds{1e9, 100};

inline net::awaitable<void> ping(letters::producer& tx, letters::consumer& rx, std::uint64_t n,
                                 lap_timer& timer) {
  letter m{};
  for (std::uint64_t i = 0; i != n; ++i) {
    m.number(i);
    co_await tx.async_send(m, net::use_awaitable);
    check(co_await rx.async_receive(net::use_awaitable), i);
    timer.done();
  }
}

inline net::awaitable<void> pong(letters::consumer& rx, letters::producer& tx, std::uint64_t n) {
  for (std::uint64_t i = 0; i != n; ++i) {
    co_await tx.async_send(co_await rx.async_receive(net::use_awaitable), net::use_awaitable);
  }
}

/// Both processes have a producer and a consumer.
class belfry_round_trip : public contender {
 public:
  belfry_round_trip(meeting_point<letters>::by how, pace p, std::chrono::nanoseconds spin = {})
      : there_("there", how), back_("back", how), pace_(p) {
    options_.spin = spin;
  }

  figure lead(std::uint64_t n) final {
    net::io_context io(1);
    auto tx = there_.producer(io, options_);
    auto rx = back_.consumer(io, options_);
    lap_timer timer(n, pace_.per_lap);
    exchange(io, tx, rx, n, timer);
    return timer.median(pace_.units);
  }

  void follow(std::uint64_t n) final {
    net::io_context io(1);
    auto rx = there_.consumer(io, options_);
    auto tx = back_.producer(io, options_);
    answer(io, rx, tx, n);
  }

 private:
  virtual void exchange(net::io_context& io, letters::producer& tx, letters::consumer& rx,
                        std::uint64_t n, lap_timer& timer) = 0;
  virtual void answer(net::io_context& io, letters::consumer& rx, letters::producer& tx,
                      std::uint64_t n) = 0;

  meeting_point<letters> there_;
  meeting_point<letters> back_;
  channel_options options_;
  pace pace_;
};

/// `co_await` on both sides.
class awaited_round_trip final : public belfry_round_trip {
 public:
  using belfry_round_trip::belfry_round_trip;

 private:
  void exchange(net::io_context& io, letters::producer& tx, letters::consumer& rx, std::uint64_t n,
                lap_timer& timer) override {
    run(io, ping(tx, rx, n, timer));
  }
  void answer(net::io_context& io, letters::consumer& rx, letters::producer& tx,
              std::uint64_t n) override {
    run(io, pong(rx, tx, n));
  }
};

/// `send` and `receive`, which block.
class blocking_round_trip final : public belfry_round_trip {
 public:
  using belfry_round_trip::belfry_round_trip;

 private:
  static void expect(const error_code& ec) {
    if (ec) throw net_system_error(ec);
  }

  void exchange(net::io_context&, letters::producer& tx, letters::consumer& rx, std::uint64_t n,
                lap_timer& timer) override {
    letter m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      m.number(i);
      expect(tx.send(m));
      expect(rx.receive(m));
      check(m, i);
      timer.done();
    }
  }
  void answer(net::io_context&, letters::consumer& rx, letters::producer& tx,
              std::uint64_t n) override {
    letter m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      expect(rx.receive(m));
      expect(tx.send(m));
    }
  }
};

/// `try_send` and `try_receive` in a loop.
class tried_round_trip final : public belfry_round_trip {
 public:
  using belfry_round_trip::belfry_round_trip;

 private:
  static letter receive(letters::consumer& rx) {
    for (;;) {
      if (const auto m = rx.try_receive()) return *m;
      relax();
    }
  }

  void exchange(net::io_context&, letters::producer& tx, letters::consumer& rx, std::uint64_t n,
                lap_timer& timer) override {
    letter m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      m.number(i);
      while (!tx.try_send(m)) relax();
      check(receive(rx), i);
      timer.done();
    }
  }
  void answer(net::io_context&, letters::consumer& rx, letters::producer& tx,
              std::uint64_t n) override {
    for (std::uint64_t i = 0; i != n; ++i) {
      const letter m = receive(rx);
      while (!tx.try_send(m)) relax();
    }
  }
};

}  // namespace belfry::bench
