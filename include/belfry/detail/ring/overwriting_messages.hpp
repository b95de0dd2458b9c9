// The algorithm of a byte_broadcast_ring that overwrites. The shared bytes, and how a dead process's state is repaired:
// held_broadcast_control in detail/layout/layout.hpp, which also has the names of the steps.
#pragma once

#include <belfry/detail/layout/fence.hpp>
#include <belfry/detail/ring/held_list.hpp>
#include <belfry/detail/ring/places.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <utility>

namespace belfry::detail {

/// The producer overwrites the oldest messages, but none that a consumer holds.
class overwriting_messages {
  using sendable = message_places::sendable;
  using received = message_places::received;
  using control = layout::held_broadcast_control;
  using atomic_word = std::atomic<std::uint64_t>;

  /// No valid position comes near this.
  static constexpr std::uint64_t end_of_time = std::uint64_t{1} << 61;

  static constexpr std::uint64_t writing(std::uint64_t position) noexcept { return layout::held_writing(position); }
  static constexpr std::uint64_t passed(std::uint64_t position) noexcept { return layout::held_passed(position); }
  static constexpr std::uint64_t whole(std::uint64_t position) noexcept { return layout::held_whole(position); }

  static control& control_of(const ring_memory& memory) noexcept {
    return *std::launder(reinterpret_cast<control*>(memory.at));
  }

  /// A position that was gone by: it has a message, or was passed.
  struct mark {
    std::uint64_t position;
    std::uint64_t number;  // of the message, or of the next one
    bool is_whole;

    std::uint64_t next_number() const noexcept { return number + is_whole; }
  };

  class places : public message_places {
   public:
    using message_places::message_places;

    void construct() const noexcept {
      for (std::uint64_t i = 0; i != count(); ++i) new (at(i)) layout::held_message_header{};
    }
    layout::held_message_header& held_header(std::uint64_t index) const noexcept {
      return *std::launder(reinterpret_cast<layout::held_message_header*>(at(index)));
    }
    std::uint64_t index_of(std::uint64_t position) const noexcept { return position % count(); }
    atomic_word& stamp(std::uint64_t position) const noexcept { return this->word(index_of(position)); }
    atomic_word& holders(std::uint64_t index, std::size_t slot) const noexcept {
      return held_header(index).holders[slot / 64];
    }

    /// What is in the place of this position: perhaps another one. None if it is being written, or never was used.
    std::optional<mark> look(std::uint64_t position) const noexcept {
      const std::uint64_t index = index_of(position);
      const std::uint64_t before = this->word(index).load(std::memory_order_acquire);
      const mark found{before / 4, held_header(index).number.load(std::memory_order_relaxed), before % 4 == 3};
      if (before % 4 < 2 || index_of(found.position) != index || found.number > found.position) return {};
      // If the number belongs to a later position, the stamp read below shows it. Pairs with the fence in begin().
      acquire_fence();
      // Acquire: the tail that reader::find_end() reads next is not older than a new stamp, even if this place changes just
      // now. Pairs with the releases in writer::begin(), send() and pass().
      if (this->word(index).load(std::memory_order_acquire) != before) return {};
      return found;
    }
  };

  static constexpr std::uint64_t bit_of(std::size_t slot) noexcept { return std::uint64_t{1} << slot % 64; }

  /// A consumer clears its bit when its reads are done. Pairs with the loads in writer::holders_of().
  static void clear_bit(const places& all, std::uint64_t index, std::size_t slot) noexcept {
    all.holders(index, slot).fetch_and(~bit_of(slot), std::memory_order_release);
  }

 public:
  static constexpr std::uint64_t header_bytes = sizeof(layout::held_message_header);
  static constexpr std::uint64_t first_place(std::size_t) noexcept { return sizeof(control); }

  /// The producer's side.
  class writer {
   public:
    writer(const ring_memory& memory, std::size_t) noexcept
        : control_(&control_of(memory)),
          places_(memory),
          words_((memory.participants + 63) / 64),
          position_(control_->tail.load(std::memory_order_relaxed)) {
      for (std::size_t slot = 1; slot < memory.participants; ++slot) consumers_[slot / 64] |= bit_of(slot);
      corrupted_ = !succeed();
    }

