// A program with an event loop of its own, here poll(2): Asio does not run in either process.
//
//   poll_loop
//
// Another process sends measurements, sometimes many, sometimes none. This one waits for them and
// for a timer in one call of poll.
#include "net.hpp"

#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <system_error>
#include <thread>

#include <poll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct measurement {
  std::uint64_t number;
  double value;
};
using measurements = belfry::channel<belfry::spsc_ring<measurement, 256>>;

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t total = 10000;

void send(const belfry::channel_handles& handles) {
  net::io_context io;  // an endpoint belongs to one; nobody runs it
  measurements::producer tx(io, handles);
  for (std::uint64_t i = 0; i != total; ++i) {
    if (i % 1000 == 999) std::this_thread::sleep_for(150ms);
    if (tx.send({i, 20.0 + static_cast<double>(i % 50) / 10})) return;  // waits while it is full
  }
}

/// Becomes readable every half second.
int make_timer() {
  const int timer = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  const itimerspec every{{0, 500'000'000}, {0, 500'000'000}};
  if (timer == -1 || ::timerfd_settime(timer, 0, &every, nullptr) == -1) {
    throw std::system_error(errno, std::generic_category(), "timerfd");
  }
  return timer;
}

void receive(const belfry::channel_handles& handles) {
  net::io_context io;
  measurements::consumer rx(io, handles);
  std::array<pollfd, 2> fds{{{rx.native_handle(), POLLIN, 0}, {make_timer(), POLLIN, 0}}};
  std::uint64_t received = 0;
  std::uint64_t sleeps = 0;
  double sum = 0;
  belfry::error_code ec;
  while (!ec) {
    // Not for ever: the timer wants its turn, too.
    for (int i = 0; i != 1000; ++i) {
      const auto m = rx.try_receive();
      if (!m) break;
      ++received;
      sum += m->value;
    }

    // True: from now on the producer will ring. False: there is something already.
    const bool sleep = rx.prepare_wait();
    if (sleep) ++sleeps;
    ::poll(fds.data(), fds.size(), sleep ? -1 : 0);
    ec = rx.finish_wait();  // `closed` or `peer_died`, after everything that was sent

    if ((fds[1].revents & POLLIN) != 0) {
      std::uint64_t ticks = 0;
      if (::read(fds[1].fd, &ticks, sizeof ticks) == sizeof ticks) {
        std::cout << "poll_loop: " << received << " so far" << std::endl;
      }
    }
  }
  if (ec != belfry::errc::closed) throw belfry::net_system_error(ec);
  std::cout << "poll_loop: " << received << " measurements, mean "
            << sum / static_cast<double>(received) << ", slept " << sleeps << " times" << std::endl;
}

}  // namespace

int main() try {
  // A channel without a name, so that there is nothing to clean up, also after Ctrl-C.
  const belfry::channel_handles handles = measurements::make_handles();
  const pid_t child = ::fork();
  if (child == -1) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    send(handles);
    std::_Exit(EXIT_SUCCESS);
  }
  receive(handles);
  ::waitpid(child, nullptr, 0);
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "poll_loop: " << e.what() << '\n';
  return EXIT_FAILURE;
}
