// Transactions and watches on a block that several users share: companion and bells serve all of them.
#include "segment_file.hpp"
#include "support/rings.hpp"
#include "users.hpp"

#include <belfry/watch.hpp>

#include <sys/stat.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// The owner of a block, and the users that it lets in.
struct shared_block {
  const char* what;
  uid_t owner;
  gid_t group;
  unsigned mode;
  uid_t first;   // makes the companion
  uid_t second;  // also joins it
};
const shared_block all[] = {
    {"group", alice, friends, 0660, alice, mallory},
    {"group-turned", alice, friends, 0660, mallory, alice},
    {"all", alice, alice, 0666, alice, mallory},
    {"all-turned", alice, alice, 0666, mallory, alice},
    {"both", alice, friends, 0666, mallory, alice},
    {"root-first", alice, alice, 0600, 0, alice},
    {"root-second", alice, alice, 0600, alice, 0},
    {"root-group", alice, friends, 0660, 0, mallory},
    {"readers", alice, friends, 0664, alice, mallory},
};

void make(const std::string& name, const shared_block& b) {
  shared_memory::create(name, 80);
  REQUIRE(::chown(path_of(name).c_str(), b.owner, b.group) == 0);
  REQUIRE(::chmod(path_of(name).c_str(), b.mode) == 0);
}

transaction begin(watch& w, net::io_context& io) {
  transaction held;
  error_code error = errc::protocol_error;
  w.async_txn([&](const error_code& ec, transaction t) {
    error = ec;
    held = std::move(t);
  });
  io.restart();
  io.run();
  EXPECT_EQ(error, error_code());
  return held;
}

}  // namespace

TEST_CASE("the companion of a block and its bells serve the users of the block", "[companion-users]") {
  const watchdog dog;
  only_as_root();
  for (const shared_block& b : all) {
    CAPTURE(b.what);
    const std::string name = unique_name(b.what);
    const nothing_left check(name);
    make(name, b);
    constexpr std::uint64_t rounds = 50;
    // They alternate: each waits for the other's notification, and for the transaction that the other holds.
    const auto take_turns = [&](std::uint64_t me) {
      net::io_context io;
      shared_memory m = shared_memory::open(name);
      watch w(io, m);
      const auto number = [&] { return m.as<std::uint64_t>()[0]; };
      while (number() != rounds) {
        const std::uint64_t seen = w.version();
        if (number() % 2 != me) {
          error_code error = errc::protocol_error;
          w.async_changed(seen, [&](const error_code& ec, std::uint64_t) { error = ec; });
          io.restart();
          io.run();
          EXPECT_EQ(error, error_code());
          continue;
        }
        if (number() % 4 < 2) {
          const transaction t = m.txn();
          ++t.as<std::uint64_t>()[0];
        } else {
          const transaction t = begin(w, io);
          ++t.as<std::uint64_t>()[0];
        }
      }
    };
    const event there;
    const auto groups = [](uid_t user) {
      return user == 0 ? std::vector<gid_t>{} : std::vector<gid_t>{friends};
    };
    child first = as_user(b.first, groups(b.first), [&] {
      net::io_context io;
      watch w(io, shared_memory::open(name));
      there.set();
      take_turns(0);
    });
    there.wait();
    struct stat companion {};
    REQUIRE(::stat(path_of(name + ".watch").c_str(), &companion) == 0);
    CHECK((companion.st_mode & 0777) == b.mode - (b.mode == 0664 ? 4 : 0));  // readers could still lock it
    if (b.mode != 0666) CHECK(companion.st_gid == b.group);  // otherwise the group does not matter
    if (b.first == 0) CHECK(companion.st_uid == b.owner);
    child second = as_user(b.second, groups(b.second), [&] { take_turns(1); });
    CHECK(second.wait() == 0);
    CHECK(first.wait() == 0);
    CHECK(shared_memory::open(name).as<std::uint64_t>()[0] == rounds);
    shared_memory::unlink(name);
  }
}

TEST_CASE("a user that a block does not let in cannot use its companion", "[companion-users]") {
  const watchdog dog;
  only_as_root();
  const std::string name = unique_name("private");
  const nothing_left check(name);
  make(name, {"", alice, alice, 0644, 0, 0});
  const event there, done;
  child owner = as_user(alice, {}, [&] {
    net::io_context io;
    const watch w(io, shared_memory::open(name));
    there.set();
    done.wait();
  });
  there.wait();
  child other = as_user(mallory, {}, [&] {
    net::io_context io;
    error_code ec;
    const watch w(io, shared_memory::open(name, access::read_only), ec);
    EXPECT(ec == std::errc::permission_denied);
  });
  CHECK(other.wait() == 0);
  done.set();
  CHECK(owner.wait() == 0);
  shared_memory::unlink(name);
}
