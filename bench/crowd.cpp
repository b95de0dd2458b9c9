#include "crowd.hpp"

#include "child.hpp"
#include "cpus.hpp"
#include "memory.hpp"
#include "timer.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <stdexcept>

#include <sched.h>
#include <unistd.h>

namespace belfry::bench {
namespace {

constexpr std::size_t most_members = 64;
constexpr auto settling = std::chrono::milliseconds(30);
constexpr auto turn = std::chrono::milliseconds(200);

struct board {
  struct alignas(64) counter {
    std::atomic<std::uint64_t> done{0};
  };
  crowd_member::shared_state state;
  std::array<counter, most_members> counters;

  double sum() const {
    return std::accumulate(counters.begin(), counters.end(), 0.0, [](double all, const counter& c) {
      return all + static_cast<double>(c.done.load(std::memory_order_relaxed));
    });
  }
};

void sleep_for(std::chrono::microseconds time) {
  ::usleep(static_cast<useconds_t>(time.count()));
}

}  // namespace

void crowd_member::wait_for_start() const {
  all_.ready.fetch_add(1);
  while (!all_.go.load()) ::sched_yield();
}

double crowd_rate(const std::vector<std::function<void(crowd_member&)>>& members) {
  if (members.size() > most_members) throw std::invalid_argument("too many processes");
  const std::vector<int> cpus = allowed_cpus();
  const inherited<board> b;
  std::vector<std::unique_ptr<child>> children;
  for (std::size_t i = 0; i != members.size(); ++i) {
    children.push_back(std::make_unique<child>([&, i] {
      pin(cpus[i % cpus.size()]);
      crowd_member self(b->state, b->counters[i].done);
      members[i](self);
      return true;
    }));
  }
  while (b->state.ready.load() != static_cast<int>(members.size())) {
    throw_if_interrupted();
    for (const auto& c : children) {
      if (c->has_failed()) throw std::runtime_error("one of the processes has failed");
    }
    ::usleep(1000);
  }
  b->state.go.store(true);
  sleep_for(settling);
  const auto begin = stopwatch::now();
  const double before = b->sum();
  sleep_for(turn);
  const double rate = (b->sum() - before) / seconds(stopwatch::now() - begin).count();
  b->state.over.store(true);
  for (const auto& c : children) c->wait(std::chrono::seconds(10));
  return rate;
}

double crowd_entrant::median() const {
  std::vector<double> sorted(rates);
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

void take_turns(std::vector<crowd_entrant>& entrants, int rounds) {
  for (int round = 0; round != rounds; ++round) {
    for (crowd_entrant& e : entrants) e.rates.push_back(e.rate());
  }
}

}  // namespace belfry::bench
