// The algorithm of broadcast_ring. The shared bytes, and how a dead process's state is repaired: broadcast_control in
// detail/layout/layout.hpp.
#pragma once

#include <belfry/detail/layout/fence.hpp>
#include <belfry/detail/ring/places.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

namespace belfry::detail {

/// Consumers may read a value while the producer writes it; the stamp, which is the word of its place, tells whether the
/// value read is whole. `Blocks`: the producer waits for consumers.
template <class Places, bool Blocks>
class broadcast_algorithm {
 protected:
  using sendable = typename Places::sendable;
  using received = typename Places::received;
  using control = layout::broadcast_control;
  using cursor = layout::broadcast_cursor;
  using word = std::atomic<std::uint64_t>;
  static constexpr bool blocks = Blocks;

  /// No valid position comes near this; so the sum of two positions cannot overflow.
  static constexpr std::uint64_t end_of_time = std::uint64_t{1} << 62;

  static control& control_of(const ring_memory& memory) noexcept {
    return *std::launder(reinterpret_cast<control*>(memory.at));
  }
  static cursor* cursors_of(const ring_memory& memory) noexcept {
    return reinterpret_cast<cursor*>(memory.at + sizeof(control));
  }
  static Places places_of(const ring_memory& memory) noexcept {
    return Places(memory, first_place(memory.participants));
  }

  static constexpr std::uint64_t writing(std::uint64_t position) noexcept {
    return layout::broadcast_writing(position);
  }
  static constexpr std::uint64_t whole(std::uint64_t position) noexcept {
    return layout::broadcast_whole(position);
  }

  /// The end of the sent values, even if the last producer died before it stored `tail`.
  static std::uint64_t end_of(const ring_memory& memory) noexcept {
    // Pairs with the release in writer::write().
    const std::uint64_t tail = control_of(memory).tail.load(std::memory_order_acquire);
    if (tail >= end_of_time) return tail;
    const Places places = places_of(memory);
    const word& stamp = places.word(tail % places.count());
    return stamp.load(std::memory_order_acquire) == whole(tail) ? tail + 1 : tail;
  }

  /// The word of `attached` with this slot's bit, and the bit.
  static word& word_of(control& c, std::size_t slot) noexcept { return c.attached[slot / 64]; }
  static constexpr std::uint64_t bit_of(std::size_t slot) noexcept {
    return std::uint64_t{1} << slot % 64;
  }
  static void detach(control& c, std::size_t slot) noexcept {
    // Our reads are done. Pairs with the acquire in writer::room().
    word_of(c, slot).fetch_and(~bit_of(slot), std::memory_order_release);
  }

 public:
  /// Where the first place is; before it are the cursors.
  static constexpr std::uint64_t first_place(std::size_t participants) noexcept {
    return sizeof(control) + (blocks ? participants * sizeof(cursor) : 0);
  }

  /// The producer's side.
  class writer {
   public:
    writer(const ring_memory& memory, std::size_t) noexcept
        : control_(&control_of(memory)),
          cursors_(cursors_of(memory)),
          places_(places_of(memory)),
          participants_(memory.participants),
          words_((memory.participants + 63) / 64),
          tail_(end_of(memory)),
          limit_(tail_),
          claim_(control_->claim.load(std::memory_order_relaxed)) {
      const std::uint64_t stamp = places_.word(tail_ % places_.count()).load(std::memory_order_relaxed);
      const std::uint64_t before = tail_ < places_.count() ? 0 : whole(tail_ - places_.count());
      corrupted_ = tail_ >= end_of_time || (stamp != before && stamp != writing(tail_)) ||
                   (blocks && claim_ - tail_ > places_.count());
      // In case the previous producer died before it stored `tail`.
      if (!corrupted_) control_->tail.store(tail_, std::memory_order_release);
      // P2, for the previous producer's claim. Pairs with the fence in reader::join().
      if constexpr (blocks) seq_cst_fence();
    }

