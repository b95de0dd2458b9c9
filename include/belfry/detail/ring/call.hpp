// The algorithm of call_ring and byte_call_ring. The places and their protocol: call_word in detail/layout/layout.hpp;
// checked with Spin in tests/model/call_ring.pml.
#pragma once

#include <belfry/detail/layout/layout.hpp>
#include <belfry/ring/ring.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <span>

namespace belfry::detail {

/// A call, as one side holds it: its place, and the word that it has there. For a client only the generation and the
/// client of the word count, since servers change the rest.
struct call_ticket {
  std::uint64_t index = 0;
  layout::call_word word{};
};

/// How far a client's call is.
enum class call_progress {
  waiting,    ///< no server has it
  taken,      ///< a server has it
  answered,   ///< the reply is in the place
  refused,    ///< the server's error code is in the place
  lost,       ///< its server has died, or dropped it
  corrupted,  ///< the word is not that of this call
};

/// What a client's withdrawal has found.
enum class call_end {
  not_started,  ///< no server ever had it, and the place is free
  given_back,   ///< no server has it now, but one had: it may have been executed. The place is free
  abandoned,    ///< a server has it: that is to be told, and frees the place
  over,         ///< it has ended before; nothing was changed
};

/// Where request and reply lie behind the header of a place.
struct call_rooms {
  std::uint64_t request_at = 0;
  std::uint64_t request_bytes = 0;  // of the largest
  std::uint64_t reply_at = 0;
  std::uint64_t reply_bytes = 0;
  bool exact = false;  // requests and replies have these sizes, and no others

  /// Of messages of any size, up to `largest`.
  static constexpr call_rooms of_messages(std::uint64_t largest) noexcept { return {0, largest, largest, largest, false}; }

  std::span<std::byte> request(layout::call_place& place) const noexcept {
    return {reinterpret_cast<std::byte*>(&place) + sizeof place + request_at, static_cast<std::size_t>(request_bytes)};
  }
  std::span<std::byte> reply(layout::call_place& place) const noexcept {
    return {reinterpret_cast<std::byte*>(&place) + sizeof place + reply_at, static_cast<std::size_t>(reply_bytes)};
  }
  bool fits_request(std::uint64_t bytes) const noexcept { return exact ? bytes == request_bytes : bytes <= request_bytes; }
  bool fits_reply(std::uint64_t bytes) const noexcept { return exact ? bytes == reply_bytes : bytes <= reply_bytes; }
};

/// Where the places of calls lie. `count` and `stride` are constants of the type where that is known.
template <std::uint64_t Count, std::uint64_t Stride>
class fixed_call_places {
 public:
  explicit fixed_call_places(const ring_memory& memory) noexcept : first_(memory.at + sizeof(layout::call_control)) {}

  static constexpr std::uint64_t count() noexcept { return Count; }
  layout::call_place& at(std::uint64_t index) const noexcept {
    return *std::launder(reinterpret_cast<layout::call_place*>(first_ + index * Stride));
  }

  void construct() const noexcept {
    for (std::uint64_t i = 0; i != Count; ++i) new (first_ + i * Stride) layout::call_place{};
  }

 private:
  std::byte* first_;
};

/// The segment tells; its header was compared, when it was joined, with what this ring makes.
class chosen_call_places {
 public:
  explicit chosen_call_places(const ring_memory& memory) noexcept
      : first_(memory.at + memory.places.first), count_(memory.places.places), stride_(memory.places.stride) {}

  std::uint64_t count() const noexcept { return count_; }
  layout::call_place& at(std::uint64_t index) const noexcept {
    return *std::launder(reinterpret_cast<layout::call_place*>(first_ + index * stride_));
  }

  void construct() const noexcept {
    for (std::uint64_t i = 0; i != count_; ++i) new (first_ + i * stride_) layout::call_place{};
  }

 private:
  std::byte* first_;
  std::uint64_t count_;
  std::uint64_t stride_;
};

/// Deadlines, as they are in a place: nanoseconds of the monotonic clock; 0 means none.
inline std::uint64_t call_time(std::chrono::steady_clock::time_point deadline) noexcept {
  if (deadline == std::chrono::steady_clock::time_point::max()) return 0;
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch()).count();
  return ns > 0 ? static_cast<std::uint64_t>(ns) : 1;
}
inline std::chrono::steady_clock::time_point call_deadline(std::uint64_t time) noexcept {
  using clock = std::chrono::steady_clock;
  constexpr auto most = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(clock::duration::max()).count());
  if (time == 0 || time >= most) return clock::time_point::max();
  return clock::time_point(std::chrono::duration_cast<clock::duration>(std::chrono::nanoseconds(time)));
}

