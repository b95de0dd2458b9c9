// The shared bytes of a segment, layout version 2. This file alone defines them.
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
inline constexpr std::uint32_t version = 2;
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
  std::uint64_t capacity;         // values, or bytes for a byte ring
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
  std::array<std::uint64_t, 6> reserved;  // 0
};
static_assert(sizeof(identity) == 256);
static_assert(offsetof(identity, places) == 128);
static_assert(std::is_trivially_copyable_v<identity>);

struct control_header {
  identity id;
  /// Which participants are parked, so that a notifier reads one cache line for 64 of them instead of the roster: a
  /// byte per slot, for each role. Written by the slot's owner, and by its reaper. Read eight bytes at a time.
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
  std::atomic<std::uint64_t> bell;         // identity of the named bell (inode), else 0
  std::atomic<std::uint64_t> parks;        // how often the owner has slept
  std::atomic<std::uint64_t> rings;        // how often the owner has woken another participant
  std::atomic<std::uint64_t> since;        // when the owner joined, nanoseconds since 1970
  /// The name of the owner's program, cut off, padded with zeros.
  std::array<std::atomic<std::uint64_t>, 2> program;
  /// epoch << 2 | park_state, see detail/segment/parking.hpp; the epoch survives the owner.
  alignas(cache_line) std::atomic<std::uint64_t> park;
  std::atomic<std::uint32_t> flags;  // none is defined yet: 0
  /// What the owners of this slot have sent, or received. For tools: nothing depends on it. Written by the owner alone,
  /// on a cache line that nothing else uses; a new owner continues to count.
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
};

/// A slot's word, always changed as a whole. Positions are 0, 1, 2, ...; position p is in slot p % capacity,
/// at lap p / capacity. When a position is over, its slot is free at the next lap. The compare-and-swap that
/// takes a slot also stores its owner, so that a dead owner's slots can be found:
///
///   writing, passed   free at the next lap: a half-written item is discarded
///   leased            ready again, for another consumer
///
/// `tail` and `head` are hints that any participant may raise; everything behind them is over. No participant
/// depends on a raise by another one, which may be dead. `late` counts items that became ready in a slot that
/// a consumer may have skipped: an item given back, recovered from a dead owner, or finished after consumers
/// stopped waiting for it. When `late` has changed, consumers look at all slots.
///
/// `deliveries` is how often the item was handed to a consumer; it stays at 255. The compare-and-swap that hands it out
/// raises it; giving back and recovering keep it. A free slot has 0.
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
  constexpr bool valid() const noexcept { return state <= work_state::leased; }
  /// The same item, handed to this consumer.
  constexpr work_word leased_to(std::uint8_t consumer) const noexcept {
    return {lap, consumer, work_state::leased, static_cast<std::uint8_t>(deliveries + (deliveries != 255))};
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
};
static_assert(sizeof(work_control) == 192);

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
/// Exclusive access is a write lock on byte `txn_lock` of the block's file (not of this segment). The holder
/// sets `dirty` before it writes. Before it unlocks, it clears `dirty` and notifies. If `dirty` was already
/// set, the previous holder has died.
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

}  // namespace belfry::layout
