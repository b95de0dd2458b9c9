#include <belfry/detail/watch_view.hpp>

#include <new>

namespace belfry::detail {

constinit const ring_traits watch_view::traits{
    .kind = layout::ring_kind::watch,
    .producers = 0,
    .consumers = layout::max_participants,
    .value_bytes = 0,
    .value_align = alignof(layout::watch_state),
    .type_fingerprint = 0,
    .abi_fingerprint = 0,
    .align = layout::cache_line,
    .capacity = [](std::uint64_t) -> std::uint64_t { return layout::watch_state::max_elements; },
    .layout =
        [](std::uint64_t, std::uint64_t) {
          return ring_layout{sizeof(layout::watch_state), 0};
        },
    .construct = [](const ring_memory& memory) { new (memory.at) layout::watch_state{}; },
    // A transaction that died is still to be told.
    .drained = [](const ring_memory& memory) { return !watch_view(memory).is_dirty(); },
    .recover = [](const ring_memory& memory,
                  std::size_t slot) { watch_view(memory).recover(slot); },
};

}  // namespace belfry::detail
