// The shared bytes of a segment, layout version 3. This file alone defines them.
//
//   0             control_header: what this segment is, which participants are parked, counters
//   832           the roster: one participant_slot per producer, then per consumer
//   behind it     the description, JSON in UTF-8 without a terminating zero; header_bytes is its end, rounded up to a
//                 cache line
//   ring_offset   the ring
//
// All integers are little-endian. Offsets count from the start of the segment. There are no pointers: every
// process may map the segment at another address. The constant fields are written before the segment gets its
// name, and never again. A named segment is a file in /dev/shm. It is built without a name (O_TMPFILE) and
// then linked to its name (linkat), so that no process sees an unfinished one.
//
// Locks (open file description locks on single bytes of the segment's file; the contents of those bytes do
// not matter):
//
//   byte 0              the roster: held while a `control` word of the roster is changed, except by a
//                       participant that changes its own word when it leaves
//   byte 1 + slot       held by a participant as long as it lives
//
// A participant opens a separate file description for its locks, and maps the file through another one: a
// mapping inherited by a forked child would keep the locks of its description alive.
//
// The bell of a slot of a named segment is the FIFO `<segment>.bell.<slot>` (decimal) beside it. Its owner
// makes it, opens it for reading and writing, and is its only reader. To notify it: open it for writing and
// write a byte, both non-blocking. ENXIO from open, EPIPE from write, or an error from poll at the writing
// end means that the owner is dead, provided that the FIFO's inode is the slot's `bell`. If the name is gone,
// or belongs to another FIFO, the bell is opened as `/proc/<pid>/fd/<bell_handle>` instead.
//
// All this is Linux. On Windows the file lies in a directory of its user and this boot, is built under another name, and
// then renamed. Byte n of the locks above is byte 2^62 + 2n of the file, because locks are mandatory there. The bell is
// the auto-reset event `Local\belfry.bell.<bell>` (16 hexadecimal digits). A handle of the process `pid` tells of the
// owner's death, provided that the lock of the slot is held after that handle was opened.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace belfry::layout {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<std::uint64_t>) == 8 && sizeof(std::atomic<std::uint32_t>) == 4);

inline constexpr std::array<char, 8> magic{'B', 'e', 'l', 'f', 'r', 'y', '\r', '\n'};
inline constexpr std::uint32_t version = 3;
inline constexpr std::size_t cache_line = 64;
inline constexpr std::size_t max_participants = 250;  // so that slot + 1 fits a byte, and all bells one message
inline constexpr std::size_t max_description = 16 << 10;

enum class role : std::uint8_t { producer = 0, consumer = 1 };

constexpr role opposite(role r) noexcept {
  return r == role::producer ? role::consumer : role::producer;
}

constexpr std::string_view name_of(role r) noexcept {
  return r == role::producer ? "producer" : "consumer";
}

enum class ring_kind : std::uint32_t {
  spsc = 1,
  byte = 2,
  work = 3,
  broadcast = 4,
  latest = 5,
  watch = 6,  // not a ring: the companion of a block
  byte_work = 7,
  byte_broadcast = 8,
  call = 9,
};

/// As in the name of its type; empty for an unknown kind.
constexpr std::string_view name_of(ring_kind kind) noexcept {
  switch (kind) {
    case ring_kind::spsc: return "spsc_ring";
    case ring_kind::byte: return "byte_ring";
    case ring_kind::work: return "work_ring";
    case ring_kind::broadcast: return "broadcast_ring";
    case ring_kind::latest: return "latest";
    case ring_kind::watch: return "watch";
    case ring_kind::byte_work: return "byte_work_ring";
    case ring_kind::byte_broadcast: return "byte_broadcast_ring";
    case ring_kind::call: return "call_ring";
  }
  return {};
}

inline constexpr std::uint32_t flag_persistent = 1;

/// Where the values of a ring are, for programs that do not have its type, or the library that it is made of. Offsets
/// count from the start of the ring.
struct geometry {
  std::uint64_t places = 0;   // how many values have a place; 0 for a byte ring
  std::uint64_t first = 0;    // offset of place 0; of the data of a byte ring
  std::uint64_t stride = 0;   // from one place to the next
  std::uint64_t value = 0;    // offset of the value within its place; before it is the place's word, if it has one
  std::uint64_t written = 0;  // spsc_ring: offset of the index of the place that is written next
  std::uint64_t read = 0;     // spsc_ring: offset of the index of the place that is read next

