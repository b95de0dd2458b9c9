// One producer, one consumer, values of one type, copied.
#pragma once

#include <belfry/detail/layout/queue_layout.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/ring/type_fingerprint.hpp>
#include <belfry/shareable.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

namespace belfry {

/// `boost::lockfree::spsc_queue<T, capacity<N>>` in shared memory: a ring of `N` values.
///
///     struct tick { std::uint64_t seq; double price; };
///     using ticks = belfry::channel<belfry::spsc_ring<tick, 4096>>;
///
/// Every value that was sent and not received is there for the next consumer, whichever process was killed: a
/// value becomes sent, or received, with the single store of an index that ends the operation.
///
/// The queue is Boost's, and it trusts its peer: a process that overwrites the indices can make the other one
/// read or write outside the ring. Use `byte_ring` between processes that do not trust each other. The layout
/// is Boost's too. It is found at run time and enters the ABI fingerprint: programs with different versions
/// of Boost share a ring if both versions lay out the queue alike; otherwise joining fails with
/// `incompatible`.
template <class T, std::size_t N>
class spsc_ring {
  static_assert(detail::can_be_sent<T>());
  static_assert(N > 0);
  static_assert(alignof(T) <= 128, "boost::lockfree aligns its storage to no more");

  using attempt = detail::attempt;
  using ring_memory = detail::ring_memory;
  using queue = detail::boost_queue<T, N>;

  static queue* at(const ring_memory& memory) noexcept {
    return std::launder(reinterpret_cast<queue*>(memory.at));
  }

  // The positions of the queue's indices and values.
  using index = std::atomic<std::size_t>;
  static_assert(index::is_always_lock_free);
  static const detail::queue_layout& inside() { return detail::layout_of_queue<T, N>(); }
  static index* written(const ring_memory& memory) {
    return std::launder(reinterpret_cast<index*>(memory.at + inside().written));
  }
  static index* read(const ring_memory& memory) {
    return std::launder(reinterpret_cast<index*>(memory.at + inside().read));
  }
  static T* values(const ring_memory& memory) {
    return reinterpret_cast<T*>(memory.at + inside().values);
  }
  // The queue has one place more than it can hold values.
  static std::size_t until_end(std::size_t i) noexcept { return N + 1 - i; }
  static std::size_t after(std::size_t i, std::size_t count) noexcept {
    return count < until_end(i) ? i + count : count - until_end(i);
  }
  static std::size_t distance(std::size_t from, std::size_t to) noexcept {
    return to >= from ? to - from : until_end(from) + to;
  }

 public:
  using value_type = T;
  using sendable = T;
  using received = T;

  // The queue's own push and pop read both indices every time. The other side's index has to come from
  // another core's cache; often so has our own, because the other side has just read it. Here each side keeps
  // a private copy of its own index, and reads the other one only when the room or the values known from the
  // last read are used up.

  /// The producer's side.
  class writer {
   public:
    writer(const ring_memory& memory, std::size_t)
        : index_(written(memory)),
          opposite_(read(memory)),
          values_(values(memory)),
          next_(index_->load(std::memory_order_relaxed)) {}  // where the previous producer stopped

    attempt push(const T& value) noexcept {
      if (room_ == 0 && (room_ = room()) == 0) return attempt::would_block;
      new (values_ + next_) T(value);
      publish(1);
      return attempt::done;
    }
    attempt push_n(std::span<const T> values, std::size_t& pushed) noexcept {
      if (room_ < values.size()) room_ = room();
      pushed = std::min(values.size(), room_);
      const std::size_t first = std::min(pushed, until_end(next_));
      std::uninitialized_copy_n(values.data(), first, values_ + next_);
      std::uninitialized_copy_n(values.data() + first, pushed - first, values_);
      if (pushed != 0) publish(pushed);
      return pushed == values.size() ? attempt::done : attempt::would_block;
    }
    bool writable() const noexcept { return room_ != 0 || room() != 0; }
    bool corrupted() const noexcept { return false; }  // it trusts its peer
    std::size_t size() const noexcept { return N - room(); }

