// Many producers, many consumers; one consumer receives each value. The slots and their protocol: work_word
// in segment/layout.hpp; checked with Spin in tests/model/work_ring.pml.
#pragma once

#include <belfry/detail/layout/prefetch.hpp>
#include <belfry/detail/layout/atomic_words.hpp>
#include <belfry/ring/lease.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/ring/type_fingerprint.hpp>
#include <belfry/shareable.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

namespace belfry {

/// Work items, each for one consumer.
///
///     struct job { std::uint64_t id; std::array<char, 48> what; };
///     using jobs = belfry::channel<belfry::work_ring<job, 1024>>;
///
/// Up to 32 producers and 32 consumers, or as many as `channel_options::participants` says. Items are received
/// roughly in the order in which they were sent; consumers skip an item that is still being written. A slow,
/// stopped or dead process that holds an item holds up no other. One exception: if a consumer was woken for an
/// item and is stopped before it takes it, the item waits until the next send, or until that consumer is killed.
///
/// When a producer is killed, an item that it had not finished is discarded. When a consumer is killed, an
/// item that it had received and not acknowledged is delivered again, to one other consumer. `async_receive`
/// acknowledges at once; with `async_receive_lease` the consumer decides when.
///
/// The ring trusts no process: whatever a process writes over it, a receive gives some value or
/// `errc::corrupted`, and accesses nothing outside the ring.
template <class T, std::size_t N>
class work_ring {
  static_assert(detail::can_be_sent<T>());
  static_assert(N > 0 && N <= (std::size_t{1} << 24));

  using attempt = detail::attempt;
  using ring_memory = detail::ring_memory;
  using control = layout::work_control;
  using word = layout::work_word;
  using state = layout::work_state;
  static constexpr std::size_t prefetched = 4;  // slots

  /// Consumers copy a value before they own it; the compare-and-swap on the word then tells whether they do.
  struct slot {
    std::atomic<std::uint64_t> word;
    detail::atomic_words<T> value;
  };

  static control& control_of(const ring_memory& memory) noexcept {
    return *std::launder(reinterpret_cast<control*>(memory.at));
  }
  static std::span<slot, N> slots_of(const ring_memory& memory) noexcept {
    slot* const first = std::launder(reinterpret_cast<slot*>(memory.at + sizeof(control)));
    return std::span<slot, N>(first, N);
  }

  static constexpr std::uint64_t lap_of(std::uint64_t position) noexcept { return position / N; }

  // The words and `tail` are read and written in one total order (seq_cst): a participant that reads a tail
  // past a slot, and then reads the slot, must not miss what was done to the slot before. The model shows
  // what is lost otherwise. Only hints may be relaxed.
  static constexpr auto ordered = std::memory_order_seq_cst;

  static void raise(std::atomic<std::uint64_t>& hint, std::uint64_t to) noexcept {
    std::uint64_t seen = hint.load(std::memory_order_relaxed);
    while (seen < to && !hint.compare_exchange_weak(seen, to, ordered, std::memory_order_relaxed)) {
    }
  }

  /// Common to both sides: the ring, and the owner number that they write into slots.
  class side {
   public:
    side(const ring_memory& memory, std::size_t owner) noexcept
        : control_(&control_of(memory)),
          slots_(slots_of(memory).data()),
          owner_(static_cast<std::uint8_t>(owner + 1)) {}

    /// Values that no consumer has taken yet; a snapshot, and an estimate.
    std::size_t size() const noexcept {
      const std::uint64_t tail = control_->tail.load(std::memory_order_relaxed);
      const std::uint64_t head = control_->head.load(std::memory_order_relaxed);
      return tail > head ? static_cast<std::size_t>(std::min<std::uint64_t>(tail - head, N)) : 0;
    }
    bool corrupted() const noexcept { return corrupted_; }

   protected:
    static std::size_t index_of(std::uint64_t position) noexcept { return position % N; }
    /// Slots come from the other side's cache one after the other; this fetches a later one meanwhile.
    void prefetch_after(std::uint64_t position) const noexcept {
      const slot& next = slots_[index_of(position + prefetched)];
      detail::prefetch_for_write(&next.word);
      if constexpr (sizeof(slot) > layout::cache_line)
        detail::prefetch_for_write(reinterpret_cast<const char*>(&next) + layout::cache_line);
    }
    /// A participant that sees a state sees what was done before it. Pairs with change() and publish().
    word look(std::size_t index) const noexcept {
      return word::from(slots_[index].word.load(ordered));
    }
    bool change(std::size_t index, word from, word to) const noexcept {
      std::uint64_t expected = from.bits();
      return slots_[index].word.compare_exchange_strong(expected, to.bits(), ordered,
                                                        std::memory_order_relaxed);
    }
    std::uint64_t tail() const noexcept { return control_->tail.load(ordered); }

