// Many channels in one io_context, only one of which is used.
#pragma once

#include "belfry_round_trip.hpp"
#include "footprint.hpp"

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <sys/stat.h>

namespace belfry::bench {

/// Outlives the contenders and the processes.
using noted_costs = std::shared_ptr<inherited<setup_costs>>;

/// The channel of the round trip, with its way back, and many others that nothing is ever sent through. Of
/// these every second one has its waiting consumer on this side, the rest on the other side. They are set up
/// in the first turn, created by the leader and then joined by the follower, and stay.
class round_trip_among_many final : public contender {
 public:
  round_trip_among_many(int channels, noted_costs costs)
      : there_("there"), back_("back"), costs_(std::move(costs)) {
    for (int i = 1; i < channels; ++i) others_.emplace_back("other");
  }

  figure lead(std::uint64_t n) override {
    if (!here_) {
      here_.emplace(there_, back_, others_, 0, (*costs_)->create);
      shared_->created.store(true, std::memory_order_release);  // pairs with follow()
    }
    lap_timer timer(n, microseconds.per_lap);
    here_->io.restart();
    run(here_->io, ping(here_->tx, here_->rx, n, timer));
    return timer.median(microseconds.units);
  }

  void follow(std::uint64_t n) override {
    // pairs with the release in lead()
    while (!shared_->created.load(std::memory_order_acquire)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (!here_) {
      before_ = footprint::now();
      here_.emplace(back_, there_, others_, 1, (*costs_)->attach);
    } else if (++turns_ == 1) {
      note(footprint::now() - before_);  // by now all have seen their peers
    }
    here_->io.restart();
    run(here_->io, pong(here_->rx, here_->tx, n));
  }

 private:
  using meeting = meeting_point<letters>;

  struct side {
    side(const meeting& out, const meeting& in, const std::deque<meeting>& others, int parity,
         double& time_of_each)
        : tx(out.producer(io)), rx(in.consumer(io)) {
      const auto begin = stopwatch::now();
      for (const meeting& channel : others) {
        if (parity++ % 2 == 0) {
          producers.push_back(channel.producer(io));
        } else {
          consumers.push_back(channel.consumer(io));
          consumers.back().async_receive([](const error_code&, const letter&) {});
        }
      }
      time_of_each = seconds(stopwatch::now() - begin).count() / static_cast<double>(others.size());
    }

    net::io_context io{1};
    letters::producer tx;
    letters::consumer rx;
    std::vector<letters::producer> producers;
    std::vector<letters::consumer> consumers;
  };

  struct memory {
    std::atomic<bool> created{false};
  };

  void note(const footprint& more) {
    const double n = static_cast<double>(others_.size());
    (*costs_)->more = {more.private_bytes / n, more.descriptors / n};
  }

  meeting there_;
  meeting back_;
  std::deque<meeting> others_;
  noted_costs costs_;
  inherited<memory> shared_;
  std::optional<side> here_;
  footprint before_;
  int turns_ = 0;
};

/// Bytes of shared memory per channel.
inline double shared_bytes_of_each() {
  const channel_handles handles = letters::make_handles();
  struct stat status {};
  ::fstat(detail::handles_of(handles).block.get(), &status);
  return static_cast<double>(status.st_blocks) * 512;
}

}  // namespace belfry::bench
