// Round trips over Asio's Unix stream sockets, with co_await on both sides.
#pragma once

#include "../harness/asio.hpp"
#include "../harness/contender.hpp"
#include "../harness/timer.hpp"
#include "asio_round_trip.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <array>
#include <cerrno>
#include <deque>
#include <system_error>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

namespace belfry::bench {

/// Two ends that the two processes inherit.
class socket_pair {
 public:
  socket_pair() {
    int both[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) != 0) {
      throw std::system_error(errno, std::system_category(), "socketpair");
    }
    ends_ = {detail::unique_handle(both[0]), detail::unique_handle(both[1])};
  }

  net::local::stream_protocol::socket socket(net::io_context& io, std::size_t side) const {
    return {io, net::local::stream_protocol(), ::dup(ends_[side].get())};
  }

 private:
  std::array<detail::unique_handle, 2> ends_;
};

class asio_socket_round_trip final : public contender {
 public:
  /// `bystanders`: how many more pairs of sockets either side reads from at the same time.
  explicit asio_socket_round_trip(double units, int bystanders = 0)
      : units_(units), bystanders_(bystanders) {}

  figure lead(std::uint64_t n) override {
    lap_timer timer(n, 1);
    net::io_context io(1);
    const others waiting(io, bystanders_);
    auto socket = pair_.socket(io, 0);
    run(io, asio_ping(socket, socket, n, timer));
    return timer.median(units_);
  }

  void follow(std::uint64_t n) override {
    net::io_context io(1);
    const others waiting(io, bystanders_);
    auto socket = pair_.socket(io, 1);
    run(io, asio_pong(socket, socket, n));
  }

 private:
  using protocol = net::local::stream_protocol;

  /// Sockets on which nothing arrives.
  class others {
   public:
    others(net::io_context& io, int count) {
      for (int i = 0; i != count; ++i) {
        sockets_.push_back(pairs_.emplace_back().socket(io, 0));
        sockets_.back().async_read_some(net::buffer(discarded_),
                                        [](const error_code&, std::size_t) {});
      }
    }

   private:
    std::array<char, 16> discarded_;
    std::deque<socket_pair> pairs_;
    std::vector<protocol::socket> sockets_;
  };

  double units_;
  socket_pair pair_;
  int bystanders_;
};

}  // namespace belfry::bench
