#include <belfry/detail/segment/parking.hpp>

#include "support/test.hpp"

#include <atomic>
#include <memory>
#include <thread>

using namespace belfry;
using namespace belfry::detail;
using layout::park_state;

namespace {

struct fixture {
  std::unique_ptr<layout::control_header> header = std::make_unique<layout::control_header>();
  std::unique_ptr<layout::participant_slot> slot = std::make_unique<layout::participant_slot>();

  std::uint64_t word() const { return slot->park.load(); }
  std::atomic<std::uint8_t>& mark(layout::role r, std::size_t index) const {
    return header->parked[static_cast<std::size_t>(r)].slots[index];
  }
  /// How many slots of a role are marked.
  int marks(layout::role r) const {
    int n = 0;
    for (const auto& m : header->parked[static_cast<std::size_t>(r)].slots) n += m.load() != 0;
    return n;
  }
  void attach(parking& p, layout::role r, std::size_t index) const { p.attach(*header, *slot, r, index); }
};

}  // namespace

TEST_CASE("the park word is epoch << 2 | state", "[parking]") {
  CHECK(park_word(0, park_state::awake) == 0);
  CHECK(park_word(0, park_state::parked) == 1);
  CHECK(park_word(0, park_state::rung) == 2);
  CHECK(park_word(1, park_state::awake) == 4);
  CHECK(park_word(7, park_state::parked) == 29);
  CHECK(park_epoch(29) == 7);
  CHECK(park_epoch(30) == 7);
  CHECK(state_of(28) == park_state::awake);
  CHECK(state_of(29) == park_state::parked);
  CHECK(state_of(30) == park_state::rung);
}

TEST_CASE("every parking has a new epoch, and a mark that is cleared afterwards", "[parking]") {
  fixture f;
  parking p;
  f.attach(p, layout::role::consumer, 5);
  CHECK_FALSE(p.is_parked());
  CHECK(f.word() == 0);

  p.park();
  CHECK(p.is_parked());
  CHECK(f.word() == park_word(1, park_state::parked));
  CHECK(f.mark(layout::role::consumer, 5) == 1);
  CHECK(f.marks(layout::role::consumer) == 1);
  CHECK(f.marks(layout::role::producer) == 0);
  CHECK(f.slot->parks.load() == 1);

  p.unpark();
  CHECK_FALSE(p.is_parked());
  CHECK(f.word() == park_word(1, park_state::awake));
  CHECK(f.marks(layout::role::consumer) == 0);

  p.park();
  CHECK(f.word() == park_word(2, park_state::parked));
  CHECK(f.slot->parks.load() == 2);
  p.unpark();
  CHECK(f.word() == park_word(2, park_state::awake));
}

TEST_CASE("parking does not change the marks of others", "[parking]") {
  fixture f;
  f.mark(layout::role::producer, 1) = 1;
  f.mark(layout::role::producer, 63) = 1;
  parking p;
  f.attach(p, layout::role::producer, 0);
  p.park();
  CHECK(f.mark(layout::role::producer, 0) == 1);
  CHECK(f.marks(layout::role::producer) == 3);
  p.unpark();
  CHECK(f.mark(layout::role::producer, 0) == 0);
  CHECK(f.marks(layout::role::producer) == 2);
  CHECK(f.marks(layout::role::consumer) == 0);

  parking last;
  f.attach(last, layout::role::consumer, 63);
  last.park();
  CHECK(f.mark(layout::role::consumer, 63) == 1);
  last.unpark();
  CHECK(f.marks(layout::role::consumer) == 0);
}

TEST_CASE("unparking twice, or without having parked, changes nothing", "[parking]") {
  fixture f;
  f.slot->park = park_word(9, park_state::rung);
  f.mark(layout::role::consumer, 0) = 1;
  parking p;
  f.attach(p, layout::role::consumer, 0);
  p.unpark();
  CHECK(f.word() == park_word(9, park_state::rung));
  CHECK(f.mark(layout::role::consumer, 0) == 1);

  p.park();
  p.unpark();
  f.slot->park = park_word(11, park_state::parked);  // for example a successor's
  p.unpark();
  CHECK(f.word() == park_word(11, park_state::parked));
}

TEST_CASE("waking up clears the mark of a notifier, and keeps the epoch", "[parking]") {
  fixture f;
  parking p;
  f.attach(p, layout::role::consumer, 1);
  p.park();
  std::uint64_t seen = f.word();
  REQUIRE(f.slot->park.compare_exchange_strong(seen, park_word(park_epoch(seen), park_state::rung)));
  CHECK(f.word() == park_word(1, park_state::rung));
  p.unpark();
  CHECK(f.word() == park_word(1, park_state::awake));
}

TEST_CASE("a slow notifier cannot mark a later parking as rung", "[parking]") {
  fixture f;
  parking p;
  f.attach(p, layout::role::consumer, 1);
  p.park();
  std::uint64_t stale = f.word();  // what a notifier read before it notified and was delayed
  p.unpark();
  p.park();
  CHECK_FALSE(
      f.slot->park.compare_exchange_strong(stale, park_word(park_epoch(stale), park_state::rung)));
  CHECK(f.word() == park_word(2, park_state::parked));
  p.unpark();
}

TEST_CASE("a notifier's mark is never lost to a concurrent unparking", "[parking]") {
  const test::watchdog dog;
  fixture f;
  parking p;
  f.attach(p, layout::role::consumer, 1);
  std::atomic<bool> over{false};
  std::uint64_t marked = 0;
  std::thread notifier([&] {
    while (!over.load(std::memory_order_relaxed)) {
      std::uint64_t seen = f.slot->park.load(std::memory_order_relaxed);
      if (state_of(seen) != park_state::parked) continue;
      const std::uint64_t rung = park_word(park_epoch(seen), park_state::rung);
      marked += f.slot->park.compare_exchange_strong(seen, rung, std::memory_order_relaxed);
    }
  });
  std::uint64_t told = 0;
  for (int i = 0; i != 2000000; ++i) {
    p.park();
    for (int spin = i % 256; spin != 0; --spin) std::atomic_signal_fence(std::memory_order_seq_cst);
    told += p.unpark();
  }
  over = true;
  notifier.join();
  CHECK(marked != 0);
  CHECK(told == marked);
}

TEST_CASE("the epoch continues from the former owner's", "[parking]") {
  fixture f;
  f.slot->park = park_word(41, park_state::awake);
  parking p;
  f.attach(p, layout::role::producer, 0);
  p.park();
  CHECK(f.word() == park_word(42, park_state::parked));
  p.unpark();
}
