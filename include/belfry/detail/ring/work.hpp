// The algorithm of work_ring. The slots and their protocol: work_word in detail/layout/layout.hpp; checked with Spin in
// tests/model/work_ring.pml.
#pragma once

#include <belfry/detail/ring/places.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

namespace belfry::detail {

/// Consumers copy a small value before they own it; the compare-and-swap on the word then tells whether they do.
template <class Places>
class work_algorithm {
  using sendable = typename Places::sendable;
  using received = typename Places::received;
  using control = layout::work_control;
  using word = layout::work_word;
  using state = layout::work_state;
  static constexpr std::uint64_t prefetched = 4;  // slots

  static control& control_of(const ring_memory& memory) noexcept {
    return *std::launder(reinterpret_cast<control*>(memory.at));
  }

  // The words and `tail` are read and written in one total order (seq_cst): a participant that reads a tail
  // past a slot, and then reads the slot, must not miss what was done to the slot before. The model shows
  // what is lost otherwise. Only hints may be relaxed.
  static constexpr auto ordered = std::memory_order_seq_cst;

  /// A word as it was read: to change it, no field has to be put back in its place.
  struct sight : word {
    std::uint64_t raw;
  };

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
          places_(memory, sizeof(control)),
          owner_(static_cast<std::uint8_t>(owner + 1)) {}

    /// Values that no consumer has taken yet; a snapshot, and an estimate.
    std::size_t size() const noexcept {
      const std::uint64_t tail = control_->tail.load(std::memory_order_relaxed);
      const std::uint64_t head = control_->head.load(std::memory_order_relaxed);
      return tail > head ? static_cast<std::size_t>(std::min<std::uint64_t>(tail - head, places_.count())) : 0;
    }
    bool corrupted() const noexcept { return corrupted_; }

   protected:
    std::uint64_t index_of(std::uint64_t position) const noexcept { return position % places_.count(); }
    std::uint64_t lap_of(std::uint64_t position) const noexcept { return position / places_.count(); }
    std::uint64_t end() const noexcept { return layout::work_end(places_.count()); }
    /// Slots come from the other side's cache one after the other; this fetches a later one meanwhile.
    void prefetch_after(std::uint64_t position) const noexcept { places_.prefetch(index_of(position + prefetched)); }
    /// A participant that sees a state sees what was done before it. Pairs with change() and publish().
    sight look(std::uint64_t index) const noexcept {
      const std::uint64_t raw = places_.word(index).load(ordered);
      return {word::from(raw), raw};
    }
    bool change(std::uint64_t index, std::uint64_t from, word to) const noexcept {
      return places_.word(index).compare_exchange_strong(from, to.bits(), ordered, std::memory_order_relaxed);
    }
    std::uint64_t tail() const noexcept { return control_->tail.load(ordered); }

    /// Whether the word of a slot, found at a position of this lap, was forged. The tail is read after the word: it only
    /// grows.
    bool too_far_ahead(const word& seen, std::uint64_t lap) const noexcept {
      return seen.lap > lap + word::most_ahead && is_ahead_of_tail(seen.lap);
    }
    [[gnu::noinline]] bool is_ahead_of_tail(std::uint64_t lap) const noexcept {  // rarely called
      return lap > lap_of(tail()) + word::most_ahead;
    }
    attempt corrupt() noexcept {
      corrupted_ = true;
      return attempt::corrupted;
    }

    control* control_;
    Places places_;
    std::uint8_t owner_;
    bool corrupted_ = false;
  };

 public:
  /// A producer's side.
  class writer : public side {
   public:
    writer(const ring_memory& memory, std::size_t owner)
        : side(memory, owner), most_held_(most_held(this->places_.count(), memory.participants)) {}

    attempt push(const sendable& value) noexcept {
      hold place;
      std::uint64_t position = 0;
      if (!begin_at(position)) return this->corrupt();
      if (const attempt a = claim(position, place); a != attempt::done) return a;
      raise(this->control_->tail, place.position + 1);
      publish(place, value);
      return attempt::done;
    }
    /// Claims several slots before it raises the tail past all of them.
    attempt push_n(std::span<const sendable> values, std::size_t& pushed) noexcept {
      std::array<hold, most_together> places;
      pushed = 0;
      std::uint64_t position = 0;
      if (!begin_at(position)) return this->corrupt();
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
      std::uint64_t position = 0;
      if (!begin_at(position)) return this->corrupt() == attempt::corrupted;
      return find_free(position, [](std::uint64_t, const sight&, std::uint64_t) { return true; }) != attempt::would_block;
    }

   private:
    struct hold {
      std::uint64_t position;
      bool skipped;  // others found the slot taken and continued; so may a consumer have done
    };
    static constexpr std::size_t most_together = 32;
    /// Few enough that the producers together cannot hold the whole ring when all but one are stopped. (Half of the
    /// participants are producers.)
    static constexpr std::uint64_t most_held(std::uint64_t places, std::size_t participants) noexcept {
      return std::clamp<std::uint64_t>(places / std::max<std::size_t>(participants / 2, 1), 1, most_together);
    }

