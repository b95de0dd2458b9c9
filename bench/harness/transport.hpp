// Peers that carry messages between processes: the common interface.
#pragma once

#include "contender.hpp"
#include "memory.hpp"
#include "messages.hpp"
#include "timer.hpp"

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <memory>
#include <stdexcept>

#include <unistd.h>

namespace belfry::bench {

enum class traffic { one_way, both_ways };  // one way: from `follow` to `lead`
enum class side { lead, follow };

/// Made before the fork, for messages of a fixed size; cleans up. Each process has an endpoint, made after
/// the fork; its `send` waits for room, and its `receive` for a message.
template <class T>
concept transport = std::constructible_from<T, std::size_t, traffic> &&
    std::constructible_from<typename T::endpoint, const T&, side> &&
    requires(typename T::endpoint e, const void* from, void* to, std::size_t bytes) {
  e.send(from, bytes);
  e.receive(to, bytes);
};

/// How many messages may be queued: as many as the rings in the comparison hold.
constexpr std::size_t depth(std::size_t bytes) {
  return std::clamp<std::size_t>((std::size_t{16} << 20) / bytes, 4, 4096);
}

inline void expect_size(std::size_t bytes, std::size_t expected) {
  if (bytes != expected) throw std::runtime_error("a message of another size");
}

/// Stands for a transport whose library was not found.
class missing_transport {
 public:
  missing_transport(std::size_t, traffic) {
    throw std::runtime_error("left out, as its library was not found when this was built");
  }
  struct endpoint {
    endpoint(const missing_transport&, side) {}
    void send(const void*, std::size_t) {}
    void receive(void*, std::size_t) {}
  };
};

/// The sender of the last message must not leave before it has arrived: not every transport delivers what a
/// closed endpoint has sent.
class arrival {
 public:
  void say() { said_->store(true, std::memory_order_release); }
  void await() const {
    while (!said_->load(std::memory_order_acquire)) ::usleep(100);  // pairs with the release above
  }

 private:
  inherited<std::atomic<bool>> said_;
};

template <transport Transport>
class transport_round_trip final : public contender {
 public:
  explicit transport_round_trip(double units) : units_(units) {}

  figure lead(std::uint64_t n) override {
    typename Transport::endpoint end(transport_, side::lead);
    lap_timer timer(n, 1);
    letter m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      m.number(i);
      end.send(&m, sizeof m);
      end.receive(&m, sizeof m);
      check(m, i);
      timer.done();
    }
    arrived_.say();
    return timer.median(units_);
  }

  void follow(std::uint64_t n) override {
    typename Transport::endpoint end(transport_, side::follow);
    letter m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      end.receive(&m, sizeof m);
      end.send(&m, sizeof m);
    }
    arrived_.await();
  }

 private:
  using letter = message<16>;

  double units_;
  Transport transport_{sizeof(letter), traffic::both_ways};
  arrival arrived_;
};

template <std::size_t Bytes, transport Transport>
class transport_stream final : public contender {
 public:
  figure lead(std::uint64_t n) override {
    const auto m = std::make_unique<message<Bytes>>();
    typename Transport::endpoint end(transport_, side::lead);
    rate_timer timer(n);
    for (std::uint64_t i = 0; i != n;) {
      end.receive(m.get(), Bytes);
      check(*m, i);
      timer.arrived(++i);
    }
    const figure result = timer.per_second(n);
    arrived_.say();
    return result;
  }

  void follow(std::uint64_t n) override {
    const auto m = std::make_unique<message<Bytes>>();
    typename Transport::endpoint end(transport_, side::follow);
    for (std::uint64_t i = 0; i != n; ++i) {
      m->number(i);
      end.send(m.get(), Bytes);
    }
    arrived_.await();
  }

 private:
  Transport transport_{Bytes, traffic::one_way};
  arrival arrived_;
};

}  // namespace belfry::bench
