// What has passed through a channel, in an SQLite file.
//
// | | |
// |---|---|
// | `PRAGMA application_id` | 0x42656c66, "Belf" |
// | `PRAGMA user_version` | of this format: 1 |
// | table `channel` | one row, about the channel: `name`; `kind` and `capacity`, as in channel_info; `value_bytes`, 0 for messages of any size; `type_fingerprint`, 16 hexadecimal digits; `description`, the JSON of the segment; `started`, nanoseconds since 1970-01-01 UTC |
// | table `messages` | a row per message: `position`, from 0; `time`, nanoseconds since `started`; `bytes` |
// | table `losses` | a row per loss: before the message of this `position`, so many values (`lost`) were overwritten before they could be recorded |
//
// While it is written, the file has a write-ahead log beside it, `FILE-wal`: killing the writer at any moment loses what
// was added since the last commit, and the next process that opens the file takes over what is in the log. A file whose
// writer has closed it stands alone, unless the disk was full: then the log has to stay beside it.
#pragma once

#include "database.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace belfry::cli {

struct recorded_channel {
  std::string name;
  std::string kind;
  std::uint64_t capacity = 0;
  std::uint64_t value_bytes = 0;  ///< 0: messages of any size
  std::uint64_t type_fingerprint = 0;
  std::string description{};  ///< of the type of the values: JSON, or empty
  std::chrono::system_clock::time_point started{};
};

/// Writes a recording. What was added is in the file after commit(), which add() calls for every batch.
class recording_writer {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t most_messages = 1000;
  static constexpr std::size_t most_bytes = 1 << 20;
  static constexpr std::chrono::milliseconds longest{100};

  /// Creates the file, readable by this user alone. Refuses a file that exists, unless it is to be replaced.
  recording_writer(const std::string& path, const recorded_channel& channel, bool replace);
  recording_writer(const recording_writer&) = delete;
  recording_writer& operator=(const recording_writer&) = delete;
  /// Commits, if that is possible.
  ~recording_writer();

  /// Commits if as much is pending as a batch may hold, or for as long. When nothing follows, the caller commits within
  /// `longest`.
  void add(std::chrono::nanoseconds time, std::span<const std::byte> message);
  /// So many values are missing before the next message.
  void add_loss(std::uint64_t values);
  bool is_pending() const noexcept { return pending_; }
  void commit();

  /// Commits, and makes one file of it.
  void close();

  /// After a failure: commits what can still be committed, and discards the rest. Returns how many messages are in the
  /// file.
  std::uint64_t salvage() noexcept;

  /// How many were added.
  std::uint64_t messages() const noexcept { return static_cast<std::uint64_t>(position_); }
  std::uint64_t lost() const noexcept { return lost_; }

 private:
  void prepare(const recorded_channel& channel);
  void begin();

  // Its lock says that the file is being written. Destroyed last: closing it releases the locks of SQLite, too.
  detail::unique_handle created_;
  database file_;
  std::optional<statement> insert_;
  std::optional<statement> insert_loss_;
  std::int64_t position_ = 0;
  std::int64_t committed_ = 0;  // of these
  std::uint64_t lost_ = 0;
  bool pending_ = false;
  std::size_t pending_messages_ = 0;
  std::size_t pending_bytes_ = 0;
  clock::time_point began_;
};

/// Reads a recording, which may come from anywhere, and may still be written to: then it ends with what was committed
/// when reading began.
class recording_reader {
 public:
  struct message {
    std::uint64_t position = 0;
    std::chrono::nanoseconds time{0};
    std::span<const std::byte> bytes;  ///< valid until the next call
  };

  explicit recording_reader(const std::string& path);

  const recorded_channel& channel() const noexcept { return channel_; }
  std::uint64_t messages() const noexcept { return messages_; }
  std::uint64_t lost() const noexcept { return lost_; }

  /// The next message; none at the end. Its bytes are those of a value, if the channel has values.
  std::optional<message> next();

 private:
  [[noreturn]] void refuse(const std::string& why) const;

  database file_;
  recorded_channel channel_;
  std::uint64_t messages_ = 0;
  std::uint64_t lost_ = 0;
  std::uint64_t position_ = 0;
  std::optional<statement> rows_;
};

}  // namespace belfry::cli
