// One producer, one consumer, values of one type, copied.
#pragma once

#include <belfry/ring/ring.hpp>
#include <belfry/ring/type_fingerprint.hpp>

#include <boost/lockfree/policies.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <boost/version.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

namespace belfry {

/// `boost::lockfree::spsc_queue<T, capacity<N>>` in shared memory: a ring of `N` values.
///
///     struct tick { std::uint64_t seq; double price; };
///     using ticks = belfry::channel<belfry::spsc_ring<tick, 4096>>;
///
/// Everything that was sent and not received is there for the next consumer, whoever was killed: a
/// value counts as sent, or as received, with the one store of an index that ends the operation.
///
/// The queue is the library's, and it trusts its peer: a process that scribbles over the indices can
/// make the other read or write outside the ring. Use `byte_ring` between processes that do not
/// trust each other. Its layout is the library's too, and enters the ABI fingerprint.
template <class T, std::size_t N>
class spsc_ring {
  static_assert(std::is_trivially_copyable_v<T>,
                "a value is shared with other processes as its bytes");
  static_assert(std::is_default_constructible_v<T>, "a failed receive completes with T{}");
  static_assert(N > 0);
  static_assert(alignof(T) <= 128, "boost::lockfree aligns its storage to no more");

  using queue = boost::lockfree::spsc_queue<T, boost::lockfree::capacity<N>>;

  static queue* at(const ring_memory& memory) noexcept {
    return std::launder(reinterpret_cast<queue*>(memory.at));
  }

  using index = boost::lockfree::detail::atomic<std::size_t>;

  /// Never made: it has access to what the queue keeps for its heirs.
  struct heir : queue {
    static index& written(queue& q) noexcept { return q.*(&heir::write_index_); }
    static index& read(queue& q) noexcept { return q.*(&heir::read_index_); }
  };
  static T* values(queue& q) {
    static const std::ptrdiff_t offset = [] {  // the same for every capacity
      const auto other =
          std::make_unique<boost::lockfree::spsc_queue<T, boost::lockfree::capacity<1>>>();
      other->push(T{});
      const auto* const begin = reinterpret_cast<const std::byte*>(other.get());
      return reinterpret_cast<const std::byte*>(&other->front()) - begin;
    }();
    return reinterpret_cast<T*>(reinterpret_cast<std::byte*>(&q) + offset);
  }
  static std::size_t next(std::size_t i) noexcept { return i == N ? 0 : i + 1; }

 public:
  using value_type = T;
  using sendable = T;
  using received = T;

  static constexpr std::size_t max_capacity = N;

  // The queue's own push and pop of one value read the index of the other side every time, which is a
  // cache line's way between two cores for every value. Here it is read when what was seen of it
  // last is used up.

  /// The producer's side.
  class writer {
   public:
    explicit writer(const ring_memory& memory)
        : queue_(at(memory)), index_(&heir::written(*queue_)), values_(values(*queue_)) {}

    attempt push(const T& value) noexcept {
      if (room_ == 0 && (room_ = queue_->write_available()) == 0) return attempt::would_block;
      const std::size_t i = index_->load(std::memory_order_relaxed);
      new (values_ + i) T(value);
      // Who sees the index sees the value. Pairs with the acquire in read_available().
      index_->store(next(i), std::memory_order_release);
      --room_;
      return attempt::done;
    }
    attempt push_n(std::span<const T> values, std::size_t& pushed) noexcept {
      pushed = queue_->push(values.data(), values.size());
      room_ = 0;
      return pushed == values.size() ? attempt::done : attempt::would_block;
    }
    bool writable() const noexcept { return room_ != 0 || queue_->write_available() != 0; }
    bool corrupted() const noexcept { return false; }  // it trusts its peer
    std::size_t size() const noexcept { return N - queue_->write_available(); }

   private:
    queue* queue_;
    index* index_;
    T* values_;
    std::size_t room_ = 0;  // at least so much
  };

  /// The consumer's side.
  class reader {
   public:
    explicit reader(const ring_memory& memory)
        : queue_(at(memory)), index_(&heir::read(*queue_)), values_(values(*queue_)) {}

    attempt pop(T& value) noexcept {
      const std::size_t i = index_->load(std::memory_order_relaxed);
      if (there_ == 0 && (there_ = queue_->read_available()) == 0) {
        // Who polls has the value's cache line on its way when the index that tells of it arrives.
        __builtin_prefetch(values_ + i);
        return attempt::would_block;
      }
      value = values_[i];
      // Who sees the index may write the value. Pairs with the acquire in write_available().
      index_->store(next(i), std::memory_order_release);
      --there_;
      return attempt::done;
    }
    attempt pop_n(std::span<T> values, std::size_t& popped) noexcept {
      popped = queue_->pop(values.data(), values.size());
      there_ = 0;
      return popped == values.size() ? attempt::done : attempt::would_block;
    }
    bool readable() const noexcept { return there_ != 0 || queue_->read_available() != 0; }
    bool corrupted() const noexcept { return false; }
    std::size_t size() const noexcept { return queue_->read_available(); }

   private:
    queue* queue_;
    index* index_;
    T* values_;
    std::size_t there_ = 0;  // at least so many
  };

  static constexpr ring_traits traits{
      .kind = layout::ring_kind::spsc,
      .producers = 1,
      .consumers = 1,
      .value_bytes = sizeof(T),
      .value_align = alignof(T),
      .type_fingerprint = type_fingerprint<T>(),
      .abi_fingerprint =
          detail::mix(detail::mix(detail::mix(0, BOOST_VERSION), sizeof(queue)), alignof(queue)),
      .align = alignof(queue) > layout::cache_line ? alignof(queue) : layout::cache_line,
      .capacity = [](std::uint64_t) -> std::uint64_t { return N; },
      .layout =
          [](std::uint64_t, std::uint64_t) {
            return ring_layout{sizeof(queue), 0};
          },
      .construct = [](const ring_memory& memory) { new (memory.at) queue; },
      .drained = [](const ring_memory& memory) { return at(memory)->empty(); },
      .recover = [](const ring_memory&,
                    std::size_t) {},  // an unfinished operation has left no trace
  };
};

}  // namespace belfry
