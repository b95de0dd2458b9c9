// How a channel is created and joined.
#pragma once

#include <belfry/ring/ring.hpp>

#include <chrono>
#include <cstddef>

namespace belfry {

/// How long a named segment lives.
enum class lifetime {
  drained,     ///< until no participant is left and every value was received
  persistent,  ///< until `channel<Ring>::unlink(name)`
};

/// What an endpoint asks for. `capacity`, `participants`, `lifetime` and `mode` describe the segment and count only
/// for the process that creates it. `start` and `spin` belong to the endpoint.
///
///     belfry::channel_options options;
///     options.capacity = 8 << 20;                       // bytes, for a byte_ring
///     options.spin = std::chrono::microseconds(50);
///     frames::producer tx(io, "frames", options);
struct channel_options {
  /// For rings whose capacity is chosen at run time: bytes, rounded up to a power of two of at least a page.
  /// 0 accepts any capacity, and creates a segment of 1 MiB. If the segment has a different capacity, joining
  /// fails with `errc::incompatible`. `std::errc::invalid_argument`: the capacity is too large, or the ring's
  /// type already fixes it.
  std::size_t capacity = 0;

  /// How many producers and consumers there may be at a time, together: 2 to 250. A ring for many on both sides has as
  /// many places for consumers as for producers (one more if the number is odd); a ring with one producer gives all
  /// others to consumers; a ring for one of each ignores it. A place takes 192 bytes of the segment, and a bell if the
  /// channel has no name. Another number is `std::errc::invalid_argument`.
  std::size_t participants = 64;

  belfry::lifetime lifetime = belfry::lifetime::drained;

  /// Permission bits of segment and bells, not subject to the umask. Owner, group and all others each have
  /// both reading and writing, or neither: else `invalid_argument`. They also say which users are trusted: a
  /// segment made by another user, root excepted, is joined only if these bits let that user in (else
  /// `permission_denied`).
  unsigned mode = 0600;

  /// Where a consumer of a broadcast_ring begins.
  belfry::start start = belfry::start::newest;

  /// How long an endpoint that has just got what it wanted, and then finds nothing more, polls before it
  /// sleeps. Between two looks it runs the other handlers of its context. Two processes that answer each
  /// other quickly then need no system call and no sleep, but the processor is busy meanwhile. After a
  /// fruitless spin, it does not spin until two messages again arrive within `spin` of each other. 0: it
  /// sleeps at once. No effect on a machine with a single processor.
  std::chrono::nanoseconds spin{0};
};

}  // namespace belfry
