// Many to many in Belfry: every process awaits all of its operations, single or in batches, in one
// io_context.
#pragma once

#include "asio.hpp"
#include "crowd.hpp"
#include "fan.hpp"
#include "memory.hpp"

#include <belfry/belfry.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <utility>
#include <vector>

namespace belfry::bench {

/// A member's io_context, until the turn is over.
class awaiting {
 public:
  explicit awaiting(member& me) : me_(me) {}

  template <class Producer>
  net::awaitable<void> send(Producer& tx, std::size_t at_a_time) {
    std::vector<item> items(at_a_time);
    for (std::uint64_t n = 0; !me_.over();) {
      for (item& i : items) i.words.fill(n++);
      if (at_a_time == 1) {
        co_await tx.async_send(items[0], net::use_awaitable);
      } else {
        co_await tx.async_send_n(items, net::use_awaitable);
      }
    }
  }

  template <class Consumer>
  net::awaitable<void> receive(Consumer& rx, std::size_t at_a_time) {
    std::vector<item> items(at_a_time);
    while (!me_.over()) {
      std::size_t count = 1;
      if (at_a_time == 1) {
        items[0] = co_await rx.async_receive(net::use_awaitable);
      } else {
        count = co_await rx.async_receive_n(items, net::use_awaitable);
      }
      for (std::size_t i = 0; i != count; ++i) {
        check(items[i]);
        me_.done();
      }
    }
  }

  void spawn(net::awaitable<void> coroutine) {
    net::co_spawn(io, std::move(coroutine), [this](std::exception_ptr e) {
      if (e && !me_.over()) std::rethrow_exception(e);  // at the end the others have left
    });
  }
  void run() {
    spawn(stop_when_over());
    me_.ready();
    io.run();
  }

  net::io_context io{1};

 private:
  net::awaitable<void> stop_when_over() {
    net::steady_timer timer(io);
    while (!me_.over()) {
      timer.expires_after(timeout);
      co_await timer.async_wait(net::use_awaitable);
    }
    io.stop();
  }

  member& me_;
};

/// All members share one channel.
template <class Ring>
double in_one_channel(const shape& s, std::size_t at_a_time) {
  const meeting_point<channel<Ring>> place("fan");
  return rate_of(
      s,
      [&](std::size_t) {
        return [&](member& me) {
          awaiting a(me);
          auto tx = place.producer(a.io);
          a.spawn(a.send(tx, at_a_time));
          a.run();
        };
      },
      [&](std::size_t) {
        return [&](member& me) {
          awaiting a(me);
          auto rx = place.consumer(a.io);
          a.spawn(a.receive(rx, at_a_time));
          a.run();
        };
      });
}

/// Each producer has its own channel to the one consumer.
template <class Ring>
double in_channels_of_their_own(const shape& s, std::size_t at_a_time) {
  std::deque<meeting_point<channel<Ring>>> channels;
  for (std::size_t i = 0; i != s.producers; ++i) channels.emplace_back("fan");
  return rate_of(
      s,
      [&](std::size_t i) {
        return [&, i](member& me) {
          awaiting a(me);
          auto tx = channels[i].producer(a.io);
          a.spawn(a.send(tx, at_a_time));
          a.run();
        };
      },
      [&](std::size_t) {
        return [&](member& me) {
          awaiting a(me);
          std::deque<typename channel<Ring>::consumer> all;
          for (const auto& c : channels) all.push_back(c.consumer(a.io));
          for (auto& rx : all) a.spawn(a.receive(rx, at_a_time));
          a.run();
        };
      });
}

}  // namespace belfry::bench
