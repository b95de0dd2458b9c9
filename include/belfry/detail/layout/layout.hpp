// The shared bytes of a segment, layout version 1. This file is the only truth about them.
//
//   0                   control_header: what this segment is, who is parked, counters
//   header_bytes - ...  the roster: one participant_slot per producer, then per consumer
//   ring_offset         the ring
//
// All integers are little-endian, offsets count from the start of the segment, and nothing in it is
// a pointer: every process may map it at another address. The constant fields are written before
// the segment gets its name and never again. A named segment is a file in /dev/shm, which is built
// without a name (O_TMPFILE) and then linked to it (linkat), so that nobody sees half of one.
//
// Locks (open file description locks on single bytes of the segment's file; what is stored in those
// bytes does not matter):
//
//   byte 0              the roster: held while anything in the roster's `control` words is changed, but for a
//                       participant's own word when it leaves
//   byte 1 + slot       held by a participant as long as it lives
//
// A participant opens a description of its own for them, and maps the file through another one: a
// mapping, too, would keep its description's locks alive in the child of a fork.
//
// The bell of a slot of a named segment is the FIFO `<segment>.bell.<slot>` (decimal) beside it. Its
// owner makes it, opens it for reading and writing, and is its only reader; to ring is to open it for
// writing, all non-blocking, and to write a byte. ENXIO at the opening, EPIPE at the write, or an error
// reported by poll at the writing end says that its owner is dead, provided that the FIFO's inode is
// the one that the slot has in `bell`. Where the name is gone, or a namesake's, the bell is opened as
// `/proc/<pid>/fd/<bell_handle>` instead.
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
inline constexpr std::uint32_t version = 1;
inline constexpr std::size_t cache_line = 64;
inline constexpr std::size_t max_participants = 64;  // one byte each in a line of `parked`

enum class role : std::uint8_t { producer = 0, consumer = 1 };

constexpr role opposite(role r) noexcept {
  return r == role::producer ? role::consumer : role::producer;
}

enum class ring_kind : std::uint32_t {
  spsc = 1,
  byte = 2,
  work = 3,
  broadcast = 4,
  latest = 5,
  watch = 6,  // no ring: the companion of a block
};

/// As in the name of its type; empty for what is no kind.
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

/// The part of the header that never changes: what an attacher compares with what it expects.
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
  std::uint64_t abi_fingerprint;  // of a ring whose layout is a library's, or depends on a mode; else 0
  std::uint64_t ring_offset;
  std::uint64_t ring_bytes;
  std::uint64_t process_namespace;  // of the creator; counts only where peers watch pids
  std::uint64_t subject;  // of a block's companion: the identity (inode) of the block, else 0
};
static_assert(sizeof(identity) == 128);
static_assert(std::is_trivially_copyable_v<identity>);

struct control_header {
  identity id;
  /// Who is parked, so that a notifier reads one cache line and not the roster: a line per role, a
  /// byte per slot, written by the slot's owner (and by whoever reaps it). Read eight at a time.
  struct alignas(cache_line) parked_line {
    std::array<std::atomic<std::uint8_t>, max_participants> slots;
  };
  std::array<parked_line, 2> parked;
  /// For whoever looks in from outside; nothing depends on them, but that a segment without joins was made by
  /// one who could not join, and may go. Changed under the roster's lock.
  struct alignas(cache_line) counters {
    std::atomic<std::uint64_t> joins;
    std::atomic<std::uint64_t> leaves;
    std::atomic<std::uint64_t> deaths;
    /// How often a manager has found somebody dead whose slot is not free yet. A hint, changed without the
    /// lock: whoever it rings then looks for the dead.
    std::atomic<std::uint64_t> alarms;
  } count;
};
static_assert(sizeof(control_header) == 320);
static_assert(offsetof(control_header, parked) == 128);
static_assert(offsetof(control_header, count) == 256);

// ---- the roster -----------------------------------------------------------------------------------

enum class slot_state : std::uint8_t {
  free = 0,
  joining = 1,
  live = 2,
  going = 3,  // its end is known, and counted; what is left of it is still to be removed
};

/// How the last owner of a slot went.
enum class slot_end : std::uint8_t { none = 0, left = 1, died = 2 };

/// A slot's control word. Changed as a whole, so that every change is one store, and under the roster's lock; but
/// its owner alone, whose lock on the slot is held, makes it `going`, `left`. A death is counted in the very
/// store that makes it `going`, hence exactly once, even if the reaper dies.
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
  std::atomic<std::uint32_t> bell_handle;  // the owner's own, where a named bell has lost its name
  std::atomic<std::uint64_t> bell;         // identity of the named bell (inode), else 0
  std::atomic<std::uint64_t> parks;        // how often the owner went to sleep
  std::atomic<std::uint64_t> rings;        // how often the owner woke another
  /// epoch << 2 | park_state, see detail/segment/parking.hpp; the epoch survives the owner.
  alignas(cache_line) std::atomic<std::uint64_t> park;
};
static_assert(sizeof(participant_slot) == 128);
static_assert(offsetof(participant_slot, park) == 64);
static_assert(std::atomic<slot_control>::is_always_lock_free);
static_assert(sizeof(std::atomic<slot_control>) == 8);

