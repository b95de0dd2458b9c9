// What a ring is to the layers above it.
//
// A ring is memory and atomics: it makes no system call, knows no bell and no Asio. It consists of shared
// state, constructed once in raw memory, and of a `writer` and a `reader`: the private state of an attached
// participant.
#pragma once

#include <belfry/ring/type_fingerprint.hpp>
#include <belfry/detail/layout/layout.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <system_error>

namespace belfry {

/// Where a consumer begins, in a ring that keeps values for other consumers.
enum class start {
  newest,  ///< with the first value sent after it has joined
  oldest,  ///< with the oldest value that is still there
};

namespace detail {

/// Where a ring lies in this process, once its segment is mapped.
struct ring_memory {
  std::byte* at = nullptr;
  std::uint64_t bytes = 0;
  std::uint64_t capacity = 0;
};

/// How much of the segment a ring needs. Its last `mirrored` bytes are mapped twice.
struct ring_layout {
  std::uint64_t bytes = 0;
  std::uint64_t mirrored = 0;
};

/// What a segment must know of its ring; includes everything that a joining process compares.
struct ring_traits {
  layout::ring_kind kind;
  std::uint16_t producers;  // how many at the same time
  std::uint16_t consumers;
  std::uint64_t value_bytes;  // 0: messages of any size
  std::uint64_t value_align;
  std::uint64_t type_fingerprint;
  std::uint64_t abi_fingerprint;
  std::uint64_t align;

  /// The capacity for a requested one; 0 requests none in particular. Answers 0 if the request cannot be met.
  /// A ring with a capacity in its type answers with that.
  std::uint64_t (*capacity)(std::uint64_t wish);
  ring_layout (*layout)(std::uint64_t capacity, std::uint64_t ring_offset);
  void (*construct)(const ring_memory&);
  /// Whether every value was received. Called under the roster's lock when no participant is attached.
  bool (*drained)(const ring_memory&);
  /// Releases what the dead owner of the slot held. Called under the roster's lock; may be repeated.
  void (*recover)(const ring_memory&, std::size_t slot);
  /// Whether each value goes to one consumer only, and each free slot to one producer only. If so, a
  /// notification wakes as many waiters as there are values or free slots; otherwise it wakes all of them.
  bool competing = false;
  /// Whether the capacity is chosen at run time. If not, none can be requested.
  bool chosen_capacity = false;
  /// For a layout that belongs to a library: computes a number for the layout that this build of the library
  /// has, which enters the ABI fingerprint. 0: the ring does not know that layout and cannot be used.
  std::uint64_t (*library_layout)() = nullptr;

  /// The ABI fingerprint that is stored in the segment.
  std::uint64_t abi() const {
    return library_layout == nullptr ? abi_fingerprint : mix(abi_fingerprint, library_layout());
  }
  constexpr std::size_t participants() const noexcept { return std::size_t{producers} + consumers; }
};

/// A ring's answer to an attempt. `lagged`: the next value was overwritten; reported once.
enum class attempt { done, would_block, corrupted, too_large, lagged };

/// Reader or writer of a ring. Where several compete, it is told its own slot in the roster.
template <class Side>
concept ring_side = std::constructible_from<Side, const ring_memory&> ||
    std::constructible_from<Side, const ring_memory&, std::size_t> ||
    std::constructible_from<Side, const ring_memory&, std::size_t, start>;

}  // namespace detail

template <class R>
concept ring = requires {
  { R::traits } -> std::convertible_to<const detail::ring_traits&>;
  typename R::sendable;  // what a producer sends
  typename R::received;  // what a consumer receives
  requires detail::ring_side<typename R::writer> && detail::ring_side<typename R::reader>;
};

}  // namespace belfry