  friend constexpr bool operator==(const geometry&, const geometry&) noexcept = default;
};
static_assert(sizeof(geometry) == 48);

/// The part of the header that never changes: a joining process compares it with what it expects.
struct identity {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t header_bytes;  // control_header and roster
  std::uint64_t segment_bytes;
  std::array<std::byte, 16> segment_id;  // random
  ring_kind kind;
  std::uint32_t flags;
  std::uint16_t producers;  // slots 0 .. producers - 1
  std::uint16_t consumers;  // the slots behind them
  std::uint32_t bell_mode;  // permission bits of the bells
  std::uint64_t value_bytes;
  std::uint64_t value_align;
  std::uint64_t type_fingerprint;
  std::uint64_t capacity;         // values or messages; bytes for a byte_ring
  std::uint64_t abi_fingerprint;  // of a ring whose layout a library defines, or that has a mode; else 0
  std::uint64_t ring_offset;
  std::uint64_t ring_bytes;
  std::uint64_t process_namespace;  // of the creator; only meaningful where peers are identified by pid
  std::uint64_t subject;  // in a block's companion: the inode of the block; else 0
  geometry places;
  std::uint32_t description_bytes;  // 0: none
  std::uint32_t creator;            // its pid
  std::uint64_t created;            // nanoseconds since 1970
  std::array<char, 16> program;     // the creator's name, cut off, padded with zeros
  std::uint64_t message_bytes;      // of the largest message, where the creator chooses it; else 0
  std::uint64_t lease_timeout;      // nanoseconds; 0: none
  std::uint32_t max_deliveries;     // 1 to 255; 0: any number
  std::uint32_t unused;             // 0
  std::array<std::uint64_t, 3> reserved;  // 0
};
static_assert(sizeof(identity) == 256);
static_assert(offsetof(identity, places) == 128);
static_assert(std::is_trivially_copyable_v<identity>);

struct control_header {
  identity id;
  /// Which participants are parked, so that a notifier reads one cache line for 64 of them instead of the roster: a
  /// byte per slot, for each role, a park_mark. Written by the slot's owner, and by its reaper. Read eight bytes at a
  /// time.
  struct alignas(cache_line) parked_marks {
    std::array<std::atomic<std::uint8_t>, 256> slots;
  };
  std::array<parked_marks, 2> parked;
  /// For tools that inspect a segment. Nothing depends on them, with one exception: a segment without joins
  /// was left by a creator that could not join it, and may be removed. Changed under the roster's lock.
  struct alignas(cache_line) counters {
    std::atomic<std::uint64_t> joins;
    std::atomic<std::uint64_t> leaves;
    std::atomic<std::uint64_t> deaths;
    /// How often a manager has found a dead participant whose slot is not free yet. A hint, changed without
    /// the lock: the participants that the manager then notifies look for dead ones.
    std::atomic<std::uint64_t> alarms;
  } count;
};
static_assert(sizeof(control_header) == 832);
static_assert(offsetof(control_header, parked) == 256);
static_assert(offsetof(control_header, count) == 768);
static_assert(max_participants <= sizeof(control_header::parked_marks));

// ---- the roster -----------------------------------------------------------------------------------

enum class slot_state : std::uint8_t {
  free = 0,
  joining = 1,
  live = 2,
  going = 3,  // its end is known and counted; its bell and its parked byte are still to be removed
};

/// How the last owner of a slot ended.
enum class slot_end : std::uint8_t { none = 0, left = 1, died = 2 };

/// A slot's control word. Every change is one store of the whole word, under the roster's lock. One
/// exception: a leaving owner, which holds its slot's lock, sets `going, left` itself. A death is counted in
/// the same store that sets `going`; so it is counted exactly once, even if the reaper dies.
struct alignas(8) slot_control {
  std::uint32_t generation = 0;  // of the owner; grows with every join
  std::uint16_t deaths = 0;      // of owners, modulo 2^16
  slot_end end = slot_end::none;
  slot_state state = slot_state::free;
};
static_assert(sizeof(slot_control) == 8 && std::is_trivially_copyable_v<slot_control>);