    attempt push(const sendable& value) noexcept {
      if (corrupted_) [[unlikely]]
        return attempt::corrupted;
      if constexpr (blocks) {
        if (tail_ == limit_ && !make_room()) {
          return corrupted_ ? attempt::corrupted : attempt::would_block;
        }
      }
      write(value);
      return attempt::done;
    }
    attempt push_n(std::span<const sendable> values, std::size_t& pushed) noexcept {
      for (pushed = 0; pushed != values.size(); ++pushed) {
        if (const attempt a = push(values[pushed]); a != attempt::done) return a;
      }
      return attempt::done;
    }

    bool writable() noexcept {
      if constexpr (!blocks) return true;
      return tail_ != limit_ || room() != 0 || corrupted_;
    }
    bool corrupted() const noexcept { return corrupted_; }

    /// With attached consumers that block: how many values the slowest has not received, as far as its cursor
    /// tells. Otherwise: how many of the values still in the ring no consumer has received. A snapshot.
    std::size_t size() noexcept {
      if (blocks && any_attached()) return static_cast<std::size_t>(places_.count() - room());
      const std::uint64_t received = control_->received.load(std::memory_order_relaxed);
      return received < tail_
                 ? static_cast<std::size_t>(std::min<std::uint64_t>(tail_ - received, places_.count()))
                 : 0;
    }

   protected:
    void write(const sendable& value) noexcept {
      const std::uint64_t to = begin();
      places_.store(to, value);
      finish(to);
    }
    /// The place of the next value. There must be room.
    std::uint64_t begin() noexcept {
      const std::uint64_t to = tail_ % places_.count();
      // A reader that sees this slot being overwritten also sees the tail. Pairs with the acquires in
      // reader::take().
      places_.word(to).store(writing(tail_), std::memory_order_release);
      // A reader that sees one of these words sees the stamp. Pairs with the fence in reader::take().
      release_fence();
      return to;
    }
    void finish(std::uint64_t to) noexcept {
      // A reader that sees the stamp sees the words. Pairs with the acquire in reader::take().
      places_.word(to).store(whole(tail_), std::memory_order_release);
      ++tail_;
      // A newcomer that begins at the tail sees what is before it. Pairs with the acquire in end_of().
      control_->tail.store(tail_, std::memory_order_release);
    }

    bool has_room() noexcept { return tail_ != limit_ || make_room(); }

    /// Reads the cursors again. They are many contended cache lines; so only when the known room is used up.
    bool make_room() noexcept {
      std::uint64_t end = tail_ + room();
      if (end > claim_) {
        claim_ = end;
        // P1. Release: a newcomer that sees the claim sees a tail less than a ring behind it. Pairs with oldest().
        control_->claim.store(claim_, std::memory_order_release);
        // P2. Pairs with the fence in reader::join().
        seq_cst_fence();
        end = std::min(tail_ + room(), claim_);
      }
      limit_ = end;
      return limit_ != tail_ && !corrupted_;
    }

    /// How many slots no consumer needs; one, if there is no consumer.
    std::uint64_t room() noexcept {
      bool any = false;
      std::uint64_t behind = 0;
      for (std::size_t i = 0; i != words_; ++i) {
        // If we see a bit set, we see its owner's cursor, not a former owner's: pairs with reader::join(). If
        // we see it cleared, we may overwrite what that consumer read: pairs with detach().
        std::uint64_t attached = control_->attached[i].load(std::memory_order_acquire) & valid_bits(i);
        any |= attached != 0;
        for (; attached != 0; attached &= attached - 1) {
          const cursor& c = cursors_[64 * i + static_cast<std::size_t>(std::countr_zero(attached))];
          // That consumer's reads are done. Pairs with the release in reader::take().
          const std::uint64_t position = c.position.load(std::memory_order_acquire);
          if (position > tail_) [[unlikely]] {
            corrupted_ = true;
            return 0;
          }
          behind = std::max(behind, tail_ - position);
        }
      }
      if (!any) return 1;
      // A consumer more than a ring behind is just joining, and about to move its cursor up.
      return behind < places_.count() ? places_.count() - behind : 0;
    }

