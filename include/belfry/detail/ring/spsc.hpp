// The algorithm of spsc_ring: that of boost::lockfree::spsc_queue, on its bytes.
//
// The queue's own push and pop read both indices every time. The other side's index has to come from another core's
// cache; often so has our own, because the other side has just read it. Here each side keeps a private copy of its own
// index, and reads the other one only when the room or the values known from the last read are used up.
#pragma once

#include <belfry/detail/ring/places.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

namespace belfry::detail {

/// `Places` also tells where the queue's indices are. If it is `checked`, no index leads outside of the places, and one
/// that would is found to be corrupted; otherwise the peer is trusted.
template <class Places>
class spsc_algorithm {
  using sendable = typename Places::sendable;
  using received = typename Places::received;
  using index = std::atomic<std::size_t>;
  static_assert(index::is_always_lock_free);

  /// Common to both sides: the places, the side's own index, and the other one's.
  class side {
   public:
    side(const Places& places, std::byte* own, std::byte* opposite) noexcept
        : places_(places),
          index_(std::launder(reinterpret_cast<index*>(own))),
          opposite_(std::launder(reinterpret_cast<index*>(opposite))),
          next_(load(*index_, std::memory_order_relaxed)) {}  // where its predecessor stopped; see ring_traits

    bool corrupted() const noexcept { return Places::checked && corrupted_; }
    /// How many values this side's owners have passed that none of them has counted, of which `counted` were: each of
    /// them counts what it has passed, and could be killed in between. Known because a new owner counts them first, and
    /// one call passes fewer values than there are places.
    std::uint64_t uncounted(std::uint64_t counted) const noexcept {
      return distance(static_cast<std::size_t>(counted % places_.count()), next_);
    }

   protected:
    // The queue has one place more than it can hold values.
    std::size_t room_of_all() const noexcept { return places_.count() - 1; }
    std::size_t until_end(std::size_t i) const noexcept { return places_.count() - i; }
    std::size_t after(std::size_t i, std::size_t count) const noexcept {
      return count < until_end(i) ? i + count : count - until_end(i);
    }
    std::size_t distance(std::size_t from, std::size_t to) const noexcept {
      return to >= from ? to - from : until_end(from) + to;
    }
    /// An index that the peer may have written.
    std::size_t load(const index& from, std::memory_order order) noexcept {
      const std::size_t i = from.load(order);
      if constexpr (Places::checked) {
        if (i >= places_.count()) [[unlikely]] {
          corrupted_ = true;
          return 0;
        }
      }
      return i;
    }
    std::size_t opposite() noexcept { return load(*opposite_, std::memory_order_acquire); }
    void advance(std::size_t count) noexcept {
      next_ = after(next_, count);
      index_->store(next_, std::memory_order_release);
    }
    /// The answer where there is no room, or no value.
    attempt refusal() const noexcept { return corrupted() ? attempt::corrupted : attempt::would_block; }

    Places places_;
    bool corrupted_ = false;
    index* index_;
    const index* opposite_;
    std::size_t next_;
  };

 public:
  /// The producer's side.
  class writer : public side {
   public:
    writer(const ring_memory& memory, std::size_t) : writer(Places(memory)) {}

    attempt push(const sendable& value) noexcept {
      if (room_ == 0 && (room_ = room()) == 0) return this->refusal();
      this->places_.put(this->next_, value);
      publish(1);
      return attempt::done;
    }
    attempt push_n(std::span<const sendable> values, std::size_t& pushed) noexcept {
      if (room_ < values.size()) room_ = room();
      pushed = std::min(values.size(), room_);
      const std::size_t first = std::min(pushed, this->until_end(this->next_));
      this->places_.put_n(this->next_, values.first(first));
      this->places_.put_n(0, values.subspan(first, pushed - first));
      if (pushed != 0) publish(pushed);
      return pushed == values.size() ? attempt::done : this->refusal();
    }
    bool writable() noexcept { return room_ != 0 || room() != 0 || this->corrupted(); }
    std::size_t size() noexcept { return this->room_of_all() - room(); }

