// One producer, many consumers; only the newest value.
#pragma once

#include <belfry/detail/ring/latest.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/ring/type_fingerprint.hpp>
#include <belfry/shareable.hpp>

#include <cstddef>
#include <cstdint>

namespace belfry {

/// The newest value of a type, with a version. Every consumer can receive it; a value that was overwritten
/// before a consumer looked is skipped by that consumer.
///
///     struct position { double x, y, z; std::uint64_t time; };
///     using positions = belfry::channel<belfry::latest<position>>;
///
/// A send never waits and never fails. A receive completes when there is a version that this consumer has not
/// received; a consumer that joins late receives the newest at once. A value is always whole: if a producer
/// is killed while it writes, the previous value stays.
///
/// Up to 63 consumers, or more with `channel_options::participants`. The ring trusts no process: whatever a
/// process writes over it, a receive gives some value or `errc::corrupted`, and accesses nothing outside the
/// ring.
template <class T>
class latest {
  static_assert(detail::can_be_sent<T>());

  using control = layout::latest_control;
  using algorithm = detail::latest_algorithm<detail::typed_values<T, control::places>>;
  using place = detail::atomic_words<T>;

 public:
  using value_type = T;
  using sendable = T;
  using received = T;
  /// The producer's side, and a consumer's.
  using writer = typename algorithm::writer;
  using reader = typename algorithm::reader;

  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::latest,
      .most = {.producers = 1, .consumers = layout::max_participants - 1},
      .value_bytes = sizeof(T),
      .value_align = alignof(T),
      .type = &detail::description_of<T>,
      .type_fingerprint = type_fingerprint<T>(),
      .abi_fingerprint = 0,
      .align = layout::cache_line,
      .capacity = [](std::uint64_t) -> std::uint64_t { return 1; },
      .layout =
          [](const detail::ring_size&) {
            return detail::ring_layout{
                .bytes = sizeof(control) + control::places * sizeof(place),
                .places = {.places = control::places,
                           .first = sizeof(control),
                           .stride = sizeof(place),
                           .value = 0}};
          },
      .construct = algorithm::construct,
      .drained = algorithm::drained,
      .recover = algorithm::recover,
      .never_full = true,
      .overwrites = true,
      .chosen_seats = true,
  };
};

}  // namespace belfry
