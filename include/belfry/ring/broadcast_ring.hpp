// One producer, many consumers; every consumer receives every value.
#pragma once

#include <belfry/detail/ring/broadcast.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/ring/type_fingerprint.hpp>
#include <belfry/shareable.hpp>

#include <cstddef>
#include <cstdint>

namespace belfry {

/// What happens when a consumer of a broadcast_ring has fallen a whole ring behind.
enum class overflow : std::uint64_t {
  block,      ///< the producer waits for that consumer
  overwrite,  ///< that consumer loses the oldest values, and is told so
};

/// A stream that every consumer receives completely.
///
///     struct item { std::uint64_t id; std::array<char, 48> what; };
///     using news = belfry::channel<belfry::broadcast_ring<item, 1024, belfry::overflow::block>>;
///
/// Up to 63 consumers, or more with `channel_options::participants`, each with its own position in the stream.
///
/// `block`: the producer waits while the slowest live consumer is `N` values behind. A consumer that is dead,
/// or has left, does not hold the producer back.
///
/// `overwrite`: a send never waits and never fails, and costs the same with any number of consumers. A
/// consumer that was lapped gets `errc::lagged` once, with the number of values that it lost. It continues
/// N/8 values after the oldest that is left: at the oldest it would be lapped again at once.
///
/// When a process is killed, every value already sent stays whole. A successor of the producer continues
/// after the last of them. Without consumers the producer does not wait; the newest `N` values stay for a
/// consumer that joins with `start::oldest`. While consumers hold the producer back, `start::oldest` begins
/// at the oldest value that the producer knew a consumer to need.
///
/// The ring trusts no process: whatever a process writes over it, a receive gives some value or
/// `errc::corrupted`, and accesses nothing outside the ring.
template <class T, std::size_t N, overflow Mode = overflow::block>
class broadcast_ring {
  static_assert(detail::can_be_sent<T>());
  static_assert(N > 0 && N <= (std::size_t{1} << 24));

  using algorithm = detail::broadcast_algorithm<detail::typed_places<T, N>, Mode == overflow::block>;
  using place = detail::worded_place<T>;

 public:
  using value_type = T;
  using sendable = T;
  using received = T;
  /// The producer's side, and a consumer's.
  using writer = typename algorithm::writer;
  using reader = typename algorithm::reader;

  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::broadcast,
      .most = {.producers = 1, .consumers = layout::max_participants - 1},
      .value_bytes = sizeof(T),
      .value_align = alignof(T),
      .type = &detail::description_of<T>,
      .type_fingerprint = type_fingerprint<T>(),
      .abi_fingerprint = static_cast<std::uint64_t>(Mode),
      .align = layout::cache_line,
      .capacity = [](std::uint64_t) -> std::uint64_t { return N; },
      .layout =
          [](const detail::ring_size& size) {
            const std::uint64_t first = algorithm::first_place(size.participants);
            return detail::ring_layout{
                .bytes = first + N * sizeof(place),
                .places = {.places = N, .first = first, .stride = sizeof(place), .value = offsetof(place, value)}};
          },
      .construct = algorithm::construct,
      .drained = algorithm::drained,
      .recover = algorithm::recover,
      .never_full = Mode == overflow::overwrite,
      .overwrites = Mode == overflow::overwrite,
      .chosen_seats = true,
  };
};

}  // namespace belfry