    attempt claim(std::uint64_t bytes, std::span<std::byte>& out) noexcept {
      if (const attempt a = begin(bytes); a != attempt::done) return a;
      claimed_ = true;
      out = places_.room(places_.index_of(position_)).first(static_cast<std::size_t>(bytes));
      return attempt::done;
    }
    void commit(std::uint64_t bytes) noexcept {
      claimed_ = false;
      places_.set_size(places_.index_of(position_), bytes);
      send();
    }
    /// The place stays as it is: the next message begins there again.
    void abandon() noexcept { claimed_ = false; }

    attempt push(const sendable& message) noexcept {
      const attempt a = begin(message.size());
      if (a != attempt::done) return a;
      places_.store(places_.index_of(position_), message);
      send();
      return attempt::done;
    }
    attempt push_n(std::span<const sendable> messages, std::size_t& pushed) noexcept {
      for (pushed = 0; pushed != messages.size(); ++pushed) {
        if (const attempt a = push(messages[pushed]); a != attempt::done) return a;
      }
      return attempt::done;
    }

    bool writable(std::uint64_t bytes) noexcept { return bytes > places_.largest() || writable(); }
    bool writable() noexcept { return corrupted_ || (!claimed_ && held_before_room() != places_.count()); }
    bool corrupted() const noexcept { return corrupted_; }

    /// If every place is held: by how many consumers. Else 0.
    std::size_t pinned() noexcept {
      if (held_before_room() != places_.count()) return 0;
      std::array<std::uint64_t, 4> all{};
      for (std::uint64_t i = 0; i != places_.count(); ++i) {
        for (std::size_t w = 0; w != words_; ++w) all[w] |= holders_of(i, w);
      }
      std::size_t count = 0;
      for (const std::uint64_t w : all) count += static_cast<std::size_t>(std::popcount(w));
      return count;
    }

    /// How many of the messages still in the ring no consumer has received and released. A snapshot.
    std::size_t size() const noexcept {
      const std::uint64_t received = control_->received.load(std::memory_order_relaxed);
      return received < number_
                 ? static_cast<std::size_t>(std::min<std::uint64_t>(number_ - received, places_.count()))
                 : 0;
    }

   private:
    /// Continues where the previous producer stopped. False: another process has written nonsense.
    bool succeed() noexcept {
      if (position_ >= end_of_time) return false;
      if (position_ != 0) {
        const std::optional<mark> last = places_.look(position_ - 1);
        if (!last || last->position != position_ - 1) return false;
        number_ = last->next_number();
      }
      // In case it died before it stored `tail`, or `sent`.
      if (const std::optional<mark> m = places_.look(position_); m && m->position == position_) {
        if (m->number != number_) return false;
        number_ = m->next_number();
        ++position_;
      }
      const std::uint64_t stamp = places_.stamp(position_).load(std::memory_order_relaxed);
      const bool fits = position_ < places_.count() ? stamp == 0
                                                    : (stamp | 1) == whole(position_ - places_.count());
      if (!fits && stamp != writing(position_)) return false;
      tell();
      return true;
    }

    attempt begin(std::uint64_t bytes) noexcept {
      if (bytes > places_.largest()) [[unlikely]]
        return attempt::too_large;
      if (corrupted_) [[unlikely]]
        return attempt::corrupted;
      if (claimed_) [[unlikely]]
        return attempt::would_block;
      // Again only when a consumer has come between P1 and P4.
      for (std::uint64_t attempts = 0; attempts != places_.count() + 8; ++attempts) {
        std::uint64_t held = held_before_room();  // P1
        if (held == places_.count()) return attempt::would_block;
        for (; held != 0; --held) {  // P2
          // (Consumers that hold the older message do not look at the stamp any more.)
          places_.stamp(position_).store(writing(position_), std::memory_order_release);
          pass();
        }
        // P3, P4: pairs with C2 and C3 in reader::hold(). Release: a reader that sees this place being overwritten also
        // sees the tail. Pairs with the acquires in reader::pop().
        places_.stamp(position_).store(writing(position_), std::memory_order_seq_cst);
        if (!is_held(places_.index_of(position_))) {
          // A reader that sees what is written next sees the stamp. Pairs with the fence in look(), and that of peek.
          release_fence();
          return attempt::done;
        }
        pass();
      }
      return attempt::would_block;
    }

