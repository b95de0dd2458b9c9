#include "database.hpp"

#include <sqlite3.h>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace belfry::cli {
namespace {

/// SQLite gives a meaning to names such as "file:…" and ":memory:", but not to paths.
std::string plain_path(const std::string& path) { return path.starts_with('/') ? path : "./" + path; }

/// How long another process may hold the file's lock: while it opens, or finishes, the same recording.
constexpr int lock_timeout_ms = 5000;

}  // namespace

void database::closer::operator()(sqlite3* db) const noexcept { ::sqlite3_close(db); }
void statement::finalizer::operator()(sqlite3_stmt* s) const noexcept { ::sqlite3_finalize(s); }

database::database(std::string path) : path_(std::move(path)) {
  sqlite3* db = nullptr;
  const int code = ::sqlite3_open_v2(plain_path(path_).c_str(), &db, SQLITE_OPEN_READWRITE, nullptr);
  db_.reset(db);
  if (code != SQLITE_OK) fail(code);
  ::sqlite3_busy_timeout(db, lock_timeout_ms);
  // The file may come from anywhere: its schema is not to call functions, nor a statement to change the schema.
  ::sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  ::sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
}

void database::execute(const char* sql) {
  const int code = ::sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

std::int64_t database::number(const char* sql) {
  statement query(*this, sql);
  const std::optional<std::int64_t> value = query.next() ? query.number(0) : std::nullopt;
  if (!value) fail(SQLITE_CORRUPT);
  return *value;
}

void database::fail(int code) {
  // The text of the connection says more, if it is about the same error.
  const bool same = db_ && ::sqlite3_errcode(db_.get()) == code;
  std::string why = same ? ::sqlite3_errmsg(db_.get()) : ::sqlite3_errstr(code);
  if (const int error = same ? ::sqlite3_system_errno(db_.get()) : 0; error != 0 && (code & 0xff) == SQLITE_IOERR)
    why += ": " + std::generic_category().message(error);
  const char* const what = code == SQLITE_NOTADB    ? "\" is no recording: "
                           : code == SQLITE_CORRUPT ? "\" is damaged: "
                                                    : "\": ";
  throw std::runtime_error('"' + path_ + what + why);
}

statement::statement(database& db, const char* sql) : db_(&db) {
  sqlite3_stmt* s = nullptr;
  const int code = ::sqlite3_prepare_v2(db.db_.get(), sql, -1, &s, nullptr);
  handle_.reset(s);
  check(code);
}

void statement::bind(int parameter, std::int64_t value) {
  check(::sqlite3_bind_int64(handle_.get(), parameter + 1, value));
}
void statement::bind(int parameter, std::string_view text) {
  check(::sqlite3_bind_text64(handle_.get(), parameter + 1, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8));
}
void statement::bind(int parameter, std::span<const std::byte> bytes) {
  const void* const data = bytes.empty() ? static_cast<const void*>("") : bytes.data();  // a null pointer would be NULL
  check(::sqlite3_bind_blob64(handle_.get(), parameter + 1, data, bytes.size(), SQLITE_STATIC));
}

void statement::run() {
  while (next()) {
  }
}

bool statement::next() {
  const int code = ::sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  ::sqlite3_reset(handle_.get());
  if (code != SQLITE_DONE) db_->fail(code);
  return false;
}

std::optional<std::int64_t> statement::number(int column) const {
  if (::sqlite3_column_type(handle_.get(), column) != SQLITE_INTEGER) return std::nullopt;
  return ::sqlite3_column_int64(handle_.get(), column);
}

std::optional<std::string_view> statement::text(int column) const {
  if (::sqlite3_column_type(handle_.get(), column) != SQLITE_TEXT) return std::nullopt;
  const unsigned char* const text = ::sqlite3_column_text(handle_.get(), column);
  if (text == nullptr) return std::nullopt;  // no memory
  return std::string_view(reinterpret_cast<const char*>(text),
                          static_cast<std::size_t>(::sqlite3_column_bytes(handle_.get(), column)));
}

std::optional<std::span<const std::byte>> statement::bytes(int column) const {
  if (::sqlite3_column_type(handle_.get(), column) != SQLITE_BLOB) return std::nullopt;
  const void* const data = ::sqlite3_column_blob(handle_.get(), column);
  const int size = ::sqlite3_column_bytes(handle_.get(), column);
  if (data == nullptr && size != 0) return std::nullopt;
  return std::span(static_cast<const std::byte*>(data), static_cast<std::size_t>(size));
}

void statement::check(int code) {
  if (code != SQLITE_OK) db_->fail(code);
}

}  // namespace belfry::cli
