// The values that are in a channel, without taking them: without joining, without the type, without writing.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/inspect.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace belfry {

/// A value that was in the ring: whole, as its producer has sent it.
struct peeked_value {
  /// Of a byte_ring: where its record begins, in bytes. Of an spsc_ring: how many values were before it. Otherwise its
  /// number since the segment was made, from 0, or from 1 in a `latest`.
  std::uint64_t position = 0;
  std::vector<std::byte> bytes;
  bool dead = false;  ///< of a work_ring or byte_work_ring: only a consumer that asks for dead items receives it
};

struct peeked_channel {
  channel_info info;                 ///< as inspect() tells it; `problem` says why there are no values, if there should be
  std::vector<peeked_value> values;  ///< the oldest first
};

/// Looks at the values in a channel.
///
///     belfry::peeked_channel ticks = belfry::peek("ticks");
///     const auto type = belfry::described_type::parse(ticks.info.type);
///     for (const belfry::peeked_value& v : ticks.values) std::cout << type.to_json(v.bytes) << '\n';
///
/// What there is to see: of an spsc_ring, a byte_ring, a work_ring and a byte_work_ring what no consumer has received, the
/// oldest `most` of it; of a byte_ring also messages that are not released yet, of a work_ring or byte_work_ring none that
/// a consumer holds, but also dead items, again the oldest `most`. Of a broadcast_ring or byte_broadcast_ring the newest
/// `most` that are in the ring, received or not. Of a `latest` the newest.
///
/// Only reads, as inspect() does, and disturbs no participant. Others go on meanwhile: a value that may have been
/// overwritten while it was read is left out. So if a ring is in full use, there may be few values, or none. The
/// contents are not trusted: nothing outside of the segment is read, and no more than is in it.
///
/// Throws std::system_error, or sets `ec`, as inspect() does, and with `errc::incompatible` for what is no channel: a
/// block, the companion of one, a segment of another layout version. Thread-safe.
BELFRY_API peeked_channel peek(std::string_view name, std::size_t most = std::numeric_limits<std::size_t>::max());
BELFRY_API peeked_channel peek(std::string_view name, std::size_t most, error_code& ec);

}  // namespace belfry
