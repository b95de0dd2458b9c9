// How a channel is created and joined.
#pragma once

#include <belfry/ring/ring.hpp>

#include <chrono>
#include <cstddef>

namespace belfry {

/// How long a named segment lives.
enum class lifetime {
  drained,     ///< until no participant is left and nothing is unread
  persistent,  ///< until `channel<Ring>::unlink(name)`
};

/// What an endpoint asks for. `capacity`, `lifetime` and `mode` describe the segment and count for
/// whoever comes first and creates it; `start` and `spin` are each endpoint's own.
///
///     belfry::channel_options options;
///     options.capacity = 8 << 20;                       // bytes, for a byte_ring
///     options.spin = std::chrono::microseconds(50);
///     frames::producer tx(io, "frames", options);
struct channel_options {
  /// For rings whose capacity is chosen at run time: bytes, rounded up to a power of two of at least
  /// a page. 0: whatever the segment has, 1 MiB when creating it. An existing segment of another
  /// capacity is `errc::incompatible`; a wish that cannot be granted, and any for a ring whose type says its
  /// capacity, `std::errc::invalid_argument`.
  std::size_t capacity = 0;

  belfry::lifetime lifetime = belfry::lifetime::drained;

  /// Permission bits of segment and bells; not subject to the umask. The owner, the group and all others each have
  /// both, reading and writing, or nothing: else `invalid_argument`. They also say whom one trusts: a segment that
  /// another user has made, root excepted, is joined only if they let that user in (else `permission_denied`).
  unsigned mode = 0600;

  /// Where a consumer of a broadcast_ring begins.
  belfry::start start = belfry::start::newest;

  /// An endpoint that has got what it wanted, and then finds nothing more, looks again for so long
  /// before it goes to sleep, giving way to the other handlers of its context between two looks: no
  /// system call, and no sleep, between two processes that answer each other quickly; a busy
  /// processor meanwhile. If it was in vain, it sleeps at once from then on, until something comes
  /// within that time of what came before. 0: sleep at once. Without effect on a machine with a
  /// single processor.
  std::chrono::nanoseconds spin{0};
};

}  // namespace belfry