    bool any_attached() const noexcept {
      return std::any_of(control_->attached.begin(), control_->attached.end(), [](const word& w) {
        return w.load(std::memory_order_relaxed) != 0;
      });
    }
    /// The bits of slots that exist: another process may have set others.
    std::uint64_t valid_bits(std::size_t i) const noexcept {
      const std::size_t left = participants_ - 64 * i;
      return left >= 64 ? ~std::uint64_t{0} : bit_of(left) - 1;
    }

    control* control_;
    cursor* cursors_;
    Places places_;
    std::size_t participants_;
    std::size_t words_;  // of `attached`
    std::uint64_t tail_;
    std::uint64_t limit_;  // up to this position there is room
    std::uint64_t claim_;  // copy of the shared claim
    bool corrupted_ = false;
  };

  /// A consumer's side.
  class reader {
   public:
    /// `slot` is the consumer's slot in the roster. Afterwards the caller must notify a producer that waits
    /// for room: the producer may have seen the temporary cursor that join() sets first.
    reader(const ring_memory& memory, std::size_t slot, start where) noexcept
        : control_(&control_of(memory)),
          cursor_(blocks ? &cursors_of(memory)[slot].position : nullptr),
          places_(places_of(memory)),
          own_(slot) {
      if constexpr (blocks) {
        join(memory, where);
      } else {
        const std::uint64_t end = end_of(memory);
        next_ = where == start::newest ? end : end - std::min<std::uint64_t>(end, places_.count());
        // The producer may already be overwriting the oldest slot.
        if (next_ != end && stamp(next_) != whole(next_)) ++next_;
      }
      corrupted_ = corrupted_ || next_ >= end_of_time;
      told_ = next_;
    }

    attempt pop(received& value) noexcept {
      const attempt a = take(value);
      return a == attempt::lagged ? catch_up() : a;
    }
    /// Stops before lost values if it has received any; the next attempt then reports the loss.
    attempt pop_n(std::span<received> values, std::size_t& popped) noexcept {
      for (popped = 0; popped != values.size(); ++popped) {
        const attempt a = take(values[popped]);
        if (a == attempt::lagged) return popped == 0 ? catch_up() : attempt::would_block;
        if (a != attempt::done) return a;
      }
      return attempt::done;
    }

    /// If false, `received` counts everything that this consumer has received.
    bool readable() noexcept {
      if (corrupted_ || stamp(next_) >= whole(next_)) return true;
      tell();
      return false;
    }
    bool corrupted() const noexcept { return corrupted_; }
    /// Values in the ring that this consumer has not received; a snapshot.
    std::size_t size() const noexcept {
      const std::uint64_t tail = control_->tail.load(std::memory_order_relaxed);
      return tail > next_ ? static_cast<std::size_t>(std::min<std::uint64_t>(tail - next_, places_.count())) : 0;
    }
    /// How many values were lost; at each `attempt::lagged` more.
    std::uint64_t total_lost() const noexcept { return total_lost_; }

    /// Raises the shared `received`, from which writer::size() and `drained` see whether anything is unread.
    void tell() noexcept { tell(next_); }

    /// Afterwards this consumer no longer holds the producer back.
    void leave() noexcept {
      tell();
      if constexpr (blocks) detach(*control_, own_);
    }

   protected:
    void tell(std::uint64_t end) noexcept {
      if (end == told_) return;
      told_ = end;
      std::uint64_t received = control_->received.load(std::memory_order_relaxed);
      while (received < end &&
             !control_->received.compare_exchange_weak(received, end, std::memory_order_relaxed)) {
      }
    }