struct alignas(cache_line) participant_slot {
  std::atomic<slot_control> control;
  std::atomic<std::uint32_t> pid;
  std::atomic<std::uint32_t> bell_handle;  // the owner's descriptor, for a bell that has lost its name
  std::atomic<std::uint64_t> bell;         // identity of the named bell (inode, or random), else 0
  std::atomic<std::uint64_t> parks;        // how often the owner has slept
  std::atomic<std::uint64_t> rings;        // how often the owner has woken another participant
  std::atomic<std::uint64_t> since;        // when the owner joined, nanoseconds since 1970
  /// The name of the owner's program, cut off, padded with zeros.
  std::array<std::atomic<std::uint64_t>, 2> program;
  /// epoch << 2 | park_state, see detail/segment/parking.hpp; the epoch survives the owner.
  alignas(cache_line) std::atomic<std::uint64_t> park;
  std::atomic<std::uint32_t> flags;  // none is defined yet: 0
  /// What the owners of this slot have sent, or received. For tools, with one exception: the number of messages of an
  /// spsc_ring is the position of its next value. There a new owner first counts what its predecessor had passed and not
  /// counted when it was killed: the index of the ring tells. Written by the owner alone, on a cache line that nothing
  /// else uses; a new owner continues to count.
  struct alignas(cache_line) traffic {
    std::atomic<std::uint64_t> messages;
    std::atomic<std::uint64_t> bytes;  // of messages of any size; 0 where all values have the same size
    std::atomic<std::uint64_t> lost;  // values that were overwritten before this consumer received them
  } count;
};
static_assert(sizeof(participant_slot) == 192);
static_assert(offsetof(participant_slot, park) == 64);
static_assert(offsetof(participant_slot, count) == 128);
static_assert(std::atomic<slot_control>::is_always_lock_free);
static_assert(sizeof(std::atomic<slot_control>) == 8);

enum class park_state : std::uint64_t { awake = 0, parked = 1, rung = 2 };

/// What a parked participant waits for.
enum class park_mark : std::uint8_t {
  none = 0,
  ring = 1,  // for a value or for room, or for anything else
  own = 2,   // where participants compete: only for what is meant for it alone, and for changes of the roster
};

inline constexpr std::uint64_t roster_lock = 0;
constexpr std::uint64_t slot_lock(std::size_t slot) noexcept { return 1 + slot; }

constexpr std::size_t description_offset(std::size_t participants) noexcept {
  return sizeof(control_header) + participants * sizeof(participant_slot);
}
constexpr std::size_t header_bytes(std::size_t participants, std::size_t description_bytes) noexcept {
  const std::size_t end = description_offset(participants) + description_bytes;
  return (end + cache_line - 1) / cache_line * cache_line;
}

// ---- byte_ring --------------------------------------------------------------------------------------

/// At ring_offset; the data begins at the next page boundary and is `capacity` bytes, a power of two
/// and a multiple of the page. Positions only grow; the byte at position p is data[p % capacity].
struct byte_ring_control {
  alignas(cache_line) std::atomic<std::uint64_t> tail;  // written by the producer: end of the sent bytes
  alignas(
      cache_line) std::atomic<std::uint64_t> head;  // written by the consumer: end of the released
};
static_assert(sizeof(byte_ring_control) == 128);

/// Before every message, at a multiple of 8. A record may cross the end of the data.
struct alignas(8) record_header {
  std::uint32_t bytes;  // of the message; the next record follows at the next multiple of 8
  std::uint32_t flags;
};
static_assert(sizeof(record_header) == 8 && alignof(record_header) == 8);
static_assert(std::atomic_ref<record_header>::is_always_lock_free);

/// Set by the consumer in a record that it has released before an older one. Cleared when the older one is
/// released, or when the record is delivered again to a successor.
inline constexpr std::uint32_t record_released = 1;

constexpr std::uint64_t record_bytes(std::uint64_t message) noexcept {
  return sizeof(record_header) + ((message + 7) & ~std::uint64_t{7});
}

// ---- rings with a place for each message -------------------------------------------------------------

/// At the beginning of a place; `geometry::value` behind it the message, at a multiple of 16. Places are whole cache
/// lines, and have room for identity::message_bytes.
struct alignas(16) message_header {
  std::atomic<std::uint64_t> word;   // as in the ring for values of the same kind
  std::atomic<std::uint64_t> bytes;  // of the message
};
static_assert(sizeof(message_header) == 16);

/// The places of such a ring. `header`: what is before the message, a multiple of 16.
constexpr geometry message_places(std::uint64_t places, std::uint64_t first, std::uint64_t header,
                                  std::uint64_t message_bytes) noexcept {
  return {.places = places,
          .first = (first + cache_line - 1) / cache_line * cache_line,
          .stride = (header + message_bytes + cache_line - 1) / cache_line * cache_line,
          .value = header};
}

