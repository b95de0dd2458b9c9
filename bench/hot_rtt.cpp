// A round trip when both sides are awake and look out for each other.
#include "belfry_round_trip.hpp"
#include "cases.hpp"
#include "measure.hpp"
#include "peers/bare_queue.hpp"
#include "peers/ping_pong.hpp"

namespace belfry::bench {
namespace {

void compare(report& out, const char* name, entrant belfry) {
  const auto figures = measure({
      std::move(belfry),
      enter<ping_pong>("bare cache line ping-pong", nanoseconds.units),
      enter<bare_queue_round_trip>("bare boost::lockfree::spsc_queue", nanoseconds.units),
  });
  out.add({name,
           "ns",
           {},
           figures[0],
           {{"bare cache line ping-pong", figures[1]},
            {"bare boost::lockfree::spsc_queue", figures[2]}}});
}

}  // namespace

void hot_rtt(report& out) {
  compare(out, "hot-rtt",
          enter<awaited_round_trip>("belfry, spin", meeting_point<letters>::by::name, nanoseconds,
                                    std::chrono::microseconds(100)));
}

void hot_rtt_try(report& out) {
  compare(out, "hot-rtt-try", enter<tried_round_trip>("belfry, try", nanoseconds));
}

}  // namespace belfry::bench
