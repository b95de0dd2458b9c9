// The versions of a block, on plain memory, with concurrent notifications.
#include <belfry/detail/layout/watch_view.hpp>

#include "support/process.hpp"
#include "support/test.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

using belfry::detail::watch_view;
using namespace belfry::test;

namespace {

/// The companion's ring as a new segment has it.
struct memory {
  memory() { watch_view::traits.construct(ring()); }
  belfry::detail::ring_memory ring() {
    return {reinterpret_cast<std::byte*>(state.get()), sizeof(belfry::layout::watch_state), 0};
  }
  watch_view view() { return watch_view(ring()); }

  std::unique_ptr<belfry::layout::watch_state> state =
      std::make_unique<belfry::layout::watch_state>();
};

/// Lets two threads continue at the same time, as exactly as possible.
class barrier {
 public:
  void arrive(unsigned phase) {
    arrived_.fetch_add(1, std::memory_order_acq_rel);
    for (int spin = 0; arrived_.load(std::memory_order_acquire) < 2 * phase; ++spin) {
      if (spin > 200) std::this_thread::yield();
    }
  }

 private:
  std::atomic<unsigned> arrived_{0};
};

}  // namespace

TEST_CASE("a notification that was not seen is reported, even with a concurrent one",
          "[watch_view]") {
  const watchdog limit;
  memory m;
  constexpr unsigned rounds = sanitized ? 10'000 : 200'000;
  // In different cache lines, like the data: a store to one's own line may be delayed while a load of the
  // other line is not.
  constexpr std::array<std::size_t, 2> slots{0, 8};
  struct alignas(64) line {
    std::atomic<unsigned> value{0};
  };
  std::array<line, 2> data;
  // On x86 stores become visible in order, and stores to uncached memory are slow.
  constexpr std::size_t lines = 1 << 20;
  std::array<std::vector<line>, 2> cold{std::vector<line>(lines), std::vector<line>(lines)};
  barrier together;
  std::array<unsigned, 2> unseen{};
  std::array<unsigned, 2> lost{};
  const auto notifier = [&](std::size_t me) {
    watch_view view = m.view();
    std::minstd_rand random(static_cast<unsigned>(me) + 1);
    std::array<std::atomic<unsigned>*, 6> places{};
    for (unsigned round = 1; round <= rounds; ++round) {
      for (auto& place : places) place = &cold[me][random() % lines].value;
      together.arrive(2 * round - 1);
      for (auto* const place : places) place->store(round, std::memory_order_relaxed);
      data[me].value.store(round, std::memory_order_relaxed);
      view.change(slots[me], me);
      const std::uint64_t seen = view.version();
      const bool saw = data[1 - me].value.load(std::memory_order_relaxed) == round;
      together.arrive(2 * round);  // the other one has notified
      const std::array<std::size_t, 1> other{1 - me};
      if (!saw) ++unseen[me];
      if (!saw && !view.changed_since(seen, other)) ++lost[me];
    }
  };
  std::thread second(notifier, 1);
  notifier(0);
  second.join();
  CAPTURE(unseen[0], unseen[1]);
  CHECK(lost[0] == 0);
  CHECK(lost[1] == 0);
}

TEST_CASE("versions of a new companion are higher than those of an earlier one, and all its elements have changed",
          "[watch_view]") {
  memory old;
  old.view().change(0, 1);
  old.view().change(0);
  const std::uint64_t seen = old.view().version();
  const std::array<std::size_t, 1> one{1};
  const std::array<std::size_t, 1> two{2};
  CHECK_FALSE(old.view().changed_since(seen, one));

  memory anew;
  watch_view view = anew.view();
  CHECK(view.version() > seen);
  CHECK(view.changed_since(seen, one));
  CHECK(view.changed_since(seen, two));
  CHECK_FALSE(view.changed_since(view.version(), one));
  for (int i = 0; i != 5; ++i) view.change(0, 1);
  CHECK(view.changed_since(seen, two));

  // If the clock was set back, the version seen does not exist.
  CHECK(view.changed_since(view.version() + 1000, two));
}
