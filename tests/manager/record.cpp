// The record that a server leaves for its successor, whatever happens to the file.
#include "../../src/platform/lock.hpp"
#include "records.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using namespace std::string_literals;

namespace {

using detail::block_fate;
using detail::server_record;

const std::string record_head = "belfry-record-1\0=/somewhere/socket\0"s;
constexpr std::size_t record_magic = 16;

}  // namespace

// ---- the record ----------------------------------------------------------------------------------------

TEST_CASE("a record has the format that record.hpp says", "[record]") {
  const nothing_left check("belfry-none");
  const record_directory d;
  CHECK(server_record::path_of("/d", "") == "/d/manager-cbf29ce484222325.record");
  CHECK(server_record::path_of("/d", "a") == "/d/manager-af63dc4c8601ec8c.record");
  server_record r = d.create();
  CHECK(r.address() == record_address);
  CHECK(r.blocks().empty());
  CHECK(d.content() == record_head);
  CHECK(d.files() == 1);
  struct stat status {};
  CHECK(::stat(d.file().c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);

  detail::failure f;
  CHECK(r.add({"one", 17}, f));
  CHECK(r.add({"two and more", 18446744073709551615u}, f));
  CHECK(r.add({"three", 4}, f));
  CHECK(r.remove({"one", 17}, f));
  CHECK(r.remove({"three", 4}, f));
  CHECK(r.add({"three", 5}, f));
  CHECK(
      d.content() ==
      record_head +
          "+17 one\0+18446744073709551615 two and more\0+4 three\0-17 one\0-4 three\0+5 three\0"s);
  CHECK(names_in(r) == std::set<std::string>{"three", "two and more"});
  CHECK(r.blocks().count({"three", 5}) == 1);

  const server_record moved = std::move(r);
  CHECK_FALSE(r);
  CHECK(moved.blocks().size() == 2);
  r = server_record();
  CHECK(d.files() == 1);
}

TEST_CASE("a record that is discarded is gone", "[record]") {
  const record_directory d;
  server_record r = d.create();
  r.discard();
  CHECK_FALSE(r);
  CHECK(d.files() == 0);
  r.discard();
  CHECK(d.create().blocks().empty());
}

TEST_CASE("an address has one record at a time", "[record]") {
  const watchdog dog;
  const nothing_left check("belfry-none");
  const record_directory d;
  std::optional<server_record> first(d.create());
  const auto attempt = [&] {
    detail::failure f;
    const server_record r = server_record::create(d.path(), record_address, f);
    EXPECT(!r);
    EXPECT(f.what.find(record_address) != f.what.npos);
    EXPECT_EQ(f.code, make_error_code(std::errc::address_in_use));
  };
  child other(attempt);  // which waits for a moment
  attempt();
  CHECK(other.wait() == 0);
  detail::failure f;
  CHECK(server_record::create(d.path(), record_address + '2', f));
  CHECK_FALSE(f);
  CHECK(first->add({"still there", 1}, f));

  const server_record of_living = server_record::of_the_dead(d.file(), f);
  CHECK_FALSE(of_living);
  CHECK_FALSE(f);
  first.reset();
  CHECK(names_in(d.create()) == std::set<std::string>{"still there"});
}

TEST_CASE("a record is free as soon as its server is killed", "[record]") {
  const watchdog dog;
  const nothing_left check("belfry-none");
  const record_directory d;
  const event ready;
  child server([&] {
    server_record r = d.create();
    detail::failure f;
    for (int i = 0; i != 10; ++i) EXPECT(r.add({"block " + std::to_string(i), 100}, f));
    EXPECT(r.remove({"block 3", 100}, f));
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  server.kill();
  SECTION("for a successor") {
    const server_record r = d.create();
    CHECK(r.blocks().size() == 9);
    CHECK(r.blocks().count({"block 7", 100}) == 1);
    CHECK(r.blocks().count({"block 3", 100}) == 0);
  }
  SECTION("for a process that cleans up") {
    detail::failure f;
    const server_record r = server_record::of_the_dead(d.file(), f);
    CHECK_FALSE(f);
    CHECK(r.blocks().size() == 9);
    CHECK(r.address() == record_address);
  }
  SECTION("for a successor that waits while another process cleans up") {
    detail::failure f;
    std::optional<server_record> cleaner(server_record::of_the_dead(d.file(), f));
    REQUIRE(*cleaner);
    std::thread t([&] {
      ::usleep(50'000);
      for (int i = 0; i != 10; ++i) cleaner->remove({"block " + std::to_string(i), 100}, f);
      cleaner->discard();
      cleaner.reset();
    });
    CHECK(d.create().blocks().empty());
    t.join();
  }
}

TEST_CASE("a fork does not keep a record", "[record]") {
  const watchdog dog;
  const record_directory d;
  const shared<pid_t> grandchild;
  const event ready;
  child server([&] {
    const server_record r = d.create();
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::alarm(60);
      for (;;) ::pause();
    }
    *grandchild = pid;
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  REQUIRE(*grandchild > 0);
  server.kill();
  CHECK(d.create().blocks().empty());
  CHECK(::kill(*grandchild, SIGKILL) == 0);
}

TEST_CASE("the end of a forked child does not free a record", "[record]") {
  const watchdog dog;
  const record_directory d;
  std::optional<server_record> r(d.create());
  child fork([&] { r.reset(); });
  CHECK(fork.wait() == 0);
  detail::failure f;
  CHECK_FALSE(server_record::of_the_dead(d.file(), f));
  CHECK_FALSE(f);
}

TEST_CASE("there is no record at an address", "[record]") {
  const record_directory d;
  detail::failure f;
  CHECK_FALSE(server_record::of_the_dead(d.file(), f));
  CHECK(f.code == std::errc::no_such_file_or_directory);
  f = {};
  CHECK_FALSE(server_record::create(d.path() + "/nowhere", record_address, f));
  CHECK(f.code == std::errc::no_such_file_or_directory);
  CHECK(collect_in(d).told.empty());
}

// ---- torn records --------------------------------------------------------------------------------------

TEST_CASE("of a torn record the complete entries count", "[record]") {
  const record_directory d;
  const std::string whole =
      record_head +
      "+17 one\0+18 two\0-17 one\0+0 three\0+1234567890 four\0+9 one\0-18 two\0+1 x y\0"s;
  REQUIRE(names_in(whole).size() == 4);
  for (std::size_t bytes = 0; bytes <= whole.size(); ++bytes) {
    CAPTURE(bytes);
    const std::string torn = whole.substr(0, bytes);
    const std::set<std::string> expected = names_in(torn);
    d.write(torn);
    detail::failure f;
    if (bytes != 0 && bytes < record_magic) {
      CHECK_FALSE(server_record::create(d.path(), record_address, f));
      CHECK(f.code == errc::corrupted);
      CHECK(d.content() == torn);
      continue;
    }
    {
      const server_record r = server_record::of_the_dead(d.file(), f);
      CHECK(names_in(r) == expected);
      CHECK(torn.starts_with(d.content()));  // without the incomplete entry
    }
    {
      server_record r = d.create();
      CHECK(names_in(r) == expected);
      CHECK(r.add({"another", 3}, f));
    }
    std::set<std::string> with_another = expected;
    with_another.insert("another");
    CHECK(names_in(d.create()) == with_another);
  }
}

TEST_CASE("a torn record can be written to", "[record]") {
  // As by a process that cleans up after a server that was killed while it wrote.
  const record_directory d;
  const std::string whole = record_head + "+17 one\0+18 two\0+19 three\0"s;
  const std::size_t last = whole.size() - "+19 three\0"s.size();
  for (std::size_t bytes = last; bytes <= whole.size(); ++bytes) {
    CAPTURE(bytes);
    d.write(whole.substr(0, bytes));
    std::set<std::string> expected = names_in(whole.substr(0, bytes));
    expected.erase("one");
    detail::failure f;
    CHECK(server_record::of_the_dead(d.file(), f).remove({"one", 17}, f));
    REQUIRE(names_in(server_record::of_the_dead(d.file(), f)) == expected);
  }
}

TEST_CASE("a file that is not a record is left unchanged", "[record]") {
  const record_directory d;
  detail::failure f;
  for (const std::string& foreign :
       {"something else\n"s, "belfry-record-2\0=/somewhere/socket\0"s, "\0"s,
        std::string(100'000, '\0'), "belfry-record-1"s, "belfry-record-1\n"s}) {
    CAPTURE(foreign.substr(0, 20));
    d.write(foreign);
    f = {};
    CHECK_FALSE(server_record::create(d.path(), record_address, f));
    CHECK(f.code == errc::corrupted);
    CHECK(f.what.find(d.file()) != std::string::npos);
    f = {};
    CHECK_FALSE(server_record::of_the_dead(d.file(), f));
    CHECK(f.code == errc::corrupted);
    CHECK(collect_in(d).error.code == errc::corrupted);
    CHECK(d.content() == foreign);
    CHECK(d.files() == 1);
  }
  std::filesystem::remove(d.file());
  std::filesystem::create_symlink("/etc/passwd", d.file());
  f = {};
  CHECK_FALSE(server_record::create(d.path(), record_address, f));
  CHECK(f.code == std::errc::too_many_symbolic_link_levels);
  std::filesystem::remove(d.file());
  std::filesystem::create_directory(d.file());
  f = {};
  CHECK_FALSE(server_record::create(d.path(), record_address, f));
  CHECK(f.code == std::errc::is_a_directory);
}

TEST_CASE("entries that no server writes do no harm", "[record]") {
  const record_directory d;
  for (const std::string& odd : {"+\0"s, "+5\0"s, "+ name\0"s, "+x name\0"s, "+5x name\0"s,
                                 "+-5 name\0"s, "+5-name\0"s, "+99999999999999999999999 name\0"s,
                                 "-\0"s, "-never\0"s, "?\0"s, "\0"s, "\0\0\0"s, "=\0"s}) {
    CAPTURE(odd);
    d.write("belfry-record-1\0"s + odd + "+7 good\0"s);
    detail::failure f;
    const server_record r = server_record::of_the_dead(d.file(), f);
    CHECK_FALSE(f);
    CHECK(names_in(r) == std::set<std::string>{"good"});
  }
  // Names that cannot be blocks' names: they have no effect.
  d.write("belfry-record-1\0+0 \0+0 .\0+0 ..\0+0 ../shm\0+0 /etc/passwd\0"s);
  const gc_result gc = collect_in(d);
  CHECK_FALSE(gc.error);
  for (const auto& [name, fate] : gc.told) CHECK(fate == block_fate::gone);
  CHECK(d.files() == 0);
}

// ---- compaction ----------------------------------------------------------------------------------------

TEST_CASE("a record does not grow without limit", "[record]") {
  const record_directory d;
  detail::failure f;
  std::uintmax_t longest = 0;
  {
    server_record r = d.create();
    CHECK(r.add({"stays", 1}, f));
    for (int i = 0; i != 5000; ++i) {
      const std::string name = "passes " + std::to_string(i);
      REQUIRE(r.add({name, 2}, f));
      if (i % 50 != 0) REQUIRE(r.remove({name, 2}, f));
      longest = std::max(longest, std::filesystem::file_size(d.file()));
    }
    CHECK(longest < 50'000);
    CHECK(r.blocks().size() == 101);
    CHECK(d.files() == 1);
    CHECK_FALSE(server_record::of_the_dead(d.file(), f));  // still locked
    CHECK_FALSE(f);
    const std::set<std::string> before = names_in(r);
    CHECK(names_in(d.content()) == before);
    r = server_record();
    CHECK(names_in(d.create()) == before);
  }
  server_record same = d.create();
  for (int i = 0; i != 5000; ++i) REQUIRE(same.add({"stays", 1}, f));
  CHECK(std::filesystem::file_size(d.file()) < 50'000);
}

TEST_CASE("a server is killed while it writes a new record", "[record]") {
  const watchdog dog;
  const record_directory d;
  const std::string old = record_head + "+17 one\0+18 two\0-17 one\0"s;
  const std::string anew = record_head + "+18 two\0"s;
  detail::failure f;
  for (std::size_t bytes = 0; bytes <= anew.size(); ++bytes) {
    CAPTURE(bytes);
    d.write(old);
    d.write(anew.substr(0, bytes), ".new");
    const int who = static_cast<int>(bytes % 3);
    if (who == 0) {
      const server_record r = server_record::of_the_dead(d.file(), f);
      CHECK(names_in(r) == std::set<std::string>{"two"});
      std::filesystem::remove(d.file() + ".new");
    } else if (who == 1) {
      CHECK_FALSE(collect_in(d).error);
      CHECK(d.files() == 0);
    } else {
      CHECK(names_in(d.create()) == std::set<std::string>{"two"});
      CHECK(d.content() == anew);
      CHECK(d.files() == 1);
    }
  }
  // Its first record: the old file is empty, and there is an unfinished new one.
  d.write("");
  d.write(anew, ".new");
  CHECK(d.create().blocks().empty());
  CHECK(d.content() == record_head);
}

TEST_CASE("an unfinished record of a living server is not removed", "[record]") {
  const watchdog dog;
  const record_directory d;
  const block_user writer([&] {
    static detail::failure f;
    static const auto file = platform::open_file(d.file() + ".new", true, f);
    EXPECT(platform::try_lock_byte(file, 0));
  });
  CHECK_FALSE(collect_in(d).error);
  CHECK(d.files() == 1);
}

TEST_CASE("a new record is written later if it cannot be written now", "[record]") {
  // As when another process is cleaning up.
  const record_directory d;
  server_record r = d.create();
  detail::failure f;
  detail::unique_handle file = platform::open_file(d.file() + ".new", true, f);
  REQUIRE(platform::try_lock_byte(file, 0));
  int failures = 0;
  for (int i = 0; i != 2000; ++i) failures += r.add({"block", 1999}, f) ? 0 : 1;
  CHECK(failures == 0);
  INFO(f.what);
  CHECK_FALSE(f);
  CHECK(r.blocks().count({"block", 1999}) == 1);
  file.reset();
  f = {};
  CHECK(r.add({"block", 7}, f));
  CHECK(std::filesystem::file_size(d.file()) < 100);
}
