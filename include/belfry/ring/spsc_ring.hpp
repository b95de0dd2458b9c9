// One producer, one consumer, values of one type, copied.
#pragma once

#include <belfry/detail/layout/queue_layout.hpp>
#include <belfry/detail/ring/spsc.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/ring/type_fingerprint.hpp>
#include <belfry/shareable.hpp>

#include <cstddef>
#include <cstdint>
#include <new>

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

  using ring_memory = detail::ring_memory;
  using queue = detail::boost_queue<T, N>;

  static queue* at(const ring_memory& memory) noexcept {
    return std::launder(reinterpret_cast<queue*>(memory.at));
  }

  /// The positions of the queue's indices and values. It has one place more than it can hold values.
  static const detail::queue_layout& inside() { return detail::layout_of_queue<T, N>(); }
  class places : public detail::typed_objects<T, N + 1> {
   public:
    explicit places(const ring_memory& memory)
        : detail::typed_objects<T, N + 1>(memory, inside().values),
          written_(memory.at + inside().written),
          read_(memory.at + inside().read) {}
    std::byte* written() const noexcept { return written_; }
    std::byte* read() const noexcept { return read_; }

   private:
    std::byte* written_;
    std::byte* read_;
  };
  using algorithm = detail::spsc_algorithm<places>;

 public:
  using value_type = T;
  using sendable = T;
  using received = T;
  /// The producer's side, and the consumer's.
  using writer = typename algorithm::writer;
  using reader = typename algorithm::reader;

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
          [](const detail::ring_size&) {
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
      .recover = algorithm::recover,
      .library_layout = []() -> std::uint64_t {
        const detail::queue_layout& q = inside();
        return q.known ? detail::mix(detail::mix(detail::mix(1, q.written), q.read), q.values) : 0;
      },
  };
};

}  // namespace belfry
