// An SQLite file, as far as a recording needs it. Failures are exceptions whose text names the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace belfry::cli {

class database {
 public:
  /// Of a file that exists; it may be empty. One that may only be read is opened for reading.
  explicit database(std::string path);
  /// Closes the file. What was not committed is rolled back.
  ~database() = default;

  void execute(const char* sql);
  /// The one number that a query answers.
  std::int64_t number(const char* sql);

  [[noreturn]] void fail(int code);
  const std::string& path() const noexcept { return path_; }

 private:
  friend class statement;
  struct closer {
    void operator()(sqlite3* db) const noexcept;
  };

  std::string path_;
  std::unique_ptr<sqlite3, closer> db_;
};

/// A compiled statement, for any number of executions. Columns and parameters are counted from 0.
class statement {
 public:
  statement(database& db, const char* sql);

  /// Valid until it is executed.
  void bind(int parameter, std::int64_t value);
  void bind(int parameter, std::string_view text);
  void bind(int parameter, std::span<const std::byte> bytes);
  /// Executes it to its end, and makes it ready for the next time.
  void run();

  /// The next row of the answer, valid until the next call; false: there is none.
  bool next();
  /// None: something else is in this column.
  std::optional<std::int64_t> number(int column) const;
  std::optional<std::string_view> text(int column) const;
  std::optional<std::span<const std::byte>> bytes(int column) const;

 private:
  struct finalizer {
    void operator()(sqlite3_stmt* s) const noexcept;
  };

  void check(int code);

  database* db_;
  std::unique_ptr<sqlite3_stmt, finalizer> handle_;
};

}  // namespace belfry::cli
