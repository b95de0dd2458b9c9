// Items from many to one, from one to many, from many to many, by processes that sleep when they have
// nothing to do.
#include "../harness/fan.hpp"

#include "../harness/belfry_fan.hpp"
#include "cases.hpp"
#include "../harness/crowd.hpp"
#include "../peers/many_to_many.hpp"
#include "../peers/transports.hpp"

#include <belfry/belfry.hpp>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace belfry::bench {
namespace {

constexpr int rounds = 5;
constexpr std::size_t places = 1024;
constexpr std::size_t batch = 32;

/// The `sender` and `receiver` of a queue wait for a short time at most.
template <class Queue>
double in_queue(const shape& s) {
  const Queue queue;
  return rate_of(
      s,
      [&](std::size_t i) {
        return [&, i](member& me) {
          typename Queue::sender tx(queue, i);
          produce(me, [&, v = item{}](std::uint64_t n) mutable {
            v.words.fill(n);
            return tx.send(v);
          });
        };
      },
      [&](std::size_t i) {
        return [&, i](member& me) {
          typename Queue::receiver rx(queue, i);
          consume(me, [&, v = item{}]() mutable {
            if (!rx.receive(v)) return false;
            check(v);
            return true;
          });
        };
      });
}

#if defined(BELFRY_BENCH_ZEROMQ)
/// Each producer pushes to all consumers, one after the other.
double by_zeromq(const shape& s) {
  const std::string address = "ipc://@" + unique_name("zeromq") + '-';
  constexpr int milliseconds = static_cast<int>(timeout.count());
  return rate_of(
      s,
      [&](std::size_t) {
        return [&](member& me) {
          zeromq_socket tx(ZMQ_PUSH, depth(sizeof(item)));
          tx.set(ZMQ_SNDTIMEO, milliseconds);
          tx.set(ZMQ_LINGER, 0);
          for (std::size_t i = 0; i != s.consumers; ++i) tx.connect(address + std::to_string(i));
          produce(me, [&, v = item{}](std::uint64_t n) mutable {
            v.words.fill(n);
            return tx.send(&v, sizeof v);
          });
        };
      },
      [&](std::size_t i) {
        return [&, i](member& me) {
          zeromq_socket rx(ZMQ_PULL, depth(sizeof(item)));
          rx.set(ZMQ_RCVTIMEO, milliseconds);
          rx.bind(address + std::to_string(i));
          consume(me, [&, v = item{}]() mutable {
            if (!rx.receive(&v, sizeof v)) return false;
            check(v);
            return true;
          });
        };
      });
}
#else
double by_zeromq(const shape&) {
  missing_transport(sizeof(item), traffic::one_way);
  return 0;
}
#endif

struct way {
  std::string ring;
  std::string how;
  std::function<double(const shape&)> rate;
};

template <class Rate>
void add_ways(std::vector<way>& ways, const std::string& ring, Rate rate) {
  ways.push_back({ring, "co_await async_receive", [rate](const shape& s) { return rate(s, 1); }});
  ways.push_back(
      {ring, "co_await async_receive_n", [rate](const shape& s) { return rate(s, batch); }});
}

void compare(report& out, const shape& s, const std::vector<way>& ours) {
  std::vector<crowd> all{
      {"ZeroMQ PUSH, PULL", [&] { return by_zeromq(s); }},
      {"Boost.Interprocess message_queue",
       [&] { return in_queue<shared_interprocess_queue<item>>(s); }},
      {"mq + epoll", [&] { return in_queue<shared_posix_queue<item>>(s); }},
      {"pipe", [&] { return in_queue<shared_pipe<item>>(s); }},
  };
  const std::size_t peers = all.size();
  for (const way& w : ours) {
    all.push_back({w.ring + ", " + w.how, [&] { return w.rate(s); }});
  }
  const auto figures = median_rates(all, rounds);
  std::vector<std::pair<std::string, std::optional<figure>>> theirs;
  for (std::size_t i = 0; i != peers; ++i) theirs.emplace_back(all[i].name, figures[i]);
  for (std::size_t i = 0; i != ours.size(); ++i) {
    out.add({"fan",
             "msg/s",
             {{"bytes", static_cast<int>(sizeof(item))},
              {"each", s.name()},
              {"ring", ours[i].ring},
              {"how", ours[i].how}},
             figures[peers + i],
             theirs});
  }
}

}  // namespace

void fan(report& out) {
  std::vector<way> work;
  add_ways(work, "work_ring", in_one_channel<work_ring<item, places>>);

  std::vector<way> in = work;
  add_ways(in, "an spsc_ring each", in_channels_of_their_own<spsc_ring<item, places>>);
  compare(out, {4, 1}, in);

  compare(out, {1, 4}, work);
  compare(out, {4, 4}, work);
}

}  // namespace belfry::bench
