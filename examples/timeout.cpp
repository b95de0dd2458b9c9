// Receives with a timeout: `receive || timer`.
//
//   timeout [COUNT]
//
// Another process sends COUNT numbers (1000) at irregular intervals of about the timeout, so that number and
// timer often come at the same moment. Whichever wins, nothing is lost: a cancelled receive has taken nothing
// out of the ring.
#include "net.hpp"
#include "process.hpp"

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <thread>

using numbers = belfry::channel<belfry::spsc_ring<unsigned, 64>>;

namespace {

using namespace std::chrono_literals;

net::awaitable<void> receive(numbers::consumer& rx, unsigned count) {
  using namespace net::experimental::awaitable_operators;
  co_await rx.async_wait_peer(net::use_awaitable);
  numbers::unlink(rx.name());  // the channel goes on without a name: there is nothing to clean up, even after Ctrl-C
  net::steady_timer timer(co_await net::this_coro::executor);
  unsigned timeouts = 0;
  for (unsigned expected = 0; expected != count;) {
    timer.expires_after(1ms);
    // As an error code, not an exception: if one side of `||` throws, `||` waits for the other side, and
    // discards the exception if that one succeeds.
    belfry::error_code ec;
    const auto first = co_await (rx.async_receive(net::redirect_error(net::use_awaitable, ec)) ||
                                 timer.async_wait(net::use_awaitable));
    if (first.index() == 1) {
      ++timeouts;
      continue;
    }
    if (ec) throw belfry::net_system_error(ec);
    const unsigned number = std::get<0>(first);
    if (number != expected) {
      throw std::runtime_error("expected " + std::to_string(expected) + ", got " +
                               std::to_string(number));
    }
    ++expected;
  }
  std::cout << "timeout: " << count << " numbers in order, none lost, " << timeouts << " timeouts"
            << std::endl;
}

/// The other process: without coroutines; it blocks.
void send(const std::string& name, unsigned count) {
  net::io_context io;
  numbers::producer tx(io, name);
  std::mt19937 random(1);
  std::uniform_int_distribution pause(0, 2000);
  for (unsigned i = 0; i != count; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(pause(random)));
    if (tx.send(i)) return;  // the receiver has gone
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const auto count = static_cast<unsigned>(argc > 1 ? std::stoul(argv[1]) : 1000);
  if (argc == 3) {
    send(argv[2], count);
    return EXIT_SUCCESS;
  }
  const std::string name = "timeout-" + own_number();
  net::io_context io;
  numbers::consumer rx(io, name);
  process sender({std::to_string(count), name});
  net::co_spawn(io, receive(rx, count), rethrow);
  io.run();
  return sender.wait() ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception& e) {
  std::cerr << "timeout: " << e.what() << '\n';
  return EXIT_FAILURE;
}
