// A round trip on one of many channels open in one io_context, and the cost of setting these up.
#include "cases.hpp"
#include "../harness/child.hpp"
#include "../harness/many_channels.hpp"
#include "../harness/measure.hpp"
#include "../peers/asio_socket.hpp"
#include "../peers/epoll_eventfd.hpp"

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include <sys/resource.h>

namespace belfry::bench {
namespace {

/// Average number of descriptors per channel that one process needs. (A pair of sockets needs 2.)
constexpr double descriptors_of_each = 3.5;
constexpr int other_descriptors = 100;

/// Raises the limit of descriptors as far as allowed; returns it.
int allow_descriptors(int wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const auto enough = static_cast<rlim_t>(wanted);
  if (limit.rlim_max < enough) {
    const rlimit more{enough, enough};
    if (::setrlimit(RLIMIT_NOFILE, &more) == 0) return wanted;
  }
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, enough));
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<int>(std::min(limit.rlim_cur, enough));
}

/// The same number of sockets, each with a pending read. In a process of its own, because freed memory stays
/// with a process.
setup_costs costs_of_sockets(int channels) {
  const inherited<setup_costs> costs;
  const child measuring([&] {
    net::io_context io(1);
    std::deque<detail::unique_handle> other_ends;
    std::deque<net::local::stream_protocol::socket> sockets;
    char discarded[16];
    const footprint before = footprint::now();
    const auto begin = stopwatch::now();
    for (int i = 0; i != channels; ++i) {
      int ends[2];
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
      other_ends.emplace_back(ends[1]);
      sockets.emplace_back(io, net::local::stream_protocol(), ends[0]);
      sockets.back().async_read_some(net::buffer(discarded), [](const error_code&, std::size_t) {});
    }
    costs->create = seconds(stopwatch::now() - begin).count() / channels;
    const footprint more = footprint::now() - before;
    costs->more = {more.private_bytes / channels, more.descriptors / channels / 2};
    return true;
  });
  measuring.wait(std::chrono::seconds(60));
  return *costs;
}

void report_costs(report& out, int channels, const setup_costs& ours) {
  const setup_costs sockets = costs_of_sockets(channels);
  const auto add = [&](const char* name, const char* unit, const char* of, double value,
                       std::optional<double> of_socket) {
    result r{name, unit, {{"channels", channels}, {"of", of}}, figure{value}, {}};
    if (of_socket) r.peers = {{"asio unix socket", figure{*of_socket}}};
    out.add(r);
  };
  add("many-setup", "us", "create a channel", ours.create * 1e6, sockets.create * 1e6);
  add("many-setup", "us", "attach to it", ours.attach * 1e6, {});
  add("many-memory", "bytes", "shared", shared_bytes_of_each(), {});
  add("many-memory", "bytes", "private", ours.more.private_bytes, sockets.more.private_bytes);
  add("many-descriptors", "descriptors", "of one process", ours.more.descriptors,
      sockets.more.descriptors);
}

void compare(report& out, int channels) {
  const auto costs = std::make_shared<inherited<setup_costs>>();
  const std::string of = " of " + std::to_string(channels);
  // Separately, because there may not be enough descriptors for all of them at once.
  const auto figures = measure_kept(
      {
          enter<round_trip_among_many>("belfry, the only one", 1,
                                       std::make_shared<inherited<setup_costs>>()),
          enter<round_trip_among_many>("belfry, one" + of, channels, costs),
      },
      1000, {.rounds = 9});
  const auto peers = measure_kept(
      {
          enter<epoll_eventfd_round_trip>("raw epoll+eventfd, one" + of, microseconds.units,
                                          channels - 1),
          enter<asio_socket_round_trip>("asio unix socket, one" + of, microseconds.units,
                                        channels - 1),
      },
      1000, {.rounds = 9});
  out.add({"many",
           "us",
           {{"channels", channels}},
           figures[1],
           {{"belfry, 1 channel", figures[0]},
            {"raw epoll+eventfd", peers[0]},
            {"asio unix socket", peers[1]}}});
  if (channels >= 1000 && figures[1]) report_costs(out, channels, **costs);
}

}  // namespace

void many(report& out) {
  constexpr int most = 10'000;
  constexpr int needed = static_cast<int>(most * descriptors_of_each) + other_descriptors;
  const int allowed = allow_descriptors(needed);
  for (const int channels : {1, 100, 1000}) compare(out, channels);
  if (allowed >= needed) return compare(out, most);

  // As many thousands as the limit of descriptors allows.
  const int fewer =
      static_cast<int>((allowed - other_descriptors) / descriptors_of_each) / 1000 * 1000;
  if (fewer > 1000) compare(out, fewer);
  out.add({"many",
           "us",
           {{"channels", most},
            {"skipped", "needs " + std::to_string(needed) + " descriptors, RLIMIT_NOFILE is " +
                            std::to_string(allowed)}},
           {},
           {}});
}

}  // namespace belfry::bench
