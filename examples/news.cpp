// News for several readers, each of which receives all of it: one producer, and three reader processes, one
// of them slow. The producer waits for no reader; the slow one is told how much it has missed.
//
//   news [COUNT]          20000
#include "net.hpp"
#include "process.hpp"

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

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

net::awaitable<void> publish(net::io_context& io, std::string name, std::size_t readers, std::uint64_t count) {
  news::producer tx(io, name);
  net::steady_timer timer(io);
  while (belfry::inspect(name).alive(belfry::participant_role::consumer) != readers) {
    timer.expires_after(std::chrono::milliseconds(1));
    co_await timer.async_wait(net::use_awaitable);
  }
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
  if (argc == 4 && std::string(argv[1]) == "read") {
    const int reader = std::stoi(argv[3]);
    read(argv[2], reader, reader == 2);
    return EXIT_SUCCESS;
  }
  const std::uint64_t count = argc > 1 ? std::stoull(argv[1]) : 20'000;
  const std::string name = "news-" + own_number();
  std::vector<process> readers;
  for (int i = 0; i != 3; ++i) readers.emplace_back(std::vector<std::string>{"read", name, std::to_string(i)});
  net::io_context io;
  net::co_spawn(io, publish(io, name, readers.size(), count), rethrow);
  io.run();
  for (process& reader : readers) {
    if (!reader.wait()) throw std::runtime_error("a reader has failed");
  }
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "news: " << e.what() << '\n';
  return EXIT_FAILURE;
}