    control* control_;
    slot* slots_;
    std::uint8_t owner_;
    bool corrupted_ = false;
  };

 public:
  using value_type = T;
  using sendable = T;
  using received = T;

  /// A producer's side.
  class writer : public side {
   public:
    writer(const ring_memory& memory, std::size_t owner)
        : side(memory, owner), most_held_(most_held(memory.participants)) {}

    attempt push(const T& value) noexcept {
      hold place;
      std::uint64_t position = this->control_->tail.load(std::memory_order_relaxed);
      if (const attempt a = claim(position, place); a != attempt::done) return a;
      raise(this->control_->tail, place.position + 1);
      publish(place, value);
      return attempt::done;
    }
    /// Claims several slots before it raises the tail past all of them.
    attempt push_n(std::span<const T> values, std::size_t& pushed) noexcept {
      std::array<hold, most_together> places;
      pushed = 0;
      std::uint64_t position = this->control_->tail.load(std::memory_order_relaxed);
      for (attempt a = attempt::done; pushed != values.size();) {
        const std::size_t wanted = std::min<std::size_t>(values.size() - pushed, most_held_);
        std::size_t claimed = 0;
        while (claimed != wanted && (a = claim(position, places[claimed])) == attempt::done) ++claimed;
        if (claimed != 0) raise(this->control_->tail, places[claimed - 1].position + 1);
        for (std::size_t i = 0; i != claimed; ++i) publish(places[i], values[pushed++]);
        if (a != attempt::done) return a;
      }
      return attempt::done;
    }

    bool writable() noexcept {
      std::uint64_t position = this->control_->tail.load(std::memory_order_relaxed);
      for (std::size_t i = 0; i != N; ++i, ++position) {
        const word seen = this->look(this->index_of(position));
        if (!seen.valid()) return corrupt() == attempt::corrupted;
        if (seen.state == state::free) return true;
        if (seen.lap < lap_of(position) && seen.state == state::ready) return false;
      }
      return false;
    }

   private:
    struct hold {
      std::uint64_t position;
      bool skipped;  // others found the slot taken and continued; so may a consumer have done
    };
    static constexpr std::size_t most_together = 32;
    /// Few enough that the producers together cannot hold the whole ring when all but one are stopped. (Half of the
    /// participants are producers.)
    static constexpr std::size_t most_held(std::size_t participants) noexcept {
      return std::clamp<std::size_t>(N / std::max<std::size_t>(participants / 2, 1), 1, most_together);
    }

    /// Claims the first free slot from `position` on, and moves `position` behind it. The caller must raise
    /// the tail past it.
    attempt claim(std::uint64_t& position, hold& place) noexcept {
      std::size_t held = 0;  // slots of the last lap that are not free yet
      for (std::size_t looks = 0; held != N && looks != 4 * N + 64; ++looks) {
        const std::size_t index = this->index_of(position);
        const word seen = this->look(index);
        if (!seen.valid()) return corrupt();
        const std::uint64_t lap = lap_of(position);
        if (seen.state == state::free && seen.lap <= lap) {
          this->prefetch_after(position);
          place = {position, this->tail() > position};
          if (!this->change(index, seen, {lap, this->owner_, state::writing})) continue;
          ++position;
          return attempt::done;
        }
        if (seen.lap >= lap) {
          // Claimed, or already over. The producer that claimed it may have been killed before it raised the
          // tail.
          raise(this->control_->tail, position + 1);
        } else {
          if (seen.state == state::ready) break;  // the oldest item has not been taken yet
          ++held;
        }
        ++position;
      }
      return attempt::would_block;
    }

    /// If a consumer has skipped this slot, `late` tells consumers that it holds an item after all.
    void publish(const hold& place, const T& value) noexcept {
      const std::size_t index = this->index_of(place.position);
      this->slots_[index].value.store(value);
      const word ready{lap_of(place.position), 0, state::ready};
      const word before = word::from(this->slots_[index].word.exchange(ready.bits(), ordered));
      if (before.state == state::passed || place.skipped) {
        this->control_->late.fetch_add(1, std::memory_order_release);
      }
    }
    attempt corrupt() noexcept {
      this->corrupted_ = true;
      return attempt::corrupted;
    }

    std::size_t most_held_;
  };

  /// A consumer's side.
  class reader : public side {
   public:
    reader(const ring_memory& memory, std::size_t owner, start)
        : side(memory, owner), head_(this->control_->head.load(std::memory_order_relaxed)) {}

