// The least time that two processors need to answer each other: a cache line in each direction.
#pragma once

#include "../harness/contender.hpp"
#include "../harness/cpus.hpp"
#include "../harness/memory.hpp"
#include "../harness/timer.hpp"

#include <atomic>

namespace belfry::bench {

class ping_pong final : public contender {
 public:
  explicit ping_pong(double units) : units_(units) {}

  figure lead(std::uint64_t n) override {
    lap_timer timer(n, 100);
    for (std::uint64_t i = 1; i <= n; ++i) {
      lines_->there.store(i, std::memory_order_release);
      await(lines_->back, i);
      timer.done();
    }
    return timer.median(units_);
  }

  void follow(std::uint64_t n) override {
    for (std::uint64_t i = 1; i <= n; ++i) {
      await(lines_->there, i);
      lines_->back.store(i, std::memory_order_release);
    }
  }

 private:
  struct lines {
    alignas(128) std::atomic<std::uint64_t> there;  // 128: processors fetch lines in pairs
    alignas(128) std::atomic<std::uint64_t> back;
  };

  static void await(const std::atomic<std::uint64_t>& line, std::uint64_t i) {
    while (line.load(std::memory_order_acquire) != i) relax();
  }

  double units_;
  inherited<lines> lines_;
};

}  // namespace belfry::bench
