// A round trip of notifications, both sides asleep: each waits for the other's block.
#include "../harness/belfry_round_trip.hpp"
#include "cases.hpp"
#include "../harness/measure.hpp"
#include "../peers/epoll_eventfd.hpp"

#include <belfry/watch.hpp>

#include <atomic>
#include <string>

namespace belfry::bench {
namespace {

class watched_round_trip final : public contender {
 public:
  figure lead(std::uint64_t n) override {
    net::io_context io(1);
    const watched there(io, there_.name);
    watched back(io, back_.name);
    lap_timer timer(n, microseconds.per_lap);
    run(io, ping(there, back, n, timer));
    return timer.median(microseconds.units);
  }

  void follow(std::uint64_t n) override {
    net::io_context io(1);
    watched there(io, there_.name);
    const watched back(io, back_.name);
    run(io, pong(there, back, n));
  }

 private:
  /// A block that holds a number, and its watch.
  struct watched {
    watched(net::io_context& io, const std::string& name)
        : block(shared_memory::open(name)), watch(io, block) {}
    std::atomic_ref<std::uint64_t> number() const { return std::atomic_ref(*where); }

    shared_memory block;
    mutable belfry::watch watch;
    std::uint64_t* where = block.as<std::uint64_t>().data();
  };

  /// A block that exists as long as this object.
  struct named {
    explicit named(const char* what) : name(unique_name(what)) { shared_memory::create(name, 64); }
    ~named() {
      error_code ignored;
      shared_memory::unlink(name, ignored);
    }
    std::string name;
  };

  static net::awaitable<void> wait_for(watched& w, std::uint64_t number) {
    while (w.number() != number) {
      const std::uint64_t seen = w.watch.version();
      if (w.number() == number) break;
      co_await w.watch.async_changed(seen, net::use_awaitable);
    }
  }
  static net::awaitable<void> ping(const watched& there, watched& back, std::uint64_t n,
                                   lap_timer& timer) {
    for (std::uint64_t i = 1; i <= n; ++i) {
      there.number() = i;
      there.watch.notify();
      co_await wait_for(back, i);
      timer.done();
    }
  }
  static net::awaitable<void> pong(watched& there, const watched& back, std::uint64_t n) {
    for (std::uint64_t i = 1; i <= n; ++i) {
      co_await wait_for(there, i);
      back.number() = i;
      back.watch.notify();
    }
  }

  const named there_{"there"};
  const named back_{"back"};
};

}  // namespace

void watch_rtt(report& out) {
  const auto figures = measure({
      enter<watched_round_trip>("belfry, watch"),
      enter<awaited_round_trip>("belfry, channel", meeting_point<letters>::by::name, microseconds),
      enter<epoll_eventfd_round_trip>("raw epoll+eventfd", microseconds.units),
  });
  out.add({"watch-rtt",
           "us",
           {},
           figures[0],
           {{"belfry channel", figures[1]}, {"raw epoll+eventfd", figures[2]}}});
}

}  // namespace belfry::bench
