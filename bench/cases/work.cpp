// Items from several producers to several consumers, one consumer for each item, all polling. Against
// Boost.Lockfree's multi-producer queue, polled as well, and Boost.Interprocess's queue, which waits.
#include "../harness/asio.hpp"
#include "cases.hpp"
#include "../harness/crowd.hpp"
#include "../harness/memory.hpp"
#include "../harness/messages.hpp"

#include <belfry/channel.hpp>
#include <belfry/ring/work_ring.hpp>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/lockfree/queue.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace belfry::bench {
namespace {

constexpr std::size_t places = 1024;
constexpr std::size_t batch = 32;
constexpr auto turn = std::chrono::milliseconds(200);

/// `each` pairs, with producer and consumer on different processors.
double rate_of(std::size_t each, const part& producer, const part& consumer) {
  std::vector<part> parts;
  for (std::size_t i = 0; i != each; ++i) parts.insert(parts.end(), {producer, consumer});
  return rate(parts, turn);
}

template <class Value>
double ours(std::size_t each) {
  using jobs = channel<work_ring<Value, places>>;
  const meeting_point<jobs> place("work");
  return rate_of(
      each,
      [&](member& me) {
        net::io_context io;
        auto tx = place.producer(io);
        produce(me, [&, v = Value{}](std::uint64_t i) mutable {
          v.number(i);
          return tx.try_send(v);
        });
      },
      [&](member& me) {
        net::io_context io;
        auto rx = place.consumer(io);
        consume(me, [&] { return rx.try_receive() ? 1 : 0; });
      });
}

template <class Value>
double ours_in_batches(std::size_t each) {
  using jobs = channel<work_ring<Value, places>>;
  const meeting_point<jobs> place("work");
  return rate_of(
      each,
      [&](member& me) {
        net::io_context io;
        auto tx = place.producer(io);
        std::array<Value, batch> values{};
        std::span<Value> rest;
        produce(me, [&](std::uint64_t i) {
          if (rest.empty()) {
            for (Value& v : values) v.number(i);
            rest = values;
          }
          rest = rest.subspan(tx.try_send_n(rest));
          return rest.empty();
        });
      },
      [&](member& me) {
        net::io_context io;
        auto rx = place.consumer(io);
        std::array<Value, batch> values{};
        consume(me, [&] { return rx.try_receive_n(values); });
      });
}

template <class Value>
double of_lockfree(std::size_t each) {
  using queue = boost::lockfree::queue<Value, boost::lockfree::capacity<places>>;
  const inherited<queue> q;
  return rate_of(
      each,
      [&](member& me) {
        produce(me, [&, v = Value{}](std::uint64_t i) mutable {
          v.number(i);
          return q->push(v);
        });
      },
      [&](member& me) {
        Value v;
        consume(me, [&] { return q->pop(v) ? 1 : 0; });
      });
}

template <class Value>
double of_interprocess(std::size_t each) {
  namespace ipc = boost::interprocess;
  const std::string name = unique_name("queue");
  struct removal {
    const std::string& name;
    ~removal() { ipc::message_queue::remove(name.c_str()); }
  } const at_the_end{name};
  ipc::message_queue(ipc::create_only, name.c_str(), places, sizeof(Value));
  return rate_of(
      each,
      [&](member& me) {
        ipc::message_queue q(ipc::open_only, name.c_str());
        produce(me, [&, v = Value{}](std::uint64_t i) mutable {
          v.number(i);
          return q.try_send(&v, sizeof v, 0);
        });
      },
      [&](member& me) {
        ipc::message_queue q(ipc::open_only, name.c_str());
        Value v;
        ipc::message_queue::size_type got = 0;
        unsigned priority = 0;
        consume(me, [&] { return q.try_receive(&v, sizeof v, got, priority) ? 1 : 0; });
      });
}

template <std::size_t Bytes>
void compare(report& out) {
  using value = message<Bytes>;
  for (const std::size_t each : {1, 2, 4}) {
    const auto figures = median_rates({
        {"belfry", [each] { return ours<value>(each); }},
        {"belfry, batches", [each] { return ours_in_batches<value>(each); }},
        {"boost::lockfree::queue", [each] { return of_lockfree<value>(each); }},
        {"Boost.Interprocess message_queue", [each] { return of_interprocess<value>(each); }},
    });
    for (const std::size_t i : {0, 1}) {
      out.add({"work",
               "msg/s",
               {{"bytes", static_cast<int>(Bytes)},
                {"each", std::to_string(each) + " x " + std::to_string(each)},
                {"how", i == 0 ? "try one by one" : "batches of 32"}},
               figures[i],
               {{"boost::lockfree::queue", figures[2]},
                {"Boost.Interprocess message_queue", figures[3]}}});
    }
  }
}

}  // namespace

void work(report& out) {
  compare<8>(out);
  compare<64>(out);
}

}  // namespace belfry::bench
