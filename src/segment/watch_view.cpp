#include <belfry/detail/layout/watch_view.hpp>

#include <chrono>
#include <new>

namespace belfry::detail {
namespace {

/// Higher than all versions of an earlier companion: no block changes once a nanosecond.
std::uint64_t first_version() noexcept {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(since_1970).count());
}

}  // namespace

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
    .construct =
        [](const ring_memory& memory) {
          auto* const state = new (memory.at) layout::watch_state{};
          const std::uint64_t first = first_version();
          state->changes[0].store(first, std::memory_order_relaxed);
          state->whole[0].store(first, std::memory_order_relaxed);
        },
    // Dirty: the death of a transaction's holder is still to be reported.
    .drained = [](const ring_memory& memory) { return !watch_view(memory).is_dirty(); },
    .recover = [](const ring_memory& memory,
                  std::size_t slot) { watch_view(memory).recover(slot); },
};

}  // namespace belfry::detail
