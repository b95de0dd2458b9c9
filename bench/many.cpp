// A round trip on one of many channels that are open in one io_context.
#include "belfry_round_trip.hpp"
#include "cases.hpp"
#include "measure.hpp"
#include "peers/asio_socket.hpp"
#include "peers/epoll_eventfd.hpp"

#include <deque>
#include <string>
#include <vector>

#include <sys/resource.h>

namespace belfry::bench {
namespace {

/// The channel of the round trip, with its way back, and so many others that nothing is ever sent
/// through: every second one has its waiting consumer on this side, the rest on the other.
class round_trip_among_many final : public contender {
 public:
  explicit round_trip_among_many(int channels) : there_("there"), back_("back") {
    for (int i = 1; i < channels; ++i) others_.emplace_back("other");
  }

  figure lead(std::uint64_t n) override {
    net::io_context io(1);
    const bystanders others(io, others_, 0);
    auto tx = there_.producer(io);
    auto rx = back_.consumer(io);
    lap_timer timer(n, microseconds.per_lap);
    run(io, ping(tx, rx, n, timer));
    return timer.median(microseconds.units);
  }

  void follow(std::uint64_t n) override {
    net::io_context io(1);
    const bystanders others(io, others_, 1);
    auto rx = there_.consumer(io);
    auto tx = back_.producer(io);
    run(io, pong(rx, tx, n));
  }

 private:
  class bystanders {
   public:
    bystanders(net::io_context& io, const std::deque<meeting_point<letters>>& channels, int side) {
      for (const meeting_point<letters>& channel : channels) {
        if (side++ % 2 == 0) {
          producers_.push_back(channel.producer(io));
          continue;
        }
        consumers_.push_back(channel.consumer(io));
        consumers_.back().async_receive([](const error_code&, const letter&) {});
      }
    }

   private:
    std::vector<letters::producer> producers_;
    std::vector<letters::consumer> consumers_;
  };

  meeting_point<letters> there_;
  meeting_point<letters> back_;
  std::deque<meeting_point<letters>> others_;
};

void allow_many_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

void many(report& out) {
  allow_many_descriptors();
  const std::vector counts{1, 100, 1000};
  std::vector<entrant> entrants;
  for (const int n : counts) {
    const std::string of = " of " + std::to_string(n);
    entrants.push_back(enter<round_trip_among_many>("belfry, one" + of, n));
    entrants.push_back(
        enter<epoll_eventfd_round_trip>("raw epoll+eventfd, one" + of, microseconds.units, n - 1));
    entrants.push_back(
        enter<asio_socket_round_trip>("asio unix socket, one" + of, microseconds.units, n - 1));
  }
  const auto figures = measure(entrants);
  for (std::size_t i = 0; i != counts.size(); ++i) {
    out.add({"many",
             "us",
             {{"channels", counts[i]}},
             figures[3 * i],
             {{"belfry, 1 channel", figures[0]},
              {"raw epoll+eventfd", figures[3 * i + 1]},
              {"asio unix socket", figures[3 * i + 2]}}});
  }
}

}  // namespace belfry::bench