// ---- latest -------------------------------------------------------------------------------------------

/// At ring_offset; after it follow `places` values, each of whole words. Version v is in place v % places.
///
/// To write: store the words in the next version's place; then store `version`. A producer that dies in
/// between leaves words that no reader reads. To read: load `version`, the words, and `version` again; the
/// second must not be so far ahead that the place may have been overwritten.
struct latest_control {
  /// So many that a reader finishes before even a busy writer returns to its place.
  static constexpr std::uint64_t places = 8;

  alignas(cache_line) std::atomic<std::uint64_t> version;  // of the newest whole value; 0: none yet
  alignas(cache_line) std::atomic<std::uint64_t> read;     // the highest version that was received
};
static_assert(sizeof(latest_control) == 128);

// ---- work_ring ----------------------------------------------------------------------------------------

enum class work_state : std::uint8_t {
  free = 0,     // the position of this lap has not been used yet
  writing = 1,  // its owner, a producer, is writing the value
  passed = 2,   // the same, and a consumer has skipped it
  ready = 3,
  leased = 4,  // its owner, a consumer, has received it
  dead = 5,    // delivered too often, or rejected: only for consumers that ask for dead items
  dead_leased = 6,  // its owner, a consumer, has received the dead item
};

/// A slot's word, always changed as a whole. Positions are 0, 1, 2, ...; position p is in slot p % capacity,
/// at lap p / capacity. When a position is over, its slot is free at the next lap. The compare-and-swap that
/// takes a slot also stores its owner, so that a dead owner's slots can be found:
///
///   writing, passed   free at the next lap: a half-written item is discarded
///   leased            ready again, for another consumer; or dead, if its deliveries are max_deliveries
///   dead_leased           dead again
///
/// `tail` and `head` are hints that any participant may raise; everything behind them is over. No participant
/// depends on a raise by another one, which may be dead. `late` counts items that became ready in a slot that
/// a consumer may have skipped: an item given back, recovered from a dead owner, or finished after consumers
/// stopped waiting for it. When `late` has changed, consumers look at all slots.
///
/// `deliveries` is how often the item was handed to a consumer; it stays at 255. The compare-and-swap that hands it out
/// raises it; giving back and recovering keep it. A free slot has 0.
///
/// An item dies in the compare-and-swap that ends a lease: its consumer rejects it; or gives it back, is recovered or is
/// too late (see below) although identity::max_deliveries is reached. So no item is ready that may not be delivered
/// again, and a consumer that is killed at any instruction leaves the item leased or dead. A dead item keeps its place and
/// its deliveries. The consumer that takes it owns it (`dead_leased`); that is no delivery. `died` counts after each such
/// change, and recover() at its end, whether an item has died or not: when it has changed, consumers that ask for dead
/// items, and producers without room, look at all slots. A producer that finds no room drops the oldest dead item
/// (free at the next lap) if more are dead than most_dead(), and then counts it in `dropped`. That count is for tools, and
/// misses those of producers that were killed in between.
///
/// If identity::lease_timeout is set, the last 8 * capacity bytes of the ring are the times, one for each slot, at which
/// it was last leased, in nanoseconds of the monotonic clock. A consumer raises the time before the compare-and-swap that
/// leases: so a consumer that was stopped between the two makes no later lease look old, and one that fails in the
/// compare-and-swap can only make it look younger. Consumers look for leases that have lasted too long, and end them as
/// recover() does. The compare-and-swap of the former owner then fails: the state, the owner or the deliveries differ. One
/// consumer that gets its own item again may see the same word (deliveries stay at 255); it tells its leases apart by
/// itself (lease_ticket::turn).
///
/// A lap has 45 bits. A ring of one slot that passes ten million items a second has used them up after 40 days, one of
/// 1024 slots after a century. Then its producers find it corrupted: see work_end(). No slot is ever more than two laps
/// ahead of `tail`: one if its item is over, and another if a producer that was killed had claimed slots beyond the end
/// of the lap, and had not raised `tail` yet. A word that claims more was forged.
struct work_word {
  std::uint64_t lap = 0;
  std::uint8_t owner = 0;  // slot of the roster + 1; 0: none
  work_state state = work_state::free;
  std::uint8_t deliveries = 0;

  static constexpr std::uint64_t laps = std::uint64_t{1} << 45;
  static constexpr std::uint64_t most_ahead = 2;

