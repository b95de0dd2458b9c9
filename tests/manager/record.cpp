// The records that servers leave for their successors, whatever happens to the file, and what becomes of the
// blocks.
#include "../../src/manager/server/collect.hpp"
#include "../../src/manager/server/tracked_blocks.hpp"
#include "support/process.hpp"
#include "support/test.hpp"
#include "../../src/platform/block.hpp"
#include "../../src/platform/file.hpp"
#include "../../src/platform/lock.hpp"

#include <belfry/shared_memory.hpp>
#include <belfry/watch.hpp>

#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using namespace std::string_literals;

namespace {

using detail::block_fate;
using detail::remove_if_unused;
using detail::server_record;
using detail::tracked_blocks;

const std::string record_address = "/somewhere/socket";
const std::string record_head = "belfry-record-1\0=/somewhere/socket\0"s;
constexpr std::size_t record_magic = 16;

/// A run directory; removed at the end.
class record_directory {
 public:
  record_directory()
      : path_((std::filesystem::temp_directory_path() / "belfry-test-XXXXXX").string()) {
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }
  record_directory(const record_directory&) = delete;
  record_directory& operator=(const record_directory&) = delete;
  ~record_directory() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  std::string file() const { return server_record::path_of(path_, record_address); }
  std::size_t files() const { return platform::files_in(path_).size(); }

