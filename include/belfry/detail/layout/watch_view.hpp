// The versions and the queue for transactions in a block's companion segment: memory and atomics only. The
// format, and why no change is missed: watch_state in segment/layout.hpp.
#pragma once

#include <belfry/detail/layout/fence.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/detail/layout/layout.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace belfry::detail {

class watch_view {
 public:
  static const ring_traits traits;

  watch_view() noexcept = default;
  explicit watch_view(const ring_memory& memory) noexcept
      : state_(reinterpret_cast<layout::watch_state*>(memory.at)) {}

  explicit operator bool() const noexcept { return state_ != nullptr; }

  /// A caller that reads the block after this call sees every change that the version counts. For a later
  /// one, changed_since() with this version returns true.
  std::uint64_t version() const noexcept {
    const std::uint64_t v = sum();
    // Orders the sum before the caller's reads of the block. Pairs with the fence in publish().
    seq_cst_fence();
    return v;
  }

  /// The block, or one element of it, has changed. The caller notifies the bells afterwards.
  void change(std::size_t slot) noexcept {
    const std::uint64_t v = publish(slot);
    state_->whole[slot].store(v, std::memory_order_relaxed);  // before the mark is cleared, and before the bells
    state_->busy[slot].store(0, std::memory_order_release);
  }
  void change(std::size_t slot, std::size_t element) noexcept {
    const std::uint64_t v = publish(slot);
    raise(state_->elements[element % layout::watch_state::max_elements], v);
    state_->busy[slot].store(0, std::memory_order_release);
  }

  /// Whether one of these elements, or the block as a whole, has changed since that version. A version that
  /// this companion has not reached is another companion's: everything may have changed.
  bool changed_since(std::uint64_t seen, std::span<const std::size_t> elements) const noexcept {
    if (sum() < seen) return true;
    for (const auto& v : state_->whole) {
      if (v.load(std::memory_order_acquire) > seen) return true;
    }
    for (const std::size_t i : elements) {
      const auto& v = state_->elements[i % layout::watch_state::max_elements];
      if (v.load(std::memory_order_acquire) > seen) return true;
    }
    return false;
  }

  // ---- the queue for transactions

  bool has_ticket(std::size_t slot) const noexcept {
    return state_->ticket[slot].load(std::memory_order_relaxed) != 0;
  }
  void take_ticket(std::size_t slot) noexcept {
    std::uint64_t highest = 0;
    for (const auto& t : state_->ticket) {
      const std::uint64_t n = t.load(std::memory_order_relaxed);
      if (n > highest) highest = n;
    }
    // Two waiters may get the same ticket; the lower slot goes first. Only the kernel's lock excludes.
    state_->ticket[slot].store(highest + 1, std::memory_order_release);
  }
  void drop_ticket(std::size_t slot) noexcept {
    state_->ticket[slot].store(0, std::memory_order_release);
  }
  /// Whether no other waiter goes before this slot, with or without a ticket of its own.
  bool is_next(std::size_t slot) const noexcept {
    const std::uint64_t own = state_->ticket[slot].load(std::memory_order_relaxed);
    for (std::size_t i = 0; i != state_->ticket.size(); ++i) {
      const std::uint64_t n = state_->ticket[i].load(std::memory_order_acquire);
      if (n == 0 || i == slot) continue;
      if (own == 0 || n < own || (n == own && i < slot)) return false;
    }
    return true;
  }

  /// Marks the block as being written; true if the previous holder died before it cleared the mark.
  bool set_dirty(std::size_t slot, std::uint32_t generation) noexcept {
    const bool was = is_dirty();
    // Pairs with the acquire in holder() and is_dirty().
    state_->dirty.store(std::uint64_t{generation} << 32 | (slot + 1), std::memory_order_release);
    return was;
  }
  void clear_dirty() noexcept { state_->dirty.store(0, std::memory_order_release); }

  /// Undoes or completes what the slot's dead owner left unfinished.
  void recover(std::size_t slot) noexcept {
    drop_ticket(slot);
    if (state_->busy[slot].load(std::memory_order_acquire) != 0) change(slot);
  }
  bool is_dirty() const noexcept { return state_->dirty.load(std::memory_order_acquire) != 0; }

  /// The participant that has marked the block, and may be dead. If there is none: a slot that does not
  /// exist.
  struct owner {
    std::size_t slot;
    std::uint32_t generation;
  };
  owner holder() const noexcept {
    // Pairs with the release in set_dirty().
    const std::uint64_t word = state_->dirty.load(std::memory_order_acquire);
    return {static_cast<std::size_t>(word & 0xffffffff) - 1, static_cast<std::uint32_t>(word >> 32)};
  }

 private:
  std::uint64_t publish(std::size_t slot) noexcept {
    // Relaxed: the release below is after it. So a reaper that sees the change counted sees the mark.
    state_->busy[slot].store(1, std::memory_order_relaxed);
    auto& own = state_->changes[slot];
    // Pairs with the acquire in sum().
    own.store(own.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    // The store above must be visible before the counters of others are read: of two notifiers at the same
    // time, at least one must count the other. Pairs with itself, and with the fence in version().
    seq_cst_fence();
    return sum();
  }
  std::uint64_t sum() const noexcept {
    std::uint64_t sum = 0;
    // Pairs with the release in publish().
    for (const auto& n : state_->changes) sum += n.load(std::memory_order_acquire);
    return sum;
  }
  static void raise(std::atomic<std::uint64_t>& entry, std::uint64_t v) noexcept {
    std::uint64_t seen = entry.load(std::memory_order_relaxed);
    while (seen < v && !entry.compare_exchange_weak(seen, v, std::memory_order_release,
                                                    std::memory_order_relaxed)) {
    }
  }

  layout::watch_state* state_ = nullptr;
};

}  // namespace belfry::detail