    /// Where a free slot is looked for first. False: it was forged.
    bool begin_at(std::uint64_t& position) const noexcept {
      position = this->control_->tail.load(std::memory_order_relaxed);
      return position < this->end();
    }
    /// Claims the first free slot from `position` on, and moves `position` behind it. The caller must raise
    /// the tail past it.
    attempt claim(std::uint64_t& position, hold& place) noexcept {
      const attempt a = find_free(position, [&](std::uint64_t index, const sight& seen, std::uint64_t lap) {
        this->prefetch_after(position);
        place = {position, this->tail() > position};
        return this->change(index, seen.raw, {lap, this->owner_, state::writing});
      });
      if (a == attempt::done) ++position;
      return a;
    }

    /// Moves `position` to the first free slot. `take` returns false if another participant changed the slot first.
    template <class Take>
    attempt find_free(std::uint64_t& position, Take take) noexcept {
      const std::uint64_t count = this->places_.count();
      std::uint64_t held = 0;  // so many slots in a row are of an older lap, and not free yet
      for (std::uint64_t looks = 0; held != count && looks != 4 * count + 64; ++looks) {
        const std::uint64_t index = this->index_of(position);
        const sight seen = this->look(index);
        if (!seen.valid()) return this->corrupt();
        const std::uint64_t lap = this->lap_of(position);
        if (seen.state == state::free && seen.lap <= lap) {
          if (!take(index, seen, lap)) continue;
          return attempt::done;
        }
        if (seen.lap >= lap) {
          if (this->too_far_ahead(seen, lap)) return this->corrupt();
          // Claimed, or already over. The producer that claimed it may have been killed before it raised the
          // tail.
          raise(this->control_->tail, position + 1);
          held = 0;
        } else {
          if (seen.state == state::ready) break;  // the oldest item has not been taken yet
          ++held;
        }
        ++position;
      }
      return attempt::would_block;
    }

    /// If a consumer has skipped this slot, `late` tells consumers that it holds an item after all.
    void publish(const hold& place, const sendable& value) noexcept {
      const std::uint64_t index = this->index_of(place.position);
      this->places_.store(index, value);
      const word ready{this->lap_of(place.position), 0, state::ready};
      const word before = word::from(this->places_.word(index).exchange(ready.bits(), ordered));
      if (before.state == state::passed || place.skipped) {
        this->control_->late.fetch_add(1, std::memory_order_release);
      }
    }

    std::uint64_t most_held_;
  };

  /// A consumer's side.
  class reader : public side {
   public:
    reader(const ring_memory& memory, std::size_t owner, start)
        : side(memory, owner), head_(shared_head()) {}

    attempt lease(received& value, lease_ticket& what) noexcept {
      return find([&](std::uint64_t index, const sight& seen) {
        const word leased = seen.leased_to(this->owner_);
        if (!this->change(index, seen.raw, leased)) return false;
        this->places_.load(index, value);
        what = {index, leased.lap, leased.deliveries};
        taken(index, seen);
        return true;
      });
    }
    /// The item is done, and its slot is free. False if this consumer no longer holds it.
    bool acknowledge(const lease_ticket& what) noexcept {
      return this->change(what.index, held(what).bits(), {what.lap + 1, 0, state::free});
    }
    /// Makes the item ready again, for any consumer. False if this consumer no longer holds it.
    bool give_back(const lease_ticket& what) noexcept {
      if (!this->change(what.index, held(what).bits(), {what.lap, 0, state::ready, what.deliveries})) return false;
      // A consumer killed before this line is recovered, and recover() counts it. Pairs with find_late().
      this->control_->late.fetch_add(1, std::memory_order_release);
      return true;
    }

    /// Gives back everything that this consumer holds.
    void leave() noexcept {
      for (std::uint64_t i = 0; i != this->places_.count(); ++i) {
        const sight seen = this->look(i);
        if (seen.state == state::leased && seen.owner == this->owner_) {
          give_back({i, seen.lap, seen.deliveries});
        }
      }
    }

    /// A lease and its acknowledgement in one: the copy is whole if the word has not changed since. But a
    /// value that takes long to copy is leased first, so that only one consumer copies it.
    attempt pop(received& value) noexcept {
      if constexpr (!Places::copies_first) {
        lease_ticket what;
        const attempt a = lease(value, what);
        if (a == attempt::done) acknowledge(what);
        return a;
      } else {
        return find([&](std::uint64_t index, const sight& seen) {
          const auto image = this->places_.image(index, value);
          if (!this->change(index, seen.raw, {seen.lap + 1, 0, state::free})) return false;
          Places::unpack(image, value);
          taken(index, seen);
          return true;
        });
      }
    }
    attempt pop_n(std::span<received> values, std::size_t& popped) noexcept {
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
      const bool is_free = next.state == state::free && next.lap > this->lap_of(last_ + 1);
      return std::exchange(went_past_, false) || is_free ? static_cast<std::size_t>(this->places_.count()) : 0;
    }

    bool readable() noexcept {
      return find([](std::uint64_t, const sight&) { return true; }) != attempt::would_block;
    }

