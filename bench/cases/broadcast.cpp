// What a value costs the producer of a broadcast_ring, with few consumers and with many. In one half
// consumers poll, and the producer sends bursts with pauses in between: so the consumers can keep up, and
// every value has to go to their processors (shared, if there are not enough). Only the bursts are timed. In
// the other half consumers sleep on an io_context until there is a value, and the producer sends as fast as
// it can.
#include "../harness/asio.hpp"
#include "cases.hpp"
#include "../harness/crowd.hpp"
#include "../harness/cpus.hpp"
#include "../harness/memory.hpp"
#include "../harness/messages.hpp"
#include "../harness/timer.hpp"

#include <belfry/channel.hpp>
#include <belfry/ring/broadcast_ring.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include <sched.h>

namespace belfry::bench {
namespace {

constexpr std::size_t places = 4096;
constexpr auto turn = std::chrono::milliseconds(200);

using value = message<64>;

void pause_for(std::chrono::microseconds time) {
  const auto end = stopwatch::now() + time;
  while (stopwatch::now() < end) relax();
}

enum class listening { polled, awaited };

template <overflow Mode>
using news = channel<broadcast_ring<value, places, Mode>>;

struct cost {
  std::atomic<double> busy{0};  // seconds
  std::atomic<double> values{0};
};

template <overflow Mode>
void send(member& me, const meeting_point<news<Mode>>& place, listening how, cost& c) {
  constexpr std::uint64_t burst = 64;
  net::io_context io;
  auto tx = place.producer(io);
  value v{};
  me.ready();
  for (std::uint64_t i = 0; !me.over();) {
    const auto begin = stopwatch::now();
    for (const std::uint64_t end = i + burst; i != end; ++i) {
      v.number(i);
      while (!tx.try_send(v) && !me.over()) ::sched_yield();
    }
    c.busy = c.busy + seconds(stopwatch::now() - begin).count();
    c.values = c.values + burst;
    if (how == listening::polled) pause_for(std::chrono::microseconds(20));
  }
}

template <overflow Mode>
void poll(member& me, const meeting_point<news<Mode>>& place) {
  net::io_context io;
  auto rx = place.consumer(io);
  me.ready();
  while (!me.over()) {
    if (!rx.try_receive()) ::sched_yield();
  }
}

template <class Consumer>
void receive_all(Consumer& rx) {
  rx.async_receive([&rx](const error_code& ec, const value&) {
    if (!ec || ec == errc::lagged) receive_all(rx);
  });
}

template <overflow Mode>
void await(member& me, const meeting_point<news<Mode>>& place) {
  net::io_context io(1);
  auto rx = place.consumer(io);
  receive_all(rx);
  me.ready();
  while (!me.over()) io.run_for(std::chrono::milliseconds(10));
}

/// Nanoseconds per value. The producer has a processor for itself.
template <overflow Mode>
double cost_of_value(std::size_t consumers, listening how) {
  const meeting_point<news<Mode>> place("news");
  const std::size_t others = allowed_cpus().size();
  const inherited<cost> c;
  std::vector<part> parts{[&](member& me) { send<Mode>(me, place, how, *c); }};
  while (consumers != 0) {
    if (others > 1 && parts.size() % others == 0) {
      parts.emplace_back([](member& me) { me.ready(); });
      continue;
    }
    parts.emplace_back(
        [&](member& me) { how == listening::polled ? poll<Mode>(me, place) : await<Mode>(me, place); });
    --consumers;
  }
  rate(parts, turn);
  return c->busy / c->values * 1e9;
}

template <overflow Mode>
void compare(report& out, const std::string& mode, listening how) {
  const std::vector<std::size_t> counts{1, 4, 16};
  std::vector<crowd> crowds;
  for (const std::size_t n : counts) {
    crowds.push_back({"belfry, " + mode + ", " + std::to_string(n),
                      [n, how] { return cost_of_value<Mode>(n, how); }});
  }
  const auto figures = median_rates(crowds);
  for (std::size_t i = 0; i != counts.size(); ++i) {
    out.add({"broadcast",
             "ns",
             {{"mode", mode},
              {"consumers", static_cast<int>(counts[i])},
              {"processors", static_cast<int>(allowed_cpus().size())},
              {"how", how == listening::polled ? "bursts, consumers poll" : "no pause, consumers sleep"}},
             figures[i],
             {{"with 1 consumer", figures[0]}}});
  }
}

}  // namespace

void broadcast(report& out) {
  for (const listening how : {listening::polled, listening::awaited}) {
    compare<overflow::overwrite>(out, "overwrite", how);
    compare<overflow::block>(out, "block", how);
  }
}

}  // namespace belfry::bench
