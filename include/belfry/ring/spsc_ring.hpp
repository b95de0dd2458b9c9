// One producer, one consumer, values of one type, copied.
#pragma once

#include <belfry/ring/ring.hpp>
#include <belfry/ring/type_fingerprint.hpp>

#include <boost/lockfree/policies.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <boost/version.hpp>

#include <cstddef>
#include <cstdint>
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

 public:
  using value_type = T;
  using sendable = T;
  using received = T;

  static constexpr std::size_t max_capacity = N;

  /// The producer's side.
  class writer {
   public:
    explicit writer(const ring_memory& memory) : queue_(at(memory)) {}

    attempt push(const T& value) noexcept {
      if (!queue_->push(value)) return attempt::would_block;
      // The next push will read the consumer's index, which lies a cache line behind ours. Its way
      // here is as long as the fence that follows: let them go together.
      __builtin_prefetch(reinterpret_cast<const std::byte*>(queue_) + layout::cache_line);
      return attempt::done;
    }
    attempt push_n(std::span<const T> values, std::size_t& pushed) noexcept {
      pushed = queue_->push(values.data(), values.size());
      return pushed == values.size() ? attempt::done : attempt::would_block;
    }
    bool writable() const noexcept { return queue_->write_available() != 0; }
    bool corrupted() const noexcept { return false; }  // it trusts its peer
    std::size_t size() const noexcept { return N - queue_->write_available(); }

   private:
    queue* queue_;
  };

  /// The consumer's side.
  class reader {
   public:
    explicit reader(const ring_memory& memory) : queue_(at(memory)) {}

    attempt pop(T& value) noexcept {
      const auto take = [&](const T& next) {
        value = next;
        next_ = reinterpret_cast<std::uintptr_t>(&next + 1);
      };
      if (queue_->consume_one(take)) return attempt::done;
      // Who polls has the value's cache line on its way when the index that tells of it arrives.
      __builtin_prefetch(reinterpret_cast<const void*>(next_));
      return attempt::would_block;
    }
    attempt pop_n(std::span<T> values, std::size_t& popped) noexcept {
      popped = queue_->pop(values.data(), values.size());
      return popped == values.size() ? attempt::done : attempt::would_block;
    }
    bool readable() const noexcept { return queue_->read_available() != 0; }
    bool corrupted() const noexcept { return false; }
    std::size_t size() const noexcept { return queue_->read_available(); }

   private:
    queue* queue_;
    std::uintptr_t next_ = 0;  // where the next value will lie, but at the ring's end
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
