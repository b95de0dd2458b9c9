// One-way latency and processor time of messages that are due at a fixed rate.
#include "../harness/belfry_load.hpp"
#include "cases.hpp"
#include "../harness/measure.hpp"
#include "../peers/loads.hpp"
#include "../harness/process_pair.hpp"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace belfry::bench {
namespace {

struct way : stream_way {
  entrant who;
};

std::vector<way> all_ways(int rate, pacing p = pacing::punctual) {
  using how = belfry_conduit::mode;
  constexpr std::chrono::nanoseconds no_spin{0}, spin = std::chrono::microseconds(50);
  std::vector<way> all;
  const auto add = [&](const char* name, how m, std::chrono::nanoseconds s) {
    all.push_back(
        {{name, "spsc_ring", name}, enter<open_load_through<belfry_conduit>>(name, rate, p, m, s)});
  };
  add("co_await async_receive", how::await_one, no_spin);
  add("co_await async_receive, spin", how::await_one, spin);
  add("co_await async_receive_n", how::await_batch, no_spin);
  add("try_receive, polled", how::poll, no_spin);

  const auto add_peer = [&](entrant e) { all.push_back({{e.name, {}, e.name}, std::move(e)}); };
  add_peer(enter<open_load_through<polled_queue_conduit>>(
      "bare boost::lockfree::spsc_queue, polled", rate, p));
  add_peer(
      enter<open_load_through<rung_queue_conduit>>("spsc_queue, eventfd for each, epoll", rate, p));
  add_peer(enter<open_load_through<asio_socket_conduit>>("asio unix socket", rate, p));
  add_peer(enter<open_load_through<pipe_conduit>>("pipe", rate, p));
  return all;
}

way find_way(const std::string& name, int rate, pacing p) {
  for (way& w : all_ways(rate, p)) {
    if (w.name == name) return std::move(w);
  }
  throw std::runtime_error("no such way to bear a load: " + name);
}

std::uint64_t messages_of(int rate, double seconds) {
  return static_cast<std::uint64_t>(rate * seconds);
}

}  // namespace

void open_load(report& out) {
  for (const int rate : {1'000, 10'000, 100'000, 1'000'000}) {
    const auto ways = all_ways(rate);
    std::vector<entrant> entrants;
    for (const way& w : ways) entrants.push_back(w.who);
    // At low rates it takes longer until a percentile is not a matter of chance.
    const double seconds = rate > 10'000 ? 0.5 : 1;
    const auto figures = measure(
        entrants, {.first = messages_of(rate, seconds / 3.5), .seconds = seconds, .rounds = 3});

    std::vector<std::pair<std::string, std::optional<figure>>> peers;
    for (std::size_t i = 0; i != ways.size(); ++i) {
      if (ways[i].ring.empty()) peers.emplace_back(ways[i].name, figures[i]);
    }
    for (std::size_t i = 0; i != ways.size(); ++i) {
      if (ways[i].ring.empty()) continue;
      out.add({"open-load", "us", {{"rate", rate}, {"how", ways[i].how}}, figures[i], peers});
    }
  }
}

std::vector<stream_way> load_ways() {
  std::vector<stream_way> all;
  for (const way& w : all_ways(1)) all.push_back(w);
  return all;
}

std::optional<figure> load(const std::string& name, int rate) {
  constexpr double seconds = 0.5;
  return measure({find_way(name, rate, pacing::punctual).who},
                 {.first = messages_of(rate, seconds), .seconds = seconds, .rounds = 1})[0];
}

void load_once(const std::string& name, int rate, std::uint64_t messages) {
  const auto who = find_way(name, rate, pacing::asleep).who.make();
  std::vector<turn> turns{{name, who.get(), messages, {}}};
  if (run_pair(turns, std::chrono::minutes(1)) != 1) throw std::runtime_error("it has failed");
}

}  // namespace belfry::bench
