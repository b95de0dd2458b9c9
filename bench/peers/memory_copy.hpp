// The upper limit for copied messages: memcpy into shared memory on one processor, memcpy out of it on
// another.
#pragma once

#include "../harness/contender.hpp"
#include "../harness/cpus.hpp"
#include "../harness/memory.hpp"
#include "../harness/messages.hpp"
#include "../harness/timer.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>

namespace belfry::bench {

/// Into `Slots` slots, one after the other.
template <std::size_t Bytes, std::size_t Slots>
class memory_copy final : public contender {
 public:
  figure lead(std::uint64_t n) override {
    const auto m = std::make_unique<message<Bytes>>();
    rate_timer timer(n);
    for (std::uint64_t i = 0; i != n;) {
      while (shared_->written.load(std::memory_order_acquire) == i) relax();
      std::memcpy(m.get(), &shared_->data[i % Slots], Bytes);
      shared_->read.store(i + 1, std::memory_order_release);
      check(*m, i);
      timer.arrived(++i);
    }
    return timer.per_second(n);
  }

  void follow(std::uint64_t n) override {
    const auto m = std::make_unique<message<Bytes>>();
    for (std::uint64_t i = 0; i != n; ++i) {
      m->number(i);
      while (i - shared_->read.load(std::memory_order_acquire) == Slots) relax();
      std::memcpy(&shared_->data[i % Slots], m.get(), Bytes);
      shared_->written.store(i + 1, std::memory_order_release);
    }
  }

 private:
  /// Each side's acquire pairs with the other side's release.
  struct memory {
    alignas(128) std::atomic<std::uint64_t> written;
    alignas(128) std::atomic<std::uint64_t> read;
    alignas(128) std::array<message<Bytes>, Slots> data;
  };

  inherited<memory> shared_;
};

}  // namespace belfry::bench
