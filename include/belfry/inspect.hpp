// Seeing what is in shared memory: without joining, without the type, without writing.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/channel_options.hpp>
#include <belfry/detail/base/api.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace belfry {

enum class participant_role { producer, consumer };

enum class participant_state {
  joining,
  live,
  leaving,  ///< or its end is known, and its place is not free yet
};

/// What has passed since the segment was made.
struct traffic_info {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  std::uint64_t lost = 0;  ///< values that were overwritten before a consumer received them
};

/// One participant of a segment, or what a dead one has left.
struct participant_info {
  std::size_t slot = 0;
  participant_role role = participant_role::producer;
  participant_state state = participant_state::live;
  std::uint32_t pid = 0;     ///< as its own PID namespace numbers it; 0 if it is not known
  std::string program;       ///< the first 16 bytes of its name
  std::chrono::system_clock::time_point since;  ///< when it joined
  bool alive = false;        ///< it holds its lock, which the kernel releases when the process ends
  bool parked = false;       ///< it sleeps until it is notified
  bool notified = false;     ///< it was notified, and has not woken yet
  std::uint64_t parks = 0;   ///< how often the owners of this slot have slept
  std::uint64_t rings = 0;   ///< how often they have woken others
  std::uint32_t deaths = 0;  ///< how many of them have died, modulo 2^16
  std::uint64_t messages = 0;  ///< what they have sent, or received
  std::uint64_t bytes = 0;
  std::uint64_t lost = 0;  ///< as in traffic_info
  /// Of a consumer of a broadcast_ring or byte_broadcast_ring that blocks: how many values it has not received yet, or
  /// holds.
  std::optional<std::uint64_t> behind;
  /// Of a consumer of a byte_broadcast_ring that overwrites: how many messages it holds.
  std::optional<std::uint64_t> held;
};

/// What can be told of a file in shared memory. Every number comes from memory that other processes write: a snapshot,
/// and only as true as they are.
struct channel_info {
  std::string name;
  /// The name of its ring: "spsc_ring", "byte_ring", "work_ring", "byte_work_ring", "broadcast_ring",
  /// "byte_broadcast_ring", "latest", or "call_ring", whose producers are clients and whose consumers are servers (with
  /// messages of any size value_bytes is 0); "watch" for a block's companion, "block" for
  /// memory without a structure of ours; "bells" for those of a channel that is gone (list_segments() only); "unknown"
  /// for a segment of another layout version or kind, and for a file that may not be read; "other" for what is no file.
  std::string kind;
  /// What is wrong, in one sentence; then the fields below are those that could still be told. Empty if nothing is.
  std::string problem;

  std::uint64_t bytes = 0;  ///< of the file
  std::uint64_t owner = 0;  ///< user
  std::uint64_t group = 0;
  unsigned mode = 0;  ///< permission bits
  std::uint64_t inode = 0;
  /// Of what is no segment, or of another version: when it was last written in another way than through mapped memory.
  std::chrono::system_clock::time_point created;

  std::uint32_t version = 0;  ///< of the segment's layout; 0: it is no segment