  constexpr std::uint64_t bits() const noexcept {
    return lap << 19 | std::uint64_t{deliveries} << 11 | std::uint64_t{owner} << 3 | static_cast<std::uint64_t>(state);
  }
  static constexpr work_word from(std::uint64_t bits) noexcept {
    return {bits >> 19, static_cast<std::uint8_t>(bits >> 3), static_cast<work_state>(bits & 7),
            static_cast<std::uint8_t>(bits >> 11)};
  }
  constexpr bool valid() const noexcept { return state <= work_state::dead_leased; }
  /// The same item, handed to this consumer.
  constexpr work_word leased_to(std::uint8_t consumer) const noexcept {
    return {lap, consumer, work_state::leased, static_cast<std::uint8_t>(deliveries + (deliveries != 255))};
  }
  /// Held by a consumer, as an item or as a dead one.
  constexpr bool is_held() const noexcept { return state == work_state::leased || state == work_state::dead_leased; }
  /// The same item when its lease has ended without an acknowledgement.
  constexpr work_word returned(std::uint32_t max_deliveries) const noexcept {
    const bool over = state == work_state::dead_leased || (max_deliveries != 0 && deliveries >= max_deliveries);
    return {lap, 0, over ? work_state::dead : work_state::ready, deliveries};
  }
};
static_assert(work_word().bits() == 0);

/// No honest tail comes near this: some thousand laps later, which is more than a call goes on, laps would no longer
/// fit their bits.
constexpr std::uint64_t work_end(std::uint64_t capacity) noexcept {
  constexpr std::uint64_t most = std::uint64_t{1} << 17;  // so that the product fits, and sums of positions do
  return (capacity < most ? capacity : most) * (work_word::laps - 8192);
}

/// At ring_offset; after it follow `capacity` slots: the word, and the value in 8-byte words. (Packed,
/// although neighbours then share cache lines: the fewer lines travel between processors, the better.)
struct work_control {
  alignas(cache_line) std::atomic<std::uint64_t> tail;  // raised by producers
  alignas(cache_line) std::atomic<std::uint64_t> head;  // raised by consumers
  alignas(cache_line) std::atomic<std::uint64_t> late;
  std::atomic<std::uint64_t> died;
  std::atomic<std::uint64_t> dropped;
};
static_assert(sizeof(work_control) == 192);
static_assert(offsetof(work_control, died) == 136 && offsetof(work_control, dropped) == 144);

/// So many dead items may stay in a ring without room.
constexpr std::uint64_t most_dead(std::uint64_t capacity) noexcept {
  return capacity >= 4 ? capacity / 4 : capacity / 2;
}
/// Of the times of leases.
constexpr std::uint64_t lease_times_bytes(std::uint64_t capacity, std::uint64_t lease_timeout) noexcept {
  return lease_timeout != 0 ? capacity * sizeof(std::uint64_t) : 0;
}

// ---- call_ring ----------------------------------------------------------------------------------------

enum class call_state : std::uint8_t {
  free = 0,
  writing = 1,    // its client is writing the request
  ready = 2,      // for any server
  taken = 3,      // its server works on it, and writes the reply
  abandoned = 4,  // the same, but its client no longer waits: it was cancelled, has expired, or its client has died
  answered = 5,   // the reply is in the place, for its client
  refused = 6,    // an error code is in the place, for its client
  lost = 7,       // its server has died, or dropped it: it may have been executed
};

/// A place's word, always changed as a whole by compare-and-swap. So each of these is one step, and what a dead
/// participant has left is one of these states:
///
///   by the client    free -> writing -> ready        writing, ready -> free      withdrawn
///                    taken -> abandoned              answered, refused, lost -> free
///   by a server      ready -> taken -> answered, refused, lost                   or ready, if it goes on
///                    abandoned -> free
///   dead client      writing, ready, answered, refused, lost -> free             taken -> abandoned
///   dead server      taken -> ready, if it goes on, else lost                    abandoned -> free
///
/// The request is written in `writing`, read in `taken` and `abandoned`; the reply is written in these two, read in
/// `answered` and `refused`. So no place is used again while a participant may still write to it.
///
/// `client` and `server` are slots of the roster + 1; 0: none. A word has a client in all states but `free` and
/// `abandoned`, and a server in `taken` and `abandoned`. `generation` grows with each call of the place: a reply that
/// comes too late finds another word than it expects, and changes nothing. `deliveries` is how often a server has taken
/// the call; it stays at 255. `again`: if its server dies, or drops it, the call goes on with another one, unless
/// `deliveries` are identity::max_deliveries. So no call is ready that must not be delivered again.
struct call_word {
  std::uint64_t generation = 0;  // 36 bits; then it starts again
  std::uint8_t client = 0;
  std::uint8_t server = 0;
  std::uint8_t deliveries = 0;
  bool again = false;
  call_state state = call_state::free;

