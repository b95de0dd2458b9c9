// The header of a segment: what it is for a ring, and whether a found header is that.
#pragma once

#include <belfry/channel_options.hpp>
#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/segment/segment.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/ring.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace belfry::detail {

inline std::size_t participants(const layout::identity& id) noexcept {
  return std::size_t{id.producers} + id.consumers;
}

inline ring_size size_of_ring(const layout::identity& id) noexcept {
  return {.capacity = id.capacity,
          .message_bytes = id.message_bytes,
          .participants = participants(id),
          .offset = id.ring_offset,
          .lease_timeout = id.lease_timeout};
}

/// Whether a channel can have this mode. A participant must be able to read and write. A user with read access alone
/// could still lock the roster, and block every join.
bool check_mode(unsigned mode, std::string_view name, failure& f);

/// Whether this ring can have the sizes and the participants that the options ask for.
bool check_options(const ring_traits& traits, const channel_options& options, failure& f);

/// A new segment for this ring, with options that were checked; its header is without random id and creator.
described_segment segment_for(const ring_traits& traits, const channel_options& options);

/// Whether a segment can be created from what another process has sent.
bool plausible(const described_segment& wanted) noexcept;

/// Whether `found`, in a file of `file_bytes`, is the header that this ring needs. If not, `f` is `errc::incompatible`;
/// its text begins with `label`.
bool check_identity(const described_segment& found, std::uint64_t file_bytes,
                    const ring_traits& traits, const channel_options& options,
                    const std::string& label, failure& f);

/// The same for one field.
bool same(const char* field, std::uint64_t found, std::uint64_t expected, const std::string& label,
          failure& f);

/// The traits of whatever ring a segment has, of values or of calls: see ring_traits::of_segment.
const ring_traits* traits_of_segment(const layout::identity& found, std::uint64_t file_bytes, const std::string& label,
                                     failure& f);

}  // namespace belfry::detail