   private:
    std::size_t room() const noexcept {
      // Pairs with the release in reader::release(): we may overwrite what was read.
      return N - distance(opposite_->load(std::memory_order_acquire), next_);
    }
    void publish(std::size_t count) noexcept {
      next_ = after(next_, count);
      room_ -= count;
      // Pairs with the acquire in reader::there().
      index_->store(next_, std::memory_order_release);
    }

    index* index_;
    const index* opposite_;
    T* values_;
    std::size_t next_;
    std::size_t room_ = 0;  // there is at least this much room
  };

  /// The consumer's side.
  class reader {
   public:
    reader(const ring_memory& memory, std::size_t, start)
        : index_(read(memory)),
          opposite_(written(memory)),
          values_(values(memory)),
          next_(index_->load(std::memory_order_relaxed)) {}  // where the previous consumer stopped

    attempt pop(T& value) noexcept {
      if (!readable()) return attempt::would_block;
      value = values_[next_];
      release(1);
      return attempt::done;
    }
    attempt pop_n(std::span<T> values, std::size_t& popped) noexcept {
      if (there_ < values.size()) there_ = there();
      popped = std::min(values.size(), there_);
      const std::size_t first = std::min(popped, until_end(next_));
      std::copy_n(values_ + next_, first, values.data());
      std::copy_n(values_, popped - first, values.data() + first);
      if (popped != 0) release(popped);
      return popped == values.size() ? attempt::done : attempt::would_block;
    }
    bool readable() noexcept {
      if (there_ != 0 || (there_ = there()) != 0) return true;
      // For a consumer that polls: fetches the value's cache line while the index is still on its way.
      __builtin_prefetch(values_ + next_);
      return false;
    }
    bool corrupted() const noexcept { return false; }
    std::size_t size() const noexcept { return there(); }
    void leave() noexcept {}

   private:
    std::size_t there() const noexcept {
      // Pairs with the release in writer::publish(): a reader that sees the index sees the values.
      return distance(next_, opposite_->load(std::memory_order_acquire));
    }
    void release(std::size_t count) noexcept {
      next_ = after(next_, count);
      there_ -= count;
      // Pairs with the acquire in writer::room().
      index_->store(next_, std::memory_order_release);
    }

    index* index_;
    const index* opposite_;
    T* values_;
    std::size_t next_;
    std::size_t there_ = 0;  // there are at least this many values
  };

  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::spsc,
      .most = {.producers = 1, .consumers = 1},
      .value_bytes = sizeof(T),
      .value_align = alignof(T),
      .type = &detail::description_of<T>,
      .type_fingerprint = type_fingerprint<T>(),
      .abi_fingerprint = detail::mix(detail::mix(0, sizeof(queue)), alignof(queue)),
      .align = alignof(queue) > layout::cache_line ? alignof(queue) : layout::cache_line,
      .capacity = [](std::uint64_t) -> std::uint64_t { return N; },
      .layout =
          [](std::uint64_t, std::size_t, std::uint64_t) {
            return detail::ring_layout{.bytes = sizeof(queue),
                                       .places = {.places = N + 1,
                                                  .first = inside().values,
                                                  .stride = sizeof(T),
                                                  .value = 0,
                                                  .written = inside().written,
                                                  .read = inside().read}};
          },
      .construct = [](const ring_memory& memory) { new (memory.at) queue; },
      .drained = [](const ring_memory& memory) { return at(memory)->empty(); },
      .recover = [](const ring_memory&,
                    std::size_t) {},  // an unfinished operation leaves no trace
      .library_layout = []() -> std::uint64_t {
        const detail::queue_layout& q = inside();
        return q.known ? detail::mix(detail::mix(detail::mix(1, q.written), q.read), q.values) : 0;
      },
  };
};

}  // namespace belfry