    /// `received` is raised after this many values at the latest.
    std::uint64_t batch() const noexcept { return std::clamp<std::uint64_t>(places_.count() / 4, 1, 64); }

    void join(const ring_memory& memory, start where) noexcept {
      next_ = oldest();
      cursor_->store(next_, std::memory_order_relaxed);  // C1
      // C2. Pairs with the acquire in writer::room().
      word_of(*control_, own_).fetch_or(bit_of(own_), std::memory_order_release);
      // C3. Pairs with the fence in writer::make_room(): either that sees our cursor, or we see its claim.
      seq_cst_fence();
      next_ = oldest();  // C4
      const std::uint64_t end = end_of(memory);
      corrupted_ = next_ > end;
      if (where == start::newest) next_ = std::max(next_, end);
      if (!corrupted_) cursor_->store(next_, std::memory_order_release);
    }

    /// The producer may overwrite everything before this position.
    std::uint64_t oldest() const noexcept {
      // Pairs with the release in writer::make_room().
      const std::uint64_t claim = control_->claim.load(std::memory_order_acquire);
      return claim - std::min<std::uint64_t>(claim, places_.count());
    }

    /// `lagged` if the next value was overwritten; nothing is changed then.
    attempt take(received& value) noexcept {
      if (corrupted_) [[unlikely]]
        return attempt::corrupted;
      // Pairs with the releases in writer::write().
      const std::uint64_t there = stamp(next_);
      if (there < whole(next_)) {
        tell();
        return attempt::would_block;
      }
      if (there != whole(next_)) return attempt::lagged;
      const std::uint64_t from = next_ % places_.count();
      const auto image = places_.image(from, value);
      if constexpr (!blocks) {
        // If one of these words belongs to a later value, the stamp read below shows it. The fence pairs with
        // the fence in writer::write(), the acquire with the release there.
        acquire_fence();
        if (places_.word(from).load(std::memory_order_acquire) != there) return attempt::lagged;
      }
      Places::unpack(image, value);
      ++next_;
      // Our reads of this slot are done. Pairs with the acquire in writer::room().
      if constexpr (blocks) cursor_->store(next_, std::memory_order_release);
      if (next_ - told_ >= batch()) tell();
      return attempt::done;
    }

    /// Continues at a value that exists and will not be overwritten at once.
    attempt catch_up() noexcept {
      // The producer has lapped us: its tail is at least a ring ahead. Pairs with the end of write().
      const std::uint64_t tail = control_->tail.load(std::memory_order_acquire);
      if (blocks || tail >= end_of_time || tail < next_ + places_.count()) {
        corrupted_ = true;
        return attempt::corrupted;
      }
      const std::uint64_t next = std::max(tail - places_.count() + places_.count() / 8, next_ + 1);
      total_lost_ += next - next_;
      next_ = next;
      return attempt::lagged;
    }

    std::uint64_t stamp(std::uint64_t position) const noexcept {
      return places_.word(position % places_.count()).load(std::memory_order_acquire);
    }

    control* control_;
    word* cursor_;  // null if the ring does not block
    Places places_;
    std::size_t own_;
    std::uint64_t next_ = 0;
    std::uint64_t told_ = 0;
    std::uint64_t total_lost_ = 0;
    bool corrupted_ = false;
  };

  static void construct(const ring_memory& memory) noexcept {
    new (memory.at) control{};
    if constexpr (blocks) {
      for (std::size_t i = 0; i != memory.participants; ++i) new (cursors_of(memory) + i) cursor{};
    }
    places_of(memory).construct();
  }
  static bool drained(const ring_memory& memory) noexcept {
    return control_of(memory).received.load(std::memory_order_relaxed) >= end_of(memory);
  }
  static void recover(const ring_memory& memory, std::size_t slot) noexcept {
    if (blocks) detach(control_of(memory), slot);  // readers ignore a half-written value
  }
};

}  // namespace belfry::detail
