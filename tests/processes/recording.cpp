// The file of `belfry record`: what is in it, whatever happens to its writer, and what is no recording.
#include "../../src/cli/recording.hpp"

#include "running_tool.hpp"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sqlite3.h>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;
using cli::recording_reader;
using cli::recording_writer;

namespace {

const cli::recorded_channel numbers{.name = "numbers",
                                    .kind = "broadcast_ring",
                                    .capacity = 1024,
                                    .value_bytes = 8,
                                    .type_fingerprint = 0xfedcba9876543210,
                                    .description = R"({"type":null})",
                                    .started = std::chrono::system_clock::time_point(1'700'000'000s)};

void add_numbers(recording_writer& out, std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t i = begin; i != end; ++i) out.add(std::chrono::microseconds(i), std::as_bytes(std::span(&i, 1)));
}

/// How many there are; they must be 0, 1, 2 and so on.
std::uint64_t numbers_in(const std::string& path) {
  recording_reader in(path);
  std::uint64_t count = 0;
  while (const auto m = in.next()) {
    std::uint64_t value = 0;
    EXPECT_EQ(m->bytes.size(), sizeof value);
    std::memcpy(&value, m->bytes.data(), sizeof value);
    EXPECT_EQ(value, count);
    EXPECT_EQ(m->position, count);
    EXPECT(m->time == std::chrono::microseconds(count));
    ++count;
  }
  EXPECT_EQ(in.messages(), count);
  return count;
}

std::string refusal_of(const std::string& path) {
  try {
    numbers_in(path);
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return {};
}

void sql(const std::string& path, const char* statements) {
  sqlite3* db = nullptr;
  REQUIRE(::sqlite3_open(path.c_str(), &db) == SQLITE_OK);
  CHECK(::sqlite3_exec(db, statements, nullptr, nullptr, nullptr) == SQLITE_OK);
  ::sqlite3_close(db);
}

}  // namespace

TEST_CASE("a recording gives back what was added", "[recording]") {
  const scratch_directory d;
  const std::string path = d.file("a");
  {
    recording_writer out(path, numbers, false);
    add_numbers(out, 0, 2500);
    out.add_loss(7);
    add_numbers(out, 2500, 2600);
    CHECK(out.messages() == 2600);
    CHECK(out.lost() == 7);
    out.close();
  }
  CHECK(d.files() == 1);
  recording_reader in(path);
  CHECK(in.channel().name == numbers.name);
  CHECK(in.channel().kind == numbers.kind);
  CHECK(in.channel().capacity == numbers.capacity);
  CHECK(in.channel().value_bytes == numbers.value_bytes);
  CHECK(in.channel().type_fingerprint == numbers.type_fingerprint);
  CHECK(in.channel().description == numbers.description);
  CHECK(in.channel().started == numbers.started);
  CHECK(in.lost() == 7);
  CHECK(numbers_in(path) == 2600);
  struct stat status {};
  CHECK(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a recording holds messages of any size, also empty ones", "[recording]") {
  const scratch_directory d;
  cli::recorded_channel texts = numbers;
  texts.value_bytes = 0;
  const std::vector<std::size_t> sizes{0, 1, 3'000'000, 0};
  {
    recording_writer out(d.file("a"), texts, false);
    const auto began = std::chrono::steady_clock::now();
    for (const std::size_t n : sizes) out.add(0ns, std::vector<std::byte>(n, std::byte{9}));
    const bool is_pending = out.is_pending();
    CHECK((is_pending || std::chrono::steady_clock::now() - began >= recording_writer::longest));
  }
  recording_reader in(d.file("a"));
  for (const std::size_t n : sizes) {
    const auto m = in.next();
    REQUIRE(m);
    CHECK(m->bytes.size() == n);
    CHECK(std::ranges::all_of(m->bytes, [](std::byte b) { return b == std::byte{9}; }));
  }
  CHECK_FALSE(in.next());
}

TEST_CASE("a recording is committed in batches, and can be read meanwhile", "[recording]") {
  const scratch_directory d;
  bool in_time = false;  // otherwise a batch ended because it was `longest` old: on a busy machine, try again
  for (int attempt = 0; !in_time; ++attempt) {
    REQUIRE(attempt != 100);
    const std::string path = d.file(std::to_string(attempt));
    recording_writer out(path, numbers, false);
    CHECK(numbers_in(path) == 0);
    const auto began = std::chrono::steady_clock::now();
    add_numbers(out, 0, recording_writer::most_messages - 1);
    const bool was_pending = out.is_pending();
    add_numbers(out, recording_writer::most_messages - 1, recording_writer::most_messages);
    const bool is_pending = out.is_pending();
    in_time = std::chrono::steady_clock::now() - began < recording_writer::longest;
    if (!in_time) continue;
    CHECK(was_pending);
    CHECK_FALSE(is_pending);
    CHECK(numbers_in(path) == recording_writer::most_messages);
    add_numbers(out, recording_writer::most_messages, recording_writer::most_messages + 1);
    out.commit();
    CHECK(numbers_in(path) == recording_writer::most_messages + 1);
  }
}

TEST_CASE("a file that exists is replaced only if that is wanted, and not while it is written", "[recording]") {
  const scratch_directory d;
  const std::string path = d.file("a");
  std::ofstream(path) << "precious";
  CHECK_THROWS_AS(recording_writer(path, numbers, false), std::runtime_error);
  std::string kept;
  std::ifstream(path) >> kept;
  CHECK(kept == "precious");
  std::ofstream(path + "-wal") << "left by another";
  std::ofstream(path + "-journal") << "left by another";
  recording_writer out(path, numbers, true);
  add_numbers(out, 0, 3);
  CHECK_THROWS_AS(recording_writer(path, numbers, true), std::system_error);
  out.close();
  CHECK(numbers_in(path) == 3);
  CHECK_THROWS_AS(recording_writer(d.file("."), numbers, true), std::system_error);
  CHECK_THROWS_AS(recording_writer(d.file("nothing/a"), numbers, false), std::system_error);
}

TEST_CASE("a name that means something to SQLite is a file name", "[recording]") {
  const scratch_directory d;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(d.file(""));
  for (const std::string name : {":memory:", "file:a?mode=memory"}) {
    recording_writer out(name, numbers, false);
    add_numbers(out, 0, 3);
    out.close();
    CHECK(numbers_in(name) == 3);
  }
  CHECK(d.files() == 2);
  std::filesystem::current_path(before);
}

TEST_CASE("what is no recording is refused, with the reason", "[recording]") {
  const scratch_directory d;
  const std::string path = d.file("a");
  const auto make = [&](std::uint64_t count) {
    std::filesystem::remove(path);
    recording_writer out(path, numbers, false);
    add_numbers(out, 0, count);
    out.close();
  };
  CHECK_THAT(refusal_of(d.file("none")), contains("unable to open"));
  std::ofstream(d.file("text")) << std::string(5000, 'x');
  CHECK_THAT(refusal_of(d.file("text")), contains("is no recording"));
  std::ofstream(d.file("empty")) << "";
  CHECK_THAT(refusal_of(d.file("empty")), contains("is no recording"));
  sql(d.file("foreign"), "CREATE TABLE messages (position, time, bytes)");
  CHECK_THAT(refusal_of(d.file("foreign")), contains("is no recording"));

  make(5000);
  const auto whole = std::filesystem::file_size(path);
  for (const std::uintmax_t part : {whole - 4096, whole / 2, std::uintmax_t{4096}, std::uintmax_t{1000}}) {
    make(5000);
    std::filesystem::resize_file(path, part);
    CHECK_THAT(refusal_of(path), contains(path));
  }
  for (const char* const change : {
           "PRAGMA user_version = 2",
           "DELETE FROM channel",
           "DROP TABLE messages",
           "UPDATE channel SET value_bytes = 16",
           "DELETE FROM messages WHERE position = 1",
           "UPDATE messages SET time = -1 WHERE position = 2",
           "DROP TABLE messages; CREATE TABLE messages (position, time, bytes);"
           "INSERT INTO messages VALUES (0, 'x', 'y')",
           "ALTER TABLE channel RENAME TO other; CREATE VIEW channel AS SELECT 1 AS name, 2 AS kind, 3 AS capacity, "
           "-4 AS value_bytes, 5 AS type_fingerprint, 6 AS description, 7 AS started",
       }) {
    make(3);
    CHECK(refusal_of(path).empty());
    sql(path, change);
    CHECK_THAT(refusal_of(path), contains(path));
  }
}

TEST_CASE("a recording whose writer is killed holds all but the last batch", "[recording]") {
  const watchdog limit;
  for (int round = 0; round != (sanitized ? 5 : 20); ++round) {
    const scratch_directory d;
    const std::string path = d.file("a");
    const shared<std::atomic<std::uint64_t>> added;
    const event started;
    child writer([&] {
      recording_writer out(path, numbers, false);
      started.set();
      for (std::uint64_t i = 0;; ++i) {
        add_numbers(out, i, i + 1);
        added->store(i + 1);
      }
    });
    started.wait();
    await([&] { return added->load() > static_cast<std::uint64_t>(round) * 977; });
    writer.kill();
    const std::uint64_t count = numbers_in(path);
    CHECK(count <= added->load() + 1);
    CHECK(count + recording_writer::most_messages > added->load());
    CHECK(numbers_in(path) == count);
    CHECK(d.files() == 1);
    recording_writer(path, numbers, true).close();  // and no lock has stayed
    CHECK(numbers_in(path) == 0);
  }
}
