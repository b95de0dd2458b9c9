#include "../platform/machine.hpp"

#include <belfry/ring/byte_ring.hpp>

#include <bit>

namespace belfry {

std::uint64_t byte_ring::capacity_for(std::uint64_t wish) {
  if (wish == 0) wish = default_capacity;
  if (wish > max_capacity) return 0;
  const std::uint64_t page = platform::page_size();
  return std::bit_ceil(wish < page ? page : wish);
}

detail::ring_layout byte_ring::layout_for(std::uint64_t capacity, std::size_t, std::uint64_t ring_offset) {
  const std::uint64_t page = platform::page_size();
  const std::uint64_t end = ring_offset + sizeof(layout::byte_ring_control);
  const std::uint64_t data = (end + page - 1) / page * page - ring_offset;
  return {.bytes = data + capacity, .mirrored = capacity, .places = {.first = data}};
}

}  // namespace belfry