  // The fields from here on are those of a segment whose kind is known.
  std::array<std::byte, 16> id{};
  std::string program;        ///< the first 16 bytes of the name of the program that made it
  std::uint32_t creator = 0;  ///< its pid
  std::string description;    ///< the type of the values, and where they are: JSON, or empty; not checked
  /// The part of the description that is about the type of the values, for described_type::parse(), which checks it;
  /// empty if there is none.
  std::string type;
  belfry::lifetime lifetime = belfry::lifetime::drained;
  std::uint64_t capacity = 0;     ///< values; bytes for a byte_ring
  std::uint64_t value_bytes = 0;  ///< 0: messages of any size
  std::uint64_t message_bytes = 0;  ///< of the largest message, where the creator chose it (`slots` is `capacity`)
  std::uint64_t value_align = 0;
  std::uint64_t type_fingerprint = 0;
  bool overwrites = false;  ///< a broadcast_ring or byte_broadcast_ring with overflow::overwrite
  std::uint32_t max_deliveries = 0;            ///< as in channel_options
  std::chrono::nanoseconds lease_timeout{0};   ///< as in channel_options
  unsigned producers = 0;   ///< how many there may be
  unsigned consumers = 0;
  std::uint64_t joins = 0;
  std::uint64_t leaves = 0;
  std::uint64_t deaths = 0;
  traffic_info sent;  ///< by all producers; of a block's companion nothing is counted
  traffic_info received;  ///< by all consumers: of a broadcast_ring or latest each counts what it has received
  /// What no consumer has received: values; bytes with their record headers for a byte_ring; for a work_ring or
  /// byte_work_ring also those that are received and not acknowledged, but not the dead ones; for a call_ring all calls
  /// that have a place, however far they are. An estimate while it is in use. None if it cannot be told.
  std::optional<std::uint64_t> unread;
  /// Of a work_ring or byte_work_ring, with inspection::all: how many items are dead, and how many dead ones producers
  /// have dropped since the segment was made. Dead items, too, keep a segment that is not persistent.
  std::optional<std::uint64_t> dead;
  std::optional<std::uint64_t> dropped;
  /// A process joins, leaves or clears up at this moment, or was stopped while it did.
  bool roster_locked = false;
  std::vector<participant_info> participants;  ///< the slots that are not free
  /// Of kind "watch": a transaction is held, or its holder has died, which the next one is to be told.
  bool dirty = false;
  bool orphaned = false;  ///< of kind "watch": its block is gone, or another block has its name
  std::size_t stray_bells = 0;                 ///< of kind "bells": their number

  /// How many participants are alive, also those that are only joining.
  BELFRY_API std::size_t alive() const noexcept;
  /// How many of one side have joined, and are alive. A consumer of a broadcast that is counted gets what is sent from now on.
  BELFRY_API std::size_t alive(participant_role role) const noexcept;
};

/// How much is read.
enum class inspection {
  all,
  /// What changes while a channel is used, for looking at it many times a second. Left out are `description` and `type`;
  /// and the items of a work_ring are not counted one by one: `unread` is an estimate, and does not include those that
  /// are received and not acknowledged.
  counters,
};

/// Tells what a name in shared memory means.
///
///     belfry::channel_info ticks = belfry::inspect("ticks");
///     for (const belfry::participant_info& p : ticks.participants)
///       if (!p.alive) std::cout << "process " << p.pid << " has died\n";
///
/// Only reads: it does not join, write, or map the memory, and takes and awaits no lock; so it disturbs no
/// participant, and does not wait for one that is stopped. Read permission suffices. The contents are not trusted:
/// whatever they are, it returns, and says in `problem` what is wrong, also for another layout version.
///
/// Throws std::system_error, or sets `ec`: `no_such_file_or_directory`; `permission_denied`; `invalid_argument` or
/// `filename_too_long` for what cannot be a name; `errc::incompatible` for a bell, or what is no regular file.
/// Thread-safe.
BELFRY_API channel_info inspect(std::string_view name, inspection what = inspection::all);
BELFRY_API channel_info inspect(std::string_view name, error_code& ec, inspection what = inspection::all);

using segment_entry = channel_info;

/// Everything in shared memory, by name: channels, companions, blocks, and what else is there. An entry that may not be
/// read says so in `problem`. Bells are part of their channel; those of a channel that is gone have one entry, of kind
/// "bells", with its name.
///
///     for (const belfry::segment_entry& e : belfry::list_segments())
///       std::cout << e.name << ' ' << e.kind << ' ' << e.bytes << ' ' << e.alive() << '\n';
///
/// Reads as inspect() does. A name that is removed meanwhile is left out. Thread-safe.
BELFRY_API std::vector<segment_entry> list_segments(inspection what = inspection::all);

}  // namespace belfry
