// What a value costs the producer of a broadcast_ring, with few consumers and with many: the time from one
// try_send to the next. Consumers poll, or sleep on an io_context until there is something.
#include "asio.hpp"
#include "cases.hpp"
#include "crowd.hpp"
#include "cpus.hpp"
#include "memory.hpp"
#include "messages.hpp"

#include <belfry/channel.hpp>
#include <belfry/ring/broadcast_ring.hpp>

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

enum class listening { polled, awaited };

template <overflow Mode>
using news = channel<broadcast_ring<value, places, Mode>>;

template <overflow Mode>
void send(member& me, const meeting_point<news<Mode>>& place) {
  net::io_context io;
  auto tx = place.producer(io);
  value v{};
  me.ready();
  for (std::uint64_t i = 0; !me.over(); ++i) {
    v.number(i);
    while (!tx.try_send(v) && !me.over()) ::sched_yield();
    me.done();
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

template <overflow Mode>
net::awaitable<void> receive_all(typename news<Mode>::consumer& rx) {
  for (;;) {
    const auto [ec, v] = co_await rx.async_receive(net::as_tuple(net::use_awaitable));
    if (ec && ec != errc::lagged) co_return;
  }
}

template <overflow Mode>
void await(member& me, const meeting_point<news<Mode>>& place) {
  net::io_context io(1);
  auto rx = place.consumer(io);
  net::co_spawn(io, receive_all<Mode>(rx), net::detached);
  me.ready();
  while (!me.over()) io.run_for(std::chrono::milliseconds(10));
}

/// The producer has a processor for itself.
template <overflow Mode>
double values_per_second(std::size_t consumers, listening how) {
  const meeting_point<news<Mode>> place("news");
  const std::size_t others = allowed_cpus().size();
  std::vector<part> parts{[&](member& me) { send<Mode>(me, place); }};
  while (consumers != 0) {
    if (others > 1 && parts.size() % others == 0) {
      parts.emplace_back([](member& me) { me.ready(); });
      continue;
    }
    parts.emplace_back(
        [&](member& me) { how == listening::polled ? poll<Mode>(me, place) : await<Mode>(me, place); });
    --consumers;
  }
  return rate(parts, turn);
}

template <overflow Mode>
void compare(report& out, const std::string& mode, listening how) {
  const std::vector<std::size_t> counts{1, 4, 16};
  std::vector<crowd> crowds;
  for (const std::size_t n : counts) {
    crowds.push_back({"belfry, " + mode + ", " + std::to_string(n),
                      [n, how] { return values_per_second<Mode>(n, how); }});
  }
  auto figures = median_rates(crowds);
  for (auto& f : figures) {
    if (f) f->value = 1e9 / f->value;
  }
  for (std::size_t i = 0; i != counts.size(); ++i) {
    out.add({"broadcast",
             "ns",
             {{"mode", mode},
              {"consumers", static_cast<int>(counts[i])},
              {"how", how == listening::polled ? "polling" : "awaiting"}},
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
