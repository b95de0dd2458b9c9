// Items from several producers to several consumers, each for one of them, all polling; against the queues
// for many of Boost.Lockfree, polled as well, and of Boost.Interprocess, which waits.
#include "asio.hpp"
#include "cases.hpp"
#include "crowd.hpp"
#include "memory.hpp"
#include "messages.hpp"

#include <belfry/channel.hpp>
#include <belfry/ring/work_ring.hpp>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/lockfree/queue.hpp>

#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <sched.h>

namespace belfry::bench {
namespace {

constexpr std::size_t places = 1024;

/// `push(i)`: false if there is no room.
template <class Push>
void produce(crowd_member& self, Push push) {
  self.wait_for_start();
  for (std::uint64_t i = 0; !self.is_over(); ++i) {
    while (!push(i) && !self.is_over()) ::sched_yield();
  }
}
/// `pop()`: how many.
template <class Pop>
void consume(crowd_member& self, Pop pop) {
  self.wait_for_start();
  while (!self.is_over()) {
    if (const std::size_t count = pop(); count != 0) {
      self.done(count);
    } else {
      ::sched_yield();
    }
  }
}

/// So many pairs, each with its producer and its consumer on different processors.
double rate(std::size_t each, const std::function<void(crowd_member&)>& producer,
            const std::function<void(crowd_member&)>& consumer) {
  std::vector<std::function<void(crowd_member&)>> members;
  for (std::size_t i = 0; i != each; ++i) {
    members.push_back(producer);
    members.push_back(consumer);
  }
  return crowd_rate(members);
}

template <class Value>
double ours(std::size_t each) {
  using jobs = channel<work_ring<Value, places>>;
  const meeting_point<jobs> place("work");
  return rate(
      each,
      [&](crowd_member& self) {
        net::io_context io;
        auto tx = place.producer(io);
        produce(self, [&, v = Value{}](std::uint64_t i) mutable {
          v.number(i);
          return tx.try_send(v);
        });
      },
      [&](crowd_member& self) {
        net::io_context io;
        auto rx = place.consumer(io);
        consume(self, [&] { return rx.try_receive() ? 1u : 0u; });
      });
}

template <class Value>
double ours_in_batches(std::size_t each) {
  using jobs = channel<work_ring<Value, places>>;
  const meeting_point<jobs> place("work");
  return rate(
      each,
      [&](crowd_member& self) {
        net::io_context io;
        auto tx = place.producer(io);
        std::array<Value, 32> values{};
        std::span<Value> rest;
        produce(self, [&](std::uint64_t i) {
          if (rest.empty()) {
            for (Value& v : values) v.number(i);
            rest = values;
          }
          rest = rest.subspan(tx.try_send_n(rest));
          return rest.empty();
        });
      },
      [&](crowd_member& self) {
        net::io_context io;
        auto rx = place.consumer(io);
        std::array<Value, 32> values{};
        consume(self, [&] { return rx.try_receive_n(values); });
      });
}

template <class Value>
double of_lockfree(std::size_t each) {
  using queue = boost::lockfree::queue<Value, boost::lockfree::capacity<places>>;
  const inherited<queue> q;
  return rate(
      each,
      [&](crowd_member& self) {
        produce(self, [&, v = Value{}](std::uint64_t i) mutable {
          v.number(i);
          return q->push(v);
        });
      },
      [&](crowd_member& self) {
        Value v;
        consume(self, [&] { return q->pop(v) ? 1u : 0u; });
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
  return rate(
      each,
      [&](crowd_member& self) {
        ipc::message_queue q(ipc::open_only, name.c_str());
        produce(self, [&, v = Value{}](std::uint64_t i) mutable {
          v.number(i);
          return q.try_send(&v, sizeof v, 0);
        });
      },
      [&](crowd_member& self) {
        ipc::message_queue q(ipc::open_only, name.c_str());
        Value v;
        ipc::message_queue::size_type got = 0;
        unsigned priority = 0;
        consume(self, [&] { return q.try_receive(&v, sizeof v, got, priority) ? 1u : 0u; });
      });
}

template <std::size_t Bytes>
void compare(report& out) {
  using value = message<Bytes>;
  for (const std::size_t each : {1, 2, 4}) {
    std::vector<crowd_entrant> all{{[&] { return ours<value>(each); }},
                                   {[&] { return ours_in_batches<value>(each); }},
                                   {[&] { return of_lockfree<value>(each); }},
                                   {[&] { return of_interprocess<value>(each); }}};
    take_turns(all);
    for (const std::size_t i : {0, 1}) {
      out.add({"work",
               "msg/s",
               {{"bytes", static_cast<int>(Bytes)},
                {"each", std::to_string(each) + " x " + std::to_string(each)},
                {"how", i == 0 ? "try one by one" : "batches of 32"}},
               figure{all[i].median()},
               {{"boost::lockfree::queue", figure{all[2].median()}},
                {"Boost.Interprocess message_queue", figure{all[3].median()}}}});
    }
  }
}

}  // namespace

void work(report& out) {
  compare<8>(out);
  compare<64>(out);
}

}  // namespace belfry::bench
