// An open load through a Belfry channel.
#pragma once

#include "open_load.hpp"

#include <belfry/belfry.hpp>

#include <array>

namespace belfry::bench {

class belfry_conduit {
  using ring_channel = channel<spsc_ring<load_message, load_capacity>>;

 public:
  enum class mode { poll, await_one, await_batch };

  explicit belfry_conduit(mode how, std::chrono::nanoseconds spin = {})
      : channel_("load"), how_(how) {
    options_.spin = spin;
  }

  class sender {
   public:
    explicit sender(const belfry_conduit& c) : tx_(c.channel_.producer(io_)) {}
    void send(const load_message& m) {
      while (!tx_.try_send(m)) relax();
    }

   private:
    net::io_context io_{1};
    ring_channel::producer tx_;
  };

  class receiver {
   public:
    explicit receiver(const belfry_conduit& c)
        : rx_(c.channel_.consumer(io_, c.options_)), how_(c.how_) {}
    void receive(latency_log& log) {
      switch (how_) {
        case mode::poll: return poll(log);
        case mode::await_one: return run(io_, one_by_one(log));
        case mode::await_batch: return run(io_, in_batches(log));
      }
    }

   private:
    void poll(latency_log& log) {
      while (!log.complete()) {
        if (const auto m = rx_.try_receive()) {
          log.arrived(*m);
        } else {
          relax();
        }
      }
    }
    net::awaitable<void> one_by_one(latency_log& log) {
      while (!log.complete()) log.arrived(co_await rx_.async_receive(net::use_awaitable));
    }
    net::awaitable<void> in_batches(latency_log& log) {
      std::array<load_message, 32> messages;
      while (!log.complete()) {
        const std::size_t n = co_await rx_.async_receive_n(messages, net::use_awaitable);
        for (std::size_t i = 0; i != n; ++i) log.arrived(messages[i]);
      }
    }

    net::io_context io_{1};
    ring_channel::consumer rx_;
    mode how_;
  };

 private:
  meeting_point<ring_channel> channel_;
  channel_options options_;
  mode how_;
};

}  // namespace belfry::bench
