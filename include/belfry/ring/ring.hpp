// What a ring is to the layers above it.
//
// A ring is memory and atomics: it makes no system call, knows no bell and no Asio. It consists of shared
// state, constructed once in raw memory, and of a `writer` and a `reader`: the private state of an attached
// participant. The endpoints use nothing else of a ring than what is named here: in the concept `ring`, and
// in `leasing_ring`, `lossy_ring` and `in_place_ring`, which are rings that can do more.
#pragma once

#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/layout/type_description.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/message.hpp>
#include <belfry/ring/type_fingerprint.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

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
  std::size_t participants = 0;  // slots of the roster
  // What the segment says of the ring, for one that does not know it from its type.
  layout::ring_kind kind{};
  std::uint64_t abi_fingerprint = 0;
  std::uint64_t value_bytes = 0;
  layout::geometry places{};
};

/// How much of the segment a ring needs. Its last `mirrored` bytes are mapped twice.
struct ring_layout {
  std::uint64_t bytes = 0;
  std::uint64_t mirrored = 0;
  layout::geometry places{};
};

/// How many participants a segment has room for.
struct seats {
  std::uint16_t producers = 0;
  std::uint16_t consumers = 0;

  constexpr std::size_t all() const noexcept { return std::size_t{producers} + consumers; }
  friend constexpr bool operator==(seats, seats) noexcept = default;
};

/// What a segment must know of its ring; includes everything that a joining process compares.
struct ring_traits {
  layout::ring_kind kind;
  seats most;  // how many participants at the same time
  std::uint64_t value_bytes;  // 0: messages of any size
  std::uint64_t value_align;
  const type_description* type = nullptr;  // of the values; null: messages of any size
  std::uint64_t type_fingerprint;
  std::uint64_t abi_fingerprint;
  std::uint64_t align;

  /// The capacity for a requested one; 0 requests none in particular. Answers 0 if the request cannot be met.
  /// A ring with a capacity in its type answers with that.
  std::uint64_t (*capacity)(std::uint64_t wish);
  ring_layout (*layout)(std::uint64_t capacity, std::size_t participants, std::uint64_t ring_offset);
  void (*construct)(const ring_memory&);
  /// Whether every value was received. Called under the roster's lock when no participant is attached.
  bool (*drained)(const ring_memory&);
  /// Releases what the dead owner of the slot held. Called under the roster's lock; may be repeated.
  void (*recover)(const ring_memory&, std::size_t slot);
  /// Whether each value goes to one consumer only, and each free slot to one producer only. If so, a
  /// notification wakes as many waiters as there are values or free slots; otherwise it wakes all of them.
  bool competing = false;
  /// Whether a send never waits for room. A consumer then wakes no producer.
  bool never_full = false;
  /// Whether the capacity is chosen at run time. If not, none can be requested.
  bool chosen_capacity = false;
  /// Whether a segment may have fewer seats than `most`.
  bool chosen_seats = false;
  /// Whether the ring takes whatever ring a segment has, and so never creates one.
  bool any = false;
  /// If so: the traits of the ring of a segment, in bytes; or null and a failure whose text begins with `label`, if it has
  /// none, or is not sound. `file_bytes`: the size of its file.
  const ring_traits* (*of_segment)(const layout::identity& found, std::uint64_t file_bytes, const std::string& label,
                                   failure& f) = nullptr;
  /// For a layout that belongs to a library: computes a number for the layout that this build of the library
  /// has, which enters the ABI fingerprint. 0: the ring does not know that layout and cannot be used.
  std::uint64_t (*library_layout)() = nullptr;

  /// The ABI fingerprint that is stored in the segment.
  std::uint64_t abi() const {
    return library_layout == nullptr ? abi_fingerprint : mix(abi_fingerprint, library_layout());
  }
  /// The seats of a segment for this many participants.
  constexpr seats seats_for(std::size_t participants) const noexcept {
    if (!chosen_seats) return most;
    const std::size_t producers = most.producers == 1 ? 1 : participants / 2;
    return {static_cast<std::uint16_t>(producers), static_cast<std::uint16_t>(participants - producers)};
  }
};