enum class park_state : std::uint64_t { awake = 0, parked = 1, rung = 2 };

inline constexpr std::uint64_t roster_lock = 0;
constexpr std::uint64_t slot_lock(std::size_t slot) noexcept { return 1 + slot; }

constexpr std::size_t header_bytes(std::size_t participants) noexcept {
  return sizeof(control_header) + participants * sizeof(participant_slot);
}

// ---- byte_ring --------------------------------------------------------------------------------------

/// At ring_offset; the data begins at the next page boundary and is `capacity` bytes, a power of two
/// and a multiple of the page. Positions only grow; the byte at position p is data[p % capacity].
struct byte_ring_control {
  alignas(cache_line) std::atomic<std::uint64_t> tail;  // written by the producer: end of the sent
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

/// Set by the consumer in a record that it has released before an older one. It goes when the older
/// one is released, or when the record is delivered again to a successor.
inline constexpr std::uint32_t record_released = 1;

constexpr std::uint64_t record_bytes(std::uint64_t message) noexcept {
  return sizeof(record_header) + ((message + 7) & ~std::uint64_t{7});
}

// ---- latest -------------------------------------------------------------------------------------------

/// At ring_offset; behind it are `places` values, each of whole words. Version v is in place v % places.
///
/// To write: the words of the next version's place; then `version`. Who dies in between has written
/// nothing that anybody reads. To read: `version`; the words; and then `version` again, which must not
/// be so far ahead that the place may have been written to.
struct latest_control {
  /// So many that a reader is through before a busy writer comes round to its place.
  static constexpr std::uint64_t places = 8;

  alignas(cache_line) std::atomic<std::uint64_t> version;  // of the newest whole value; 0: none yet
  alignas(cache_line) std::atomic<std::uint64_t> read;     // the highest version that was received
};
static_assert(sizeof(latest_control) == 128);

// ---- work_ring ----------------------------------------------------------------------------------------

enum class work_state : std::uint8_t {
  free = 0,     // the position that the lap says has not been used yet
  writing = 1,  // its owner, a producer, is at it
  passed = 2,   // the same, and a consumer has gone past it
  ready = 3,
  leased = 4,  // its owner, a consumer, has it
};

/// A slot's word, changed as a whole. Positions are 0, 1, 2, ...; position p is in slot p % capacity, at lap
/// p / capacity. When it is over the slot is free at the next lap. Whoever owns a slot says so in the
/// very compare-and-swap that takes it, so that a dead one's can be found:
///
///   writing, passed   free at the next lap: what was half-written has never been
///   leased            ready again, for somebody else
///
/// `tail` and `head` are hints, raised by anyone, behind which there is nothing to be done: nobody depends
/// on a raise by somebody who may be dead. `late` counts what became ready at a place that a consumer may
/// have passed: given back, left by a dead one, finished when nobody waited for it any more. Then
/// consumers look at all slots.
struct work_word {
  std::uint64_t lap = 0;
  std::uint8_t owner = 0;  // slot of the roster + 1; 0: nobody
  work_state state = work_state::free;

