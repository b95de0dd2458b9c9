#include "../platform/machine.hpp"

#include <belfry/ring/byte_ring.hpp>

#include <bit>

namespace belfry {

std::uint64_t byte_ring::capacity_for(std::uint64_t wish) {
  if (wish == 0) wish = default_capacity;
  if (wish > max_capacity) return 0;
  const std::uint64_t page = platform::mapping_granularity();
  return std::bit_ceil(wish < page ? page : wish);
}

detail::ring_layout byte_ring::layout_for(const detail::ring_size& size) {
  const std::uint64_t page = platform::mapping_granularity();
  const std::uint64_t end = size.offset + sizeof(layout::byte_ring_control);
  const std::uint64_t data = (end + page - 1) / page * page - size.offset;
  return {.bytes = data + size.capacity, .mirrored = size.capacity, .places = {.first = data}};
}

}  // namespace belfry
