// What is cleaned up after servers that were killed, and what is still in use.
#include "records.hpp"

#include <belfry/shared_memory.hpp>
#include <belfry/watch.hpp>

#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

using detail::block_fate;
using detail::remove_if_unused;
using detail::server_record;

}  // namespace

// ---- the blocks ----------------------------------------------------------------------------------------

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

// ---- the records ---------------------------------------------------------------------------------------

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
