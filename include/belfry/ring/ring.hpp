// What a ring is to the layers above it.
//
// A ring is memory and atomics: it makes no system call, knows no bell and no Asio. It consists of shared
// state, constructed once in raw memory, and of a `writer` and a `reader`: the private state of an attached
// participant. The endpoints use nothing else of a ring than what is named here: in the concept `ring`, and
// in `redelivering_ring`, `leasing_ring`, `lossy_ring`, `in_place_ring` and `holding_ring`, which are rings that can do
// more.
#pragma once

#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/layout/type_description.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/message.hpp>
#include <belfry/ring/type_fingerprint.hpp>

#include <chrono>
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
  std::uint64_t message_bytes = 0;  // of the largest message, where the creator chooses it; else 0
  std::uint32_t max_deliveries = 0;
  std::uint64_t lease_timeout = 0;  // nanoseconds
  layout::geometry places{};
};

/// What the layout of a ring depends on.
struct ring_size {
  std::uint64_t capacity = 0;
  std::uint64_t message_bytes = 0;  ///< of the largest message, where the creator chooses it; else 0
  std::size_t participants = 0;     ///< slots of the roster
  std::uint64_t offset = 0;         ///< of the ring in its segment
  std::uint64_t lease_timeout = 0;  ///< nanoseconds; 0: none, or the ring delivers nothing again
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
  ring_layout (*layout)(const ring_size& size);
  void (*construct)(const ring_memory&);
  // What a participant did before it left or died is visible to these two, to its successor in the slot, and to those that
  // are told of it, also through relaxed loads: the kernel gives out its locks, and tells of its death, after that.
  /// Whether every value was received. Called under the roster's lock when no participant is attached.
  bool (*drained)(const ring_memory&);
  /// Releases what the dead owner of the slot held. Called under the roster's lock; may be repeated.
  void (*recover)(const ring_memory&, std::size_t slot);
  /// Whether each value goes to one consumer only, and each free slot to one producer only. If so, a
  /// notification wakes as many waiters as there are values or free slots; otherwise it wakes all of them.
  bool competing = false;
  /// Whether operations are not told that the other side has closed or died: the ring itself says what that means for
  /// each of them. Its places are freed by read-modify-writes in one total order (seq_cst).
  bool silent = false;
  /// Whether a send never waits for room. A consumer then wakes no producer.
  bool never_full = false;
  /// Whether a send overwrites what no consumer has received. Unless never_full, it waits while consumers hold all places.
  bool overwrites = false;
  /// Whether the capacity is chosen at run time. If not, none can be requested.
  bool chosen_capacity = false;
  /// Whether the number of places, which is the capacity, and the size of the largest message are chosen at run time:
  /// `slots` and `message_bytes` of the options.
  bool chosen_messages = false;
  /// Whether an item is delivered again if its consumer does not acknowledge it: `max_deliveries` and `lease_timeout` of
  /// the options.
  bool redelivers = false;
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
  /// The size of the largest message for a requested one; 0 requests none in particular. Answers 0 if the request
  /// cannot be met, or the ring lets none be chosen.
  constexpr std::uint64_t message_bytes(std::uint64_t wish) const noexcept {
    if (!chosen_messages || wish > max_message_bytes) return 0;
    return wish == 0 ? default_message_bytes : (wish + 15) / 16 * 16;
  }
  static constexpr std::uint64_t default_message_bytes = 64 << 10;
  static constexpr std::uint64_t max_message_bytes = std::uint64_t{1} << 32;

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

// Parts of the concepts below.
template <class R>
concept copies_values = requires(typename R::reader& reader, typename R::received& value,
                                 std::span<typename R::received> values, std::size_t& count) {
  { reader.pop(value) } noexcept -> std::same_as<attempt>;
  { reader.pop_n(values, count) } noexcept -> std::same_as<attempt>;
};

template <class R>
concept lends_messages =
    requires(typename R::writer& writer, typename R::reader& reader, const ring_memory& memory,
             typename R::reader::view& view, std::span<std::byte>& room, std::uint64_t bytes) {
  requires std::same_as<typename R::sendable, std::span<const std::byte>>;
  requires std::same_as<typename R::received, message>;
  { R::max_message(memory) } noexcept -> std::same_as<std::uint64_t>;
  { writer.writable(bytes) } noexcept -> std::same_as<bool>;
  { writer.claim(bytes, room) } noexcept -> std::same_as<attempt>;
  { writer.commit(bytes) } noexcept;
  { writer.abandon() } noexcept;
  { view.bytes } -> std::convertible_to<std::span<const std::byte>>;
  requires std::constructible_from<message, message_source&, decltype(view.bytes), decltype(view.position)>;
  { reader.pop(view) } noexcept -> std::same_as<attempt>;
  { reader.release(view.position, bytes) } noexcept;
};

/// With items that the consumer holds, and dead ones.
template <class R>
concept redelivers = requires(typename R::reader& reader, const lease_ticket& given) {
  requires R::traits.redelivers;
  { reader.give_back(given) } noexcept -> std::same_as<bool>;
  { reader.reject(given) } noexcept -> std::same_as<bool>;
  { reader.made_dead() } noexcept -> std::same_as<bool>;
  { reader.has_dead() } noexcept -> std::same_as<bool>;
  { reader.look_at_leases() } noexcept -> std::same_as<std::chrono::steady_clock::time_point>;
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
/// - push, pop: unless they answer `done`, nothing was sent, and the value is unchanged. (What is in a large value, of
///   more than detail::large_value bytes, is then unspecified.)
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

/// A ring whose items are delivered again until a consumer acknowledges them, or they are dead: a `leasing_ring` or a
/// `holding_ring`. `traits.redelivers` is set.
///
///     bool reader::give_back(const lease_ticket&) noexcept;    // it is there again, for any consumer; or dead
///     bool reader::reject(const lease_ticket&) noexcept;       // it is dead
///     bool reader::made_dead() noexcept;       // whether this side has made an item dead since the last call
///     bool reader::has_dead() noexcept;        // as readable(), for dead items
///     std::chrono::steady_clock::time_point reader::look_at_leases() noexcept;
///                                              // ends those that have lasted too long; when to look again
///
/// give_back, reject, acknowledge, release: false if this consumer does not hold the item any more. leave() gives back
/// everything that it holds, and need not be called if it holds nothing.
template <class R>
concept redelivering_ring = ring<R> && redelivers<R>;

/// A redelivering ring of values, which are copied out:
///
///     attempt reader::lease(T&, lease_ticket&) noexcept;       // as pop, but the item stays held
///     attempt reader::lease_dead(T&, lease_ticket&) noexcept;  // the same for a dead item
///     bool reader::acknowledge(const lease_ticket&) noexcept;  // its place is free
template <class R>
concept leasing_ring =
    redelivering_ring<R> && requires(typename R::reader& reader, typename R::received& value,
                                     lease_ticket& ticket, const lease_ticket& given) {
  { reader.lease(value, ticket) } noexcept -> std::same_as<attempt>;
  { reader.lease_dead(value, ticket) } noexcept -> std::same_as<attempt>;
  { reader.acknowledge(given) } noexcept -> std::same_as<bool>;
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
///     static std::uint64_t max_message(const ring_memory&) noexcept;
///     bool writer::writable(std::uint64_t bytes) noexcept;     // writable() is for what has blocked last
///     attempt writer::claim(std::uint64_t bytes, std::span<std::byte>& room) noexcept;
///     void writer::commit(std::uint64_t bytes) noexcept;       // sends the first `bytes` of the claim
///     void writer::abandon() noexcept;                         // sends nothing
///     struct reader::view { std::span<const std::byte> bytes; std::uint64_t position; };  // position: or lease_ticket
///     attempt reader::pop(view&) noexcept;                     // instead of the other pop and of pop_n
///     void reader::release(std::uint64_t position, std::uint64_t bytes) noexcept;  // in any order
///
/// While a claim is open, every other attempt of its writer would block.
template <class R>
concept in_place_ring = ring<R> && lends_messages<R>;

/// A ring in place whose consumers can skip to the newest message. That counts nothing as lost.
///
///     attempt reader::pop_newest(view&) noexcept;
template <class R>
concept newest_ring = in_place_ring<R> && requires(typename R::reader& reader, typename R::reader::view& view) {
  { reader.pop_newest(view) } noexcept -> std::same_as<attempt>;
};

/// A ring in place whose producer waits for the consumers that hold messages.
///
///     std::size_t writer::pinned() noexcept;     // for how many; 0: there is room
template <class R>
concept pinned_ring = in_place_ring<R> && requires(typename R::writer& writer) {
  { writer.pinned() } noexcept -> std::same_as<std::size_t>;
};

/// A ring whose consumers may hold a place for a moment, and not take it: if a producer has seen that, it may sleep.
///
///     bool reader::hesitated() noexcept;         // whether that has happened since the last call
template <class R>
concept hesitating_ring = ring<R> && requires(typename R::reader& reader) {
  { reader.hesitated() } noexcept -> std::same_as<bool>;
};
/// A ring that is both in place and redelivering. `position` is a lease_ticket, and release() acknowledges.
///
///     attempt reader::pop_dead(view&) noexcept;                // as pop, for a dead message
template <class R>
concept holding_ring = in_place_ring<R> && redelivering_ring<R> &&
    requires(typename R::reader& reader, typename R::reader::view& view, const lease_ticket& given) {
      { reader.pop_dead(view) } noexcept -> std::same_as<attempt>;
      { reader.release(given, std::uint64_t{}) } noexcept -> std::same_as<bool>;
    };

}  // namespace detail
}  // namespace belfry
