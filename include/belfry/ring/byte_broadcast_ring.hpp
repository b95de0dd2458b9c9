// One producer, many consumers; messages of any size, which all of them read in place.
#pragma once

#include <belfry/detail/ring/blocking_messages.hpp>
#include <belfry/detail/ring/overwriting_messages.hpp>
#include <belfry/ring/broadcast_ring.hpp>
#include <belfry/ring/message.hpp>
#include <belfry/ring/ring.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace belfry {

/// A stream of messages that every consumer receives, and that no process copies.
///
///     using video = belfry::channel<belfry::byte_broadcast_ring<belfry::overflow::overwrite>>;
///     belfry::channel_options options;
///     options.slots = 16;                     // at most so many messages
///     options.message_bytes = 4 << 20;        // the largest one
///     video::producer camera(io, "video", options);
///     if (belfry::claim c = camera.try_claim(frame_bytes)) {
///       grab(c.bytes());
///       c.commit();
///     }
///
/// The producer writes a message where it stays. Every consumer reads it there: a received `message` is a view, and as
/// long as it exists its consumer holds the message. Any number may be held, and released in any order. A consumer may
/// also take only the newest message, `receive_newest`, and skip what it has missed.
///
/// `block`: the producer waits while a consumer is `slots` messages behind, or holds a message that is as old. A
/// consumer that is dead, or has left, does not hold the producer back.
///
/// `overwrite`: the producer overwrites the oldest message that no consumer holds. What a consumer holds never changes.
/// A consumer that was lapped gets `errc::lagged` once, with the exact number of messages that it lost; it continues
/// `slots` / 8 messages after the oldest that is left. The producer waits only while all places are held: `pinned()` says
/// by how many consumers. There are at least two places.
///
/// When a process is killed: a claim that was not committed is discarded, and every message that was sent stays whole.
/// What a killed consumer held is released. Up to 63 consumers, or more with `channel_options::participants`. Without
/// consumers the producer does not wait; the newest messages stay for a consumer that joins with `start::oldest`.
///
/// The ring trusts no process with its control words: whatever is written over them, a receive gives some message or
/// `errc::corrupted`, and accesses nothing outside the ring. A hostile process can still change the contents of a
/// message: copy first, then check, then use. And it can hold all places.
template <overflow Mode = overflow::block>
class byte_broadcast_ring {
  using algorithm = std::conditional_t<Mode == overflow::block, detail::blocking_messages, detail::overwriting_messages>;

 public:
  using sendable = std::span<const std::byte>;
  using received = message;
  /// The producer's side, and a consumer's.
  using writer = typename algorithm::writer;
  using reader = typename algorithm::reader;

  static constexpr std::uint64_t default_slots = 64;
  static constexpr std::uint64_t max_slots = std::uint64_t{1} << 24;
  static constexpr std::uint64_t min_slots = Mode == overflow::block ? 1 : 2;

  static constexpr std::uint64_t max_message(const detail::ring_memory& memory) noexcept { return memory.message_bytes; }

  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::byte_broadcast,
      .most = {.producers = 1, .consumers = layout::max_participants - 1},
      .value_bytes = 0,
      .value_align = alignof(layout::message_header),
      .type_fingerprint = 0,
      .abi_fingerprint = static_cast<std::uint64_t>(Mode),
      .align = layout::cache_line,
      .capacity = [](std::uint64_t wish) -> std::uint64_t {
        if (wish > max_slots) return 0;
        return wish == 0 ? default_slots : std::max(wish, min_slots);
      },
      .layout =
          [](const detail::ring_size& size) {
            const layout::geometry places =
                layout::message_places(size.capacity, algorithm::first_place(size.participants),
                                       algorithm::header_bytes, size.message_bytes);
            return detail::ring_layout{.bytes = places.first + places.places * places.stride, .places = places};
          },
      .construct = algorithm::construct,
      .drained = algorithm::drained,
      .recover = algorithm::recover,
      .overwrites = Mode == overflow::overwrite,
      .chosen_messages = true,
      .chosen_seats = true,
  };
};

}  // namespace belfry
