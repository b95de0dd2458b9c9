#include "../platform/machine.hpp"

#include <belfry/ring/byte_ring.hpp>

#include <new>

namespace belfry {

constinit const detail::ring_traits byte_ring::traits{
    .kind = layout::ring_kind::byte,
    .producers = 1,
    .consumers = 1,
    .value_bytes = 0,
    .value_align = alignof(layout::record_header),
    .type_fingerprint = 0,
    .abi_fingerprint = 0,
    .align = alignof(layout::byte_ring_control),
    .capacity = [](std::uint64_t wish) -> std::uint64_t {
      if (wish == 0) wish = default_capacity;
      if (wish > max_capacity) return 0;
      const std::uint64_t page = platform::page_size();
      return std::bit_ceil(wish < page ? page : wish);
    },
    .layout =
        [](std::uint64_t capacity, std::uint64_t ring_offset) {
          const std::uint64_t page = platform::page_size();
          const std::uint64_t end = ring_offset + sizeof(layout::byte_ring_control);
          const std::uint64_t data_offset = (end + page - 1) / page * page;
          return detail::ring_layout{data_offset - ring_offset + capacity, capacity};
        },
    .construct = [](const ring_memory& memory) { new (memory.at) layout::byte_ring_control{}; },
    .drained =
        [](const ring_memory& memory) {
          return control(memory)->tail.load(std::memory_order_relaxed) ==
                 control(memory)->head.load(std::memory_order_relaxed);
        },
    .recover = [](const ring_memory&, std::size_t) {},  // an unfinished operation has changed nothing visible
    .chosen_capacity = true,
};

}  // namespace belfry