/// A ring's answer to an attempt.
enum class attempt {
  done,
  would_block,  ///< there is no value, or no room
  corrupted,    ///< another process has written nonsense
  too_large,    ///< the ring can never hold this message, or the receiver's buffer cannot: it is still in the ring
  lagged,       ///< lossy_ring: values were overwritten; answered once, then it continues after them
  wrong_size,   ///< the values of this ring have another size
};

/// An item that a consumer holds: which slot, at which lap, delivered how often. So a stale ticket is told from a valid
/// one.
struct lease_ticket {
  std::size_t index = 0;
  std::uint64_t lap = 0;
  std::uint8_t deliveries = 0;
};

// Parts of the concepts below.
template <class R>
concept copies_values = requires(typename R::reader& reader, typename R::received& value,
                                 std::span<typename R::received> values, std::size_t& count) {
  { reader.pop(value) } noexcept -> std::same_as<attempt>;
  { reader.pop_n(values, count) } noexcept -> std::same_as<attempt>;
};

template <class R>
concept lends_messages =
    requires(typename R::writer& writer, typename R::reader& reader,
             typename R::reader::view& view, std::span<std::byte>& room, std::uint64_t bytes) {
  requires std::same_as<typename R::sendable, std::span<const std::byte>>;
  requires std::same_as<typename R::received, message>;
  { R::max_message(bytes) } noexcept -> std::same_as<std::uint64_t>;
  { writer.writable(bytes) } noexcept -> std::same_as<bool>;
  { writer.claim(bytes, room) } noexcept -> std::same_as<attempt>;
  { writer.commit(bytes) } noexcept;
  { writer.abandon() } noexcept;
  { view.bytes } -> std::convertible_to<std::span<const std::byte>>;
  { view.position } -> std::convertible_to<std::uint64_t>;
  { reader.pop(view) } noexcept -> std::same_as<attempt>;
  { reader.release(view.position, bytes) } noexcept;
};

}  // namespace detail

/// A ring, as the endpoints use it. A skeleton of one for values, which are copied in and out:
///
///     template <class T, std::size_t N>
///     struct my_ring {
///       using sendable = T;
///       using received = T;
///       static constexpr detail::ring_traits traits{...};
///
///       struct writer {                             // a producer's side
///         writer(const ring_memory&, std::size_t slot);
///         attempt push(const T&) noexcept;
///         attempt push_n(std::span<const T>, std::size_t& pushed) noexcept;
///         bool writable() noexcept;
///         bool corrupted() const noexcept;
///         std::size_t size() noexcept;
///       };
///       struct reader {                             // a consumer's side
///         reader(const ring_memory&, std::size_t slot, start);
///         attempt pop(T&) noexcept;
///         attempt pop_n(std::span<T>, std::size_t& popped) noexcept;
///         bool readable() noexcept;
///         bool corrupted() const noexcept;
///         std::size_t size() noexcept;
///         void leave() noexcept;
///         std::size_t more_room() noexcept;         // only if traits.competing
///       };
///     };
///
/// - `slot`: the participant's slot in the roster; no other participant has it at the same time. If its former
///   owner was killed, at whatever instruction, traits.recover has been called for it.
/// - push, pop: unless they answer `done`, nothing was sent, and the value is unchanged.
/// - push_n, pop_n: as many as possible, from the front. `done` if all; otherwise why the next one was not.
/// - writable, readable: whether push, or pop, would not block; true if it would fail. A participant that is
///   told `false` goes to sleep, so that answer must come from the shared memory, not from a private copy. One
///   that is told `true` does not sleep: whatever is in the memory, after a few attempts push, or pop, must
///   answer something else than `would_block`, unless the memory has changed.
/// - corrupted: nonsense was found, and attempts fail.
/// - size: how many values are in the ring, as this side sees it; at most the capacity. A snapshot.
/// - leave: the last call of a consumer that leaves; does what traits.recover does for a killed one.
/// - more_room: called after values were taken: how many slots can be used again besides theirs.
///
/// To add a ring: give it a layout::ring_kind; write its algorithm in detail/ring/ for any Places; include it in
/// belfry.hpp; add its kind to detail/ring/any.hpp and src/segment/any_ring.cpp, and two lines to `every_ring` in
/// tests/support/rings.hpp. Then tests/ring/conformance.cpp checks these promises, and
/// tests/channel/every_ring.cpp those of channels. Its own tests are for what only this ring promises.
template <class R>
concept ring = requires(const typename R::sendable& value,
                        std::span<const typename R::sendable> values, std::size_t& count,
                        typename R::writer& writer, const typename R::writer& const_writer,
                        typename R::reader& reader, const typename R::reader& const_reader) {
  { R::traits } -> std::same_as<const detail::ring_traits&>;
  typename std::bool_constant<R::traits.never_full>;  // `traits` is a constant expression
  requires std::copyable<typename R::sendable>;
  requires std::movable<typename R::received>;
  requires std::default_initializable<typename R::received>;

  requires std::constructible_from<typename R::writer, const detail::ring_memory&, std::size_t>;
  { writer.push(value) } noexcept -> std::same_as<detail::attempt>;
  { writer.push_n(values, count) } noexcept -> std::same_as<detail::attempt>;
  { writer.writable() } noexcept -> std::same_as<bool>;
  { const_writer.corrupted() } noexcept -> std::same_as<bool>;
  { writer.size() } noexcept -> std::convertible_to<std::size_t>;

  requires std::constructible_from<typename R::reader, const detail::ring_memory&, std::size_t, start>;
  { reader.readable() } noexcept -> std::same_as<bool>;
  { const_reader.corrupted() } noexcept -> std::same_as<bool>;
  { reader.size() } noexcept -> std::convertible_to<std::size_t>;
  { reader.leave() } noexcept;
  requires detail::copies_values<R> || detail::lends_messages<R>;
  requires !R::traits.competing || requires {
    { reader.more_room() } noexcept -> std::same_as<std::size_t>;
  };
};