    /// P5, P6. The message and its size are in the place.
    void send() noexcept {
      layout::held_message_header& header = places_.held_header(places_.index_of(position_));
      header.number.store(number_, std::memory_order_relaxed);
      // A reader that sees the stamp sees the message. Pairs with the acquires in reader::pop() and look().
      header.message.word.store(whole(position_), std::memory_order_release);
      ++number_;
      ++position_;
      tell();
    }
    void pass() noexcept {
      layout::held_message_header& header = places_.held_header(places_.index_of(position_));
      release_fence();  // pairs with the fence in look()
      header.number.store(number_, std::memory_order_relaxed);
      header.message.word.store(passed(position_), std::memory_order_release);
      ++position_;
      tell();
    }
    void tell() noexcept {
      control_->sent.store(number_, std::memory_order_relaxed);
      // A reader that sees the tail sees the stamps before it. Pairs with the acquire in reader::find_end().
      control_->tail.store(position_, std::memory_order_release);
    }

    /// Consumers that hold this place, of those that exist: another process may have set other bits.
    std::uint64_t holders_of(std::uint64_t index, std::size_t i) const noexcept {
      // P4, sequentially consistent. Acquire: if a bit is clear, its owner's reads are done. Pairs with clear_bit().
      return places_.held_header(index).holders[i].load(std::memory_order_seq_cst) & consumers_[i];
    }
    bool is_held(std::uint64_t index) const noexcept {
      for (std::size_t i = 0; i != words_; ++i) {
        if (holders_of(index, i) != 0) return true;
      }
      return false;
    }
    /// How many places have to be passed before there is one that no consumer holds; all: there is none.
    std::uint64_t held_before_room() const noexcept {
      std::uint64_t held = 0;
      while (held != places_.count() && is_held(places_.index_of(position_ + held))) ++held;
      return held;
    }

    control* control_;
    places places_;
    std::array<std::uint64_t, 4> consumers_{};  // the bits of slots that exist
    std::size_t words_;                          // of bits that are used
    std::uint64_t position_;
    std::uint64_t number_ = 0;
    bool corrupted_ = false;
    bool claimed_ = false;
  };

  /// A consumer's side.
  class reader {
    static constexpr int most_in_vain = 1000;

   public:
    struct view {
      std::span<const std::byte> bytes;
      std::uint64_t position = 0;
    };

    reader(const ring_memory& memory, std::size_t slot, start where)
        : control_(&control_of(memory)), places_(memory), own_(slot), held_(places_.count()) {
      place end;
      // A producer that overwrites the whole ring between two loads may be in the way, but not so often.
      for (int attempts = 0; !find_end(end);) {
        if (corrupted_ || ++attempts == 10'000) {
          corrupted_ = true;
          return;
        }
      }
      std::uint64_t from = end.position;
      if (where == start::oldest) from -= std::min<std::uint64_t>(from, places_.count());
      begin_at(from, end);
      told_ = number_;
    }

    /// `too_large`: the message has more than `most` bytes, and stays in the ring.
    attempt pop(view& out, std::uint64_t most = ~std::uint64_t{0}) noexcept {
      for (std::uint64_t steps = 0; !corrupted_ && steps != 2 * places_.count() + 64; ++steps) {
        const std::uint64_t there = stamp(next_);  // C1
        if (there < passed(next_)) {
          tell();
          return attempt::would_block;
        }
        attempt a = attempt::done;
        if (there == passed(next_)) {
          ++next_;
        } else if (there == whole(next_)) {
          a = hold(out, most);
          if (a != attempt::would_block) return a;
        } else {
          a = catch_up();
          if (a != attempt::done) return a;
        }
      }
      return corrupted_ ? attempt::corrupted : attempt::would_block;
    }

    /// The messages before it are not received any more, and do not count as lost.
    attempt pop_newest(view& out, std::uint64_t most = ~std::uint64_t{0}) noexcept {
      for (int attempts = 0; !corrupted_ && attempts != 100; ++attempts) {
        place end;
        if (!find_end(end)) continue;
        if (end.position <= next_) break;
        if (!is_ahead(end)) return corrupt();
        const place before{next_, number_};
        if (!find_newest(end)) {  // it was passed, or overwritten
          next_ = end.position;
          number_ = end.number;
          if (stamp(next_) < passed(next_)) break;
          continue;
        }
        const attempt a = hold(out, most);
        if (a == attempt::done) in_vain_ = 0;
        if (a == attempt::done || a == attempt::corrupted) return a;
        next_ = before.position;
        number_ = before.number;
        if (a == attempt::too_large) return a;
      }
      if (corrupted_) return attempt::corrupted;
      tell();
      // A message may be there, and the end of all of them before it: only nonsense stays so.
      if (!readable()) {
        in_vain_ = 0;
      } else if (++in_vain_ == most_in_vain) {
        return corrupt();
      }
      return attempt::would_block;
    }

