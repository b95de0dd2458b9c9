// Many producers, many consumers, every value to one of them. The slots and their protocol: work_word in
// segment/layout.hpp; checked with Spin in tests/model/work_ring.pml.
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
#include <type_traits>
#include <utility>

namespace belfry {

/// Work items, each for one consumer.
///
///     struct job { std::uint64_t id; std::array<char, 48> what; };
///     using jobs = belfry::channel<belfry::work_ring<job, 1024>>;
///
/// Up to 32 producers and 32 consumers. Items are taken about in the order in which they were sent; one that
/// is still being written is passed by. Nobody waits for anybody who holds an item, be he slow, stopped or
/// dead. (But one who was woken for an item, and then stopped before he took it, keeps it waiting until the
/// next one is sent, or he is killed.) What a killed producer had not finished has never been; what a killed consumer had taken and not
/// acknowledged is delivered again, to one other. `async_receive` acknowledges at once,
/// `async_receive_lease` when the consumer says so.
///
/// Like any ring of ours it trusts nobody: whatever a process scribbles over it, a receive gives some value
/// or `errc::corrupted`, and touches nothing outside.
template <class T, std::size_t N>
class work_ring {
  static_assert(std::is_trivially_copyable_v<T>,
                "a value is shared with other processes as its bytes");
  static_assert(shareable<T>,
                "a value holds an address, which means nothing elsewhere: see belfry::shareable");
  static_assert(std::is_default_constructible_v<T>, "a failed receive completes with T{}");
  static_assert(N > 0 && N <= (std::size_t{1} << 24));

  using control = layout::work_control;
  using word = layout::work_word;
  using state = layout::work_state;
  static constexpr std::size_t prefetched = 4;  // slots

  /// Consumers copy a value before they know whether it is theirs; the change of the word says so.
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

  // The words and `tail` are read and written in one order that is the same for all (seq_cst): who reads that
  // the tail is past a place, and then what is there, must not miss what was done to it before. The model
  // shows what is lost otherwise. Hints alone may be relaxed.
  static constexpr auto ordered = std::memory_order_seq_cst;

  static void raise(std::atomic<std::uint64_t>& hint, std::uint64_t to) noexcept {
    std::uint64_t seen = hint.load(std::memory_order_relaxed);
    while (seen < to && !hint.compare_exchange_weak(seen, to, ordered, std::memory_order_relaxed)) {
    }
  }

  /// What both sides have: the ring, and the owner that their slots say.
  class side {
   public:
    side(const ring_memory& memory, std::size_t owner) noexcept
        : control_(&control_of(memory)),
          slots_(slots_of(memory).data()),
          owner_(static_cast<std::uint8_t>(owner + 1)) {}

    /// Values that nobody has taken yet; a snapshot, and an estimate.
    std::size_t size() const noexcept {
      const std::uint64_t tail = control_->tail.load(std::memory_order_relaxed);
      const std::uint64_t head = control_->head.load(std::memory_order_relaxed);
      return tail > head ? static_cast<std::size_t>(std::min<std::uint64_t>(tail - head, N)) : 0;
    }
    bool corrupted() const noexcept { return corrupted_; }

   protected:
    static std::size_t index_of(std::uint64_t position) noexcept { return position % N; }
    /// Slots come over from the other side's processor one after the other: the next ones meanwhile.
    void prefetch_after(std::uint64_t position) const noexcept {
      const slot& next = slots_[index_of(position + prefetched)];
      detail::prefetch_for_write(&next.word);
      if constexpr (sizeof(slot) > layout::cache_line)
        detail::prefetch_for_write(reinterpret_cast<const char*>(&next) + layout::cache_line);
    }
    /// Who sees a state sees what was done before it. Pairs with change() and publish().
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
    writer(const ring_memory& memory, std::size_t owner) : side(memory, owner) {}

    attempt push(const T& value) noexcept {
      hold place;
      std::uint64_t position = this->control_->tail.load(std::memory_order_relaxed);
      if (const attempt a = claim(position, place); a != attempt::done) return a;
      raise(this->control_->tail, place.position + 1);
      publish(place, value);
      return attempt::done;
    }
    /// Claims several places before the tail is raised past all of them.
    attempt push_n(std::span<const T> values, std::size_t& pushed) noexcept {
      std::array<hold, most_held> places;
      pushed = 0;
      std::uint64_t position = this->control_->tail.load(std::memory_order_relaxed);
      for (attempt a = attempt::done; pushed != values.size();) {
        const std::size_t wanted = std::min(values.size() - pushed, most_held);
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
      std::uint64_t position = 0;
      bool skipped = false;  // others were refused the place before, and went on: a consumer may have, too
    };
    /// Not so many that the producers together could hold the whole ring, were all but one stopped.
    static constexpr std::size_t most_held =
        std::clamp<std::size_t>(N / (layout::max_participants / 2), 1, 32);

    /// The first free place from `position` on, which then is the one behind it. Whoever it is claimed for
    /// must raise the tail past it.
    attempt claim(std::uint64_t& position, hold& place) noexcept {
      std::size_t held = 0;  // places that somebody has not given back yet
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
          // Taken, or over; whoever took it may have been killed before he came to this.
          raise(this->control_->tail, position + 1);
        } else {
          if (seen.state == state::ready) break;  // nobody has taken the oldest yet
          ++held;
        }
        ++position;
      }
      return attempt::would_block;
    }

