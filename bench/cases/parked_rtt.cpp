// A round trip when both sides are asleep.
#include "../harness/belfry_round_trip.hpp"
#include "cases.hpp"
#include "../harness/measure.hpp"
#include "../peers/cpython_ipc.hpp"
#include "../peers/sleepers.hpp"

namespace belfry::bench {

void parked_rtt(report& out) {
  using by = meeting_point<letters>::by;
  struct way {
    const char* met;
    const char* how;
    entrant belfry;
  };
  const way ways[] = {
      {"by name", "co_await", enter<awaited_round_trip>("belfry, by name", by::name, microseconds)},
      {"by handles", "co_await",
       enter<awaited_round_trip>("belfry, by handles", by::handles, microseconds)},
      {"by name", "send, receive",
       enter<blocking_round_trip>("belfry, by name, blocking", by::name, microseconds)},
      {"by handles", "send, receive",
       enter<blocking_round_trip>("belfry, by handles, blocking", by::handles, microseconds)}};

  std::vector<entrant> entrants = sleeping_round_trips(microseconds.units);
  const std::size_t peers = entrants.size();
  for (const way& w : ways) entrants.push_back(w.belfry);
  const auto figures = measure(entrants);
  auto theirs = named(entrants, figures, peers);
  add_cpython(theirs, "rtt", microseconds.units, cpython_sleepers);
  for (std::size_t i = 0; i != std::size(ways); ++i) {
    out.add({"parked-rtt",
             "us",
             {{"met", ways[i].met}, {"how", ways[i].how}},
             figures[peers + i],
             theirs});
  }
}

}  // namespace belfry::bench
