// News for several readers, each of which receives all of it: one producer, and three reader processes, one
// of them slow. The producer waits for no reader; the slow one is told how much it has missed.
//
//   news [COUNT]          20000
#include "net.hpp"

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

struct headline {
  std::uint64_t number;
  char text[56];
};
using news = belfry::channel<belfry::broadcast_ring<headline, 256, belfry::overflow::overwrite>>;

namespace {

void read(const std::string& name, int reader, bool slow) {
  net::io_context io;
  belfry::channel_options options;
  options.start = belfry::start::oldest;
  news::consumer rx(io, name, options);
  std::uint64_t seen = 0;
  std::uint64_t missed = 0;
  headline h{};
  for (;;) {
    const belfry::error_code ec = rx.receive(h);
    if (ec == belfry::errc::closed) break;
    if (ec == belfry::errc::lagged) {
      missed += rx.lost();
    } else if (ec) {
      throw belfry::net_system_error(ec);
    } else {
      ++seen;
      if (slow) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }
  std::cout << "news: reader " << reader << (slow ? ", slow," : "") << " has seen " << seen
            << " and missed " << missed << ", the last was " << h.number << std::endl;
}

net::awaitable<void> publish(net::io_context& io, std::string name, std::uint64_t count) {
  news::producer tx(io, name);
  co_await tx.async_wait_peer(net::use_awaitable);
  net::steady_timer timer(io);
  for (std::uint64_t n = 1; n <= count; ++n) {
    headline h{n, {}};
    ("headline " + std::to_string(n)).copy(h.text, sizeof h.text - 1);
    co_await tx.async_send(h, net::use_awaitable);
    if (n % 100 != 0) continue;
    timer.expires_after(std::chrono::milliseconds(1));
    co_await timer.async_wait(net::use_awaitable);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const std::uint64_t count = argc > 1 ? std::stoull(argv[1]) : 20'000;
  const std::string name = "news-" + std::to_string(::getpid());
  std::vector<pid_t> readers;
  for (int i = 0; i != 3; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      read(name, i, i == 2);
      ::_exit(EXIT_SUCCESS);
    }
    readers.push_back(pid);
  }
  net::io_context io;
  net::co_spawn(io, publish(io, name, count), rethrow);
  io.run();
  for (const pid_t pid : readers) {
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid || status != 0)
      throw std::runtime_error("a reader has failed");
  }
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "news: " << e.what() << '\n';
  return EXIT_FAILURE;
}
