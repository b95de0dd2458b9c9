// A round trip when both sides are awake and look out for each other.
#include "belfry_round_trip.hpp"
#include "cases.hpp"
#include "measure.hpp"
#include "peers/bare_queue.hpp"
#include "peers/cpython_ipc.hpp"
#include "peers/ping_pong.hpp"
#include "peers/sleepers.hpp"

namespace belfry::bench {
namespace {

/// Against what is below, and perhaps against what one would use instead.
result compare(const char* name, entrant belfry, const std::vector<entrant>& others = {}) {
  std::vector<entrant> entrants{
      enter<ping_pong>("bare cache line ping-pong", nanoseconds.units),
      enter<bare_queue_round_trip>("bare boost::lockfree::spsc_queue", nanoseconds.units)};
  entrants.insert(entrants.end(), others.begin(), others.end());
  const std::size_t peers = entrants.size();
  entrants.push_back(std::move(belfry));
  const auto figures = measure(entrants);
  return {name, "ns", {}, figures[peers], named(entrants, figures, peers)};
}

}  // namespace

void hot_rtt(report& out) {
  result r = compare("hot-rtt",
                     enter<awaited_round_trip>("belfry, spin", meeting_point<letters>::by::name,
                                               nanoseconds, std::chrono::microseconds(100)),
                     sleeping_round_trips(nanoseconds.units));
  add_cpython(r.peers, "rtt", nanoseconds.units, cpython_ways);
  out.add(r);
}

void hot_rtt_try(report& out) {
  out.add(compare("hot-rtt-try", enter<tried_round_trip>("belfry, try", nanoseconds)));
}

}  // namespace belfry::bench
