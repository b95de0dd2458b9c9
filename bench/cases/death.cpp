// How long it takes until the process at the other side learns of a kill: from just before the kill -9 to the
// completion of the operation that waits. This includes the time that the kernel needs to end a process. The
// peers need it as well; a round trip does not include it.
#include "../harness/belfry_round_trip.hpp"
#include "cases.hpp"
#include "../harness/deaths.hpp"
#include "../harness/measure.hpp"
#include "../peers/deaths.hpp"
#include "../peers/epoll_eventfd.hpp"

#include <stdexcept>

namespace belfry::bench {
namespace {

/// A consumer, and one producer after the other.
class belfry_bond {
 public:
  explicit belfry_bond(meeting_point<letters>::by how) : channel_("death", how) {}

  class survivor {
   public:
    explicit survivor(const belfry_bond& bond) : rx_(bond.channel_.consumer(io_)) {}

    void wait_for(pid_t) {
      told_ = false;
      rx_.async_receive([this](const error_code& ec, const letter&) {
        if (ec != errc::peer_died) throw std::runtime_error("not the death of the producer");
        told_ = true;
      });
      io_.restart();
      io_.poll();
    }
    void told() {
      while (!told_) io_.run_one();
    }
    void done() {}

   private:
    net::io_context io_{1};
    letters::consumer rx_;
    bool told_ = false;
  };

  class victim {
   public:
    explicit victim(const belfry_bond& bond) : tx_(bond.channel_.producer(io_)) {}

   private:
    net::io_context io_{1};
    letters::producer tx_;
  };

 private:
  meeting_point<letters> channel_;
};

std::optional<figure> half(const std::optional<figure>& round_trip) {
  if (!round_trip) return {};
  return figure{round_trip->value / 2, round_trip->p99 / 2, 0};
}

}  // namespace

void death(report& out) {
  using by = meeting_point<letters>::by;
  const auto figures = measure(
      {
          enter<deaths<belfry_bond>>("belfry, by name", by::name),
          enter<deaths<belfry_bond>>("belfry, by handles", by::handles),
          enter<deaths<asio_socket_bond>>("asio unix socket, end of file"),
          enter<deaths<epoll_pidfd_bond>>("raw epoll+pidfd"),
          enter<awaited_round_trip>("belfry, round trip", by::name, microseconds),
          enter<epoll_eventfd_round_trip>("raw epoll+eventfd, round trip", microseconds.units),
      },
      {.first = 100, .seconds = 0.2, .rounds = 5});
  for (const std::size_t i : {0, 1}) {
    out.add({"death",
             "us",
             {{"met", i == 0 ? "by name" : "by handles"}},
             figures[i],
             {{"half of belfry's round trip", half(figures[4])},
              {"half of raw epoll+eventfd's", half(figures[5])},
              {"asio unix socket, end of file", figures[2]},
              {"raw epoll+pidfd", figures[3]}}});
  }
}

}  // namespace belfry::bench
