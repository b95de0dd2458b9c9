// Many processes at once, and their total count per second.
#pragma once

#include "contender.hpp"
#include "memory.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <sched.h>

namespace belfry::bench {

inline constexpr std::size_t most_members = 64;

/// Shared by all processes of a crowd.
struct crowd_notes {
  std::atomic<std::size_t> ready{0};
  std::atomic<bool> go{false};
  std::atomic<bool> over{false};
  struct alignas(64) count {
    std::atomic<std::uint64_t> done{0};
  };
  std::array<count, most_members> members;
};

/// One of the processes, as it sees itself.
class member {
 public:
  member(crowd_notes& notes, std::size_t index)
      : notes_(notes), count_(notes.members[index].done) {}

  /// Returns when all others are ready, too.
  void ready();
  bool over() const noexcept { return notes_.over.load(std::memory_order_relaxed); }
  /// Counts finished operations.
  void done(std::uint64_t more = 1) noexcept {
    count_.store(done_ += more, std::memory_order_relaxed);
  }

 private:
  crowd_notes& notes_;
  std::atomic<std::uint64_t>& count_;
  std::uint64_t done_ = 0;
};

/// What one of them does: prepares, calls ready(), and works until over().
using part = std::function<void(member&)>;

/// Where they run: each pinned to a processor, one after the other; or where the scheduler likes, if they
/// depend on another process that is not a member.
enum class placing { in_turns, anywhere };

/// What all members together count per second, after a short warm-up. Throws if one fails.
double rate(const std::vector<part>& parts, std::chrono::milliseconds turn,
            placing where = placing::in_turns);

/// Repeats `push(i)`, which returns false if there is no room yet.
template <class Push>
void produce(member& me, Push push) {
  me.ready();
  for (std::uint64_t i = 0; !me.over(); ++i) {
    while (!push(i) && !me.over()) ::sched_yield();
  }
}
/// Repeats `pop()`, which returns how many it took; 0 if there is nothing yet.
template <class Pop>
void consume(member& me, Pop pop) {
  me.ready();
  while (!me.over()) {
    if (const std::size_t count = pop(); count != 0) {
      me.done(count);
    } else {
      ::sched_yield();
    }
  }
}

/// A crowd that can be started again for every round.
struct crowd {
  std::string name;
  std::function<double()> rate;
};

/// Medians of rounds in which all crowds take turns; none for a crowd that failed.
std::vector<std::optional<figure>> median_rates(const std::vector<crowd>& crowds, int rounds = 5);

}  // namespace belfry::bench