  constexpr std::uint64_t bits() const noexcept {
    return generation << 28 | std::uint64_t{again} << 27 | std::uint64_t{client} << 19 | std::uint64_t{server} << 11 |
           std::uint64_t{deliveries} << 3 | static_cast<std::uint64_t>(state);
  }
  static constexpr call_word from(std::uint64_t bits) noexcept {
    return {bits >> 28,
            static_cast<std::uint8_t>(bits >> 19),
            static_cast<std::uint8_t>(bits >> 11),
            static_cast<std::uint8_t>(bits >> 3),
            (bits >> 27 & 1) != 0,
            static_cast<call_state>(bits & 7)};
  }
  constexpr call_word taken_by(std::uint8_t taker) const noexcept {
    return {generation, client, taker, static_cast<std::uint8_t>(deliveries + (deliveries != 255)), again, call_state::taken};
  }
};
static_assert(call_word().bits() == 0);

/// The beginning of a place. Behind it, at geometry::value, lies the request and then the reply: as the structure that
/// the description tells, or with room for identity::message_bytes each.
struct alignas(16) call_place {
  std::atomic<std::uint64_t> word;
  std::atomic<std::uint64_t> request_bytes;  // of messages of any size
  std::atomic<std::uint64_t> deadline;       // of the monotonic clock, in nanoseconds; 0: none
  /// Of an answered call: the bytes of its reply. Of a refused one: the server's error code, category << 32 | value.
  std::atomic<std::uint64_t> outcome;
};
static_assert(sizeof(call_place) == 32);

/// Categories of the error code of a refused call. One of another category arrives without its number.
enum class call_error : std::uint32_t { other = 0, system = 1, generic = 2, belfry = 3 };

/// At ring_offset; the places follow. `tail` and `head` are hints where to look first for a free place and for a call
/// that is ready. `news` grows after each call that becomes ready, and after each recovery: a server that has looked at
/// all places in vain need not look again before it has changed. A client that is killed between making its call ready
/// and counting it loses that call in any case.
struct call_control {
  alignas(cache_line) std::atomic<std::uint64_t> tail;  // stored by clients
  alignas(cache_line) std::atomic<std::uint64_t> head;  // stored by servers
  alignas(cache_line) std::atomic<std::uint64_t> news;
};
static_assert(sizeof(call_control) == 192);

// ---- broadcast_ring -----------------------------------------------------------------------------------

/// A slot's stamp, written by the producer only: 0 before its first use, then one of these; it only grows.
constexpr std::uint64_t broadcast_writing(std::uint64_t position) noexcept {
  return 2 * position + 1;
}
constexpr std::uint64_t broadcast_whole(std::uint64_t position) noexcept {
  return 2 * position + 2;
}

/// At ring_offset. After it, if the ring blocks, follow the cursors, one for each slot of the roster; then
/// `capacity` slots: the stamp, and the value in whole words. Positions are 0, 1, 2, ...; position p is in
/// slot p % capacity. The identity's abi_fingerprint says whether the ring blocks (0) or overwrites (1).
///
/// To write position p: stamp = writing; the words; stamp = whole, and p is sent; tail = p + 1. If a producer
/// dies, its successor finds one of these:
///
///   writing at p   p was not sent; the successor writes p again. Readers take it for "not yet".
///   whole at p     p was sent, and `tail` is one behind: the successor sets it, and continues at p + 1
///
/// To read p: load the stamp, which is less than whole(p) until p is sent; the words; and, if the ring
/// overwrites, the stamp once more. If it is more than whole(p), p has been overwritten.
///
/// If the ring blocks, the producer never writes `capacity` or more ahead of an attached consumer's cursor.
/// To attach (C: the consumer; P: the producer that needs room):
///
///   C1  cursor = claim - capacity, or 0         P1  claim = end of the room, as the cursors show it
///   C2  set the bit in `attached`               P2  seq_cst fence
///   C3  seq_cst fence                           P3  read the cursors again: there is room up to what
///   C4  cursor = claim - capacity, or more          they all allow, but not beyond the claim
///
/// Either P3 sees the cursor, or C4 sees the claim: so the values at C4's cursor and after it stay. The claim
/// only limits how old a value a newcomer may ask for. It only grows. A claim that is too high, because P3
/// found less room or a consumer died after P1, hides some old values from newcomers.
///
///   dead after C2, or later     the cursor holds the producer back until recover() clears the bit
///   dead while leaving          the same; leaving means clearing the bit
///   cursor not up to date       the room behind it is found when the bit is cleared
///
/// With no bit set, the producer claims one slot at a time, so that the newest `capacity` values are there
/// for a newcomer.
struct broadcast_control {
  alignas(cache_line) std::atomic<std::uint64_t> tail;  // written by the producer: end of the sent values
  std::atomic<std::uint64_t> claim;  // likewise: end of what it may write, if the ring blocks
  /// Raised by consumers, now and then and when they leave: the end of what the fastest has received.
  alignas(cache_line) std::atomic<std::uint64_t> received;
  /// A bit per slot: its cursor counts. If the bit is clear, the cursor is a former owner's. Only if the ring
  /// blocks.
  alignas(cache_line) std::array<std::atomic<std::uint64_t>, 4> attached;
};
static_assert(sizeof(broadcast_control) == 192);
static_assert(offsetof(broadcast_control, claim) == 8);
static_assert(max_participants <= 4 * 64, "a bit of `attached` for each");

