// Large messages from one producer to several consumers, each of which gets all of them, in place where the library can:
// as frames of a camera. Only the first and the last word of a frame are written and read: its contents would cost
// everyone the same. Everyone sleeps when there is nothing to do. Then, what a frame costs its producer.
#include "../harness/asio.hpp"
#include "../harness/belfry_fan.hpp"
#include "../harness/crowd.hpp"
#include "../harness/memory.hpp"
#include "../harness/timer.hpp"
#include "../harness/transport.hpp"
#include "../peers/transports.hpp"
#include "cases.hpp"

#include <belfry/belfry.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sched.h>
#include <unistd.h>

namespace belfry::bench {
namespace {

constexpr auto turn = std::chrono::milliseconds(300);
constexpr int rounds = 5;

/// iceoryx queues at most 256 frames for a subscriber.
std::size_t places_for(std::size_t bytes) { return std::min<std::size_t>(depth(bytes), 256); }

void number(void* frame, std::size_t bytes, std::uint64_t n) {
  std::memcpy(frame, &n, sizeof n);
  std::memcpy(static_cast<char*>(frame) + bytes - sizeof n, &n, sizeof n);
}
std::uint64_t number_of(const void* frame, std::size_t bytes) {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::memcpy(&first, frame, sizeof first);
  std::memcpy(&last, static_cast<const char*>(frame) + bytes - sizeof last, sizeof last);
  if (first != last) throw std::runtime_error("a frame is torn");
  return first;
}

/// Frames come in order, without gaps: checked by each consumer.
class sequence {
 public:
  explicit sequence(bool gaps = false) : gaps_(gaps) {}
  void arrived(std::uint64_t n) {
    if (any_ && (gaps_ ? n <= last_ : n != last_ + 1)) throw std::runtime_error("a frame is missing");
    any_ = true;
    last_ = n;
  }

 private:
  bool gaps_;
  bool any_ = false;
  std::uint64_t last_ = 0;
};

/// The producer is the first member, so that it begins on a processor of its own.
double rate_of(std::size_t consumers, const part& producer, const std::function<part(std::size_t)>& consumer) {
  std::vector<part> parts{producer};
  for (std::size_t i = 0; i != consumers; ++i) parts.push_back(consumer(i));
  return rate(parts, turn) / static_cast<double>(consumers);
}

// ---- Belfry ---------------------------------------------------------------------------------------------

template <overflow Mode>
struct belfry_channel {
  using frames = channel<byte_broadcast_ring<Mode>>;

  explicit belfry_channel(std::size_t bytes) : bytes(bytes) {
    options.slots = places_for(bytes);
    options.message_bytes = bytes;
    options.start = start::newest;
  }

  net::awaitable<void> send(member& me, typename frames::producer& tx) const {
    for (std::uint64_t n = 0; !me.over(); ++n) {
      claim c = co_await tx.async_claim(bytes, net::use_awaitable);
      number(c.bytes().data(), bytes, n);
      c.commit();
    }
  }
  net::awaitable<void> receive(member& me, typename frames::consumer& rx) const {
    for (sequence s(Mode == overflow::overwrite); !me.over();) {
      error_code ec;
      const belfry::message m = co_await rx.async_receive(net::redirect_error(net::use_awaitable, ec));
      if (ec == errc::lagged) continue;
      if (ec) throw std::runtime_error(ec.message());
      s.arrived(number_of(m.bytes().data(), m.size()));
      me.done();
    }
  }

