// Processor time of two processes that wait for each other, while nothing happens.
#include "../harness/belfry_round_trip.hpp"
#include "cases.hpp"
#include "../harness/measure.hpp"
#include "../peers/asio_socket.hpp"

#include <chrono>

namespace belfry::bench {
namespace {

/// What to wait on: a channel in each direction, or a socket.
class channel_pair {
 public:
  class end {
   public:
    end(letters::producer tx, letters::consumer rx) : tx_(std::move(tx)), rx_(std::move(rx)) {}
    net::awaitable<void> send() { co_await tx_.async_send({}, net::use_awaitable); }
    net::awaitable<void> receive() { co_await rx_.async_receive(net::use_awaitable); }

   private:
    letters::producer tx_;
    letters::consumer rx_;
  };
  end leading(net::io_context& io) const { return {there_.producer(io), back_.consumer(io)}; }
  end following(net::io_context& io) const { return {back_.producer(io), there_.consumer(io)}; }

 private:
  meeting_point<letters> there_{"there"};
  meeting_point<letters> back_{"back"};
};

class asio_socket_pair {
 public:
  class end {
   public:
    explicit end(net::local::stream_protocol::socket s) : socket_(std::move(s)) {}
    net::awaitable<void> send() {
      co_await socket_.async_write_some(net::buffer(byte_), net::use_awaitable);
    }
    net::awaitable<void> receive() {
      co_await socket_.async_read_some(net::buffer(byte_), net::use_awaitable);
    }

   private:
    net::local::stream_protocol::socket socket_;
    std::array<char, 1> byte_{};
  };
  end leading(net::io_context& io) const { return end(pair_.socket(io, 0)); }
  end following(net::io_context& io) const { return end(pair_.socket(io, 1)); }

 private:
  socket_pair pair_;
};

/// Processor time of both processes, per second. The operations are milliseconds.
template <class Medium>
class idleness final : public contender {
 public:
  figure lead(std::uint64_t n) override {
    net::io_context io(1);
    auto end = medium_.leading(io);
    double used = 0;
    run(io, wait_for_answer(end, used));
    const double time = static_cast<double>(n) / 1000;
    return {(used + *used_by_follower_) / time, 0, time};
  }

  void follow(std::uint64_t n) override {
    net::io_context io(1);
    auto end = medium_.following(io);
    run(io, answer_late(io, end, std::chrono::milliseconds(n), *used_by_follower_));
  }

 private:
  using end = typename Medium::end;

  static net::awaitable<void> wait_for_answer(end& e, double& used) {
    co_await e.send();
    const double before = cpu_seconds();
    co_await e.receive();
    used = cpu_seconds() - before;
  }

  static net::awaitable<void> answer_late(net::io_context& io, end& e,
                                          std::chrono::milliseconds late, double& used) {
    co_await e.receive();
    const double before = cpu_seconds();
    net::co_spawn(io, e.receive(), [](std::exception_ptr) {});  // nothing arrives
    co_await net::steady_timer(io, late).async_wait(net::use_awaitable);
    used = cpu_seconds() - before;
    co_await e.send();
  }

  Medium medium_;
  inherited<double> used_by_follower_;
};

}  // namespace

void idle(report& out) {
  const auto figures = measure({enter<idleness<channel_pair>>("belfry, idle"),
                                enter<idleness<asio_socket_pair>>("asio unix socket, idle")},
                               {.first = 100, .seconds = 10, .rounds = 1});
  out.add({"syscalls",
           "ratio",
           {{"of", "processor time while idle"}},
           figures[0],
           {{"asio unix socket", figures[1]}}});
}

}  // namespace belfry::bench