/// Written by the slot's owner: the end of what it has received.
struct alignas(cache_line) broadcast_cursor {
  std::atomic<std::uint64_t> position;
};
static_assert(sizeof(broadcast_cursor) == 64);

// ---- byte_broadcast_ring --------------------------------------------------------------------------------

// If the ring blocks (abi_fingerprint 0), everything is as in a broadcast_ring that blocks: broadcast_control, the
// cursors, then the places, whose header is a message_header; its word is the stamp. A consumer's cursor is the oldest
// message that it holds, or else the end of what it has received. If the ring overwrites (1), a held_broadcast_control
// and places with a held_message_header:

/// A place's stamp, written by the producer only: 0 before its first use, then one of these; it only grows.
constexpr std::uint64_t held_writing(std::uint64_t position) noexcept { return 4 * position + 1; }
constexpr std::uint64_t held_passed(std::uint64_t position) noexcept { return 4 * position + 2; }
constexpr std::uint64_t held_whole(std::uint64_t position) noexcept { return 4 * position + 3; }

/// Positions are 0, 1, 2, ...; position p is in place p % capacity. Not every position has a message: where a consumer
/// holds the older message of the place, the producer passes by. So messages have numbers of their own, 0, 1, 2, ...,
/// from which a consumer knows how many it has lost. A consumer that holds a message has set its bit in `holders`.
///
///   the producer, at position p = tail          a consumer, at position p
///
///   P1  the first place from p on without       C1  read the stamp: whole(p)
///       bits, without changing anything;        C2  set the own bit; read the number
///       none: there is no room                  C3  read the stamp again: whole(p), it is held;
///   P2  pass all positions before it                otherwise clear the bit: it was overwritten
///   P3  stamp = writing(p)                      C4  read the size, and the message
///   P4  read the bits again: if there is        C5  clear the bit: it is not held any more
///       one, pass p, and start again at P1
///   P5  write the message, size and number
///   P6  stamp = whole(p), and it is sent; sent; tail = p + 1
///
/// P3, P4, C2 and C3 are sequentially consistent. Either P4 sees the bit, or C3 sees that the stamp has changed: so what
/// a consumer holds is not written. To pass a position: stamp = writing; number, that of the next message; stamp =
/// passed; tail is one more. The message of the older position stays as it is, but no other consumer can get it. A
/// consumer that clears a bit, even one that it set in vain, then notifies a producer that sleeps: the producer may have
/// seen no place without bits.
///
/// If the producer dies, its successor finds at `tail` one of these:
///
///   an older stamp, or 0   nothing was begun there
///   writing                the message was not sent; the successor begins there, at P1. Readers take it for "not yet"
///   passed, or whole       `tail` is one behind, and `sent` may be: the successor corrects both
///
/// The place before `tail` always has a passed or whole stamp, and so tells the number of the next message. (There are at
/// least two places.) If a consumer dies, recover() clears its bits in all places. A bit of a slot that does not exist,
/// or is the producer's, counts for nothing. tests/model/broadcast_holds.pml checks this exhaustively.
struct held_broadcast_control {
  alignas(cache_line) std::atomic<std::uint64_t> tail;  // written by the producer: the next position
  std::atomic<std::uint64_t> sent;                      // likewise: the number of the next message
  /// Raised by consumers, now and then and when they leave: the end of the messages that the fastest has received and
  /// does not hold any more; a number.
  alignas(cache_line) std::atomic<std::uint64_t> received;
};
static_assert(sizeof(held_broadcast_control) == 128);
static_assert(offsetof(held_broadcast_control, sent) == 8);

