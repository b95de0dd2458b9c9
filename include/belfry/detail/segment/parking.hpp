// Going to sleep without losing a wake-up, and waking without a needless system call.
//
// Every participant has a park word, `epoch << 2 | state`, and a mark, its byte in the `parked` line of its role.
// The steps W1 to W5 and N1 to N5, and why no wake-up is lost, are in participant.hpp.
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
  void park(layout::park_mark mark = layout::park_mark::ring) noexcept {
    const std::uint64_t epoch = park_epoch(slot_->park.load(std::memory_order_relaxed)) + 1;
    slot_->park.store(park_word(epoch, layout::park_state::parked), std::memory_order_relaxed);
    slot_->parks.store(slot_->parks.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    // Release: a notifier that sees the mark sees the word. Pairs with the acquire in roster::ring_parked().
    mark_->store(static_cast<std::uint8_t>(mark), std::memory_order_release);
    // Pairs with the fence in publish_fence().
    seq_cst_fence();
    parked_now_.store(true, std::memory_order_relaxed);
  }

  /// W5. Whether a notifier has woken this parking.
  bool unpark() noexcept {
    if (!parked_now_.exchange(false, std::memory_order_relaxed)) return false;
    // Only this participant begins an epoch, so the word is one of its three states. Acquire: this participant sees
    // what the notifier published. Pairs with the release in roster::wake().
    const std::uint64_t epoch = park_epoch(slot_->park.load(std::memory_order_relaxed));
    const std::uint64_t word = slot_->park.exchange(park_word(epoch, layout::park_state::awake),
                                                    std::memory_order_acquire);
    // Relaxed: a notifier that still sees the mark finds the word awake, or writes to the bell in vain.
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

/// N2, once per publish. Pairs with the fence in parking::park(): a store before it and a load after it, on both sides, are
/// ordered by nothing less, on any processor (tests/model/litmus/parking.litmus).
inline void publish_fence() noexcept { seq_cst_fence(); }

}  // namespace belfry::detail
