// One producer, many consumers, every value to each of them. The shared bytes, and who repairs what a
// dead process leaves: broadcast_control in segment/layout.hpp.
#pragma once

#include <belfry/detail/layout/fence.hpp>
#include <belfry/detail/layout/atomic_words.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/ring/type_fingerprint.hpp>
#include <belfry/shareable.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <type_traits>

namespace belfry {

/// What happens when a consumer of a broadcast_ring is a whole ring behind.
enum class overflow : std::uint64_t {
  block,      ///< the producer waits for it
  overwrite,  ///< it has lost the oldest values, and is told so
};

namespace detail {

template <overflow>
struct broadcast_room {};
template <>
struct broadcast_room<overflow::overwrite> {
  static constexpr bool never_full = true;
};

}  // namespace detail

/// A stream that every consumer sees in full.
///
///     struct item { std::uint64_t id; std::array<char, 48> what; };
///     using news = belfry::channel<belfry::broadcast_ring<item, 1024, belfry::overflow::block>>;
///
/// Up to 63 consumers, each with a place of its own in the stream. `block`: the slowest living one holds
/// the producer when it is `N` values behind; nobody does who is dead, or has left. `overwrite`: a send
/// never waits and never fails, and costs the same with any number of consumers. One that was lapped is
/// told so, once (`errc::lagged`), with the count of values that it has lost, and goes on with the oldest
/// that are there, save N / 8: else it would be lapped again at once.
///
/// Whoever is killed: all that was sent is whole, and a successor of the producer goes on behind it.
/// Without any consumer values go by, and the newest `N` stay for one that begins at the oldest. Where
/// others hold the producer back, that is the oldest that it knew one of them to need.
///
/// Like any ring of ours it trusts nobody: whatever a process scribbles over it, a receive gives some value
/// or `errc::corrupted`, and touches nothing outside.
template <class T, std::size_t N, overflow Mode = overflow::block>
class broadcast_ring : public detail::broadcast_room<Mode> {
  static_assert(std::is_trivially_copyable_v<T>,
                "a value is shared with other processes as its bytes");
  static_assert(shareable<T>,
                "a value holds an address, which means nothing elsewhere: see belfry::shareable");
  static_assert(std::is_default_constructible_v<T>, "a failed receive completes with T{}");
  static_assert(N > 0 && N <= (std::size_t{1} << 24));

  using control = layout::broadcast_control;
  using cursor = layout::broadcast_cursor;
  using word = std::atomic<std::uint64_t>;
  static constexpr bool blocks = Mode == overflow::block;

  /// Readers may look while the producer writes; the stamp says whether it was in vain.
  struct slot {
    word stamp;
    detail::atomic_words<T> value;
  };

  static constexpr std::size_t slots_offset =
      sizeof(control) + (blocks ? layout::max_participants * sizeof(cursor) : 0);
  /// No honest position comes near; so no sum of two overflows.
  static constexpr std::uint64_t end_of_time = std::uint64_t{1} << 62;

  static control& control_of(const ring_memory& memory) noexcept {
    return *std::launder(reinterpret_cast<control*>(memory.at));
  }
  static cursor* cursors_of(const ring_memory& memory) noexcept {
    return reinterpret_cast<cursor*>(memory.at + sizeof(control));
  }
  static slot* slots_of(const ring_memory& memory) noexcept {
    return reinterpret_cast<slot*>(memory.at + slots_offset);
  }

  static constexpr std::uint64_t writing(std::uint64_t position) noexcept {
    return layout::broadcast_writing(position);
  }
  static constexpr std::uint64_t whole(std::uint64_t position) noexcept {
    return layout::broadcast_whole(position);
  }

  /// The end of the sent, also if the last producer died before it had told so.
  static std::uint64_t end_of(const ring_memory& memory) noexcept {
    // Pairs with the release in writer::write().
    const std::uint64_t tail = control_of(memory).tail.load(std::memory_order_acquire);
    if (tail >= end_of_time) return tail;
    const slot& next = slots_of(memory)[tail % N];
    return next.stamp.load(std::memory_order_acquire) == whole(tail) ? tail + 1 : tail;
  }

