// Items from several producers to several consumers, each for one of them, all polling; against the queues
// for many of Boost.Lockfree, polled as well, and of Boost.Interprocess, which waits.
#include "asio.hpp"
#include "cases.hpp"
#include "child.hpp"
#include "memory.hpp"
#include "messages.hpp"
#include "timer.hpp"

#include <belfry/channel.hpp>
#include <belfry/ring/work_ring.hpp>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/lockfree/queue.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sched.h>

namespace belfry::bench {
namespace {

constexpr std::size_t places = 1024;
constexpr std::size_t most = 4;
constexpr auto turn = std::chrono::milliseconds(300);

struct notes {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::atomic<bool> over{false};
  struct alignas(64) count {
    std::atomic<std::uint64_t> taken{0};
  };
  std::array<count, most> consumers;
};

void wait_for_start(notes& n) {
  n.ready.fetch_add(1);
  while (!n.go.load()) ::sched_yield();
}

/// `push(i)`: false if there is no room.
template <class Push>
void produce(notes& n, Push push) {
  wait_for_start(n);
  for (std::uint64_t i = 0; !n.over.load(std::memory_order_relaxed); ++i) {
    while (!push(i) && !n.over.load(std::memory_order_relaxed)) ::sched_yield();
  }
}
/// `pop()`: false if there is nothing.
template <class Pop>
void consume(notes& n, std::size_t i, Pop pop) {
  wait_for_start(n);
  std::uint64_t taken = 0;
  while (!n.over.load(std::memory_order_relaxed)) {
    if (!pop()) {
      ::sched_yield();
    } else {
      n.consumers[i].taken.store(++taken, std::memory_order_relaxed);
    }
  }
}

/// Items a second.
double rate(std::size_t each, const std::function<void(notes&, std::size_t)>& producer,
            const std::function<void(notes&, std::size_t)>& consumer) {
  const inherited<notes> n;
  std::vector<std::unique_ptr<child>> children;
  for (std::size_t i = 0; i != each; ++i) {
    children.push_back(std::make_unique<child>([&, i] { return producer(*n, i), true; }));
    children.push_back(std::make_unique<child>([&, i] { return consumer(*n, i), true; }));
  }
  while (n->ready.load() != static_cast<int>(2 * each)) {
    throw_if_interrupted();
    ::usleep(1000);
  }
  const auto sum = [&] {
    std::uint64_t all = 0;
    for (const auto& one : n->consumers) all += one.taken.load();
    return static_cast<double>(all);
  };
  n->go.store(true);
  ::usleep(50'000);
  const auto begin = stopwatch::now();
  const double before = sum();
  ::usleep(static_cast<useconds_t>(std::chrono::microseconds(turn).count()));
  const double result = (sum() - before) / seconds(stopwatch::now() - begin).count();
  n->over.store(true);
  for (const auto& c : children) c->wait(std::chrono::seconds(10));
  return result;
}

template <class Value>
double ours(std::size_t each) {
  using jobs = channel<work_ring<Value, places>>;
  const meeting_point<jobs> place("work");
  return rate(
      each,
      [&](notes& n, std::size_t) {
        net::io_context io;
        auto tx = place.producer(io);
        produce(n, [&, v = Value{}](std::uint64_t i) mutable {
          v.number(i);
          return tx.try_send(v);
        });
      },
      [&](notes& n, std::size_t i) {
        net::io_context io;
        auto rx = place.consumer(io);
        consume(n, i, [&] { return rx.try_receive().has_value(); });
      });
}

template <class Value>
double of_lockfree(std::size_t each) {
  using queue = boost::lockfree::queue<Value, boost::lockfree::capacity<places>>;
  const inherited<queue> q;
  return rate(
      each,
      [&](notes& n, std::size_t) {
        produce(n, [&, v = Value{}](std::uint64_t i) mutable {
          v.number(i);
          return q->push(v);
        });
      },
      [&](notes& n, std::size_t i) {
        Value v;
        consume(n, i, [&] { return q->pop(v); });
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
      [&](notes& n, std::size_t) {
        ipc::message_queue q(ipc::open_only, name.c_str());
        produce(n, [&, v = Value{}](std::uint64_t i) mutable {
          v.number(i);
          return q.try_send(&v, sizeof v, 0);
        });
      },
      [&](notes& n, std::size_t i) {
        ipc::message_queue q(ipc::open_only, name.c_str());
        Value v;
        ipc::message_queue::size_type got = 0;
        unsigned priority = 0;
        consume(n, i, [&] { return q.try_receive(&v, sizeof v, got, priority); });
      });
}

template <class Rate>
double median(Rate rate) {
  std::array<double, 5> all;
  for (double& r : all) r = rate();
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

template <std::size_t Bytes>
void compare(report& out) {
  using value = message<Bytes>;
  for (const std::size_t each : {1, 2, 4}) {
    out.add({"work",
             "msg/s",
             {{"bytes", static_cast<int>(Bytes)},
              {"each", std::to_string(each) + " x " + std::to_string(each)}},
             figure{median([&] { return ours<value>(each); })},
             {{"boost::lockfree::queue", figure{median([&] { return of_lockfree<value>(each); })}},
              {"Boost.Interprocess message_queue",
               figure{median([&] { return of_interprocess<value>(each); })}}}});
  }
}

}  // namespace

void work(report& out) {
  compare<8>(out);
  compare<64>(out);
}

}  // namespace belfry::bench