   private:
    /// A consumer waits for a slot that is being written until the tail is this many slots past it.
    std::uint64_t pass_after() const noexcept { return std::clamp<std::uint64_t>(this->places_.count() / 2, 1, 32); }
    /// How far the shared head may be behind ours.
    std::uint64_t unsaid() const noexcept { return std::clamp<std::uint64_t>(this->places_.count() / 4, 1, 16); }

    /// The word of an item that this consumer holds.
    word held(const lease_ticket& what) const noexcept {
      return {what.lap, this->owner_, state::leased, what.deliveries};
    }

    void taken(std::uint64_t index, word seen) noexcept {
      this->prefetch_after(index);
      last_ = seen.lap * this->places_.count() + index;
      if (last_ == head_ && ++head_ - told_head_ >= unsaid()) tell_head();
    }

    /// Looks for an item, the oldest first. `take` returns false if another participant changed the slot
    /// first.
    template <class Take>
    attempt find(Take take) noexcept {
      // Others are far ahead. Items that they left behind are found by one look at all slots.
      if (this->control_->head.load(std::memory_order_relaxed) > head_ + this->places_.count() / 2) {
        head_ = std::max(head_, shared_head());
        look_back_ = true;
      }
      if (const attempt a = find_late(take); a != attempt::would_block) return a;
      std::uint64_t position = head_;
      bool in_order = true;  // all slots before `position` are held by a consumer, or over
      for (std::uint64_t looks = 0; looks != 4 * this->places_.count() + 64; ++looks) {
        const std::uint64_t index = this->index_of(position);
        const sight seen = this->look(index);
        if (!seen.valid()) return this->corrupt();
        const std::uint64_t lap = this->lap_of(position);
        if (seen.lap > lap) {
          if (this->too_far_ahead(seen, lap)) return this->corrupt();
        } else {
          if (seen.state == state::ready) {
            if (!take(index, seen)) continue;
            return attempt::done;
          }
          const std::uint64_t tail = this->tail();
          if (tail <= position) {
            tell_head();
            return attempt::would_block;
          }
          if (tail > this->end()) [[unlikely]]
            return this->corrupt();
          // The state was read before the tail; it counts only if it is still the same.
          if (this->look(index).raw != seen.raw) continue;
          if (seen.state == state::free) {
            // Unused although the tail is past it: close it for this lap.
            if (!this->change(index, seen.raw, {lap + 1, 0, state::free})) continue;
          } else if (seen.state == state::writing && seen.lap == lap) {
            if (in_order && tail - position > pass_after()) {
              if (!this->change(index, seen.raw, {lap, seen.owner, state::passed})) continue;
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
      for (std::uint64_t index = 0; index != this->places_.count(); ++index) {
        const sight seen = this->look(index);
        if (!seen.valid()) return this->corrupt();
        if (seen.state != state::ready || seen.lap * this->places_.count() + index >= before) continue;
        if (this->too_far_ahead(seen, this->lap_of(head_))) return this->corrupt();
        if (take(index, seen)) return attempt::done;
      }
      return attempt::would_block;
    }

    /// Where other consumers are. A forged head would hide all that is sent before it.
    std::uint64_t shared_head() const noexcept {
      return std::min(this->control_->head.load(std::memory_order_relaxed), this->tail());
    }
    void tell_head() noexcept {
      if (head_ <= told_head_) return;
      raise(this->control_->head, head_);
      told_head_ = head_;
    }

    std::uint64_t head_;
    std::uint64_t told_head_ = 0;
    std::uint64_t seen_late_ = 0;
    std::uint64_t last_ = 0;   // the position taken last
    bool went_past_ = false;  // a batch had gaps, and more_room() has not reported it yet
    bool look_back_ = true;  // other consumers may have left items behind before we joined
  };

  static void construct(const ring_memory& memory) noexcept {
    new (memory.at) control{};
    Places(memory, sizeof(control)).construct();
  }
  static bool drained(const ring_memory& memory) noexcept {
    const Places places(memory, sizeof(control));
    for (std::uint64_t i = 0; i != places.count(); ++i) {
      if (word::from(places.word(i).load(std::memory_order_relaxed)).state != state::free) return false;
    }
    return true;
  }
  static void recover(const ring_memory& memory, std::size_t owner) noexcept {
    const Places places(memory, sizeof(control));
    for (std::uint64_t i = 0; i != places.count(); ++i) {
      std::atomic<std::uint64_t>& s = places.word(i);
      // Twice: a consumer may meanwhile mark the slot as passed. No honest process changes it more often.
      for (int attempt = 0; attempt != 2; ++attempt) {
        std::uint64_t bits = s.load(ordered);
        const word seen = word::from(bits);
        if (seen.owner != owner + 1) break;
        const word next = seen.state == state::leased ? word{seen.lap, 0, state::ready, seen.deliveries}
                                                      : word{seen.lap + 1, 0, state::free};
        if (s.compare_exchange_strong(bits, next.bits(), ordered, std::memory_order_relaxed)) break;
      }
    }
    // Pairs with the acquire in reader::find_late(), as do all increments of `late`.
    control_of(memory).late.fetch_add(1, std::memory_order_release);
  }
};

}  // namespace belfry::detail
