// A round trip when both sides are awake and poll.
#include "../harness/belfry_round_trip.hpp"
#include "cases.hpp"
#include "../harness/measure.hpp"
#include "../peers/bare_queue.hpp"
#include "../peers/cpython_ipc.hpp"
#include "../peers/ping_pong.hpp"
#include "../peers/sleepers.hpp"

namespace belfry::bench {
namespace {

using by = meeting_point<letters>::by;

constexpr std::chrono::microseconds spin{100};

struct way {
  const char* how;
  entrant belfry;
};

/// Against the layers below, and against other libraries.
std::vector<result> compare(const char* name, std::vector<way> ways, std::vector<entrant> others) {
  std::vector<entrant> entrants{
      enter<ping_pong>("bare cache line ping-pong", nanoseconds.units),
      enter<bare_queue_round_trip>("bare boost::lockfree::spsc_queue", nanoseconds.units)};
  entrants.insert(entrants.end(), others.begin(), others.end());
  const std::size_t peers = entrants.size();
  for (way& w : ways) entrants.push_back(std::move(w.belfry));
  const auto figures = measure(entrants);
  std::vector<result> all;
  for (std::size_t i = 0; i != ways.size(); ++i) {
    all.push_back(
        {name, "ns", {{"how", ways[i].how}}, figures[peers + i], named(entrants, figures, peers)});
  }
  return all;
}

}  // namespace

void hot_rtt(report& out) {
  auto results = compare(
      "hot-rtt",
      {{"co_await",
        enter<awaited_round_trip>("belfry, spin, co_await", by::name, nanoseconds, spin)},
       {"send, receive",
        enter<blocking_round_trip>("belfry, spin, send and receive", by::name, nanoseconds, spin)}},
      sleeping_round_trips(nanoseconds.units));
  std::vector<std::pair<std::string, std::optional<figure>>> cpython;
  add_cpython(cpython, "rtt", nanoseconds.units, cpython_ways);
  for (result& r : results) {
    r.peers.insert(r.peers.end(), cpython.begin(), cpython.end());
    out.add(r);
  }
}

void hot_rtt_try(report& out) {
  const auto results = compare(
      "hot-rtt-try",
      {{"try_send, try_receive", enter<tried_round_trip>("belfry, try", by::name, nanoseconds)}},
      {});
  for (const result& r : results) out.add(r);
}

}  // namespace belfry::bench