  std::string content() const {
    std::ifstream in(file(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& what, const std::string& suffix = {}) const {
    std::ofstream(file() + suffix, std::ios::binary | std::ios::trunc) << what;
  }
  server_record create() const {
    detail::failure f;
    server_record r = server_record::create(path_, record_address, f);
    INFO(f.what);
    REQUIRE_FALSE(f);
    REQUIRE(r);
    return r;
  }

 private:
  std::string path_;
};

std::set<std::string> names_in(const server_record& r) {
  std::set<std::string> names;
  for (const auto& [block, order] : r.blocks()) names.insert(block.name);
  return names;
}

/// The blocks that the complete entries say.
std::set<std::string> names_in(std::string_view content) {
  std::set<std::string> blocks;
  for (std::size_t end; (end = content.find('\0')) != content.npos;
       content.remove_prefix(end + 1)) {
    const std::string_view entry = content.substr(0, end);
    if (entry.starts_with('+')) blocks.emplace(entry.substr(1));
    if (entry.starts_with('-')) blocks.erase(std::string(entry.substr(1)));
  }
  std::set<std::string> names;
  for (const std::string& b : blocks) names.insert(b.substr(b.find(' ') + 1));
  return names;
}

std::uint64_t id_of(const std::string& name) { return platform::named_block_id(name); }

struct gc_result {
  std::vector<std::pair<std::string, block_fate>> told;
  detail::failure error;
};
gc_result collect_in(const record_directory& d) {
  gc_result r;
  const auto tell = [&](const std::string& b, block_fate fate) { r.told.emplace_back(b, fate); };
  detail::collect_records(d.path(), tell, r.error);
  return r;
}

/// A process that does something to a block, and stays in that state until it is killed.
class block_user {
 public:
  explicit block_user(const std::function<void()>& use)
      : child_([&] {
          use();
          ready_.set();
          for (;;) ::pause();
        }) {
    ready_.wait();
  }
  void kill() { child_.kill(); }

 private:
  event ready_;
  child child_;
};

}  // namespace

// ---- the record -----------------------------------------------------------------------------------------

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

// ---- torn records -----------------------------------------------------------------------------------------

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

// ---- compaction -------------------------------------------------------------------------------------------

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

// ---- the blocks -------------------------------------------------------------------------------------------

TEST_CASE("a block that no process uses is removed", "[record]") {
  const watchdog dog;
  const std::string name = unique_name("unused");
  const nothing_left check(name);
  SECTION("by its inode") {
    shared_memory::create(name, 100);
    CHECK(remove_if_unused(name, id_of(name)) == block_fate::removed);
  }
  SECTION("by its name") {
    shared_memory::create(name, 100);
    CHECK(remove_if_unused(name, 0) == block_fate::removed);
  }
  SECTION("when its user was killed") {
    block_user user([&] { static const auto block = shared_memory::create(name, 100); });
    CHECK(remove_if_unused(name, 0) == block_fate::in_use);
    user.kill();
    CHECK(remove_if_unused(name, 0) == block_fate::removed);
  }
  SECTION("only once") {}
  CHECK(remove_if_unused(name, 0) == block_fate::gone);
  CHECK(remove_if_unused(name, 17) == block_fate::gone);
}

TEST_CASE("a block that a process uses is not removed", "[record]") {
  const watchdog dog;
  const std::string name = unique_name("used");
  const nothing_left check(name);
  shared_memory::create(name, 5000).buf()[0] = std::byte{7};
  const auto id = id_of(name);
  const std::string path = "/dev/shm/" + name;
  {
    std::function<void()> use;
    const auto raw = [&](int flags, int protection, bool keep) {
      return [=] {
        const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
        EXPECT(fd != -1);
        if (protection != PROT_NONE)
          EXPECT(::mmap(nullptr, 5000, protection, MAP_SHARED, fd, 0) != MAP_FAILED);
        if (!keep) ::close(fd);
      };
    };
    SECTION("open") { use = raw(O_RDWR, PROT_NONE, true); }
    SECTION("open, read-only") { use = raw(O_RDONLY, PROT_NONE, true); }
    SECTION("mapped only") { use = raw(O_RDWR, PROT_READ | PROT_WRITE, false); }
    SECTION("mapped only, read-only") { use = raw(O_RDONLY, PROT_READ, false); }
    SECTION("mapped only, read-only, from a writable descriptor") {
      use = raw(O_RDWR, PROT_READ, false);
    }
    SECTION("open and mapped") { use = raw(O_RDWR, PROT_READ | PROT_WRITE, true); }
    SECTION("as shared_memory does") {
      use = [&] { static const auto block = shared_memory::open(name); };
    }
    SECTION("as a read-only shared_memory does") {
      use = [&] { static const auto block = shared_memory::open(name, access::read_only); };
    }
    block_user user(use);
    CHECK(remove_if_unused(name, id) == block_fate::in_use);
    CHECK(remove_if_unused(name, 0) == block_fate::in_use);
    CHECK(id_of(name) == id);
    CHECK(shared_memory::open(name).buf()[0] == std::byte{7});
  }
  CHECK(remove_if_unused(name, id) == block_fate::removed);
}

TEST_CASE("a block that this process uses is not removed either", "[record]") {
  const std::string name = unique_name("mine");
  const nothing_left check(name);
  {
    const auto block = shared_memory::create(name, 100);
    CHECK(remove_if_unused(name, 0) == block_fate::in_use);
  }
  CHECK(remove_if_unused(name, 0) == block_fate::removed);
}

TEST_CASE("what has taken a block's name is not removed", "[record]") {
  const std::string name = unique_name("other");
  const nothing_left check(name);
  const std::string path = "/dev/shm/" + name;
  SECTION("another block") {
    shared_memory::create(name, 100);
    const auto id = id_of(name);
    CHECK(remove_if_unused(name, id + 1) == block_fate::gone);
    CHECK(id_of(name) == id);
  }
  SECTION("a file that is not a block") {
    CHECK(::mkfifo(path.c_str(), 0600) == 0);
    CHECK(remove_if_unused(name, id_of(name)) == block_fate::gone);
    CHECK(remove_if_unused(name, 0) == block_fate::gone);
  }
  SECTION("a link") {
    shared_memory::create(name + "-real", 100);
    std::filesystem::create_symlink(path + "-real", path);
    CHECK(remove_if_unused(name, 0) != block_fate::removed);
    CHECK(id_of(name + "-real") != 0);
    shared_memory::unlink(name + "-real");
  }
  CHECK(id_of(name) != 0);
  CHECK(::unlink(path.c_str()) == 0);
}

TEST_CASE("the companion of killed watchers is removed with its block", "[record]") {
  const watchdog dog;
  const std::string name = unique_name("watched");
  const nothing_left check(name);
  shared_memory::create(name, 4096);
  std::vector<block_user> users;
  SECTION("a watcher that held a transaction") {
    block_user user([&] {
      static auto block = shared_memory::open(name);
      static const auto held = block.txn();
    });
    CHECK(files_of(name + ".watch") > 0);
    CHECK(remove_if_unused(name, 0) == block_fate::in_use);
    CHECK(files_of(name + ".watch") > 0);
    user.kill();
  }
  SECTION("several, some of which waited") {
    block_user holder([&] {
      static auto block = shared_memory::open(name);
      static const auto held = block.txn();
    });
    block_user waiter([&] {
      static auto block = shared_memory::open(name);
      static net::io_context io;
      static watch w(io, block);
      w.async_txn([](const error_code&, transaction) {});
      io.poll();
    });
    holder.kill();
    CHECK(remove_if_unused(name, 0) == block_fate::in_use);
    waiter.kill();
  }
  CHECK(files_of(name + ".watch") > 0);
  CHECK(remove_if_unused(name, 0) == block_fate::removed);
}

TEST_CASE("a file that only looks like a companion stays", "[record]") {
  const std::string name = unique_name("unwatched");
  const nothing_left check(name);
  shared_memory::create(name, 100);
  shared_memory::create(name + ".watch", 4096).buf()[0] = std::byte{1};
  CHECK(remove_if_unused(name, 0) == block_fate::removed);
  CHECK(id_of(name + ".watch") != 0);
  shared_memory::unlink(name + ".watch");
}

// ---- tracked blocks ---------------------------------------------------------------------------------------

TEST_CASE("blocks are tracked, and released", "[record]") {
  const std::string name = unique_name("tracked");
  const nothing_left check(name);
  const record_directory d;
  tracked_blocks blocks(d.create());
  detail::failure f;
  shared_memory::create(name + "-b", 100);
  CHECK(blocks.track(name + "-b", 0, f));
  shared_memory::create(name + "-a", 100);
  CHECK(blocks.track(name + "-a", id_of(name + "-a"), f));
  CHECK(blocks.track(name + "-c", 17, f));  // a block that will get this name
  CHECK(blocks.names() == std::vector{name + "-b", name + "-a", name + "-c"});
  CHECK(blocks.track(name + "-b", id_of(name + "-b"), f));  // a second time
  CHECK(blocks.names().size() == 3);

  // A client wants a name that another block has, and gives up: that block is not touched.
  CHECK(blocks.track(name + "-a", id_of(name + "-a") + 1, f));
  CHECK(blocks.names().size() == 3);
  CHECK(blocks.release(name + "-a", id_of(name + "-a") + 1, f));
  CHECK(id_of(name + "-a") != 0);
  CHECK(blocks.names().size() == 3);
  for (const std::string& wrong : {""s, "."s, "a/b"s, "a\0b"s, std::string(256, 'x')}) {
    CHECK_FALSE(blocks.track(wrong, 0, f));
    CHECK(f);
    f = {};
  }
  CHECK_FALSE(blocks.release(name, 0, f));
  CHECK(f.code == std::errc::no_such_file_or_directory);
  f = {};
  CHECK(blocks.release(name + "-a", 0, f));
  CHECK(id_of(name + "-a") == 0);
  CHECK(blocks.release(name + "-c", 0, f));
  CHECK(blocks.names() == std::vector{name + "-b"});

  blocks.unlink_all();
  CHECK(blocks.names().empty());
  CHECK(d.files() == 0);
  CHECK_FALSE(blocks.track(name, 0, f));
  CHECK(f.code == errc::closed);
}

TEST_CASE("names are listed in the order of tracking, also by successors", "[record]") {
  const std::string name = unique_name("order");
  const nothing_left check(name);
  const record_directory d;
  std::vector<shared_memory> used;
  std::vector<std::string> expected;
  {
    tracked_blocks blocks(d.create());
    for (const char* const suffix : {"-m", "-z", "-a", "-q", "-b"}) {
      used.push_back(shared_memory::create(name + suffix, 100));
      expected.push_back(name + suffix);
      detail::failure f;
      CHECK(blocks.track(expected.back(), 0, f));
    }
    CHECK(blocks.names() == expected);
  }
  for (int generation = 0; generation != 3; ++generation) {
    CAPTURE(generation);
    CHECK(tracked_blocks(d.create()).names() == expected);
  }
  used.clear();
  CHECK(tracked_blocks(d.create()).names().empty());
  CHECK(names_in(d.create()).empty());
}

TEST_CASE("everything is removed except blocks of others", "[record]") {
  const std::string name = unique_name("all");
  const nothing_left check(name);
  const record_directory d;
  tracked_blocks blocks(d.create());
  detail::failure f;
  for (int i = 0; i != 10; ++i) {
    const std::string mine = name + std::to_string(i);
    shared_memory::create(mine, 100);
    CHECK(blocks.track(mine, id_of(mine), f));
  }
  shared_memory::unlink(name + "0");
  CHECK(blocks.track(name + "-never", 0, f));
  CHECK(blocks.track(name + "-taken", 17, f));
  const auto others = shared_memory::create(name + "-taken", 100);
  const unlink_on_destroy owner(others);
  SECTION("at the end") { blocks.unlink_all(); }
  SECTION("one by one") {
    for (const std::string& n : blocks.names()) CHECK(blocks.release(n, 0, f));
    CHECK(blocks.names().empty());
    CHECK(names_in(d.content()).empty());
  }
  CHECK(files_of(name) == 1);
}

TEST_CASE("many threads track their blocks", "[record]") {
  const watchdog dog;
  const std::string name = unique_name("many");
  const nothing_left check(name);
  const record_directory d;
  tracked_blocks blocks(d.create());
  std::vector<std::thread> threads;
  std::atomic<int> mistakes{0};
  for (int t = 0; t != 4; ++t) {
    threads.emplace_back([&, t] {
      detail::failure f;
      for (int i = 0; i != 300; ++i) {
        const std::string mine = name + std::to_string(t) + '-' + std::to_string(i);
        if (!blocks.track(mine, 5, f)) ++mistakes;
        if (i % 3 != 0 && !blocks.release(mine, 0, f)) ++mistakes;
        if (i % 50 == 0 && blocks.names().empty()) ++mistakes;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(mistakes == 0);
  CHECK(blocks.names().size() == 400);
  CHECK(names_in(d.content()).size() == 400);
}

// ---- cleaning up --------------------------------------------------------------------------------------------

TEST_CASE("the records of all dead servers are cleaned up", "[record]") {
  const watchdog dog;
  const std::string name = unique_name("gone");
  const nothing_left check(name);
  const record_directory d;
  const auto record_of = [&](const std::string& address, std::vector<std::string> blocks) {
    detail::failure f;
    server_record r = server_record::create(d.path(), address, f);
    for (const std::string& b : blocks) {
      shared_memory::create(b, 100);
      CHECK(r.add({b, id_of(b)}, f));
    }
    return r;
  };
  record_of("/first", {name + "-1a", name + "-1b"});
  record_of("@second", {name + "-2"});
  record_of("127.0.0.1:3", {name + "-3"});
  record_of("/fourth", {name + "-4"});
  const server_record living = record_of("/fifth", {name + "-5"});
  d.write("not a record");
  std::ofstream(d.path() + "/other") << "another file";
  std::filesystem::create_directory(d.path() + "/other.record");
  std::optional<shared_memory> used(shared_memory::open(name + "-4"));

  gc_result gc = collect_in(d);
  CHECK(gc.error);  // two of them are not records; that does not affect the others
  CHECK(gc.told.size() == 5);
  CHECK(files_of(name) == 2);
  CHECK(d.files() == 5);
  for (const auto& [block, fate] : gc.told)
    CHECK(fate == (block == name + "-4" ? block_fate::in_use : block_fate::removed));
  gc = collect_in(d);
  CHECK(gc.told.size() == 1);
  used.reset();
  gc = collect_in(d);
  CHECK(gc.told == std::vector{std::pair{name + "-4", block_fate::removed}});
  CHECK(d.files() == 4);
  CHECK(files_of(name) == 1);
  shared_memory::unlink(name + "-5");
}