struct alignas(cache_line) held_message_header {
  message_header message;             // its word is the stamp
  std::atomic<std::uint64_t> number;  // of the message; if the position was passed, of the next one
  std::atomic<std::uint64_t> unused;
  std::array<std::atomic<std::uint64_t>, 4> holders;  // a bit per slot of the roster
};
static_assert(sizeof(held_message_header) == 64);
static_assert(offsetof(held_message_header, message) == 0);

// ---- watch ----------------------------------------------------------------------------------------

/// At ring_offset of a block's companion segment, `<name>.watch`, all of whose 64 participants are consumers.
/// Its identity has value_align 8, capacity max_elements, and 0 for the other properties of values; it has no
/// description; ring_offset is header_bytes. The last participant to leave removes the file, unless `dirty` or
/// flag_persistent is set. examples/python/belfry_watch implements all this without C++.
///
/// Every array has an entry per slot, written only by the slot's owner and its reaper. So no
/// read-modify-write is needed, and a slot's count stays when its owner leaves.
///
/// The version of the block is the sum of `changes`. A new companion sets its first entry, and `whole` of the
/// same slot, to the time in nanoseconds since 1970. So its versions are higher than those of any earlier
/// companion of the block, and for a watcher that has seen one of those, the whole block has changed.
///
///   to notify   N1  busy = 1; ++changes                  to read     R1  version = the sum
///               N2  a full fence                                     R2  a full fence
///               N3  v = the sum                                      R3  read the block
///               N4  `whole`, or the element's entry, = v
///               N5  busy = 0; a full fence; notify the parked
///
/// A watcher that has read the block in this way then waits until an element's entry, or `whole` of any slot,
/// is more than its version. It misses no change. Consider a notification that its sum does not count. If N2
/// comes before R2, R3 has read the notified change. If R2 comes before N2, v counts everything that the
/// watcher's version counts, and itself; so v is more. The fences also order two notifiers: at least one
/// counts the other. tests/model/watch.pml checks this exhaustively.
///
/// If a notifier dies on the way, the whole block counts as changed. Only an element's entry has several
/// writers: they raise it by compare-and-swap. A notification for no element in particular uses `whole`.
///
/// Exclusive access is a write lock on byte `txn_lock` of the block's file (not of this segment). Where a block is no
/// file, on Windows, it is one on byte `txn_lock_of_companion` of this segment, after those of its slots. The holder
/// sets `dirty` before it writes. Before it unlocks, it clears `dirty` and notifies. If `dirty` was already set, the
/// previous holder has died.
///
/// A participant that does not get the lock takes a ticket higher than all it sees. It drops the ticket when
/// it has the lock or gives up. The lowest ticket is next; of equal tickets, that of the lowest slot.
/// Participants without a ticket do not try while there are tickets. A waiter parks, then tries once more,
/// and again after every wake-up.
///
/// If the waiter that is next finds `dirty` 0, or not naming a live participant, no notification may follow
/// the unlock: the kernel may close a dead process's bell before the file with the lock. Then the waiter also
/// retries after a short time.
struct watch_state {
  static constexpr std::size_t max_elements = 1024;
  static constexpr std::size_t participants = 64;
  template <class T>
  using per_slot = std::array<std::atomic<T>, participants>;

  per_slot<std::uint64_t> changes;
  per_slot<std::uint64_t> whole;     // version of the last such change
  per_slot<std::uint64_t> busy;      // 1 while notifying
  per_slot<std::uint64_t> ticket;    // 0: not waiting
  std::atomic<std::uint64_t> dirty;  // the holder: generation << 32 | slot + 1; 0: none
  /// Version of the last change of an element, modulo max_elements. Only ever grows.
  std::array<std::atomic<std::uint64_t>, max_elements> elements;
};
static_assert(sizeof(watch_state) == 8 * (4 * watch_state::participants + 1 + watch_state::max_elements));

inline constexpr std::uint64_t txn_lock = 0;
inline constexpr std::uint64_t txn_lock_of_companion = slot_lock(max_participants);

}  // namespace belfry::layout