    /// C5. In any order.
    void release(std::uint64_t position, std::uint64_t) noexcept {
      const std::uint64_t index = places_.index_of(position);
      if (!held_.remove(index)) return;
      clear_bit(places_, index, own_);
      if (frontier() - told_ >= batch() || (held_.empty() && stamp(next_) < passed(next_))) tell();
    }

    /// If false, `received` counts everything that this consumer has released.
    bool readable() noexcept {
      for (std::uint64_t steps = 0; !corrupted_ && steps != 2 * places_.count(); ++steps) {
        const std::uint64_t there = stamp(next_);
        if (there < passed(next_)) {
          tell();
          return false;
        }
        if (there == whole(next_)) return true;
        if (there == passed(next_)) {
          ++next_;
          continue;
        }
        // Positions were overwritten. If all of them had been passed, there may be nothing to receive.
        place end;
        if (!find_end(end) || end.number != number_ || end.position <= next_) return true;
        next_ = end.position;
      }
      return true;
    }
    bool corrupted() const noexcept { return corrupted_; }
    /// Messages in the ring that this consumer has not received; a snapshot.
    std::size_t size() const noexcept {
      const std::uint64_t sent = control_->sent.load(std::memory_order_relaxed);
      return sent > number_ ? static_cast<std::size_t>(std::min<std::uint64_t>(sent - number_, places_.count())) : 0;
    }
    /// How many messages were lost; at each `attempt::lagged` more.
    std::uint64_t total_lost() const noexcept { return total_lost_; }
    /// See hesitating_ring.
    bool hesitated() noexcept { return std::exchange(hesitated_, false); }

    /// Holds nothing any more.
    void leave() noexcept {
      tell();
      while (!held_.empty()) {
        const std::uint64_t index = held_.first_place();
        held_.remove(index);
        clear_bit(places_, index, own_);
      }
    }

   private:
    struct place {
      std::uint64_t position = 0;
      std::uint64_t number = 0;  // of the first message at this position or after it
    };

    /// `received` is raised after this many messages at the latest.
    std::uint64_t batch() const noexcept { return std::clamp<std::uint64_t>(places_.count() / 4, 1, 64); }
    std::uint64_t frontier() const noexcept { return held_.oldest(number_); }
    void tell() noexcept {
      const std::uint64_t end = frontier();
      if (end == told_) return;
      told_ = end;
      std::uint64_t received = control_->received.load(std::memory_order_relaxed);
      while (received < end &&
             !control_->received.compare_exchange_weak(received, end, std::memory_order_relaxed)) {
      }
    }

    attempt corrupt() noexcept {
      corrupted_ = true;
      return attempt::corrupted;
    }
    std::uint64_t stamp(std::uint64_t position) const noexcept {
      // Pairs with the releases in writer::begin(), send() and pass().
      return places_.stamp(position).load(std::memory_order_acquire);
    }

    /// Where the producer is. False: try again; or another process has written nonsense.
    bool find_end(place& end) noexcept {
      // Pairs with the release in writer::tell(): what is before the tail is finished.
      const std::uint64_t tail = control_->tail.load(std::memory_order_acquire);
      if (tail >= end_of_time) return corrupted_ = true, false;
      // A producer that died may not have stored the tail.
      std::optional<mark> last = places_.look(tail);
      if (!last || last->position < tail) {
        if (tail == 0) {
          end = {};
          return true;
        }
        last = places_.look(tail - 1);
      }
      if (last && last->position + 1 >= tail) {
        // The tail was stored before anything of that position. Pairs with the release in writer::tell().
        if (last->position > control_->tail.load(std::memory_order_acquire)) return corrupted_ = true, false;
        end = {last->position + 1, last->next_number()};
        return true;
      }
      // The producer has gone around the ring, and the tail has changed.
      corrupted_ = corrupted_ || control_->tail.load(std::memory_order_acquire) == tail;
      return false;
    }

    /// Whether an end can be true, seen from where this consumer is.
    bool is_ahead(const place& end) const noexcept {
      return end.number >= number_ && end.number - number_ <= end.position - next_;
    }

