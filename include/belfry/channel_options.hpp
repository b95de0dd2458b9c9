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

/// What happens to a call whose server is killed, or drops it unanswered.
enum class retry {
  never,           ///< it ends with `errc::maybe_executed`
  another_server,  ///< it is delivered again, to any server: for calls that may be executed twice; see max_deliveries
};

/// What an endpoint asks for. `capacity`, `participants`, `lifetime` and `mode` describe the segment and count only
/// for the process that creates it. `start`, `spin`, `retry`, `wait_for_server` and `wait_for_place` belong to
/// the endpoint.
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

  /// For rings of messages that have a place each (byte_work_ring, byte_broadcast_ring, byte_call_ring): how many
  /// places there are, and how many bytes the largest message has. Each place has room for the largest message, and that
  /// memory is allocated when the channel is created. 0 accepts any number, and creates 64 places of 64 KiB. A number
  /// that the segment does not have is `errc::incompatible`, one that is too large, or not for this ring,
  /// `std::errc::invalid_argument`. `message_bytes` is rounded up to a multiple of 16.
  std::size_t slots = 0;
  std::size_t message_bytes = 0;

  /// How many producers and consumers there may be at a time, together: 2 to 250. A ring for many on both sides has as
  /// many places for consumers as for producers (one more if the number is odd); a ring with one producer gives all
  /// others to consumers; a ring for one of each ignores it. A place takes 192 bytes of the segment, and a bell if the
  /// channel has no name. Another number is `std::errc::invalid_argument`.
  std::size_t participants = 64;

  /// For work_ring and byte_work_ring: an item that was delivered so often, and that no consumer has acknowledged, is
  /// dead: no consumer receives it, except by `async_receive_dead`. For call_ring and byte_call_ring: a call with
  /// `retry::another_server` that was delivered so often, and that no server has answered, ends with
  /// `errc::maybe_executed`. 0: it is delivered again without end. More than 255, or any for another ring:
  /// `std::errc::invalid_argument`.
  std::uint32_t max_deliveries = 0;
  /// For work_ring and byte_work_ring: an item that a living consumer has held for so long is delivered again, to any
  /// consumer. The `ack()` of the former one, which comes too late, says false. 0: never. Like max_deliveries, it counts
  /// only for the process that creates the segment. For another ring, and less than 0, it is
  /// `std::errc::invalid_argument`. Waiting consumers look for such items at the time, others when they look for an item,
  /// but not twice in a millisecond. A waiting consumer wakes at least once in so much time.
  std::chrono::nanoseconds lease_timeout{0};

  belfry::lifetime lifetime = belfry::lifetime::drained;

  /// Permission bits of segment and bells, not subject to the umask. Owner, group and all others each have
  /// both reading and writing, or neither: else `invalid_argument`. They also say which users are trusted: a
  /// segment made by another user, root excepted, is joined only if these bits let that user in (else
  /// `permission_denied`).
  unsigned mode = 0600;

  /// For the client of a call_ring, and all its calls.
  belfry::retry retry = belfry::retry::never;
  /// Likewise: whether a call waits until there is a server. If not, it ends with `errc::no_server` if there is none when
  /// it is made, or if the last one leaves or dies before one has taken the call.
  bool wait_for_server = true;
  /// Likewise: whether a call waits for a free place in the ring. If not, it ends with `errc::overloaded`.
  bool wait_for_place = true;

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