  constexpr std::uint64_t bits() const noexcept {
    return lap << 16 | std::uint64_t{owner} << 8 | static_cast<std::uint64_t>(state);
  }
  static constexpr work_word from(std::uint64_t bits) noexcept {
    return {bits >> 16, static_cast<std::uint8_t>(bits >> 8), static_cast<work_state>(bits & 255)};
  }
  constexpr bool valid() const noexcept { return state <= work_state::leased; }
};
static_assert(work_word().bits() == 0);

/// At ring_offset; behind it `capacity` slots: the word, and the value in words of 8 bytes. (Packed: what goes
/// from one processor to another is cache lines, and the fewer the better, even if neighbours share them.)
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

/// At ring_offset; behind it, if the ring blocks, max_participants cursors, by slot of the roster; then
/// `capacity` slots: the stamp, and the value as whole words. Positions are 0, 1, 2, ...; position p is
/// in slot p % capacity. The identity's abi_fingerprint says whether the ring blocks (0) or overwrites (1).
///
/// To write position p: stamp = writing; the words; stamp = whole, and p is sent; tail = p + 1. Of a
/// producer that dies, its successor has to know:
///
///   writing at p   nothing was sent; the successor writes p anew. Readers take it for "not yet".
///   whole at p     was sent, and `tail` is one behind: the successor sets it, and begins at p + 1
///
/// To read p: the stamp, which is less than whole(p) until p is there; the words; and, if the ring
/// overwrites, the stamp once more. If it is more than whole(p), p is gone.
///
/// If the ring blocks, nothing is written `capacity` or more ahead of the cursor of an attached
/// consumer. To attach:
///
///   C1  cursor = claim - capacity, or 0         P1  claim = the end of the room that there seems to be
///   C2  set the bit in `attached`               P2  seq_cst fence
///   C3  seq_cst fence                           P3  look at the cursors again: up to what they all allow,
///   C4  cursor = claim - capacity, or more          and not beyond the claim, there is room
///
/// Either P3 sees the cursor, or C4 sees the claim: what lies at C4's cursor, or behind it, stays. So the
/// claim bounds what a newcomer may ask for, and nothing else: it only grows, and one that is too high,
/// because P3 found less room or somebody died after P1, hides some old values from newcomers.
///
///   dead after C2, or later     the cursor holds the producer until recover() clears the bit
///   dead while leaving          ditto; to leave is to clear the bit
///   cursor not told             is behind what was received: the room is found with the bit cleared
///
/// With no bit set, the producer claims one place at a time, so that the newest `capacity` are there for
/// whoever comes.
struct broadcast_control {
  alignas(cache_line) std::atomic<std::uint64_t> tail;  // written by the producer: end of the sent
  std::atomic<std::uint64_t> claim;  // likewise: end of what it may write, if the ring blocks
  /// Raised by consumers, now and then and when they leave: the end of what any of them has received.
  alignas(cache_line) std::atomic<std::uint64_t> received;
  /// A bit per slot: its cursor counts. Without it the cursor is some former owner's. If it blocks.
  alignas(cache_line) std::atomic<std::uint64_t> attached;
};
static_assert(sizeof(broadcast_control) == 192);
static_assert(offsetof(broadcast_control, claim) == 8);
static_assert(max_participants <= 64, "a bit of `attached` for each");

/// Written by the slot's owner: the end of what it has received, and told.
struct alignas(cache_line) broadcast_cursor {
  std::atomic<std::uint64_t> position;
};
static_assert(sizeof(broadcast_cursor) == 64);

// ---- watch ----------------------------------------------------------------------------------------

/// At ring_offset of a block's companion segment, `<name>.watch`, all of whose participants are
/// consumers, 64 of them. There the identity has value_align 8, capacity max_elements, and 0 for the
/// other properties of values; ring_offset is header_bytes. The last one out removes the file, unless
/// `dirty` is set, or flag_persistent. examples/python/belfry_watch speaks all this without C++.
///
/// Every array has an entry per slot that only the slot's owner writes (and whoever reaps
/// it), so that no read-modify-write is needed, and what a slot has counted stays when its owner goes.
///
/// The version of the block is the sum of `changes`. A new companion sets the first of them, and `whole`
/// of the same slot, to the time in nanoseconds since 1970: its versions are higher than those of any
/// companion of the block before it, and to a watcher that has seen one of those the whole block has
/// changed.
///
///   to notify   N1  busy = 1; ++changes                  to read     R1  version = the sum
///               N2  a full fence                                     R2  a full fence
///               N3  v = the sum                                      R3  read the block
///               N4  `whole`, or the element's entry, = v
///               N5  busy = 0; a full fence; ring the parked
///
/// A watcher that has read the block in this way waits for an element until `whole` of any slot, or the
/// element's entry, is more than its version. It misses nothing: of a notification that its sum does not
/// count, either N2 comes before R2, and R3 has shown what was notified; or R2 comes before N2, and v
/// counts all that the version counts and itself, so it is more. Between two notifiers, too, the fences
/// decide which of them counts the other. tests/model/watch.pml checks this exhaustively.
///
/// A notifier that dies in between is taken for one that has changed the whole block. Only an element's
/// entry has several writers: it is raised by compare-and-swap; a notifier that has none uses `whole`.
///
/// Exclusive access is a write lock on byte `txn_lock` of the block's file (not of this segment).
/// The holder sets `dirty` before it writes, and clears it, and notifies, before it unlocks; if it was
/// set already, the holder before has died. A participant that does not get the lock takes a ticket,
/// higher than all it sees, which goes when it has the lock or gives up; the lowest ticket is next, at
/// equal ones the lowest slot. The others do not try while there are tickets. A waiter parks, then tries
/// once more, and after every wake-up. If it is next, and `dirty` is 0 or does not name a live participant,
/// nothing tells of the lock's end, as the kernel may close the bell of the dead before the file with the
/// lock; then it tries again after a while, too.
struct watch_state {
  static constexpr std::size_t max_elements = 1024;

  std::array<std::atomic<std::uint64_t>, max_participants> changes;
  std::array<std::atomic<std::uint64_t>, max_participants>
      whole;                                                      // version of the last such change
  std::array<std::atomic<std::uint64_t>, max_participants> busy;  // 1 while notifying
  std::array<std::atomic<std::uint64_t>, max_participants> ticket;  // 0: does not wait
  std::atomic<std::uint64_t> dirty;  // of the holder: generation << 32 | slot + 1; 0: none
  /// Version of the last change of an element, modulo max_elements. Only ever grows.
  std::array<std::atomic<std::uint64_t>, max_elements> elements;
};
static_assert(sizeof(watch_state) == 8 * (4 * max_participants + 1 + watch_state::max_elements));

inline constexpr std::uint64_t txn_lock = 0;

}  // namespace belfry::layout