    /// At the first message from `from` on, or at the end.
    void begin_at(std::uint64_t from, const place& end) noexcept {
      next_ = end.position;
      number_ = end.number;
      for (; from < end.position; ++from) {
        const std::optional<mark> m = places_.look(from);
        if (!m || m->position != from || !m->is_whole || m->number >= end.number) continue;
        next_ = from;
        number_ = m->number;
        return;
      }
    }

    /// Goes to the newest message before the end, if it is there.
    bool find_newest(const place& end) noexcept {
      const std::uint64_t oldest = std::max(next_, end.position - std::min<std::uint64_t>(end.position, places_.count()));
      for (std::uint64_t p = end.position; p-- != oldest;) {
        const std::optional<mark> m = places_.look(p);
        if (!m || m->position != p || !m->is_whole || !is_ahead({p, m->number})) continue;
        next_ = p;
        number_ = m->number;
        return true;
      }
      return false;
    }

    /// C2 to C4 of the next message. `would_block`: it was overwritten.
    attempt hold(view& out, std::uint64_t most) noexcept {
      const std::uint64_t index = places_.index_of(next_);
      // Pairs with P3 and P4 in writer::begin(): either that sees the bit, or we see that the stamp has changed.
      places_.holders(index, own_).fetch_or(bit_of(own_), std::memory_order_seq_cst);
      // Before C3: the producer may pass a place that is held, and then changes its number. Pairs with the fence in pass().
      const std::uint64_t number = places_.held_header(index).number.load(std::memory_order_relaxed);
      acquire_fence();
      const bool there = places_.stamp(next_).load(std::memory_order_seq_cst) == whole(next_);
      received bytes;
      attempt a = attempt::would_block;
      if (there) {
        places_.load(index, bytes);
        a = bytes.data() == nullptr || number != number_
                ? corrupt()
            : bytes.size() > most      ? attempt::too_large
            : held_.add(index, number_) ? attempt::done
                                       : corrupt();
      }
      if (a == attempt::done) {
        out = {bytes, next_};
        ++next_;
        ++number_;
      } else {
        clear_bit(places_, index, own_);
        hesitated_ = true;
      }
      return a;
    }

    /// The next position was overwritten. Continues at a message that will not be overwritten at once. `done`: nothing
    /// was lost, all positions up to there had been passed.
    attempt catch_up() noexcept {
      place end;
      if (!find_end(end)) return corrupted_ ? attempt::corrupted : attempt::would_block;
      // The producer has lapped us.
      if (end.position < next_ + places_.count() || !is_ahead(end)) return corrupt();
      const place before{next_, number_};
      begin_at(std::max(end.position - places_.count() + places_.count() / 8, next_ + 1), end);
      const place after{next_, number_};
      next_ = before.position;
      number_ = before.number;
      if (!is_ahead(after)) return corrupt();
      next_ = after.position;
      number_ = after.number;
      total_lost_ += after.number - before.number;
      return after.number == before.number ? attempt::done : attempt::lagged;
    }

    control* control_;
    places places_;
    std::size_t own_;
    held_list held_;
    std::uint64_t next_ = 0;    // the position that is looked at next
    std::uint64_t number_ = 0;  // of the first message there or after it
    std::uint64_t told_ = 0;
    std::uint64_t total_lost_ = 0;
    int in_vain_ = 0;  // attempts in a row for the newest message that have found none, although there is one
    bool hesitated_ = false;
    bool corrupted_ = false;
  };

  static void construct(const ring_memory& memory) noexcept {
    new (memory.at) control{};
    places(memory).construct();
  }
  static bool drained(const ring_memory& memory) noexcept {
    const control& c = control_of(memory);
    std::uint64_t sent = c.sent.load(std::memory_order_relaxed);
    // The last producer may have died before it stored `sent`. Pairs with the end of writer::send().
    const std::uint64_t tail = c.tail.load(std::memory_order_acquire);
    if (const std::optional<mark> m = places(memory).look(tail); m && m->position == tail) sent = m->next_number();
    return c.received.load(std::memory_order_relaxed) >= sent;
  }
  static void recover(const ring_memory& memory, std::size_t slot) noexcept {
    const places all(memory);
    for (std::uint64_t i = 0; i != all.count(); ++i) {
      if ((all.holders(i, slot).load(std::memory_order_relaxed) & bit_of(slot)) != 0) clear_bit(all, i, slot);
    }
  }
};

}  // namespace belfry::detail
