// Many processes at the same thing, and how often they get it done.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

namespace belfry::bench {

/// What a member of a crowd does until it is over.
class crowd_member {
 public:
  struct shared_state {
    std::atomic<int> ready{0};
    std::atomic<bool> go{false};
    std::atomic<bool> over{false};
  };

  crowd_member(shared_state& all, std::atomic<std::uint64_t>& done) : all_(all), done_(done) {}

  /// When it has made everything that it needs.
  void wait_for_start() const;
  bool is_over() const noexcept { return all_.over.load(std::memory_order_relaxed); }
  /// One more, or several.
  void done(std::uint64_t count = 1) noexcept {
    done_.store(count_ += count, std::memory_order_relaxed);
  }

 private:
  shared_state& all_;
  std::atomic<std::uint64_t>& done_;
  std::uint64_t count_ = 0;
};

/// Runs each of these in a process of its own, the first on one processor, the second on another, and so on
/// in turns; returns how often they have said `done` in a second, all together.
double crowd_rate(const std::vector<std::function<void(crowd_member&)>>& members);

/// Who is compared, and what it has brought.
struct crowd_entrant {
  std::function<double()> rate;
  std::vector<double> rates = {};
  double median() const;
};
/// Everybody in turn, several times: so that the machine's moods meet all of them.
void take_turns(std::vector<crowd_entrant>& entrants, int rounds = 7);

}  // namespace belfry::bench