    attempt lease(T& value, detail::lease_ticket& what) noexcept {
      return find([&](std::size_t index, word seen) {
        if (!this->change(index, seen, {seen.lap, this->owner_, state::leased})) return false;
        this->slots_[index].value.load(value);
        what = {index, seen.lap};
        taken(index, seen);
        return true;
      });
    }
    /// The item is done, and its slot is free. False if this consumer no longer holds it.
    bool acknowledge(const detail::lease_ticket& what) noexcept {
      return this->change(what.index, {what.lap, this->owner_, state::leased},
                          {what.lap + 1, 0, state::free});
    }
    /// Makes the item ready again, for any consumer. False if this consumer no longer holds it.
    bool give_back(const detail::lease_ticket& what) noexcept {
      if (!this->change(what.index, {what.lap, this->owner_, state::leased},
                        {what.lap, 0, state::ready})) {
        return false;
      }
      // A consumer killed before this line is recovered, and recover() counts it. Pairs with find_late().
      this->control_->late.fetch_add(1, std::memory_order_release);
      return true;
    }

    /// Gives back everything that this consumer holds.
    void leave() noexcept {
      for (std::size_t i = 0; i != N; ++i) {
        const word seen = this->look(i);
        if (seen.state == state::leased && seen.owner == this->owner_) give_back({i, seen.lap});
      }
    }

    /// A lease and its acknowledgement in one: the copy is whole if the word has not changed since. But a
    /// value that takes long to copy is leased first, so that only one consumer copies it.
    attempt pop(T& value) noexcept {
      if constexpr (sizeof(slot) > 4 * layout::cache_line) {
        detail::lease_ticket what;
        const attempt a = lease(value, what);
        if (a == attempt::done) acknowledge(what);
        return a;
      } else {
        return find([&](std::size_t index, word seen) {
          const auto words = this->slots_[index].value.load();
          if (!this->change(index, seen, {seen.lap + 1, 0, state::free})) return false;
          this->slots_[index].value.unpack(words, value);
          taken(index, seen);
          return true;
        });
      }
    }
    attempt pop_n(std::span<T> values, std::size_t& popped) noexcept {
      attempt a = attempt::done;
      std::uint64_t first = 0;
      for (popped = 0; popped != values.size() && a == attempt::done;
           popped += a == attempt::done) {
        a = pop(values[popped]);
        if (popped == 0) first = last_;
      }
      went_past_ = went_past_ || (popped != 0 && last_ - first != popped - 1);
      return a;
    }

    /// Producers stop at an item that no consumer has taken. If that was an old item (given back, or skipped)
    /// there may be free slots after it: how many more slots the item taken last has made usable.
    std::size_t more_room() noexcept {
      const word next = this->look(this->index_of(last_ + 1));
      const bool is_free = next.state == state::free && next.lap > lap_of(last_ + 1);
      return std::exchange(went_past_, false) || is_free ? N : 0;
    }

    bool readable() noexcept {
      return find([](std::size_t, word) { return true; }) != attempt::would_block;
    }

   private:
    /// A consumer waits for a slot that is being written until the tail is this many slots past it.
    static constexpr std::uint64_t pass_after = std::clamp<std::uint64_t>(N / 2, 1, 32);
    /// How far the shared head may be behind ours.
    static constexpr std::uint64_t unsaid = std::clamp<std::uint64_t>(N / 4, 1, 16);

    void taken(std::size_t index, word seen) noexcept {
      this->prefetch_after(index);
      last_ = seen.lap * N + index;
      if (last_ == head_ && ++head_ - told_head_ >= unsaid) tell_head();
    }

    /// Looks for an item, the oldest first. `take` returns false if another participant changed the slot
    /// first.
    template <class Take>
    attempt find(Take take) noexcept {
      // Others are far ahead. Items that they left behind are found by one look at all slots.
      if (const std::uint64_t head = this->control_->head.load(std::memory_order_relaxed);
          head > head_ + N / 2) {
        head_ = head;
        look_back_ = true;
      }
      if (const attempt a = find_late(take); a != attempt::would_block) return a;
      std::uint64_t position = head_;
      bool in_order = true;  // all slots before `position` are held by a consumer, or over
      for (std::size_t looks = 0; looks != 4 * N + 64; ++looks) {
        const std::size_t index = this->index_of(position);
        const word seen = this->look(index);
        if (!seen.valid()) return corrupt();
        const std::uint64_t lap = lap_of(position);
        if (seen.lap <= lap) {
          if (seen.state == state::ready) {
            if (!take(index, seen)) continue;
            return attempt::done;
          }
          const std::uint64_t tail = this->tail();
          if (tail <= position) {
            tell_head();
            return attempt::would_block;
          }
          // The state was read before the tail; it counts only if it is still the same.
          if (this->look(index).bits() != seen.bits()) continue;
          if (seen.state == state::free) {
            // Unused although the tail is past it: close it for this lap.
            if (!this->change(index, seen, {lap + 1, 0, state::free})) continue;
          } else if (seen.state == state::writing && seen.lap == lap) {
            if (in_order && tail - position > pass_after) {
              if (!this->change(index, seen, {lap, seen.owner, state::passed})) continue;
            } else {
              in_order = false;
            }
          }
        }
        ++position;
        if (in_order) head_ = position;
      }
      // Too far behind to go slot by slot: many participants were killed, and no consumer was here.
      return find_anywhere(take, ~std::uint64_t{0});
    }

