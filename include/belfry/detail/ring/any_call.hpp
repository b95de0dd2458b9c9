// Whatever ring of calls a segment has, without its C++ types: requests and replies are bytes.
#pragma once

#include <belfry/detail/base/api.hpp>
#include <belfry/detail/ring/call.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/ring.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace belfry::detail {

/// A call_ring or byte_call_ring, whose places the segment tells.
class any_call_ring {
  using algorithm = call_algorithm<chosen_call_places>;
  BELFRY_API static const ring_traits* of_segment(const layout::identity& found, std::uint64_t file_bytes,
                                                  const std::string& label, failure& f);

 public:
  using client = algorithm::client;
  using server = algorithm::server;

  /// Those of the segment take their place when it is joined.
  static constexpr ring_traits traits{
      .kind = layout::ring_kind::call,
      .most = {.producers = layout::max_participants / 2, .consumers = layout::max_participants / 2},
      .value_bytes = 0,
      .value_align = 0,
      .type_fingerprint = 0,
      .abi_fingerprint = 0,
      .align = layout::cache_line,
      .capacity = [](std::uint64_t wish) { return std::max<std::uint64_t>(wish, 1); },
      .layout = [](const ring_size&) { return ring_layout{}; },
      .construct = [](const ring_memory&) {},
      .drained = algorithm::drained,
      .recover = algorithm::recover,
      .competing = true,
      .silent = true,
      .chosen_messages = true,
      .chosen_seats = true,
      .any = true,
      .of_segment = of_segment,
  };

  /// Where requests and replies are in the places of such a ring. `type`: what the segment says of its type, which may be
  /// anything. Fails with `errc::incompatible` if it does not tell.
  BELFRY_API static call_rooms rooms(const ring_memory& memory, std::string_view type, const std::string& label, failure& f);
};

}  // namespace belfry::detail
