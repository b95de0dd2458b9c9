// A stream of messages through a byte_ring: each copied in and out; or written and read in place; or passed
// without touching its contents.
#pragma once

#include "asio.hpp"
#include "contender.hpp"
#include "cpus.hpp"
#include "memory.hpp"
#include "messages.hpp"
#include "timer.hpp"

#include <belfry/belfry.hpp>

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>

namespace belfry::bench {

enum class handling { copied, in_place, handed_over };
enum class waiting { tried, awaited };  // in a loop of try_…; with co_await

template <std::size_t Bytes, std::size_t Capacity>
class belfry_frames final : public contender {
  using frames = channel<byte_ring>;

 public:
  belfry_frames(handling h, waiting w) : channel_("frames"), handling_(h), waiting_(w) {
    options_.capacity = Capacity;
  }

  figure lead(std::uint64_t n) override {
    net::io_context io(1);
    frames::consumer rx = channel_.consumer(io, options_);
    rate_timer timer(n);
    if (waiting_ == waiting::awaited) {
      run(io, receive_awaited(rx, n, timer));
    } else {
      receive_tried(rx, n, timer);
    }
    return timer.per_second(n);
  }

  void follow(std::uint64_t n) override {
    net::io_context io(1);
    frames::producer tx = channel_.producer(io, options_);
    if (waiting_ == waiting::awaited) {
      run(io, send_awaited(tx, n));
    } else {
      send_tried(tx, n);
    }
  }

 private:
  std::span<const std::byte> numbered(std::uint64_t i) {
    own_->number(i);
    return std::as_bytes(std::span(own_->words));
  }
  void fill(claim c, std::uint64_t i) const {
    auto& m = *new (c.bytes().data()) message<Bytes>;
    if (handling_ == handling::handed_over) {
      m.words[0] = i;
    } else {
      m.number(i);
    }
    c.commit();
  }
  void incoming(belfry::message m, std::uint64_t i) {
    if (m.size() != Bytes) throw std::runtime_error("a message of another size");
    const auto& there = *std::launder(reinterpret_cast<const message<Bytes>*>(m.bytes().data()));
    if (handling_ == handling::in_place) return check(there, i);
    if (handling_ == handling::handed_over) {
      if (there.words[0] != i) throw std::runtime_error("not the message that was expected");
      return;
    }
    std::memcpy(own_.get(), m.bytes().data(), Bytes);
    m.release();
    check(*own_, i);
  }

  void send_tried(frames::producer& tx, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n;) {
      if (handling_ == handling::copied) {
        const auto m = numbered(i++);
        while (!tx.try_send(m)) relax();
      } else if (claim c = tx.try_claim(Bytes)) {
        fill(std::move(c), i++);
      } else {
        relax();
      }
    }
  }
  void receive_tried(frames::consumer& rx, std::uint64_t n, rate_timer& timer) {
    for (std::uint64_t i = 0; i != n;) {
      if (auto m = rx.try_receive()) {
        incoming(std::move(*m), i);
        timer.arrived(++i);
      } else {
        relax();
      }
    }
  }

  net::awaitable<void> send_awaited(frames::producer& tx, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) {
      if (handling_ == handling::copied) {
        co_await tx.async_send(numbered(i), net::use_awaitable);
      } else {
        fill(co_await tx.async_claim(Bytes, net::use_awaitable), i);
      }
    }
  }
  net::awaitable<void> receive_awaited(frames::consumer& rx, std::uint64_t n, rate_timer& timer) {
    for (std::uint64_t i = 0; i != n;) {
      incoming(co_await rx.async_receive(net::use_awaitable), i);
      timer.arrived(++i);
    }
  }

  meeting_point<frames> channel_;
  channel_options options_;
  handling handling_;
  waiting waiting_;
  std::unique_ptr<message<Bytes>> own_ = std::make_unique<message<Bytes>>();
};

}  // namespace belfry::bench