/// Only the words decide; everything is found by looking at them. They order the requests and replies, too: a place is
/// written and read by the participant that its word names, between two changes of the word. `tail` and `head` are hints
/// where to look first, and `news` spares a server that has looked in vain another look. So whatever is in the memory,
/// every answer comes after at most one look at each place and a few changes of one word.
template <class Places>
class call_algorithm {
  using control = layout::call_control;
  using word = layout::call_word;
  using state = layout::call_state;

  // A participant that frees a place, or makes a call ready, next looks for sleeping participants; one that has said
  // that it sleeps looks at the words. Both are in one total order (seq_cst), so that one of them sees the other.
  static constexpr auto ordered = std::memory_order_seq_cst;
  /// No honest process changes a word so often while another one tries once.
  static constexpr int most_tries = 64;

  static control& control_of(const ring_memory& memory) noexcept {
    return *std::launder(reinterpret_cast<control*>(memory.at));
  }
  static word look(const Places& places, std::uint64_t index) noexcept {
    return word::from(places.at(index).word.load(ordered));
  }
  static bool change(const Places& places, std::uint64_t index, word from, word to) noexcept {
    std::uint64_t expected = from.bits();
    return places.at(index).word.compare_exchange_strong(expected, to.bits(), ordered, std::memory_order_relaxed);
  }
  /// What follows when the server of a call is gone.
  static word without_server(word w, std::uint32_t max_deliveries) noexcept {
    const bool goes_on = w.again && (max_deliveries == 0 || w.deliveries < max_deliveries);
    return goes_on ? word{w.generation, w.client, 0, w.deliveries, true, state::ready}
                   : word{w.generation, w.client, 0, w.deliveries, false, state::lost};
  }

 public:
  /// Common to both sides.
  class side {
   public:
    side(const ring_memory& memory, std::size_t owner) noexcept
        : memory_(memory),
          control_(&control_of(memory)),
          places_(memory),
          participants_(memory.participants),
          owner_(static_cast<std::uint8_t>(owner + 1)) {}

    /// Calls in the ring, however far they are; a snapshot.
    std::size_t size() const noexcept {
      std::size_t used = 0;
      for (std::uint64_t i = 0; i != places_.count(); ++i) used += look(i).state != state::free;
      return used;
    }
    bool corrupted() const noexcept { return corrupted_; }
    layout::call_place& place(std::uint64_t index) const noexcept { return places_.at(index); }
    /// Ends whatever this participant has in the ring, as recover() does for a dead one.
    void leave() noexcept { recover(memory_, std::size_t{owner_} - 1u); }

   protected:
    word look(std::uint64_t index) const noexcept { return call_algorithm::look(places_, index); }
    bool change(std::uint64_t index, word from, word to) const noexcept {
      return call_algorithm::change(places_, index, from, to);
    }
    attempt corrupt() noexcept {
      corrupted_ = true;
      return attempt::corrupted;
    }

    ring_memory memory_;
    control* control_;
    Places places_;
    std::size_t participants_;
    std::uint8_t owner_;
    bool corrupted_ = false;
  };

  /// A client's side.
  class client : public side {
   public:
    using side::side;

    /// A free place, for this client to write its request. It is to be submitted or withdrawn.
    attempt claim(call_ticket& what) noexcept {
      if (this->corrupted_) return attempt::corrupted;
      return find_free([&](std::uint64_t index, const word& seen) {
        const word writing{seen.generation + 1, this->owner_, 0, 0, false, state::writing};
        if (!this->change(index, seen, writing)) return false;
        what = {index, word::from(writing.bits())};  // the generation starts again at its end
        this->control_->tail.store(index + 1, std::memory_order_relaxed);
        return true;
      });
    }
    /// Whether claim() would not block.
    bool has_room() noexcept {
      return this->corrupted_ ||
             find_free([](std::uint64_t, const word&) { return true; }) == attempt::done;
    }
    /// The request is written. `again`: it may be delivered to another server if its server dies.
    attempt submit(call_ticket& what, bool again) noexcept {
      word ready = what.word;
      ready.again = again;
      ready.state = state::ready;
      if (!this->change(what.index, what.word, ready)) return this->corrupt();
      what.word = ready;
      // A client that is killed before this line is recovered, and its call with it. Pairs with find_ready().
      this->control_->news.fetch_add(1, ordered);
      return attempt::done;
    }

