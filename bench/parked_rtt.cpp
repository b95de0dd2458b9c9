// A round trip when both sides are asleep.
#include "belfry_round_trip.hpp"
#include "cases.hpp"
#include "measure.hpp"
#include "peers/asio_socket.hpp"
#include "peers/epoll_eventfd.hpp"

namespace belfry::bench {

void parked_rtt(report& out) {
  using by = meeting_point<letters>::by;
  const auto figures = measure({
      enter<awaited_round_trip>("belfry, by name", by::name, microseconds),
      enter<awaited_round_trip>("belfry, by handles", by::handles, microseconds),
      enter<epoll_eventfd_round_trip>("raw epoll+eventfd", microseconds.units),
      enter<asio_socket_round_trip>("asio unix socket", microseconds.units),
  });
  for (const int i : {0, 1}) {
    out.add({"parked-rtt",
             "us",
             {{"met", i == 0 ? "by name" : "by handles"}},
             figures[static_cast<std::size_t>(i)],
             {{"raw epoll+eventfd", figures[2]}, {"asio unix socket", figures[3]}}});
  }
}

}  // namespace belfry::bench
