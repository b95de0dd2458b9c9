// The algorithm of a byte_broadcast_ring that blocks: that of broadcast_ring, with messages that are written and read where
// they lie.
#pragma once

#include <belfry/detail/ring/broadcast.hpp>
#include <belfry/detail/ring/held_list.hpp>
#include <belfry/detail/ring/places.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace belfry::detail {

class blocking_messages : public broadcast_algorithm<message_places, true> {
  using base = broadcast_algorithm<message_places, true>;

 public:
  static constexpr std::uint64_t header_bytes = sizeof(layout::message_header);

  /// The producer's side.
  class writer : public base::writer {
   public:
    using base::writer::writer;

    attempt claim(std::uint64_t bytes, std::span<std::byte>& out) noexcept {
      if (const attempt a = prepare(bytes); a != attempt::done) return a;
      out = places_.room(begin()).first(static_cast<std::size_t>(bytes));
      claimed_ = true;
      return attempt::done;
    }
    void commit(std::uint64_t bytes) noexcept {
      claimed_ = false;
      const std::uint64_t to = tail_ % places_.count();
      places_.set_size(to, bytes);
      finish(to);
    }
    void abandon() noexcept { claimed_ = false; }

    attempt push(const sendable& message) noexcept {
      const attempt a = prepare(message.size());
      if (a == attempt::done) write(message);
      return a;
    }
    attempt push_n(std::span<const sendable> messages, std::size_t& pushed) noexcept {
      for (pushed = 0; pushed != messages.size(); ++pushed) {
        if (const attempt a = push(messages[pushed]); a != attempt::done) return a;
      }
      return attempt::done;
    }

    bool writable(std::uint64_t bytes) noexcept { return bytes > places_.largest() || writable(); }
    bool writable() noexcept { return corrupted_ || (!claimed_ && base::writer::writable()); }

    /// How many consumers are a whole ring behind, and so the next message waits for them.
    std::size_t pinned() noexcept {
      std::size_t count = 0;
      for (std::size_t i = 0; i != words_; ++i) {
        std::uint64_t attached = control_->attached[i].load(std::memory_order_acquire) & valid_bits(i);
        for (; attached != 0; attached &= attached - 1) {
          const cursor& c = cursors_[64 * i + static_cast<std::size_t>(std::countr_zero(attached))];
          const std::uint64_t position = c.position.load(std::memory_order_relaxed);
          count += position <= tail_ && tail_ - position >= places_.count();
        }
      }
      return count;
    }

   private:
    attempt prepare(std::uint64_t bytes) noexcept {
      if (bytes > places_.largest()) return attempt::too_large;
      if (corrupted_) return attempt::corrupted;
      if (claimed_) return attempt::would_block;
      if (has_room()) return attempt::done;
      return corrupted_ ? attempt::corrupted : attempt::would_block;
    }

    bool claimed_ = false;
  };

  /// A consumer's side. Its cursor is the oldest message that it holds.
  class reader : public base::reader {
   public:
    struct view {
      std::span<const std::byte> bytes;
      std::uint64_t position = 0;
    };

    reader(const ring_memory& memory, std::size_t slot, start where)
        : base::reader(memory, slot, where), held_(places_.count()), frontier_(next_) {}

    /// `too_large`: the message has more than `most` bytes, and stays in the ring.
    attempt pop(view& out, std::uint64_t most = ~std::uint64_t{0}) noexcept {
      if (!readable()) return attempt::would_block;
      return corrupted_ ? attempt::corrupted : hold(next_, out, most);
    }
    /// The messages before it are not received any more.
    attempt pop_newest(view& out, std::uint64_t most = ~std::uint64_t{0}) noexcept {
      if (!readable()) return attempt::would_block;
      if (corrupted_) return attempt::corrupted;
      // Pairs with the end of writer::write(). The first message is there, even if its producer died before it said so.
      const std::uint64_t tail = std::max(control_->tail.load(std::memory_order_acquire), next_ + 1);
      if (tail - frontier_ > places_.count()) return corrupt();
      const attempt a = hold(stamp(tail) == whole(tail) ? tail : tail - 1, out, most);
      if (a == attempt::done) move_up();
      return a;
    }

    /// The producer gets the room of a message when it and all older ones are released.
    void release(std::uint64_t position, std::uint64_t) noexcept {
      if (!held_.remove(position % places_.count())) return;
      move_up();
      if (frontier_ - told_ >= batch() || (frontier_ == next_ && stamp(next_) < whole(next_))) tell(frontier_);
    }

    bool readable() noexcept {
      if (corrupted_ || stamp(next_) >= whole(next_)) return true;
      tell(frontier_);
      return false;
    }
    void leave() noexcept {
      tell(frontier_);
      detach(*control_, own_);
    }

   private:
    attempt corrupt() noexcept {
      corrupted_ = true;
      return attempt::corrupted;
    }

    /// Our cursor keeps the message where it is.
    attempt hold(std::uint64_t position, view& out, std::uint64_t most) noexcept {
      if (stamp(position) != whole(position)) return corrupt();
      const std::uint64_t from = position % places_.count();
      received bytes;
      places_.load(from, bytes);
      if (bytes.data() == nullptr) return corrupt();
      if (bytes.size() > most) return attempt::too_large;
      if (!held_.add(from, position)) return corrupt();
      out = {bytes, position};
      next_ = position + 1;
      return attempt::done;
    }

    void move_up() noexcept {
      const std::uint64_t frontier = held_.oldest(next_);
      if (frontier == frontier_) return;
      frontier_ = frontier;
      // Our reads of what is before it are done. Pairs with the acquire in writer::room().
      cursor_->store(frontier_, std::memory_order_release);
    }

    held_list held_;
    std::uint64_t frontier_;  // our cursor
  };
};

}  // namespace belfry::detail
