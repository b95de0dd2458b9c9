// The algorithm of work_ring and byte_work_ring. The slots and their protocol: work_word in detail/layout/layout.hpp; checked with Spin in
// tests/model/work_ring.pml.
#pragma once

#include <belfry/detail/layout/fence.hpp>
#include <belfry/detail/ring/places.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <span>
#include <utility>
#include <vector>

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
    /// Whether the word is still the same after the place was read; then what was read belongs to it. For a caller that
    /// does not change the word next: a compare-and-swap that succeeds comes after the reads before it, and before the
    /// next claim. Pairs with the fence in writer::begin().
    bool unchanged(std::uint64_t index, std::uint64_t raw) const noexcept {
      acquire_fence();  // an acquire load does not order earlier reads before it
      return look(index).raw == raw;
    }

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

    /// `deliveries`: how often the item was delivered before it came into this ring.
    attempt push(const sendable& value, std::uint8_t deliveries = 0) noexcept {
      hold place;
      if (const attempt a = begin(place); a != attempt::done) return a;
      this->places_.store(this->index_of(place.position), value);
      publish(place, deliveries);
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
        if (claimed != 0) {
          raise(this->control_->tail, places[claimed - 1].position + 1);
          release_fence();  // as in begin()
        }
        for (std::size_t i = 0; i != claimed; ++i) {
          this->places_.store(this->index_of(places[i].position), values[pushed++]);
          publish(places[i]);
        }
        if (a != attempt::done) return a;
      }
      return attempt::done;
    }

    bool writable() noexcept {
      std::uint64_t position = 0;
      if (!begin_at(position)) return this->corrupt() == attempt::corrupted;
      if (find_free(position, [](std::uint64_t, const sight&, std::uint64_t) { return true; }) != attempt::would_block)
        return true;
      return oldest_of_too_many_dead().state == state::dead && is_before_items(oldest_);
    }

    // ---- to write in place

    struct hold {
      std::uint64_t position;
      bool skipped;  // others found the slot taken and continued; so may a consumer have done
    };
    /// Claims a place; then publish() or discard().
    attempt begin(hold& place) noexcept {
      std::uint64_t position = 0;
      if (!begin_at(position)) return this->corrupt();
      if (const attempt a = claim(position, place); a != attempt::done) return a;
      raise(this->control_->tail, place.position + 1);
      // A consumer that still reads the place, although its lease has ended by itself, and sees what is written next, sees
      // the claim. A compare-and-swap does not order later stores behind its own. Pairs with the fence in unchanged().
      release_fence();
      return attempt::done;
    }
    /// What is in the place is sent. If a consumer has skipped this slot, `late` tells consumers that it holds an item
    /// after all.
    void publish(const hold& place, std::uint8_t deliveries = 0) noexcept {
      const word ready{this->lap_of(place.position), 0, state::ready, deliveries};
      const word before =
          word::from(this->places_.word(this->index_of(place.position)).exchange(ready.bits(), ordered));
      if (before.state == state::passed || place.skipped) {
        this->control_->late.fetch_add(1, std::memory_order_release);
      }
    }
    /// Nothing is sent, and the position is over.
    void discard(const hold& place) noexcept {
      const word over{this->lap_of(place.position) + 1, 0, state::free};
      this->places_.word(this->index_of(place.position)).store(over.bits(), ordered);
    }

   private:
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
      const std::uint64_t first = position;
      attempt a = find_and_claim(position, place);
      if (a == attempt::would_block && drop_dead()) [[unlikely]] {
        position = first;
        a = find_and_claim(position, place);
      }
      return a;
    }
    attempt find_and_claim(std::uint64_t& position, hold& place) noexcept {
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

    /// The oldest dead item, if more are dead than may stay; else a word that is not dead.
    [[gnu::noinline]] sight oldest_of_too_many_dead() noexcept {
      sight oldest{{}, 0};
      // Acquire: pairs with the releases in reader::tell_death() and recover().
      const std::uint64_t died = this->control_->died.load(std::memory_order_acquire);
      if (died == seen_died_) return oldest;
      std::uint64_t dead = 0;
      for (std::uint64_t i = 0; i != this->places_.count(); ++i) {
        const sight seen = this->look(i);
        if (seen.state != state::dead) continue;
        if (dead++ != 0 && seen.lap >= oldest.lap) continue;
        oldest = seen;
        oldest_ = i;
      }
      if (dead > layout::most_dead(this->places_.count())) return oldest;
      seen_died_ = died;
      return {{}, 0};
    }
    /// Whether a search for a free slot reaches this slot before an item that no consumer has taken.
    bool is_before_items(std::uint64_t slot) const noexcept {
      const std::uint64_t tail = this->tail();
      for (std::uint64_t i = 0; i != this->places_.count(); ++i) {
        const std::uint64_t index = this->index_of(tail + i);
        if (index == slot) return true;
        const sight seen = this->look(index);
        if (seen.state == state::ready && seen.lap < this->lap_of(tail + i)) break;
      }
      return false;
    }
    /// Frees the place of an item that may not stay. False: there is none.
    [[gnu::noinline]] bool drop_dead() noexcept {
      const sight oldest = oldest_of_too_many_dead();
      if (oldest.state != state::dead || !this->change(oldest_, oldest.raw, {oldest.lap + 1, 0, state::free}))
        return false;
      this->control_->dropped.fetch_add(1, std::memory_order_relaxed);
      return true;
    }

    std::uint64_t most_held_;
    std::uint64_t seen_died_ = 0;    // no more dead items than may stay were found when `died` was this
    std::uint64_t oldest_ = 0;       // the slot of the oldest dead item found last
  };

  /// A consumer's side.
  class reader : public side {
   public:
    reader(const ring_memory& memory, std::size_t owner, start)
        : side(memory, owner),
          head_(shared_head()),
          max_deliveries_(memory.max_deliveries),
          timeout_(memory.lease_timeout),
          times_(lease_times(memory, this->places_.count())),
          turns_(times_ != nullptr ? this->places_.count() : 0) {}

    attempt lease(received& value, lease_ticket& what, std::uint64_t most = any_size) noexcept {
      bool refused = false;
      const attempt a = find([&](std::uint64_t index, const sight& seen) {
        if (!take_lease(index, seen, seen.leased_to(this->owner_), value, what, most, refused)) return refused;
        taken(index, seen);
        return true;
      });
      return refused ? refusal() : a;
    }
    /// The same for a dead item.
    attempt lease_dead(received& value, lease_ticket& what, std::uint64_t most = any_size) noexcept {
      bool refused = false;
      const attempt a = find_dead([&](std::uint64_t index, const sight& seen) {
        const word dead_leased{seen.lap, this->owner_, state::dead_leased, seen.deliveries};
        return take_lease(index, seen, dead_leased, value, what, most, refused) || refused;
      });
      return refused ? refusal() : a;
    }
    /// The item is done, and its slot is free. False if this consumer no longer holds it.
    bool acknowledge(const lease_ticket& what) noexcept {
      return !is_stale(what) && this->change(what.index, held(what).bits(), {what.lap + 1, 0, state::free});
    }
    /// Whether this consumer still holds the item. What it has read of the item before is then whole.
    bool holds(const lease_ticket& what) const noexcept {
      return !is_stale(what) && this->unchanged(what.index, held(what).bits());
    }
    /// Makes the item ready again, for any consumer, or dead. False if this consumer no longer holds it.
    bool give_back(const lease_ticket& what) noexcept { return end_lease(what, held(what).returned(max_deliveries_)); }
    /// Makes the item dead. False if this consumer no longer holds it.
    bool reject(const lease_ticket& what) noexcept {
      return end_lease(what, {what.lap, 0, state::dead, what.deliveries});
    }
    /// Whether this side has made an item dead since the last call.
    bool made_dead() noexcept { return std::exchange(made_dead_, false); }

    /// Gives back everything that this consumer holds.
    void leave() noexcept {
      for (std::uint64_t i = 0; i != this->places_.count(); ++i) {
        const sight seen = this->look(i);
        if (!seen.is_held() || seen.owner != this->owner_) continue;
        const word back = seen.returned(max_deliveries_);
        if (this->change(i, seen.raw, back)) tell_return(back);
      }
    }

    bool has_dead() noexcept {
      return find_dead([](std::uint64_t, const sight&) { return true; }) != attempt::would_block;
    }
    std::chrono::steady_clock::time_point look_at_leases() noexcept {
      using clock = std::chrono::steady_clock;
      if (times_ == nullptr) return clock::time_point::max();
      end_old_leases();
      return clock::time_point(std::chrono::duration_cast<clock::duration>(std::chrono::nanoseconds(next_look_)));
    }

    /// A lease and its acknowledgement in one: the copy is whole if the word has not changed since. But a
    /// value that takes long to copy is leased first, so that only one consumer copies it.
    attempt pop(received& value) noexcept {
      if constexpr (!Places::copies_first) {
        lease_ticket what;
        for (int tries = 0; tries != 4; ++tries) {
          if (const attempt a = lease(value, what); a != attempt::done) return a;
          if (acknowledge(what)) return attempt::done;  // else the copy took longer than a lease may
        }
        return attempt::would_block;
      } else {
        return find([&](std::uint64_t index, const sight& seen) {
          // Reads of a value that is not ours yet: if the word is still the same, the compare-and-swap comes after them, and
          // before the next claim.
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
      return {what.lap, this->owner_, what.dead ? state::dead_leased : state::leased, what.deliveries};
    }

    static constexpr std::uint64_t any_size = ~std::uint64_t{0};

    /// `most`, `refused`: only where values have a size of their own.
    bool take_lease(std::uint64_t index, const sight& seen, word leased, received& value, lease_ticket& what,
                    [[maybe_unused]] std::uint64_t most, [[maybe_unused]] bool& refused) noexcept {
      if constexpr (Places::in_place) {
        // The size is read before the item is taken, and not again: it belongs to the item if the word is still the same.
        this->places_.load(index, value);
        const bool possible = value.data() != nullptr;
        if (!possible || value.size() > most) {
          refused = this->unchanged(index, seen.raw);
          this->corrupted_ = this->corrupted_ || (refused && !possible);
          return false;
        }
      }
      if (times_ != nullptr) [[unlikely]]
        raise(times_[index], static_cast<std::uint64_t>(now()));
      if (!this->change(index, seen.raw, leased)) return false;
      if constexpr (!Places::in_place) this->places_.load(index, value);
      what = {index, leased.lap, leased.deliveries, leased.state == state::dead_leased, 0};
      if (times_ == nullptr) [[likely]]
        return true;
      what.turn = ++turns_[index];
      return this->unchanged(index, leased.bits());  // else the copy took longer than a lease may
    }
    /// Why an item that is there was not taken.
    attempt refusal() const noexcept { return this->corrupted_ ? attempt::corrupted : attempt::too_large; }
    bool end_lease(const lease_ticket& what, word to) noexcept {
      if (is_stale(what) || !this->change(what.index, held(what).bits(), to)) return false;
      tell_return(to);
      return true;
    }
    /// This consumer has received the item again since. (Else the word tells.)
    bool is_stale(const lease_ticket& what) const noexcept {
      return times_ != nullptr && turns_[what.index] != what.turn;
    }
    /// A consumer killed before this is recovered, and recover() counts it. Pairs with find_late(), find_dead() and
    /// writer::oldest_of_too_many_dead().
    void tell_return(const word& returned) noexcept {
      if (returned.state == state::dead) {
        this->control_->died.fetch_add(1, std::memory_order_release);
        made_dead_ = true;
      } else {
        this->control_->late.fetch_add(1, std::memory_order_release);
      }
    }

    static std::int64_t now() noexcept {
      return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
    }
    /// Ends the leases that have lasted too long, if it is time to look for such.
    [[gnu::noinline]] bool end_old_leases() noexcept {
      const std::int64_t at = now();
      if (at < next_look_) return false;
      const auto timeout = static_cast<std::int64_t>(std::min<std::uint64_t>(timeout_, most_time));
      const std::int64_t soonest = at + shortest_pause;
      next_look_ = std::max(at + timeout, soonest);
      bool any = false;
      for (std::uint64_t i = 0; i != this->places_.count(); ++i) {
        const sight seen = this->look(i);
        if (!seen.is_held()) continue;
        // After the word: the lease has raised it before.
        const std::uint64_t began = times_[i].load(std::memory_order_relaxed);
        const std::int64_t end = static_cast<std::int64_t>(std::min<std::uint64_t>(began, most_time)) + timeout;
        if (end > at) {
          next_look_ = std::min(next_look_, std::max(end, soonest));
          continue;
        }
        const word back = seen.returned(max_deliveries_);
        if (!this->change(i, seen.raw, back)) continue;
        tell_return(back);
        any = any || back.state == state::ready;
      }
      return any;
    }
    static constexpr std::uint64_t most_time = std::numeric_limits<std::int64_t>::max() / 2;
    /// Between two looks, in nanoseconds: a timeout that is very short, or forged, must not keep an event loop busy.
    static constexpr std::int64_t shortest_pause = 1'000'000;

    /// Looks for a dead item, in the order of the slots. `take` returns false if another participant changed the slot
    /// first.
    template <class Take>
    attempt find_dead(Take take) noexcept {
      if (times_ != nullptr) end_old_leases();
      // Pairs with the releases in tell_return() and recover().
      const std::uint64_t died = this->control_->died.load(std::memory_order_acquire);
      if (died == seen_died_) return attempt::would_block;
      for (std::uint64_t looks = 0; looks != this->places_.count(); ++looks) {
        const std::uint64_t index = (next_dead_ + looks) % this->places_.count();
        const sight seen = this->look(index);
        if (!seen.valid()) return this->corrupt();
        if (seen.state != state::dead) continue;
        if (this->too_far_ahead(seen, this->lap_of(head_))) return this->corrupt();
        if (!take(index, seen)) continue;
        next_dead_ = index;
        return attempt::done;
      }
      seen_died_ = died;
      return attempt::would_block;
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
        look_back_ = watchful_ = true;
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
      // Pairs with the releases in publish(), tell_return() and recover().
      const std::uint64_t late = this->control_->late.load(std::memory_order_acquire);
      if (late == seen_late_ && !watchful_) return attempt::would_block;
      if (times_ != nullptr && !end_old_leases() && late == seen_late_ && !look_back_) return attempt::would_block;
      const attempt a = find_anywhere(take, head_);
      if (a == attempt::would_block) {
        seen_late_ = late;
        look_back_ = false;
        watchful_ = times_ != nullptr;
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
    bool watchful_ = true;   // look_back_, or there are times to look at
    bool made_dead_ = false;
    std::uint64_t seen_died_ = 0;
    std::uint64_t next_dead_ = 0;  // the slot at which the next search for a dead item begins

    std::uint32_t max_deliveries_;
    std::uint64_t timeout_;
    std::atomic<std::uint64_t>* times_;  // of leases, for each slot; null: they last for ever
    std::vector<std::uint32_t> turns_;   // for each slot: how often this consumer has leased it, if there are times
    std::int64_t next_look_ = 0;
  };

  static void construct(const ring_memory& memory) noexcept {
    new (memory.at) control{};
    const Places places(memory, sizeof(control));
    places.construct();
    if (std::atomic<std::uint64_t>* const times = lease_times(memory, places.count())) {
      for (std::uint64_t i = 0; i != places.count(); ++i) new (times + i) std::atomic<std::uint64_t>{};
    }
  }
  /// Dead items, too, are there until a consumer has received them.
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
        const word next =
            seen.is_held() ? seen.returned(memory.max_deliveries) : word{seen.lap + 1, 0, state::free};
        if (s.compare_exchange_strong(bits, next.bits(), ordered, std::memory_order_relaxed)) break;
      }
    }
    // Pairs with the acquires in reader::find_late(), reader::find_dead() and writer::oldest_of_too_many_dead(), as do
    // all increments.
    control_of(memory).late.fetch_add(1, std::memory_order_release);
    control_of(memory).died.fetch_add(1, std::memory_order_release);
  }

 private:
  /// For each slot, the time at which its item was leased; null if leases last for ever.
  static std::atomic<std::uint64_t>* lease_times(const ring_memory& memory, std::uint64_t count) noexcept {
    const std::uint64_t bytes = layout::lease_times_bytes(count, memory.lease_timeout);
    if (bytes == 0) return nullptr;
    return std::launder(reinterpret_cast<std::atomic<std::uint64_t>*>(memory.at + memory.bytes - bytes));
  }
};

}  // namespace belfry::detail
