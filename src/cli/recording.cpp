#include "recording.hpp"

#include "../platform/tool.hpp"
#include "text.hpp"

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <limits>
#include <stdexcept>

namespace belfry::cli {
namespace {

constexpr std::int64_t application_id = 0x42656c66;
constexpr std::int64_t format_version = 1;

// A commit writes to the log, without waiting for the disk. Only when the log is carried over into the file, every 4096
// pages, the disk is waited for, so that the file is whole also after the machine has lost power.
constexpr char prepare_writing[] = R"(
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA wal_autocheckpoint = 4096;
)";
constexpr char schema[] = R"(
  BEGIN;
  PRAGMA application_id = 0x42656c66;
  PRAGMA user_version = 1;
  CREATE TABLE channel (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    capacity INTEGER NOT NULL,
    value_bytes INTEGER NOT NULL,
    type_fingerprint TEXT NOT NULL,
    description TEXT NOT NULL,
    started INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE messages (position INTEGER PRIMARY KEY, time INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE losses (position INTEGER NOT NULL, lost INTEGER NOT NULL) STRICT;
)";

/// Numbers of a channel come from shared memory; SQLite's have a sign.
std::int64_t to_signed(std::uint64_t n) { return static_cast<std::int64_t>(n); }
std::uint64_t to_unsigned(std::int64_t n) { return static_cast<std::uint64_t>(n); }

detail::unique_handle created(const std::string& path, bool replace) {
  detail::failure f;
  detail::unique_handle file = platform::create_file(path, replace, f);
  if (f.code == std::errc::file_exists) throw std::runtime_error('"' + path + "\" exists (--force replaces it)");
  if (f) f.raise();
  return file;
}

}  // namespace

recording_writer::recording_writer(const std::string& path, const recorded_channel& channel, bool replace)
    : created_(created(path, replace)), file_(path) {
  try {
    prepare(channel);
  } catch (const std::exception&) {
    // As on a full disk. Without this, there would be a file that is no recording.
    for (const char* const part : {"", "-wal", "-shm"}) {
      std::error_code ignored;
      std::filesystem::remove(path + part, ignored);
    }
    throw;
  }
}

void recording_writer::prepare(const recorded_channel& channel) {
  using namespace std::chrono;
  file_.execute(prepare_writing);
  file_.execute(schema);
  statement row(file_, "INSERT INTO channel VALUES (?, ?, ?, ?, ?, ?, ?)");
  row.bind(0, channel.name);
  row.bind(1, channel.kind);
  row.bind(2, to_signed(channel.capacity));
  row.bind(3, to_signed(channel.value_bytes));
  const std::string fingerprint = hex_text(channel.type_fingerprint);
  row.bind(4, fingerprint);
  row.bind(5, channel.description);
  row.bind(6, duration_cast<nanoseconds>(channel.started.time_since_epoch()).count());
  row.run();
  file_.execute("COMMIT");
  insert_.emplace(file_, "INSERT INTO messages VALUES (?, ?, ?)");
  insert_loss_.emplace(file_, "INSERT INTO losses VALUES (?, ?)");
}

recording_writer::~recording_writer() {
  try {
    commit();
  } catch (const std::runtime_error&) {  // then these messages are not in the file
  }
}

void recording_writer::begin() {
  if (pending_) return;
  file_.execute("BEGIN");
  pending_ = true;
  pending_messages_ = 0;
  pending_bytes_ = 0;
  began_ = clock::now();
}

void recording_writer::add(std::chrono::nanoseconds time, std::span<const std::byte> message) {
  begin();
  insert_->bind(0, position_);
  insert_->bind(1, time.count());
  insert_->bind(2, message);
  insert_->run();
  ++position_;
  ++pending_messages_;
  pending_bytes_ += message.size();
  if (pending_messages_ >= most_messages || pending_bytes_ >= most_bytes || clock::now() - began_ >= longest) commit();
}

void recording_writer::add_loss(std::uint64_t values) {
  begin();
  insert_loss_->bind(0, position_);
  insert_loss_->bind(1, to_signed(values));
  insert_loss_->run();
  lost_ += values;
}

void recording_writer::commit() {
  if (!pending_) return;
  file_.execute("COMMIT");
  pending_ = false;
  committed_ = position_;
}

std::uint64_t recording_writer::salvage() noexcept {
  try {
    commit();
  } catch (const std::exception&) {
    try {
      file_.execute("ROLLBACK");
    } catch (const std::exception&) {  // SQLite has done so itself, as on a full disk
    }
    pending_ = false;
  }
  return to_unsigned(committed_);
}

void recording_writer::close() {
  commit();
  insert_.reset();
  insert_loss_.reset();
  // A process that reads it at this moment keeps the log. Then the next one that opens the file takes it over.
  try {
    file_.execute("PRAGMA journal_mode = DELETE");
  } catch (const std::runtime_error&) {
  }
}

recording_reader::recording_reader(const std::string& path) : file_(path) {
  using namespace std::chrono;
  if (file_.number("PRAGMA application_id") != application_id) refuse("is no recording, but another database");
  const std::int64_t version = file_.number("PRAGMA user_version");
  if (version != format_version) {
    refuse("is a recording of version " + std::to_string(version) + "; this program reads version " +
           std::to_string(format_version));
  }
  file_.execute("BEGIN");  // what follows sees one state of the file
  statement head(file_,
                 "SELECT name, kind, capacity, value_bytes, type_fingerprint, description, started FROM channel");
  if (!head.next()) refuse("does not say what was recorded");
  const auto name = head.text(0);
  const auto kind = head.text(1);
  const auto capacity = head.number(2);
  const auto value_bytes = head.number(3);
  const auto fingerprint = head.text(4);
  const auto description = head.text(5);
  const auto started = head.number(6);
  if (!name || !kind || !capacity || !value_bytes || *value_bytes < 0 || !fingerprint || !description || !started)
    refuse("does not say what was recorded");
  channel_ = {.name = std::string(*name),
              .kind = std::string(*kind),
              .capacity = to_unsigned(*capacity),
              .value_bytes = to_unsigned(*value_bytes),
              .type_fingerprint = std::strtoull(std::string(*fingerprint).c_str(), nullptr, 16),
              .description = std::string(*description),
              .started = system_clock::time_point(duration_cast<system_clock::duration>(nanoseconds(*started)))};
  messages_ = to_unsigned(file_.number("SELECT coalesce(max(position) + 1, 0) FROM messages"));
  lost_ = to_unsigned(file_.number("SELECT coalesce(sum(lost), 0) FROM losses"));
  rows_.emplace(file_, "SELECT position, time, bytes FROM messages ORDER BY position");
}

std::optional<recording_reader::message> recording_reader::next() {
  if (!rows_->next()) return std::nullopt;
  const auto position = rows_->number(0);
  const auto time = rows_->number(1);
  const auto bytes = rows_->bytes(2);
  if (!position || to_unsigned(*position) != position_ || !time || *time < 0 || !bytes)
    refuse("is damaged: there is no message " + std::to_string(position_));
  ++position_;
  if (channel_.value_bytes != 0 && bytes->size() != channel_.value_bytes) {
    refuse("has a value of " + plural(bytes->size(), "byte") + " at position " + std::to_string(*position) +
           "; its values have " + std::to_string(channel_.value_bytes));
  }
  return message{to_unsigned(*position), std::chrono::nanoseconds(*time), *bytes};
}

void recording_reader::refuse(const std::string& why) const {
  throw std::runtime_error('"' + file_.path() + "\" " + why);
}

}  // namespace belfry::cli