  static constexpr std::uint64_t bit_of(std::size_t slot) noexcept {
    return std::uint64_t{1} << slot % layout::max_participants;
  }
  static void detach(const ring_memory& memory, std::size_t slot) noexcept {
    // Our reads are over. Pairs with the acquire in writer::room().
    control_of(memory).attached.fetch_and(~bit_of(slot), std::memory_order_release);
  }

 public:
  using value_type = T;
  using sendable = T;
  using received = T;

  /// The producer's side.
  class writer {
   public:
    explicit writer(const ring_memory& memory) noexcept
        : control_(&control_of(memory)),
          cursors_(cursors_of(memory)),
          slots_(slots_of(memory)),
          tail_(end_of(memory)),
          limit_(tail_),
          claim_(control_->claim.load(std::memory_order_relaxed)) {
      const std::uint64_t stamp = slots_[tail_ % N].stamp.load(std::memory_order_relaxed);
      const std::uint64_t before = tail_ < N ? 0 : whole(tail_ - N);
      corrupted_ = tail_ >= end_of_time || (stamp != before && stamp != writing(tail_)) ||
                   (blocks && claim_ - tail_ > N);
      // For a predecessor that died before it had told.
      if (!corrupted_) control_->tail.store(tail_, std::memory_order_release);
      // P2, for the claim of a predecessor. Pairs with the fence in reader::join().
      if constexpr (blocks) detail::seq_cst_fence();
    }