  std::size_t bytes;
  channel_options options;
  meeting_point<frames> place{"frames"};

};

template <overflow Mode>
double by_belfry(std::size_t bytes, std::size_t consumers) {
  const belfry_channel<Mode> all(bytes);
  return rate_of(
      consumers,
      [&](member& me) {
        awaiting a(me);
        auto tx = all.place.producer(a.io, all.options);
        a.spawn(all.send(me, tx));
        a.run();
      },
      [&](std::size_t) {
        return [&](member& me) {
          awaiting a(me);
          auto rx = all.place.consumer(a.io, all.options);
          a.spawn(all.receive(me, rx));
          a.run();
        };
      });
}

// ---- peers ------------------------------------------------------------------------------------------------

#if defined(BELFRY_BENCH_ICEORYX)
double by_iceoryx(std::size_t bytes, std::size_t consumers) {
  const iceoryx_topic topic(bytes, places_for(bytes) / 2, consumers);
  return rate_of(
      consumers,
      [&](member& me) {
        iceoryx_topic::publisher tx(topic);
        produce(me, [&](std::uint64_t n) {
          void* const frame = tx.loan();
          if (frame == nullptr) return false;
          number(frame, bytes, n);
          tx.send(frame);
          return true;
        });
      },
      [&](std::size_t i) {
        return [&, i](member& me) {
          iceoryx_topic::subscriber rx(topic, i);
          consume(me, [&, s = sequence()]() mutable -> std::size_t {
            const void* const frame = rx.receive(timeout);
            if (frame == nullptr) return 0;
            s.arrived(number_of(frame, bytes));
            rx.release(frame);
            return 1;
          });
        };
      });
}
#else
double by_iceoryx(std::size_t bytes, std::size_t) {
  missing_transport(bytes, traffic::one_way);
  return 0;
}
#endif

#if defined(BELFRY_BENCH_ZEROMQ)
/// A publisher that waits instead of losing messages, and writes into the message that it sends.
double by_zeromq(std::size_t bytes, std::size_t consumers) {
  const std::string address = "ipc://@" + unique_name("zeromq");
  constexpr int milliseconds = static_cast<int>(timeout.count());
  return rate_of(
      consumers,
      [&](member& me) {
        zeromq_socket tx(ZMQ_PUB, places_for(bytes));
        tx.set(ZMQ_XPUB_NODROP, 1);
        tx.set(ZMQ_SNDTIMEO, milliseconds);
        tx.set(ZMQ_LINGER, 0);
        tx.bind(address);
        produce(me, [&](std::uint64_t n) {
          return tx.send_written(bytes, [&](void* frame) { number(frame, bytes, n); });
        });
      },
      [&](std::size_t) {
        return [&](member& me) {
          zeromq_socket rx(ZMQ_SUB, places_for(bytes));
          rx.set(ZMQ_RCVTIMEO, milliseconds);
          rx.subscribe();
          rx.connect(address);
          consume(me, [&, s = sequence(true)]() mutable -> std::size_t {  // it may join late
            return rx.receive_read(bytes, [&](const void* frame) { s.arrived(number_of(frame, bytes)); }) ? 1 : 0;
          });
        };
      });
}
#else
double by_zeromq(std::size_t bytes, std::size_t) {
  missing_transport(bytes, traffic::one_way);
  return 0;
}
#endif

void compare(report& out, std::size_t bytes, std::size_t consumers) {
  const auto figures = median_rates(
      {
          {"block", [=] { return by_belfry<overflow::block>(bytes, consumers); }},
          {"overwrite", [=] { return by_belfry<overflow::overwrite>(bytes, consumers); }},
          {"iceoryx, loans", [=] { return by_iceoryx(bytes, consumers); }},
          {"ZeroMQ PUB, SUB", [=] { return by_zeromq(bytes, consumers); }},
      },
      rounds);
  for (const std::size_t mode : {0, 1}) {
    out.add({"frames",
             "msg/s",
             {{"bytes", static_cast<int>(bytes)},
              {"consumers", static_cast<int>(consumers)},
              {"mode", mode == 0 ? "block" : "overwrite"}},
             figures[mode],
             {{"iceoryx, loans", figures[2]}, {"ZeroMQ PUB, SUB", figures[3]}}});
  }
}

// ---- what a frame costs its producer ---------------------------------------------------------------------------

struct cost {
  std::atomic<double> busy{0};  // seconds
  std::atomic<double> frames{0};
};

/// The consumers get every frame; the producer sends a few, and then pauses. Only its calls are timed.
double cost_of_frame(std::size_t bytes, std::size_t consumers) {
  const belfry_channel<overflow::overwrite> all(bytes);
  const inherited<cost> c;
  rate_of(
      consumers,
      [&](member& me) {
        net::io_context io;
        auto tx = all.place.producer(io, all.options);
        me.ready();
        for (std::uint64_t n = 0; !me.over();) {
          const auto begin = stopwatch::now();
          for (int i = 0; i != 4; ++i) {
            while (!me.over()) {
              if (claim frame = tx.try_claim(bytes)) {
                number(frame.bytes().data(), bytes, n++);
                frame.commit();
                break;
              }
              ::sched_yield();
            }
          }
          c->busy = c->busy + seconds(stopwatch::now() - begin).count();
          c->frames = c->frames + 4;
          ::usleep(200);
        }
      },
      [&](std::size_t) {
        return [&](member& me) {
          awaiting a(me);
          auto rx = all.place.consumer(a.io, all.options);
          a.spawn(all.receive(me, rx));
          a.run();
        };
      });
  return c->busy / c->frames * 1e9;
}

void costs(report& out, std::size_t consumers) {
  const auto figures = median_rates({{"4 KiB", [=] { return cost_of_frame(4 << 10, consumers); }},
                                     {"1 MiB", [=] { return cost_of_frame(1 << 20, consumers); }}},
                                    rounds);
  out.add({"frames-cost",
           "ns",
           {{"bytes", 1 << 20}, {"consumers", static_cast<int>(consumers)}},
           figures[1],
           {{"a frame of 4 KiB", figures[0]}}});
}

}  // namespace

void frames(report& out) {
  for (const std::size_t bytes : {std::size_t{4} << 10, std::size_t{1} << 20}) {
    for (const std::size_t consumers : {1, 4, 16}) compare(out, bytes, consumers);
  }
  for (const std::size_t consumers : {1, 16}) costs(out, consumers);
}

}  // namespace belfry::bench
