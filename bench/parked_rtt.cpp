// A round trip when both sides are asleep.
#include "belfry_round_trip.hpp"
#include "cases.hpp"
#include "measure.hpp"
#include "peers/cpython_ipc.hpp"
#include "peers/sleepers.hpp"

namespace belfry::bench {

void parked_rtt(report& out) {
  using by = meeting_point<letters>::by;
  std::vector<entrant> entrants = sleeping_round_trips(microseconds.units);
  const std::size_t peers = entrants.size();
  entrants.push_back(enter<awaited_round_trip>("belfry, by name", by::name, microseconds));
  entrants.push_back(enter<awaited_round_trip>("belfry, by handles", by::handles, microseconds));
  const auto figures = measure(entrants);
  auto theirs = named(entrants, figures, peers);
  add_cpython(theirs, "rtt", microseconds.units, cpython_sleepers);
  for (const std::size_t i : {peers, peers + 1}) {
    out.add(
        {"parked-rtt", "us", {{"met", i == peers ? "by name" : "by handles"}}, figures[i], theirs});
  }
}

}  // namespace belfry::bench