    /// A consumer that has given up waiting for this place must be told that there is something after all.
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
  };

  /// A consumer's side.
  class reader : public side {
   public:
    reader(const ring_memory& memory, std::size_t owner)
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
    /// The item is done, and its place free. False if it is no longer held.
    bool acknowledge(const detail::lease_ticket& what) noexcept {
      return this->change(what.index, {what.lap, this->owner_, state::leased},
                          {what.lap + 1, 0, state::free});
    }
    /// Somebody else is to have it.
    bool give_back(const detail::lease_ticket& what) noexcept {
      if (!this->change(what.index, {what.lap, this->owner_, state::leased},
                        {what.lap, 0, state::ready})) {
        return false;
      }
      // Who is killed before this is recovered, which counts it. Pairs with find_late().
      this->control_->late.fetch_add(1, std::memory_order_release);
      return true;
    }

    void give_back_all() noexcept {
      for (std::size_t i = 0; i != N; ++i) {
        const word seen = this->look(i);
        if (seen.state == state::leased && seen.owner == this->owner_) give_back({i, seen.lap});
      }
    }

    /// A lease and its acknowledgement in one: what was copied is whole if nobody has changed the word since.
    /// But what it takes long to copy should be copied only by who has it.
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

    /// No producer goes past an item that nobody has taken. Where that was an old one (put back, or passed by)
    /// there may be free places behind it: what was taken last has made room for how many more.
    std::size_t more_room() noexcept {
      const word next = this->look(this->index_of(last_ + 1));
      const bool is_free = next.state == state::free && next.lap > lap_of(last_ + 1);
      return std::exchange(went_past_, false) || is_free ? N : 0;
    }

    bool readable() noexcept {
      return find([](std::size_t, word) { return true; }) != attempt::would_block;
    }

   private:
    /// By how many places the others must have gone on before one that is being written is waited for no
    /// longer.
    static constexpr std::uint64_t patience = std::clamp<std::uint64_t>(N / 2, 1, 32);
    /// How far behind the others' idea of the head may be.
    static constexpr std::uint64_t unsaid = std::clamp<std::uint64_t>(N / 4, 1, 16);

    void taken(std::size_t index, word seen) noexcept {
      this->prefetch_after(index);
      last_ = seen.lap * N + index;
      if (last_ == head_ && ++head_ - told_head_ >= unsaid) tell_head();
    }

    /// Looks for an item, the oldest first. `take` may find that somebody was faster.
    template <class Take>
    attempt find(Take take) noexcept {
      // Others are far ahead: what they have left behind `late` tells of, if it is looked into once more.
      if (const std::uint64_t head = this->control_->head.load(std::memory_order_relaxed);
          head > head_ + N / 2) {
        head_ = head;
        look_back_ = true;
      }
      if (const attempt a = find_late(take); a != attempt::would_block) return a;
      std::uint64_t position = head_;
      bool in_order = true;  // all before `position` is in somebody's hands, or over
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
          // What it was before we knew the tail does not count.
          if (this->look(index).bits() != seen.bits()) continue;
          if (seen.state == state::free) {
            // Nobody has used it, and nobody shall.
            if (!this->change(index, seen, {lap + 1, 0, state::free})) continue;
          } else if (seen.state == state::writing && seen.lap == lap) {
            if (in_order && tail - position > patience) {
              if (!this->change(index, seen, {lap, seen.owner, state::passed})) continue;
            } else {
              in_order = false;
            }
          }
        }
        ++position;
        if (in_order) head_ = position;
      }
      // So far behind that it would take too long: many were killed, and nobody was here.
      return find_anywhere(take, ~std::uint64_t{0});
    }

    /// What has become available at a place that we have passed. `late` tells of it.
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
    std::uint64_t last_ = 0;   // the place that was taken last
    bool went_past_ = false;  // a batch was not of places in a row, and nobody was told
    bool look_back_ = true;  // others were here before
  };

  /// Many may wait for the same thing: as many are woken as there is work for.
  static constexpr ring_traits traits{
      .kind = layout::ring_kind::work,
      .producers = layout::max_participants / 2,
      .consumers = layout::max_participants / 2,
      .value_bytes = sizeof(T),
      .value_align = alignof(T),
      .type_fingerprint = type_fingerprint<T>(),
      .abi_fingerprint = 0,
      .align = layout::cache_line,
      .capacity = [](std::uint64_t) -> std::uint64_t { return N; },
      .layout =
          [](std::uint64_t, std::uint64_t) {
            return ring_layout{sizeof(control) + N * sizeof(slot), 0};
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
              // Twice: a consumer may mark meanwhile that it has passed by. Nobody honest does more.
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
            // Pairs with the acquire in reader::find_late(), as all that count it.
            control_of(memory).late.fetch_add(1, std::memory_order_release);
          },
      .competing = true,
  };
};

}  // namespace belfry
