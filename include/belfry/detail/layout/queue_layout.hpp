// Where Boost's queue keeps its indices and values.
#pragma once

#include <belfry/detail/base/api.hpp>

#include <cstddef>

namespace belfry::detail {

/// Offsets into a `boost::lockfree::spsc_queue<T, capacity<N>>`. Its members are private to Boost, and their order differs
/// between versions.
struct queue_layout {
  std::size_t written = 0;  // the index of the place that is written next; both are 0 at first
  std::size_t read = 0;     // the index of the place that is read next
  std::size_t values = 0;   // the places: one more than the queue can hold
  std::size_t align = 1;    // of the queue
  bool known = false;       // false: spsc_ring cannot tell how this queue keeps its indices

  /// The size of a queue with so many bytes in its places.
  constexpr std::size_t bytes(std::size_t of_values) const noexcept {
    return (values + of_values + align - 1) / align * align;
  }
  friend constexpr bool operator==(const queue_layout&, const queue_layout&) noexcept = default;
};

inline constexpr std::size_t max_queue_align = 128;  // Boost aligns its places to no more

/// Of a queue whose values have this alignment, at most max_queue_align; their size and number make no difference. The
/// library has observed it, once, with the Boost that it was built with. So a program that uses an spsc_ring needs no
/// Boost.Lockfree, and may have another one.
BELFRY_API const queue_layout& layout_of_queue(std::size_t value_align);

}  // namespace belfry::detail
