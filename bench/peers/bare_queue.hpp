// boost::lockfree::spsc_queue in shared memory, polled: the layer below spsc_ring alone.
#pragma once

#include "../harness/contender.hpp"
#include "../harness/cpus.hpp"
#include "../harness/memory.hpp"
#include "../harness/messages.hpp"
#include "../harness/timer.hpp"

#include <boost/lockfree/spsc_queue.hpp>

#include <cstddef>

namespace belfry::bench {

template <class T, std::size_t N>
using bare_queue = boost::lockfree::spsc_queue<T, boost::lockfree::capacity<N>>;

template <class T, std::size_t N>
void push(bare_queue<T, N>& queue, const T& value) {
  while (!queue.push(value)) relax();
}
template <class T, std::size_t N>
T pop(bare_queue<T, N>& queue) {
  T value;
  while (!queue.pop(value)) relax();
  return value;
}

class bare_queue_round_trip final : public contender {
 public:
  explicit bare_queue_round_trip(double units) : units_(units) {}

  figure lead(std::uint64_t n) override {
    lap_timer timer(n, 100);
    message<16> m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      m.number(i);
      push(queues_->there, m);
      check(pop(queues_->back), i);
      timer.done();
    }
    return timer.median(units_);
  }

  void follow(std::uint64_t n) override {
    for (std::uint64_t i = 0; i != n; ++i) push(queues_->back, pop(queues_->there));
  }

 private:
  struct both {
    bare_queue<message<16>, 64> there;
    bare_queue<message<16>, 64> back;
  };

  double units_;
  inherited<both> queues_;
};

template <std::size_t Bytes, std::size_t N>
class bare_queue_stream final : public contender {
 public:
  figure lead(std::uint64_t n) override {
    rate_timer timer(n);
    for (std::uint64_t i = 0; i != n;) {
      check(pop(*queue_), i);
      timer.arrived(++i);
    }
    return timer.per_second(n);
  }

  void follow(std::uint64_t n) override {
    message<Bytes> m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      m.number(i);
      push(*queue_, m);
    }
  }

 private:
  inherited<bare_queue<message<Bytes>, N>> queue_;
};

}  // namespace belfry::bench
