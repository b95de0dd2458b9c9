#include "../base/clock.hpp"

#include <belfry/detail/layout/watch_view.hpp>

#include <new>

namespace belfry::detail {

constinit const ring_traits watch_view::traits{
    .kind = layout::ring_kind::watch,
    .most = {.producers = 0, .consumers = layout::watch_state::participants},
    .value_bytes = 0,
    .value_align = alignof(layout::watch_state),
    .type_fingerprint = 0,
    .abi_fingerprint = 0,
    .align = layout::cache_line,
    .capacity = [](std::uint64_t) -> std::uint64_t { return layout::watch_state::max_elements; },
    .layout =
        [](const ring_size&) {
          return ring_layout{.bytes = sizeof(layout::watch_state)};
        },
    .construct =
        [](const ring_memory& memory) {
          auto* const state = new (memory.at) layout::watch_state{};
          // Higher than all versions of an earlier companion: no block changes once a nanosecond.
          const std::uint64_t first = now_since_1970();
          state->changes[0].store(first, std::memory_order_relaxed);
          state->whole[0].store(first, std::memory_order_relaxed);
        },
    // Dirty: the death of a transaction's holder is still to be reported.
    .drained = [](const ring_memory& memory) { return !watch_view(memory).is_dirty(); },
    .recover = [](const ring_memory& memory,
                  std::size_t slot) { watch_view(memory).recover(slot); },
};

}  // namespace belfry::detail
