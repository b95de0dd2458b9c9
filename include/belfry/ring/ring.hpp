// What a ring is to the layers above it.
//
// A ring is memory and atomics: it makes no system call, knows no bell and no Asio. It consists of
// shared state, constructed once in raw memory, and of a `writer` and a `reader`, the private state
// of a participant that is attached to it.
#pragma once

#include <belfry/ring/type_fingerprint.hpp>
#include <belfry/detail/layout/layout.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <system_error>

namespace belfry {

/// Where a consumer of a ring begins in which values stay for others.
enum class start {
  newest,  ///< with what is sent after it has joined
  oldest,  ///< with the oldest value that is still there
};

/// Where a ring lies in this process, once its segment is mapped.
struct ring_memory {
  std::byte* at = nullptr;
  std::uint64_t bytes = 0;
  std::uint64_t capacity = 0;
};

/// How much of the segment a ring takes. The last `mirrored` bytes of it are mapped twice.
struct ring_layout {
  std::uint64_t bytes = 0;
  std::uint64_t mirrored = 0;
};

/// What a segment must know of its ring; everything an attacher compares is in here.
struct ring_traits {
  layout::ring_kind kind;
  std::uint16_t producers;  // how many at the same time
  std::uint16_t consumers;
  std::uint64_t value_bytes;  // 0: messages of any size
  std::uint64_t value_align;
  std::uint64_t type_fingerprint;
  std::uint64_t abi_fingerprint;
  std::uint64_t align;

  /// The capacity that a wish becomes; 0 is no wish. 0 as an answer: the wish cannot be granted. Of a ring whose
  /// type says its capacity, that one.
  std::uint64_t (*capacity)(std::uint64_t wish);
  ring_layout (*layout)(std::uint64_t capacity, std::uint64_t ring_offset);
  void (*construct)(const ring_memory&);
  /// Whether nothing is unread. Called under the roster's lock when nobody is attached.
  bool (*drained)(const ring_memory&);
  /// Undoes what the dead owner of the slot held. Called under the roster's lock; may be repeated.
  void (*recover)(const ring_memory&, std::size_t slot);
  /// Every value is for one consumer, and every bit of room for one producer: a notification wakes as many as
  /// it is good for. Else it wakes all who wait.
  bool competing = false;
  /// Whether the capacity is chosen at run time. Else there is none to wish for.
  bool chosen_capacity = false;
  /// If the layout is a library's: what this build of it has been found to do, which enters the ABI fingerprint.
  /// 0: something that the ring does not know, so that it cannot be used.
  std::uint64_t (*library_layout)() = nullptr;

  /// What the segment says of it.
  std::uint64_t abi() const {
    return library_layout == nullptr ? abi_fingerprint : detail::mix(abi_fingerprint, library_layout());
  }
  constexpr std::size_t participants() const noexcept { return std::size_t{producers} + consumers; }
};

/// The answer of a ring to an attempt. Lagged: what was to be read next has been overwritten; told once.
/// Unreachable: nothing was tried, as a peer that may have to be woken cannot be; the roster says why.
enum class attempt { done, would_block, corrupted, too_large, denied, lagged, unreachable };

/// Reader or writer of a ring. In one where several compete it says whose it is, by the slot in the roster.
template <class Side>
concept ring_side = std::constructible_from<Side, const ring_memory&> ||
    std::constructible_from<Side, const ring_memory&, std::size_t> ||
    std::constructible_from<Side, const ring_memory&, std::size_t, start>;

template <class R>
concept ring = requires(const ring_memory& memory) {
  { R::traits } -> std::convertible_to<const ring_traits&>;
  typename R::sendable;  // what a producer hands over
  typename R::received;  // what a consumer gets
  requires ring_side<typename R::writer> && ring_side<typename R::reader>;
};

}  // namespace belfry