    call_progress look_at(const call_ticket& what) const noexcept {
      word unused;
      return look_at(what, unused);
    }
    /// Whether a server has ever had the call.
    bool was_delivered(const call_ticket& what) const noexcept { return this->look(what.index).deliveries != 0; }

    /// Ends a call that has no outcome yet. `server`: the slot of the one that is to be told, if it is abandoned.
    call_end withdraw(const call_ticket& what, std::size_t& server) noexcept {
      for (int i = 0; i != most_tries; ++i) {
        word seen;
        switch (look_at(what, seen)) {
          case call_progress::waiting:
            if (this->change(what.index, seen, {seen.generation, 0, 0, 0, false, state::free})) {
              return seen.deliveries == 0 ? call_end::not_started : call_end::given_back;
            }
            break;
          case call_progress::taken:
            if (this->change(what.index, seen, {seen.generation, 0, seen.server, seen.deliveries, false, state::abandoned})) {
              server = std::size_t{seen.server} - 1u;
              return call_end::abandoned;
            }
            break;
          default: return call_end::over;
        }
      }
      this->corrupt();
      return call_end::over;
    }
    /// Frees the place of a call that has an outcome. False: it is not that of this call.
    bool release(const call_ticket& what) noexcept {
      word seen;
      switch (look_at(what, seen)) {
        case call_progress::answered:
        case call_progress::refused:
        case call_progress::lost:
          // Only this client changes such a word.
          return this->change(what.index, seen, {seen.generation, 0, 0, 0, false, state::free});
        default: return false;
      }
    }

   private:
    call_progress look_at(const call_ticket& what, word& seen) const noexcept {
      seen = this->look(what.index);
      if (seen.generation != what.word.generation || seen.client != this->owner_) return call_progress::corrupted;
      switch (seen.state) {
        case state::writing:
        case state::ready: return call_progress::waiting;
        case state::taken: return seen.server != 0 ? call_progress::taken : call_progress::corrupted;
        case state::answered: return call_progress::answered;
        case state::refused: return call_progress::refused;
        case state::lost: return call_progress::lost;
        case state::free:
        case state::abandoned: break;
      }
      return call_progress::corrupted;
    }

    template <class Take>
    attempt find_free(Take take) noexcept {
      const std::uint64_t count = this->places_.count();
      std::uint64_t index = this->control_->tail.load(std::memory_order_relaxed) % count;
      for (std::uint64_t looks = 0; looks != count; ++looks) {
        const word seen = this->look(index);
        if (seen.state == state::free && take(index, seen)) return attempt::done;
        if (++index == count) index = 0;
      }
      return attempt::would_block;
    }
  };

  /// A server's side.
  class server : public side {
   public:
    using side::side;

    /// Takes a call, the oldest first, roughly. One whose deadline has passed is left to its client.
    attempt take(call_ticket& what, std::uint64_t& deadline) noexcept {
      return find_ready([&](std::uint64_t index, const word& seen, std::uint64_t until) {
        const word taken = seen.taken_by(this->owner_);
        if (!this->change(index, seen, taken)) return false;
        what = {index, taken};
        deadline = until;
        this->control_->head.store(index + 1, std::memory_order_relaxed);
        return true;
      });
    }
    bool readable() noexcept {
      return find_ready([](std::uint64_t, const word&, std::uint64_t) { return true; }) != attempt::would_block;
    }

