// One-way latency, and processor time, of messages that are due at so many a second.
#include "belfry_load.hpp"
#include "cases.hpp"
#include "measure.hpp"
#include "peers/loads.hpp"

#include <string>
#include <vector>

namespace belfry::bench {
namespace {

/// Belfry's ways first.
constexpr std::size_t belfry_ways = 4;
std::vector<entrant> all_ways(int rate) {
  using how = belfry_conduit::mode;
  constexpr std::chrono::nanoseconds no_spin{0}, spin = std::chrono::microseconds(50);
  return {
      enter<open_load_through<belfry_conduit>>("co_await async_receive", rate, how::await_one,
                                               no_spin),
      enter<open_load_through<belfry_conduit>>("co_await async_receive, spin", rate, how::await_one,
                                               spin),
      enter<open_load_through<belfry_conduit>>("co_await async_receive_n", rate, how::await_batch,
                                               no_spin),
      enter<open_load_through<belfry_conduit>>("try_receive, polled", rate, how::poll, no_spin),
      enter<open_load_through<polled_queue_conduit>>("bare boost::lockfree::spsc_queue, polled",
                                                     rate),
      enter<open_load_through<rung_queue_conduit>>("spsc_queue, eventfd for each, epoll", rate),
      enter<open_load_through<asio_socket_conduit>>("asio unix socket", rate),
      enter<open_load_through<pipe_conduit>>("pipe", rate),
  };
}

}  // namespace

void open_load(report& out) {
  for (const int rate : {1'000, 10'000, 100'000, 1'000'000}) {
    const auto ways = all_ways(rate);
    // So few messages that a percentile is a matter of chance want more time.
    const double seconds = rate > 10'000 ? 0.5 : 1;
    const auto figures = measure(ways, {.first = static_cast<std::uint64_t>(rate * seconds / 3.5),
                                        .seconds = seconds,
                                        .rounds = 3});
    std::vector<std::pair<std::string, std::optional<figure>>> peers;
    for (std::size_t i = belfry_ways; i != ways.size(); ++i) {
      peers.emplace_back(ways[i].name, figures[i]);
    }
    for (std::size_t i = 0; i != belfry_ways; ++i) {
      out.add({"open-load", "us", {{"rate", rate}, {"how", ways[i].name}}, figures[i], peers});
    }
  }
}

}  // namespace belfry::bench