    /// Takes an item that became ready in a slot that we have passed; `late` counts those.
    template <class Take>
    attempt find_late(Take take) noexcept {
      // Pairs with the releases in publish(), give_back() and recover().
      const std::uint64_t late = this->control_->late.load(std::memory_order_acquire);
      if (late == seen_late_ && !look_back_) return attempt::would_block;
      const attempt a = find_anywhere(take, head_);
      if (a == attempt::would_block) {
        seen_late_ = late;
        look_back_ = false;
      }
      return a;
    }

    template <class Take>
    attempt find_anywhere(Take take, std::uint64_t before) noexcept {
      for (std::size_t index = 0; index != N; ++index) {
        const word seen = this->look(index);
        if (!seen.valid()) return corrupt();
        if (seen.state == state::ready && seen.lap * N + index < before && take(index, seen))
          return attempt::done;
      }
      return attempt::would_block;
    }

    void tell_head() noexcept {
      if (head_ <= told_head_) return;
      raise(this->control_->head, head_);
      told_head_ = head_;
    }

    attempt corrupt() noexcept {
      this->corrupted_ = true;
      return attempt::corrupted;
    }

    std::uint64_t head_;
    std::uint64_t told_head_ = 0;
    std::uint64_t seen_late_ = 0;
    std::uint64_t last_ = 0;   // the position taken last
    bool went_past_ = false;  // a batch had gaps, and more_room() has not reported it yet
    bool look_back_ = true;  // other consumers may have left items behind before we joined
  };

  /// Many may wait for the same thing: as many are woken as there are items or free slots.
  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::work,
      .most = {.producers = layout::max_participants / 2, .consumers = layout::max_participants / 2},
      .value_bytes = sizeof(T),
      .value_align = alignof(T),
      .type = &detail::description_of<T>,
      .type_fingerprint = type_fingerprint<T>(),
      .abi_fingerprint = 0,
      .align = layout::cache_line,
      .capacity = [](std::uint64_t) -> std::uint64_t { return N; },
      .layout =
          [](std::uint64_t, std::size_t, std::uint64_t) {
            return detail::ring_layout{.bytes = sizeof(control) + N * sizeof(slot),
                                       .places = {.places = N,
                                                  .first = sizeof(control),
                                                  .stride = sizeof(slot),
                                                  .value = offsetof(slot, value)}};
          },
      .construct =
          [](const ring_memory& memory) {
            new (memory.at) control{};
            for (slot& s : slots_of(memory)) new (&s) slot{};
          },
      .drained =
          [](const ring_memory& memory) {
            return std::ranges::all_of(slots_of(memory), [](const slot& s) {
              return word::from(s.word.load(std::memory_order_relaxed)).state == state::free;
            });
          },
      .recover =
          [](const ring_memory& memory, std::size_t owner) {
            for (slot& s : slots_of(memory)) {
              // Twice: a consumer may meanwhile mark the slot as passed. No honest process changes it more
              // often.
              for (int attempt = 0; attempt != 2; ++attempt) {
                std::uint64_t bits = s.word.load(ordered);
                const word seen = word::from(bits);
                if (seen.owner != owner + 1) break;
                const word next = seen.state == state::leased ? word{seen.lap, 0, state::ready}
                                                              : word{seen.lap + 1, 0, state::free};
                if (s.word.compare_exchange_strong(bits, next.bits(), ordered,
                                                   std::memory_order_relaxed)) {
                  break;
                }
              }
            }
            // Pairs with the acquire in reader::find_late(), as do all increments of `late`.
            control_of(memory).late.fetch_add(1, std::memory_order_release);
          },
      .competing = true,
      .chosen_seats = true,
  };
};

}  // namespace belfry
