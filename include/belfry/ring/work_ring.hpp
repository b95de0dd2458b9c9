// Many producers, many consumers; one consumer receives each value.
#pragma once

#include <belfry/detail/ring/work.hpp>
#include <belfry/ring/lease.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/ring/type_fingerprint.hpp>
#include <belfry/shareable.hpp>

#include <cstddef>
#include <cstdint>

namespace belfry {

/// Work items, each for one consumer.
///
///     struct job { std::uint64_t id; std::array<char, 48> what; };
///     using jobs = belfry::channel<belfry::work_ring<job, 1024>>;
///
/// Up to 32 producers and 32 consumers, or as many as `channel_options::participants` says. Items are received
/// roughly in the order in which they were sent; consumers skip an item that is still being written. A slow,
/// stopped or dead process that holds an item holds up no other. One exception: if a consumer was woken for an
/// item and is stopped before it takes it, the item waits until the next send, or until that consumer is killed.
///
/// When a producer is killed, an item that it had not finished is discarded. When a consumer is killed, an
/// item that it had received and not acknowledged is delivered again, to one other consumer. `async_receive`
/// acknowledges at once; with `async_receive_lease` the consumer decides when.
///
/// With `channel_options::max_deliveries`, an item that was delivered so often without an acknowledgement is dead, and so
/// is one that its consumer rejects. Consumers pass by dead items. They stay in the ring, until `async_receive_dead` or
/// `try_receive_dead` takes them; a channel that is otherwise drained stays for them. They take room: a producer that finds
/// none drops the oldest dead item, if more than a quarter of the places are dead (of two or three places, one; a single
/// place keeps none). inspect() counts both.
///
///     options.max_deliveries = 5;
///     jobs::consumer rx(io, "jobs", options);
///     while (auto l = rx.try_receive_dead()) report(l.value(), l.deliveries()), l.ack();
///
/// With `channel_options::lease_timeout`, an item that a living consumer has held for so long is delivered again, to any
/// consumer that waits or looks for one.
///
/// The ring trusts no process: whatever a process writes over it, a receive gives some value or
/// `errc::corrupted`, and accesses nothing outside the ring.
template <class T, std::size_t N>
class work_ring {
  static_assert(detail::can_be_sent<T>());
  static_assert(N > 0 && N <= (std::size_t{1} << 24));

  using algorithm = detail::work_algorithm<detail::typed_places<T, N>>;
  using control = layout::work_control;
  using place = detail::worded_place<T>;

 public:
  using value_type = T;
  using sendable = T;
  using received = T;
  /// A producer's side, and a consumer's.
  using writer = typename algorithm::writer;
  using reader = typename algorithm::reader;

  /// Many may wait for the same thing: as many are woken as there are items or free slots.
  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::work,
      .most = {.producers = layout::max_participants / 2, .consumers = layout::max_participants / 2},
      .value_bytes = sizeof(T),
      .value_align = alignof(T),
      .type = &detail::description_of<T>,
      .type_fingerprint = type_fingerprint<T>(),
      .abi_fingerprint = 0,
      .align = layout::cache_line,
      .capacity = [](std::uint64_t) -> std::uint64_t { return N; },
      .layout =
          [](const detail::ring_size& size) {
            const std::uint64_t times = layout::lease_times_bytes(N, size.lease_timeout);
            return detail::ring_layout{.bytes = sizeof(control) + N * sizeof(place) + times,
                                       .places = {.places = N,
                                                  .first = sizeof(control),
                                                  .stride = sizeof(place),
                                                  .value = offsetof(place, value)}};
          },
      .construct = algorithm::construct,
      .drained = algorithm::drained,
      .recover = algorithm::recover,
      .competing = true,
      .redelivers = true,
      .chosen_seats = true,
  };
};

}  // namespace belfry