    /// The reply, or the error code, is written: `outcome` is answered or refused. False: it is too late, since the call
    /// was abandoned; its place is free now.
    bool answer(const call_ticket& what, state outcome) noexcept {
      const word& w = what.word;
      if (this->change(what.index, w, {w.generation, w.client, 0, w.deliveries, w.again, outcome})) return true;
      free_abandoned(what);
      return false;
    }
    /// The call ends without an answer. The state that it has then: lost, ready (for any server), or free.
    state drop(const call_ticket& what) noexcept {
      const word next = without_server(what.word, this->memory_.max_deliveries);
      if (!this->change(what.index, what.word, next)) {
        free_abandoned(what);
        return state::free;
      }
      // A server that is killed before this line is recovered, and recover() counts it.
      if (next.state == state::ready) this->control_->news.fetch_add(1, ordered);
      return next.state;
    }
    /// The call goes back, as if this server had never had it. The state that it has then: ready, or free.
    state give_back(const call_ticket& what) noexcept {
      const word& w = what.word;
      // 255 stands for any greater number, too.
      const auto before = static_cast<std::uint8_t>(w.deliveries == 255 ? 255 : w.deliveries - 1);
      if (!this->change(what.index, w, {w.generation, w.client, 0, before, w.again, state::ready})) {
        free_abandoned(what);
        return state::free;
      }
      this->control_->news.fetch_add(1, ordered);  // as in drop()
      return state::ready;
    }
    /// Whether its client has abandoned it.
    bool is_abandoned(const call_ticket& what) const noexcept {
      return this->look(what.index).bits() != what.word.bits();
    }

    /// How many of the calls that this server has were abandoned; a snapshot.
    std::size_t abandoned() const noexcept {
      std::size_t count = 0;
      for (std::uint64_t i = 0; i != this->places_.count(); ++i) {
        const word seen = this->look(i);
        count += seen.state == state::abandoned && seen.server == this->owner_;
      }
      return count;
    }

   private:
    void free_abandoned(const call_ticket& what) noexcept {
      const word& w = what.word;
      // Otherwise another process has written nonsense, and its place is lost.
      this->change(what.index, {w.generation, 0, w.server, w.deliveries, false, state::abandoned},
                   {w.generation, 0, 0, 0, false, state::free});
    }

    template <class Take>
    attempt find_ready(Take take) noexcept {
      if (this->corrupted_) return attempt::corrupted;
      // Read before the words: what becomes ready later is counted later. Pairs with submit(), drop(), give_back() and recover().
      const std::uint64_t news = this->control_->news.load(ordered);
      if (news == seen_news_ && !first_look_) return attempt::would_block;
      const std::uint64_t count = this->places_.count();
      std::uint64_t index = this->control_->head.load(std::memory_order_relaxed) % count;
      std::uint64_t now = 0;
      for (std::uint64_t looks = 0; looks != count; ++looks) {
        const word seen = this->look(index);
        if (seen.state == state::ready) {
          if (seen.client == 0 || seen.client > this->participants_) return this->corrupt();
          // Counts only if the word is still the same when it is taken.
          const std::uint64_t deadline = this->places_.at(index).deadline.load(std::memory_order_relaxed);
          if (deadline != 0 && now == 0) now = call_time(std::chrono::steady_clock::now());
          if ((deadline == 0 || now < deadline) && take(index, seen, deadline)) return attempt::done;
        }
        if (++index == count) index = 0;
      }
      seen_news_ = news;
      first_look_ = false;
      return attempt::would_block;
    }

    std::uint64_t seen_news_ = 0;  // at the last look in vain
    bool first_look_ = true;
  };

  static void construct(const ring_memory& memory) noexcept {
    new (memory.at) control{};
    Places(memory).construct();
  }
  /// A call ends with its client.
  static bool drained(const ring_memory&) noexcept { return true; }
  /// Repeats itself harmlessly: each place is changed at once.
  static void recover(const ring_memory& memory, std::size_t owner) noexcept {
    const Places places(memory);
    const auto number = static_cast<std::uint8_t>(owner + 1);
    for (std::uint64_t index = 0; index != places.count(); ++index) {
      for (int i = 0; i != most_tries; ++i) {
        const word seen = look(places, index);
        word next = seen;
        if (seen.client == number) {
          next = seen.state == state::taken ? word{seen.generation, 0, seen.server, seen.deliveries, false, state::abandoned}
                                            : word{seen.generation, 0, 0, 0, false, state::free};
        } else if (seen.server == number) {
          if (seen.state == state::taken) next = without_server(seen, memory.max_deliveries);
          if (seen.state == state::abandoned) next = word{seen.generation, 0, 0, 0, false, state::free};
        }
        if (next.bits() == seen.bits() || change(places, index, seen, next)) break;
      }
    }
    // Pairs with find_ready(): some calls may be ready again.
    control_of(memory).news.fetch_add(1, ordered);
  }
};

}  // namespace belfry::detail
