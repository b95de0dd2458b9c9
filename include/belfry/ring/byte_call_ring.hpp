// Requests and replies of any size, written and read where they lie.
#pragma once

#include <belfry/detail/ring/call.hpp>
#include <belfry/ring/call_ring.hpp>
#include <belfry/ring/ring.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace belfry {

/// As call_ring, with requests and replies of any size up to `channel_options::message_bytes`, and
/// `channel_options::slots` calls at a time.
///
///     using pages = belfry::channel<belfry::byte_call_ring>;
///
/// A request is written where its server reads it, and a reply where its client reads it: nothing is copied. The other
/// side can change the contents of a message while it is read; if it may be hostile, copy first, then check, then use.
class byte_call_ring {
  using algorithm = detail::call_algorithm<detail::chosen_call_places>;
  using ring_memory = detail::ring_memory;

 public:
  using client = algorithm::client;
  using server = algorithm::server;

  static constexpr std::uint64_t default_slots = 64;
  static constexpr std::uint64_t max_slots = std::uint64_t{1} << 24;

  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::call,
      .most = {.producers = layout::max_participants / 2, .consumers = layout::max_participants / 2},
      .value_bytes = 0,
      .value_align = alignof(layout::call_place),
      .type_fingerprint = 0,
      .abi_fingerprint = 0,
      .align = layout::cache_line,
      .capacity = [](std::uint64_t wish) -> std::uint64_t {
        if (wish > max_slots) return 0;
        return wish == 0 ? default_slots : wish;
      },
      .layout =
          [](const detail::ring_size& size) {
            const layout::geometry places = layout::message_places(
                size.capacity, sizeof(layout::call_control), sizeof(layout::call_place), 2 * size.message_bytes);
            return detail::ring_layout{.bytes = places.first + size.capacity * places.stride, .places = places};
          },
      .construct = algorithm::construct,
      .drained = algorithm::drained,
      .recover = algorithm::recover,
      .competing = true,
      .silent = true,
      .chosen_messages = true,
      .chosen_seats = true,
  };
};

}  // namespace belfry