namespace detail {

/// A ring whose consumers can hold an item until they acknowledge it:
///
///     attempt reader::lease(T&, lease_ticket&) noexcept;       // as pop, but the item stays held
///     bool reader::acknowledge(const lease_ticket&) noexcept;  // its place is free
///     bool reader::give_back(const lease_ticket&) noexcept;    // it is there again, for any consumer
///
/// False: this consumer does not hold the item any more. leave() gives back everything that it holds, and
/// need not be called if it holds nothing.
template <class R>
concept leasing_ring =
    ring<R> && requires(typename R::reader& reader, typename R::received& value,
                        lease_ticket& ticket, const lease_ticket& given) {
  { reader.lease(value, ticket) } noexcept -> std::same_as<attempt>;
  { reader.acknowledge(given) } noexcept -> std::same_as<bool>;
  { reader.give_back(given) } noexcept -> std::same_as<bool>;
};

/// A ring whose consumers may lose values; the attempt that notices it answers `lagged`:
///
///     std::uint64_t reader::total_lost() const noexcept;       // so far
template <class R>
concept lossy_ring = ring<R> && requires(const typename R::reader& reader) {
  { reader.total_lost() } noexcept -> std::same_as<std::uint64_t>;
};

/// A ring of messages of any size, which are written and read in place. `sendable` is a span of bytes,
/// `received` a message.
///
///     static std::uint64_t max_message(std::uint64_t capacity) noexcept;
///     bool writer::writable(std::uint64_t bytes) noexcept;     // writable() is for what has blocked last
///     attempt writer::claim(std::uint64_t bytes, std::span<std::byte>& room) noexcept;
///     void writer::commit(std::uint64_t bytes) noexcept;       // sends the first `bytes` of the claim
///     void writer::abandon() noexcept;                         // sends nothing
///     struct reader::view { std::span<const std::byte> bytes; std::uint64_t position; };
///     attempt reader::pop(view&) noexcept;                     // instead of the other pop and of pop_n
///     void reader::release(std::uint64_t position, std::uint64_t bytes) noexcept;  // in any order
///
/// While a claim is open, every other attempt of its writer would block.
template <class R>
concept in_place_ring = ring<R> && lends_messages<R>;

}  // namespace detail
}  // namespace belfry
