// Typed messages from one process to another; both show a line per second.
//
//   ticks produce [NAME] [--rate N] [--count N]    N a second (1000); N in all, or until Ctrl-C
//   ticks consume [NAME] [--count N]
//   ticks demo                                     both, for two seconds; also without any argument
//
// Start either side first. Stop it with Ctrl-C or kill it, and start it again: the other side reports what
// has happened, waits, and continues. What was sent and not received is there for the next consumer.
#include "net.hpp"
#include "process.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

// Both programs must use the same type; separate programs share a header.
struct tick {
  std::uint64_t seq;
  double price;
};
using ticks = belfry::channel<belfry::spsc_ring<tick, 4096>>;

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

struct options {
  std::string name = "ticks";
  double rate = 1000;
  std::uint64_t count = UINT64_MAX;
};

void say(const char* who, const std::string& what) {
  std::cout << who << ": " << what << std::endl;
}

/// The progress of one side, printed once per second.
struct statistics {
  const char* who;
  std::uint64_t count = 0;
  tick last{};

  net::awaitable<void> show() const {
    net::steady_timer timer(co_await net::this_coro::executor);
    for (auto next = clock_type::now();;) {
      const std::uint64_t before = count;
      timer.expires_at(next += 1s);
      co_await timer.async_wait(net::use_awaitable);
      std::printf("%s: %9llu ticks, %9llu/s, last price %.2f\n", who,
                  static_cast<unsigned long long>(count),
                  static_cast<unsigned long long>(count - before), last.price);
      std::fflush(stdout);
    }
  }
};

/// Reports that the other side has left or died, and waits for the next one. After `peer_died`, which is
/// reported once, a send or receive would also wait; after `closed` it would fail until a peer joins.
template <class Endpoint>
net::awaitable<void> next_peer(const char* who, Endpoint& end, belfry::error_code ec) {
  if (ec == belfry::errc::peer_died) {
    say(who, "the other side was killed, waiting for the next one");
  } else if (ec == belfry::errc::closed) {
    say(who, "the other side has left, waiting for the next one");
  } else {
    throw belfry::net_system_error(ec);
  }
  co_await end.async_wait_peer(net::use_awaitable);
  say(who, "the next one is here");
}

net::awaitable<void> produce(ticks::producer& tx, const options& o, statistics& sent) {
  net::steady_timer timer(co_await net::this_coro::executor);
  std::vector<tick> batch;
  tick next{0, 100};
  double due = 0;
  for (auto then = clock_type::now(); next.seq != o.count;) {
    timer.expires_after(10ms);
    co_await timer.async_wait(net::use_awaitable);
    const auto now = clock_type::now();
    due += o.rate * std::chrono::duration<double>(now - then).count();
    then = now;

    batch.clear();
    for (; due >= 1 && next.seq != o.count; --due, ++next.seq) {
      next.price += (std::rand() % 201 - 100) * 0.01;
      batch.push_back(next);
    }
    for (std::span<const tick> rest = batch; !rest.empty();) {
      belfry::error_code ec;
      const std::size_t n =
          co_await tx.async_send_n(rest, net::redirect_error(net::use_awaitable, ec));
      sent.count += n;
      if (n != 0) sent.last = rest[n - 1];
      rest = rest.subspan(n);
      if (ec) {
        co_await next_peer(sent.who, tx, ec);
        then = clock_type::now();  // do not catch up
      }
    }
  }
}

net::awaitable<void> consume(ticks::consumer& rx, const options& o, statistics& received) {
  std::vector<tick> batch(256);
  bool first = true;
  while (received.count < o.count) {
    belfry::error_code ec;
    const std::size_t n =
        co_await rx.async_receive_n(batch, net::redirect_error(net::use_awaitable, ec));
    for (const tick& t : std::span(batch).first(n)) {
      if (!first && t.seq != received.last.seq + 1 && t.seq != 0) {
        say(received.who, "ticks are missing before " + std::to_string(t.seq));
      }
      first = false;
      received.last = t;
      ++received.count;
    }
    if (ec) co_await next_peer(received.who, rx, ec);
  }
}

/// Runs `work` and the statistics until the work is done, or Ctrl-C stops it. The endpoint then leaves the
/// channel when it is destroyed.
void run(net::io_context& io, net::awaitable<void> work, const statistics& s) {
  net::signal_set signals(io, SIGINT, SIGTERM, hang_up);
  signals.async_wait([&](belfry::error_code, int) { io.stop(); });
  net::co_spawn(io, s.show(), rethrow);
  net::co_spawn(io, std::move(work), [&](std::exception_ptr e) {
    io.stop();
    rethrow(e);
  });
  io.run();
  say(s.who,
      std::to_string(s.count) + " ticks in all, the last one was " + std::to_string(s.last.seq));
}

void run_producer(const options& o) {
  net::io_context io;
  ticks::producer tx(io, o.name);
  statistics sent{"producer"};
  run(io, produce(tx, o, sent), sent);
}

void run_consumer(const options& o) {
  net::io_context io;
  ticks::consumer rx(io, o.name);
  statistics received{"consumer"};
  run(io, consume(rx, o, received), received);
}

void run_demo() {
  options o;
  o.name = "ticks-demo-" + own_number();
  o.count = 2000;
  process producer({"produce", o.name, "--count", "2000"});
  run_consumer(o);
  producer.wait();
}

options parse(const std::vector<std::string>& args) {
  options o;
  for (std::size_t i = 0; i != args.size(); ++i) {
    if (args[i] != "--rate" && args[i] != "--count") {
      o.name = args[i];
      continue;
    }
    const std::uint64_t n =
        i + 1 == args.size() ? 0 : std::strtoull(args[i + 1].c_str(), nullptr, 10);
    if (n == 0) throw std::runtime_error(args[i] + " wants a number");
    if (args[i++] == "--rate") {
      o.rate = static_cast<double>(n);
    } else {
      o.count = n;
    }
  }
  return o;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string role = argc > 1 ? argv[1] : "demo";
  const options o = parse({argv + (argc > 1 ? 2 : 1), argv + argc});
  if (role == "produce") {
    run_producer(o);
  } else if (role == "consume") {
    run_consumer(o);
  } else if (role == "demo") {
    run_demo();
  } else {
    std::cerr << "usage: ticks produce [NAME] [--rate N] [--count N]\n"
                 "       ticks consume [NAME] [--count N]\n"
                 "       ticks demo\n";
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "ticks: " << e.what() << '\n';
  return EXIT_FAILURE;
}
