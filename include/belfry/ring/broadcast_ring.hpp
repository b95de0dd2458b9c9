// One producer, many consumers; every consumer receives every value. The shared bytes, and how a dead
// process's state is repaired: broadcast_control in segment/layout.hpp.
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

namespace belfry {

/// What happens when a consumer of a broadcast_ring has fallen a whole ring behind.
enum class overflow : std::uint64_t {
  block,      ///< the producer waits for that consumer
  overwrite,  ///< that consumer loses the oldest values, and is told so
};

/// A stream that every consumer receives completely.
///
///     struct item { std::uint64_t id; std::array<char, 48> what; };
///     using news = belfry::channel<belfry::broadcast_ring<item, 1024, belfry::overflow::block>>;
///
/// Up to 63 consumers, or more with `channel_options::participants`, each with its own position in the stream.
///
/// `block`: the producer waits while the slowest live consumer is `N` values behind. A consumer that is dead,
/// or has left, does not hold the producer back.
///
/// `overwrite`: a send never waits and never fails, and costs the same with any number of consumers. A
/// consumer that was lapped gets `errc::lagged` once, with the number of values that it lost. It continues
/// N/8 values after the oldest that is left: at the oldest it would be lapped again at once.
///
/// When a process is killed, every value already sent stays whole. A successor of the producer continues
/// after the last of them. Without consumers the producer does not wait; the newest `N` values stay for a
/// consumer that joins with `start::oldest`. While consumers hold the producer back, `start::oldest` begins
/// at the oldest value that the producer knew a consumer to need.
///
/// The ring trusts no process: whatever a process writes over it, a receive gives some value or
/// `errc::corrupted`, and accesses nothing outside the ring.
template <class T, std::size_t N, overflow Mode = overflow::block>
class broadcast_ring {
  static_assert(detail::can_be_sent<T>());
  static_assert(N > 0 && N <= (std::size_t{1} << 24));

  using attempt = detail::attempt;
  using ring_memory = detail::ring_memory;
  using control = layout::broadcast_control;
  using cursor = layout::broadcast_cursor;
  using word = std::atomic<std::uint64_t>;
  static constexpr bool blocks = Mode == overflow::block;

  /// Consumers may read while the producer writes; the stamp tells whether the value read is whole.
  struct slot {
    word stamp;
    detail::atomic_words<T> value;
  };

  static constexpr std::size_t slots_offset(std::size_t participants) noexcept {
    return sizeof(control) + (blocks ? participants * sizeof(cursor) : 0);
  }
  /// No valid position comes near this; so the sum of two positions cannot overflow.
  static constexpr std::uint64_t end_of_time = std::uint64_t{1} << 62;

  static control& control_of(const ring_memory& memory) noexcept {
    return *std::launder(reinterpret_cast<control*>(memory.at));
  }
  static cursor* cursors_of(const ring_memory& memory) noexcept {
    return reinterpret_cast<cursor*>(memory.at + sizeof(control));
  }
  static slot* slots_of(const ring_memory& memory) noexcept {
    return reinterpret_cast<slot*>(memory.at + slots_offset(memory.participants));
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
    const slot& next = slots_of(memory)[tail % N];
    return next.stamp.load(std::memory_order_acquire) == whole(tail) ? tail + 1 : tail;
  }

  /// The word of `attached` with this slot's bit, and the bit.
  static word& word_of(control& c, std::size_t slot) noexcept { return c.attached[slot / 64]; }
  static constexpr std::uint64_t bit_of(std::size_t slot) noexcept {
    return std::uint64_t{1} << slot % 64;
  }
  static void detach(const ring_memory& memory, std::size_t slot) noexcept {
    // Our reads are done. Pairs with the acquire in writer::room().
    word_of(control_of(memory), slot).fetch_and(~bit_of(slot), std::memory_order_release);
  }

 public:
  using value_type = T;
  using sendable = T;
  using received = T;