   private:
    explicit writer(const Places& places) : side(places, places.written(), places.read()) {}

    std::size_t room() noexcept {
      // Pairs with the release in reader::release(): we may overwrite what was read.
      const std::size_t read = this->opposite();
      return this->corrupted() ? 0 : this->room_of_all() - this->distance(read, this->next_);
    }
    /// Pairs with the acquire in reader::there().
    void publish(std::size_t count) noexcept {
      room_ -= count;
      this->advance(count);
    }

    std::size_t room_ = 0;  // there is at least this much room
  };

  /// The consumer's side.
  class reader : public side {
   public:
    reader(const ring_memory& memory, std::size_t, start) : reader(Places(memory)) {}

    attempt pop(received& value) noexcept {
      if (!has_any()) return this->refusal();
      this->places_.get(this->next_, value);
      release(1);
      return attempt::done;
    }
    attempt pop_n(std::span<received> values, std::size_t& popped) noexcept {
      if (there_ < values.size()) there_ = there();
      popped = std::min(values.size(), there_);
      const std::size_t first = std::min(popped, this->until_end(this->next_));
      this->places_.get_n(this->next_, values.first(first));
      this->places_.get_n(0, values.subspan(first, popped - first));
      if (popped != 0) release(popped);
      return popped == values.size() ? attempt::done : this->refusal();
    }
    bool readable() noexcept { return has_any() || this->corrupted(); }
    std::size_t size() noexcept { return there(); }
    void leave() noexcept {}

   private:
    explicit reader(const Places& places) : side(places, places.read(), places.written()) {}

    bool has_any() noexcept {
      if (there_ != 0 || (there_ = there()) != 0) return true;
      this->places_.prefetch(this->next_);
      return false;
    }
    std::size_t there() noexcept {
      // Pairs with the release in writer::publish(): a reader that sees the index sees the values.
      const std::size_t written = this->opposite();
      return this->corrupted() ? 0 : this->distance(this->next_, written);
    }
    /// Pairs with the acquire in writer::room().
    void release(std::size_t count) noexcept {
      there_ -= count;
      this->advance(count);
    }

   protected:
    std::size_t there_ = 0;  // there are at least this many values
  };

  /// A consumer's side that can read values and leave them in the ring: if it is killed, they are still there for the
  /// next consumer. They are released in order. pop() and pop_n(): only while none is held.
  class holding_reader : public reader {
   public:
    using reader::reader;

    attempt lease(received& value, lease_ticket& what) noexcept {
      if (!has_more()) return this->refusal();
      this->places_.get(this->after(this->next_, held_), value);
      what = {.lap = released_ + held_++, .deliveries = 1};
      return attempt::done;
    }
    /// Releases the value and all before it; how many that are. 0: it was released before.
    std::size_t release(const lease_ticket& what) noexcept {
      if (what.lap - released_ >= held_) return 0;
      const auto count = static_cast<std::size_t>(what.lap - released_) + 1;
      held_ -= count;
      released_ += count;
      this->there_ -= std::min(count, this->there_);
      this->advance(count);  // pairs with the acquire in writer::room()
      return count;
    }
    bool readable() noexcept { return has_more() || this->corrupted(); }
    std::size_t size() noexcept {
      const std::size_t all = reader::size();
      return all - std::min(all, held_);
    }
    /// How many values were read and not released.
    std::size_t held() const noexcept { return held_; }

   private:
    bool has_more() noexcept {
      if (this->there_ <= held_) this->there_ = reader::size();
      return this->there_ > held_;
    }

    std::size_t held_ = 0;
    std::uint64_t released_ = 0;  // while values were held
  };

  static bool drained(const ring_memory& memory) noexcept {
    const Places places(memory);
    const auto at = [](std::byte* i) {
      return std::launder(reinterpret_cast<index*>(i))->load(std::memory_order_relaxed);
    };
    return at(places.written()) == at(places.read());
  }
  static void recover(const ring_memory&, std::size_t) noexcept {}  // an unfinished operation leaves no trace
};

}  // namespace belfry::detail
