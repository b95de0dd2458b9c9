// Going to sleep without losing a wake-up, and waking without a needless system call.
//
// Every participant has a park word, `epoch << 2 | state`, and a mark, its byte in the `parked` line of
// its role. Between a waiter W and a notifier N:
//
//   W1  word = (next epoch, parked)             N1  publish in the ring
//   W2  set the mark; seq_cst fence             N2  seq_cst fence
//   W3  look at the ring again                  N3  mark set and word parked?
//   W4  wait for the own bell                   N4      ring W's bell
//   W5  exchange the word for awake;            N5      CAS that very word to rung
//       clear the mark
//
// The bell is drained at W5, or just before W goes to sleep the next time: an answer does not wait for
// that system call then. Draining comes before W chooses whose death to watch, as newcomers ring.
//
// No wake-up is lost: the two fences are totally ordered. If N2 comes before W2, W3 sees what N1
// published. Otherwise N3 sees the mark and the word, and rings.
//
// A notifier that dies between N4 and N5 has cost a spurious wake. One that dies between N1 and N4
// is covered by its death, which wakes W as well. The epoch keeps a notifier that was slow between
// N4 and N5 from marking a later parking as rung, after which nobody would ring for it: the word it
// compares with is gone for ever. N5 only saves others from ringing again: a notifier without
// compare-and-swap leaves it out.
//
// Where waiters compete, N5 also says for whom a wake-up was meant, and a waiter that leaves at W5 what it was
// woken for wakes another one. So W5 is one read-modify-write: a mark that came between a load and a
// store would be lost, and what it was about would lie there while another waiter sleeps.
//
// Room is told at every message, as the consumer that makes it may wait for something else next; a fence for
// each of them would cost more than the message. So the other side pays for it: N has no N2, and W, a
// producer that goes to sleep because the ring is full, has a barrier in all processes between W2 and W3
// (platform::barrier_everywhere()). In N it comes before N3, which sees the mark then; or after it, and so
// after N1, which W3 sees then. A consumer that no barrier of others reaches has N2.
//
// tests/model/parking.pml checks all this exhaustively.
#pragma once

#include <belfry/detail/layout/fence.hpp>
#include <belfry/detail/layout/layout.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace belfry::detail {

constexpr std::uint64_t park_word(std::uint64_t epoch, layout::park_state state) noexcept {
  return epoch << 2 | static_cast<std::uint64_t>(state);
}
constexpr std::uint64_t park_epoch(std::uint64_t word) noexcept { return word >> 2; }
constexpr layout::park_state state_of(std::uint64_t word) noexcept {
  return static_cast<layout::park_state>(word & 3);
}

/// The waiter's half. One per participant.
class parking {
 public:
  void attach(layout::control_header& header, layout::participant_slot& slot, layout::role role,
              std::size_t index) noexcept {
    slot_ = &slot;
    mark_ = &header.parked[static_cast<std::size_t>(role)].slots[index];
  }

  /// W1 and W2. The caller looks again, and either unparks or waits for its bell.
  void park() noexcept {
    const std::uint64_t epoch = park_epoch(slot_->park.load(std::memory_order_relaxed)) + 1;
    slot_->park.store(park_word(epoch, layout::park_state::parked), std::memory_order_relaxed);
    slot_->parks.store(slot_->parks.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    // Release: who sees the mark sees the word. Pairs with the acquire in roster::ring_parked().
    mark_->store(1, std::memory_order_release);
    // Pairs with the fence in publish_fence().
    seq_cst_fence();
    parked_now_.store(true, std::memory_order_relaxed);
  }

  /// W5. Whether a notifier has woken this parking.
  bool unpark() noexcept {
    if (!parked_now_.exchange(false, std::memory_order_relaxed)) return false;
    // Only this participant begins an epoch, so the word is one of its three states. Acquire: what the
    // notifier published is seen. Pairs with publish_fence(), which comes before the notifier's mark.
    const std::uint64_t epoch = park_epoch(slot_->park.load(std::memory_order_relaxed));
    const std::uint64_t word = slot_->park.exchange(park_word(epoch, layout::park_state::awake),
                                                    std::memory_order_acquire);
    mark_->store(0, std::memory_order_relaxed);
    return state_of(word) == layout::park_state::rung;
  }

  /// Another thread of this process may be about to unpark.
  bool is_parked() const noexcept { return parked_now_.load(std::memory_order_relaxed); }

 private:
  layout::participant_slot* slot_ = nullptr;
  std::atomic<std::uint8_t>* mark_ = nullptr;
  std::atomic<bool> parked_now_{false};
};

/// N2, once per publish. Pairs with the fence in parking::park(), and with the acquire in unpark().
inline void publish_fence() noexcept { seq_cst_fence(); }

}  // namespace belfry::detail
