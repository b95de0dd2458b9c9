// remove() and collect_garbage(): what they remove of what killed processes have left, and what not.
#include "abandoned.hpp"

#include <belfry/shared_memory.hpp>

#include <algorithm>

#include <fcntl.h>
#include <sys/stat.h>

using namespace belfry;
using namespace belfry::test;

namespace {

error_code removed(const std::string& name, removal how = removal::if_unused) {
  error_code ec;
  remove(name, how, ec);
  return ec;
}

void make_bell(const std::string& segment, const char* slot) {
  REQUIRE(::mkfifo(("/dev/shm/" + segment + ".bell." + slot).c_str(), 0600) == 0);
}

const garbage* about(const std::vector<garbage>& all, const std::string& name) {
  const auto found = std::ranges::find(all, name, &garbage::name);
  return found == all.end() ? nullptr : &*found;
}

void change_version(const std::string& name) {
  const int fd = ::open(("/dev/shm/" + name).c_str(), O_RDWR | O_CLOEXEC);
  const std::uint32_t version = layout::version + 7;
  REQUIRE(::pwrite(fd, &version, sizeof version, offsetof(layout::identity, version)) == sizeof version);
  ::close(fd);
}

}  // namespace

TEST_CASE("remove removes a channel that no process uses, with its bells, whatever it holds", "[removing]") {
  const watchdog limit;
  const std::string name = unique_name("remove");
  const nothing_left check(name);
  abandon(name, 2, lifetime::persistent);
  CHECK(files_of(name) == 3);
  CHECK_FALSE(removed(name));
  CHECK(files_of(name) == 0);
  CHECK(removed(name) == std::errc::no_such_file_or_directory);
  CHECK(error_of([&] { remove(name); }) == std::errc::no_such_file_or_directory);
  CHECK(removed("a/b") == std::errc::invalid_argument);
  CHECK(removed(std::string(256, 'a')) == std::errc::filename_too_long);
}

TEST_CASE("remove removes what is in use only if it is forced to", "[removing]") {
  const watchdog limit;
  const std::string name = unique_name("remove");
  const nothing_left check(name);
  net::io_context io;
  abandoned_values::producer tx(io, name);
  CHECK(removed(name) == std::errc::device_or_resource_busy);
  CHECK(removed(name + ".bell.0") == errc::incompatible);
  CHECK(files_of(name) == 2);
  CHECK_FALSE(removed(name, removal::forced));
  CHECK(files_of(name) == 0);
  CHECK(tx.try_send({1, 0.5}));  // the participant continues

  auto block = shared_memory::create(name, 100);
  CHECK(removed(name) == std::errc::device_or_resource_busy);
  CHECK(in_memory(name));
  block.close();
  CHECK_FALSE(removed(name));
  CHECK_FALSE(in_memory(name));
  block = shared_memory::create(name, 100);
  CHECK_FALSE(removed(name, removal::forced));
  CHECK_FALSE(in_memory(name));
}

TEST_CASE("remove removes the companion of a block, the bells of a channel that is gone, another version", "[removing]") {
  const watchdog limit;
  const std::string name = unique_name("remove");
  const nothing_left check(name);
  auto block = shared_memory::create(name, 100);
  {
    const transaction t = block.txn();
    CHECK(removed(name + ".watch") == std::errc::device_or_resource_busy);
    CHECK(inspect(name + ".watch").dirty);
  }
  block.close();
  child([&] {
    auto b = shared_memory::open(name);
    const transaction t = b.txn();
    ::kill(::getpid(), SIGKILL);
  }).wait();
  CHECK(inspect(name + ".watch").dirty);
  CHECK_FALSE(removed(name + ".watch"));
  CHECK_FALSE(removed(name));
  CHECK(files_of(name) == 0);

  make_bell(name, "3");
  CHECK_FALSE(removed(name));
  abandon(name, 0);
  change_version(name);
  CHECK_FALSE(removed(name));
}

TEST_CASE("remove leaves another user's channel alone", "[removing]") {
  if (::geteuid() != 0) return;
  const watchdog limit;
  const std::string name = unique_name("remove");
  const nothing_left check(name);
  channel_options options;
  options.mode = 0666;
  {
    member m(name, producer_role, options);
    REQUIRE(m.join() == member::joined::yes);
    m.segment().header().count.joins = 7;
    abandon(name + "-other", 0);
    CHECK(child([&] {
            EXPECT_EQ(::setuid(54321), 0);
            EXPECT_EQ(removed(name, removal::forced), std::errc::operation_not_permitted);
            EXPECT_EQ(removed(name + "-other"), std::errc::permission_denied);
            error_code ec;
            EXPECT(collect_garbage({.names = {name, name + "-other"}}, ec).empty());
            EXPECT(!ec);
          }).wait() == 0);
  }
  CHECK_FALSE(removed(name + "-other"));
}

TEST_CASE("collecting garbage removes dead channels that hold nothing, and with `holding` the others", "[removing]") {
  const watchdog limit;
  const std::string name = unique_name("gc");
  const nothing_left check(name);
  const std::string empty = name + "-empty";
  const std::string full = name + "-full";
  const std::string kept = name + "-kept";
  const std::string used = name + "-used";
  const std::string bells = name + "-bells";
  const std::string other = name + "-other";
  abandon(empty, 0);
  abandon(full, 2);
  abandon(kept, 0, lifetime::persistent);
  abandon(other, 0);
  change_version(other);
  make_bell(bells, "0");
  make_bell(bells, "1");
  const int heard = ::open(("/dev/shm/" + bells + ".bell.1").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  net::io_context io;
  auto rx = std::make_unique<abandoned_values::consumer>(io, used);
  {
    victim dead(used, producer_role);
    dead.kill();
  }
  const std::size_t of_used = files_of(used);

  garbage_options options{.names = {empty, full, kept, used, bells, other}};
  std::vector<garbage> found = collect_garbage(options);
  CHECK(found.size() == 3);
  REQUIRE(about(found, empty));
  CHECK(about(found, empty)->is == garbage::fate::removed);
  CHECK(about(found, empty)->kind == "spsc_ring");
  REQUIRE(about(found, full));
  CHECK(about(found, full)->is == garbage::fate::holding);
  CHECK(about(found, full)->unread == 2);
  REQUIRE(about(found, bells));
  CHECK(about(found, bells)->is == garbage::fate::removed);
  CHECK(files_of(empty) == 0);
  CHECK(files_of(full) == 3);
  CHECK(files_of(kept) == 3);
  CHECK(files_of(used) == of_used);
  CHECK(files_of(other) == 3);
  CHECK(in_memory(bells + ".bell.1"));  // a process listens
  ::close(heard);

  options.holding = true;
  found = collect_garbage(options);
  CHECK(found.size() == 2);
  CHECK(files_of(full) == 0);
  CHECK(files_of(bells) == 0);
  CHECK(files_of(kept) == 3);
  CHECK(files_of(used) == of_used);
  // The living consumer's channel still works.
  abandoned_values::producer tx(io, used);
  CHECK(tx.try_send({7, 0.5}));
  CHECK(rx->try_receive());
  CHECK_FALSE(removed(kept));
  CHECK_FALSE(removed(other));
}