    attempt push(const T& value) noexcept {
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
    attempt push_n(std::span<const T> values, std::size_t& pushed) noexcept {
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

    /// What the slowest consumer has not received, as far as it has told; without consumers, or if nobody
    /// waits for them, what none has received, and is there. A snapshot.
    std::size_t size() noexcept {
      if (blocks && control_->attached.load(std::memory_order_relaxed) != 0) return N - room();
      const std::uint64_t received = control_->received.load(std::memory_order_relaxed);
      return received < tail_
                 ? static_cast<std::size_t>(std::min<std::uint64_t>(tail_ - received, N))
                 : 0;
    }

   private:
    void write(const T& value) noexcept {
      slot& to = slots_[tail_ % N];
      // Who sees that this one is being overwritten sees the tail. Pairs with the acquires in
      // reader::take().
      to.stamp.store(writing(tail_), std::memory_order_release);
      // Who sees one of these words sees the stamp. Pairs with the fence in reader::take().
      detail::release_fence();
      to.value.store(value);
      // Who sees the stamp sees the words. Pairs with the acquire in reader::take().
      to.stamp.store(whole(tail_), std::memory_order_release);
      ++tail_;
      // Who begins at the tail sees what is before it. Pairs with the acquire in end_of().
      control_->tail.store(tail_, std::memory_order_release);
    }

    /// Looks at the cursors again. They are many cache lines, and hot ones: only when the room that was
    /// known is used up.
    bool make_room() noexcept {
      std::uint64_t end = tail_ + room();
      if (end > claim_) {
        claim_ = end;
        // P1. Release: who sees the claim sees a tail that is less than N behind. Pairs with oldest().
        control_->claim.store(claim_, std::memory_order_release);
        // P2. Pairs with the fence in reader::join().
        detail::seq_cst_fence();
        end = std::min(tail_ + room(), claim_);
      }
      limit_ = end;
      return limit_ != tail_ && !corrupted_;
    }

    /// How many places there are that no consumer needs; one, if there is no consumer.
    std::uint64_t room() noexcept {
      // Who sees the bit sees the cursor, and not a former owner's: pairs with reader::join(). Who no longer
      // sees it may write what was read: pairs with detach().
      std::uint64_t attached = control_->attached.load(std::memory_order_acquire);
      if (attached == 0) return 1;
      std::uint64_t behind = 0;
      for (; attached != 0; attached &= attached - 1) {
        const cursor& c = cursors_[std::countr_zero(attached)];
        // Its reads are over. Pairs with the release in reader::take().
        const std::uint64_t position = c.position.load(std::memory_order_acquire);
        if (position > tail_) [[unlikely]] {
          corrupted_ = true;
          return 0;
        }
        behind = std::max(behind, tail_ - position);
      }
      // More than N behind is who is just joining, and about to move up.
      return behind < N ? N - behind : 0;
    }

    control* control_;
    cursor* cursors_;
    slot* slots_;
    std::uint64_t tail_;
    std::uint64_t limit_;  // up to here there is room
    std::uint64_t claim_;  // what the shared one says
    bool corrupted_ = false;
  };

  /// A consumer's side.
  class reader {
   public:
    /// `slot` is the consumer's in the roster. A producer that waits for room must be notified
    /// afterwards: for a moment it may have seen us where we did not stay.
    reader(const ring_memory& memory, std::size_t slot, start where = start::newest) noexcept
        : memory_(memory),
          control_(&control_of(memory)),
          slots_(slots_of(memory)),
          own_(slot % layout::max_participants) {
      if constexpr (blocks) {
        join(where);
      } else {
        const std::uint64_t end = end_of(memory);
        next_ = where == start::newest ? end : end - std::min<std::uint64_t>(end, N);
        // The next one may have been begun where the oldest was.
        if (next_ != end && stamp(next_) != whole(next_)) ++next_;
      }
      corrupted_ = corrupted_ || next_ >= end_of_time;
      told_ = next_;
    }

    attempt pop(T& value) noexcept {
      const attempt a = take(value);
      return a == attempt::lagged ? catch_up() : a;
    }
    /// If there are some before those that are lost, only they; the next attempt tells of the loss.
    attempt pop_n(std::span<T> values, std::size_t& popped) noexcept {
      for (popped = 0; popped != values.size(); ++popped) {
        const attempt a = take(values[popped]);
        if (a == attempt::lagged) return popped == 0 ? catch_up() : attempt::would_block;
        if (a != attempt::done) return a;
      }
      return attempt::done;
    }

    /// If not, all that was received has been told.
    bool readable() noexcept {
      if (corrupted_ || stamp(next_) >= whole(next_)) return true;
      tell();
      return false;
    }
    bool corrupted() const noexcept { return corrupted_; }
    /// Values that are to come, and there; a snapshot.
    std::size_t size() const noexcept {
      const std::uint64_t tail = control_->tail.load(std::memory_order_relaxed);
      return tail > next_ ? static_cast<std::size_t>(std::min<std::uint64_t>(tail - next_, N)) : 0;
    }
    /// How many values the last `attempt::lagged` was about.
    std::uint64_t lost() const noexcept { return lost_; }
    /// How many values all of them were about.
    std::uint64_t total_lost() const noexcept { return total_lost_; }

    /// What the fastest consumer has received, for those who ask whether something is left.
    void tell() noexcept {
      if (next_ == told_) return;
      told_ = next_;
      std::uint64_t received = control_->received.load(std::memory_order_relaxed);
      while (received < next_ && !control_->received.compare_exchange_weak(
                                     received, next_, std::memory_order_relaxed)) {
      }
    }

    /// The last thing to be done: the producer is not held by us any more.
    void leave() noexcept {
      tell();
      if constexpr (blocks) detach(memory_, own_);
    }

   private:
    /// After how many values at the latest it is told what was received.
    static constexpr std::uint64_t batch = std::clamp<std::uint64_t>(N / 4, 1, 64);

    void join(start where) noexcept {
      next_ = oldest();
      own_cursor().store(next_, std::memory_order_relaxed);  // C1
      // C2. Pairs with the acquire in writer::room().
      control_->attached.fetch_or(bit_of(own_), std::memory_order_release);
      // C3. Pairs with the fence in writer::make_room(): either that sees our cursor, or we see its claim.
      detail::seq_cst_fence();
      next_ = oldest();  // C4
      const std::uint64_t end = end_of(memory_);
      corrupted_ = next_ > end;
      if (where == start::newest) next_ = std::max(next_, end);
      if (!corrupted_) own_cursor().store(next_, std::memory_order_release);
    }

    /// Before it the producer may write as it likes.
    std::uint64_t oldest() const noexcept {
      // Pairs with the release in writer::make_room().
      const std::uint64_t claim = control_->claim.load(std::memory_order_acquire);
      return claim - std::min<std::uint64_t>(claim, N);
    }

    /// `lagged` if the next one is gone; nothing is changed then.
    attempt take(T& value) noexcept {
      if (corrupted_) [[unlikely]]
        return attempt::corrupted;
      // Pairs with the releases in writer::write().
      const std::uint64_t there = stamp(next_);
      if (there < whole(next_)) {
        tell();
        return attempt::would_block;
      }
      if (there != whole(next_)) return attempt::lagged;
      const slot& from = slots_[next_ % N];
      const auto words = from.value.load();
      if constexpr (!blocks) {
        // If one of these words was a later one, this sees it in the stamp. Pairs with the fence in
        // writer::write(); the acquire, with the release there.
        detail::acquire_fence();
        if (from.stamp.load(std::memory_order_acquire) != there) return attempt::lagged;
      }
      from.value.unpack(words, value);
      ++next_;
      // Our reads of this slot are over. Pairs with the acquire in writer::room().
      if constexpr (blocks) own_cursor().store(next_, std::memory_order_release);
      if (next_ - told_ >= batch) tell();
      return attempt::done;
    }

    /// Goes on where there is something, and not in the next moment overwritten.
    attempt catch_up() noexcept {
      // The producer has come round to our slot: its tail is N ahead at least. Pairs with end of write().
      const std::uint64_t tail = control_->tail.load(std::memory_order_acquire);
      if (blocks || tail >= end_of_time || tail < next_ + N) {
        corrupted_ = true;
        return attempt::corrupted;
      }
      const std::uint64_t next = std::max(tail - N + N / 8, next_ + 1);
      lost_ = next - next_;
      total_lost_ += lost_;
      next_ = next;
      return attempt::lagged;
    }

    std::uint64_t stamp(std::uint64_t position) const noexcept {
      return slots_[position % N].stamp.load(std::memory_order_acquire);
    }
    word& own_cursor() noexcept { return cursors_of(memory_)[own_].position; }

    ring_memory memory_;
    control* control_;
    slot* slots_;
    std::size_t own_;
    std::uint64_t next_ = 0;
    std::uint64_t told_ = 0;
    std::uint64_t lost_ = 0;
    std::uint64_t total_lost_ = 0;
    bool corrupted_ = false;
  };

  static constexpr ring_traits traits{
      .kind = layout::ring_kind::broadcast,
      .producers = 1,
      .consumers = layout::max_participants - 1,
      .value_bytes = sizeof(T),
      .value_align = alignof(T),
      .type_fingerprint = type_fingerprint<T>(),
      .abi_fingerprint = static_cast<std::uint64_t>(Mode),
      .align = layout::cache_line,
      .capacity = [](std::uint64_t) -> std::uint64_t { return N; },
      .layout =
          [](std::uint64_t, std::uint64_t) {
            return ring_layout{slots_offset + N * sizeof(slot), 0};
          },
      .construct =
          [](const ring_memory& memory) {
            new (memory.at) control{};
            if constexpr (blocks) {
              for (std::size_t i = 0; i != layout::max_participants; ++i) {
                new (cursors_of(memory) + i) cursor{};
              }
            }
            for (std::size_t i = 0; i != N; ++i) new (slots_of(memory) + i) slot{};
          },
      .drained =
          [](const ring_memory& memory) {
            return control_of(memory).received.load(std::memory_order_relaxed) >= end_of(memory);
          },
      .recover =
          [](const ring_memory& memory, std::size_t slot) {
            if (blocks) detach(memory, slot);  // a value that is half written nobody reads
          },
  };
};

}  // namespace belfry