  /// The producer's side.
  class writer {
   public:
    writer(const ring_memory& memory, std::size_t) noexcept
        : control_(&control_of(memory)),
          cursors_(cursors_of(memory)),
          slots_(slots_of(memory)),
          participants_(memory.participants),
          words_((memory.participants + 63) / 64),
          tail_(end_of(memory)),
          limit_(tail_),
          claim_(control_->claim.load(std::memory_order_relaxed)) {
      const std::uint64_t stamp = slots_[tail_ % N].stamp.load(std::memory_order_relaxed);
      const std::uint64_t before = tail_ < N ? 0 : whole(tail_ - N);
      corrupted_ = tail_ >= end_of_time || (stamp != before && stamp != writing(tail_)) ||
                   (blocks && claim_ - tail_ > N);
      // In case the previous producer died before it stored `tail`.
      if (!corrupted_) control_->tail.store(tail_, std::memory_order_release);
      // P2, for the previous producer's claim. Pairs with the fence in reader::join().
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

    /// With attached consumers that block: how many values the slowest has not received, as far as its cursor
    /// tells. Otherwise: how many of the values still in the ring no consumer has received. A snapshot.
    std::size_t size() noexcept {
      if (blocks && any_attached()) return N - room();
      const std::uint64_t received = control_->received.load(std::memory_order_relaxed);
      return received < tail_
                 ? static_cast<std::size_t>(std::min<std::uint64_t>(tail_ - received, N))
                 : 0;
    }

   private:
    void write(const T& value) noexcept {
      slot& to = slots_[tail_ % N];
      // A reader that sees this slot being overwritten also sees the tail. Pairs with the acquires in
      // reader::take().
      to.stamp.store(writing(tail_), std::memory_order_release);
      // A reader that sees one of these words sees the stamp. Pairs with the fence in reader::take().
      detail::release_fence();
      to.value.store(value);
      // A reader that sees the stamp sees the words. Pairs with the acquire in reader::take().
      to.stamp.store(whole(tail_), std::memory_order_release);
      ++tail_;
      // A newcomer that begins at the tail sees what is before it. Pairs with the acquire in end_of().
      control_->tail.store(tail_, std::memory_order_release);
    }

    /// Reads the cursors again. They are many contended cache lines; so only when the known room is used up.
    bool make_room() noexcept {
      std::uint64_t end = tail_ + room();
      if (end > claim_) {
        claim_ = end;
        // P1. Release: a newcomer that sees the claim sees a tail less than N behind it. Pairs with oldest().
        control_->claim.store(claim_, std::memory_order_release);
        // P2. Pairs with the fence in reader::join().
        detail::seq_cst_fence();
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
      // A consumer more than N behind is just joining, and about to move its cursor up.
      return behind < N ? N - behind : 0;
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
    slot* slots_;
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
        : memory_(memory),
          control_(&control_of(memory)),
          slots_(slots_of(memory)),
          own_(slot) {
      if constexpr (blocks) {
        join(where);
      } else {
        const std::uint64_t end = end_of(memory);
        next_ = where == start::newest ? end : end - std::min<std::uint64_t>(end, N);
        // The producer may already be overwriting the oldest slot.
        if (next_ != end && stamp(next_) != whole(next_)) ++next_;
      }
      corrupted_ = corrupted_ || next_ >= end_of_time;
      told_ = next_;
    }

    attempt pop(T& value) noexcept {
      const attempt a = take(value);
      return a == attempt::lagged ? catch_up() : a;
    }
    /// Stops before lost values if it has received any; the next attempt then reports the loss.
    attempt pop_n(std::span<T> values, std::size_t& popped) noexcept {
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
      return tail > next_ ? static_cast<std::size_t>(std::min<std::uint64_t>(tail - next_, N)) : 0;
    }
    /// How many values were lost; at each `attempt::lagged` more.
    std::uint64_t total_lost() const noexcept { return total_lost_; }

    /// Raises the shared `received`, from which writer::size() and `drained` see whether anything is unread.
    void tell() noexcept {
      if (next_ == told_) return;
      told_ = next_;
      std::uint64_t received = control_->received.load(std::memory_order_relaxed);
      while (received < next_ && !control_->received.compare_exchange_weak(
                                     received, next_, std::memory_order_relaxed)) {
      }
    }

    /// Afterwards this consumer no longer holds the producer back.
    void leave() noexcept {
      tell();
      if constexpr (blocks) detach(memory_, own_);
    }

   private:
    /// `received` is raised after this many values at the latest.
    static constexpr std::uint64_t batch = std::clamp<std::uint64_t>(N / 4, 1, 64);

    void join(start where) noexcept {
      next_ = oldest();
      own_cursor().store(next_, std::memory_order_relaxed);  // C1
      // C2. Pairs with the acquire in writer::room().
      word_of(*control_, own_).fetch_or(bit_of(own_), std::memory_order_release);
      // C3. Pairs with the fence in writer::make_room(): either that sees our cursor, or we see its claim.
      detail::seq_cst_fence();
      next_ = oldest();  // C4
      const std::uint64_t end = end_of(memory_);
      corrupted_ = next_ > end;
      if (where == start::newest) next_ = std::max(next_, end);
      if (!corrupted_) own_cursor().store(next_, std::memory_order_release);
    }

    /// The producer may overwrite everything before this position.
    std::uint64_t oldest() const noexcept {
      // Pairs with the release in writer::make_room().
      const std::uint64_t claim = control_->claim.load(std::memory_order_acquire);
      return claim - std::min<std::uint64_t>(claim, N);
    }

    /// `lagged` if the next value was overwritten; nothing is changed then.
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
        // If one of these words belongs to a later value, the stamp read below shows it. The fence pairs with
        // the fence in writer::write(), the acquire with the release there.
        detail::acquire_fence();
        if (from.stamp.load(std::memory_order_acquire) != there) return attempt::lagged;
      }
      from.value.unpack(words, value);
      ++next_;
      // Our reads of this slot are done. Pairs with the acquire in writer::room().
      if constexpr (blocks) own_cursor().store(next_, std::memory_order_release);
      if (next_ - told_ >= batch) tell();
      return attempt::done;
    }

    /// Continues at a value that exists and will not be overwritten at once.
    attempt catch_up() noexcept {
      // The producer has lapped us: its tail is at least N ahead. Pairs with the end of write().
      const std::uint64_t tail = control_->tail.load(std::memory_order_acquire);
      if (blocks || tail >= end_of_time || tail < next_ + N) {
        corrupted_ = true;
        return attempt::corrupted;
      }
      const std::uint64_t next = std::max(tail - N + N / 8, next_ + 1);
      total_lost_ += next - next_;
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
    std::uint64_t total_lost_ = 0;
    bool corrupted_ = false;
  };

  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::broadcast,
      .most = {.producers = 1, .consumers = layout::max_participants - 1},
      .value_bytes = sizeof(T),
      .value_align = alignof(T),
      .type = &detail::description_of<T>,
      .type_fingerprint = type_fingerprint<T>(),
      .abi_fingerprint = static_cast<std::uint64_t>(Mode),
      .align = layout::cache_line,
      .capacity = [](std::uint64_t) -> std::uint64_t { return N; },
      .layout =
          [](std::uint64_t, std::size_t participants, std::uint64_t) {
            return detail::ring_layout{.bytes = slots_offset(participants) + N * sizeof(slot),
                                       .places = {.places = N,
                                                  .first = slots_offset(participants),
                                                  .stride = sizeof(slot),
                                                  .value = offsetof(slot, value)}};
          },
      .construct =
          [](const ring_memory& memory) {
            new (memory.at) control{};
            if constexpr (blocks) {
              for (std::size_t i = 0; i != memory.participants; ++i) {
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
            if (blocks) detach(memory, slot);  // readers ignore a half-written value
          },
      .never_full = !blocks,
      .chosen_seats = true,
  };
};

}  // namespace belfry
