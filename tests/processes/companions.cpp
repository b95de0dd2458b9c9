// The companion of a block: whose it is, and that nothing is left of it.
#include "transactions.hpp"

#include <csignal>
#include <string>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// The tutorial's program: writes 0 to 9 into a block that another process has made, and reads them.
void write_and_read(const std::string& name, bool die_within) {
  shared_memory m = shared_memory::open(name);
  {
    const transaction t = m.txn();
    for (std::size_t i = 0; i != 10; ++i) t.as<std::uint64_t>()[i] = i;
    if (die_within) die();
  }
  transaction t = m.txn();
  for (std::size_t i = 0; i != 10; ++i) EXPECT_EQ(t.as<std::uint64_t>()[i], i);
  t.end();
  ::_exit(0);  // without destructors
}

constexpr const char* block_of_program = "BELFRY_TEST_BLOCK";

/// Has its own watch and is killed, as the last participant.
void watch_and_die(const std::string& name) {
  net::io_context io;
  watch w(io, shared_memory::open(name));
  die();
}

}  // namespace

TEST_CASE("another block of the same name is independent of the first one's companion",
          "[transactions]") {
  const std::string name = unique_name("again");
  shared_memory first = shared_memory::create(name, 64);
  const event ready;
  const event go;
  child holder([&] {
    shared_memory mine = shared_memory::open(name);
    const transaction t = mine.txn();
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  child watcher([&] {  // watches the first block, and continues with it
    const shared_memory mine = shared_memory::open(name);
    net::io_context io;
    watch w(io, mine);
    ready.set();
    go.wait();
    error_code error = errc::protocol_error;
    w.async_changed(w.version(), [&](const error_code& ec, std::uint64_t) { error = ec; });
    ready.set();
    io.run();
    EXPECT_EQ(error, error_code());
  });
  ready.wait();
  net::io_context io;
  watch of_first(io, first);
  holder.kill();
  shared_memory::unlink(name);

  shared_memory second = shared_memory::create(name, 64);
  const unlink_on_destroy owner(second);
  {
    error_code ec;
    const transaction t = second.txn(ec);
    CHECK(ec == error_code());  // deaths happened in the first block only
    CHECK(t);
  }
  watch of_second(io, second);
  const std::uint64_t seen = of_second.version();
  go.set();
  ready.wait();
  of_first.notify();
  CHECK(watcher.wait() == 0);
  CHECK(of_second.version() == seen);
  {
    error_code ec;
    CHECK_FALSE(first.txn(ec));
    CHECK(ec == std::errc::no_such_file_or_directory);  // its companion's name belongs to the second
  }
  of_first.close();
  of_second.close();
  first.close();
  second.close();
  CHECK(files_of(name + ".watch") == 0);
}

TEST_CASE("a program that writes and reads", "[.]") {  // started by another test
  const char* const name = ::getenv(block_of_program);
  if (name != nullptr) write_and_read(name, false);
}

TEST_CASE("nothing is left of a block whose processes ended without destructors",
          "[transactions]") {
  const watchdog limit;
  const std::string name = unique_name("left");
  const nothing_left check(name);
  enum class how { forks, programs, killed, killed_within, watchers };
  const how h = GENERATE(how::forks, how::programs, how::killed, how::killed_within, how::watchers);
  const bool takes_part = GENERATE(false, true);
  CAPTURE(static_cast<int>(h), takes_part);
  child processes([&] {
    shared_memory m = shared_memory::create(name, 80);
    if (takes_part) m.txn().end();
    for (int i = 0; i != 2; ++i) {
      child c([&] {
        switch (h) {
          case how::forks: return write_and_read(name, false);
          case how::programs:
            ::setenv(block_of_program, name.c_str(), 1);
            ::execl("/proc/self/exe", "tests", "a program that writes and reads", nullptr);
            break;
          case how::killed: m.txn().end(); die();
          case how::killed_within: return write_and_read(name, true);
          case how::watchers: return watch_and_die(name);
        }
        EXPECT(!"reached");
      });
      const bool killed = h != how::forks && h != how::programs;
      EXPECT_EQ(c.wait(), killed ? 128 + SIGKILL : 0);
    }
    m.close();
    m.unlink();
    ::_exit(0);
  });
  CHECK(processes.wait() == 0);
}

TEST_CASE("the last survivor removes the companion of a removed block", "[transactions]") {
  const watchdog limit;
  const std::string name = unique_name("last");
  const nothing_left check(name);
  shared_memory m = shared_memory::create(name, 80);
  net::io_context io;
  watch w(io, m);
  child dies([&] { write_and_read(name, true); });
  CHECK(dies.wait() == 128 + SIGKILL);
  m.unlink();
  CHECK(files_of(name) > 0);  // this process participates
  w.close();
}

TEST_CASE("collecting garbage removes only companions without living participants", "[transactions]") {
  const watchdog limit;
  const std::string name = unique_name("gc");
  const nothing_left check(name);
  garbage_options only;  // not what other tests need
  for (const char* which : {"-over", "-to-be-told", "-gone", "-used"})
    only.names.push_back(name + which + ".watch");
  const auto make_with_dead = [&](const std::string& which, bool within) {
    shared_memory::create(name + which, 80);
    child c([&] { write_and_read(name + which, within); });
    CHECK(c.wait() == (within ? 128 + SIGKILL : 0));
    CHECK(files_of(name + which + ".watch") > 0);
  };
  make_with_dead("-over", false);
  make_with_dead("-to-be-told", true);
  make_with_dead("-gone", true);
  REQUIRE(::unlink(("/dev/shm/" + name + "-gone").c_str()) == 0);  // like CPython
  {
    net::io_context io;
    const watch w(io, shared_memory::create(name + "-used", 80));
    for (const garbage& g : collect_garbage(only)) {
      CHECK(g.kind == "watch");
      CHECK(g.name != only.names[3]);
      CHECK((g.is == garbage::fate::holding) == (g.name == only.names[1]));
    }
    CHECK(files_of(name + "-used.watch") == 2);  // with the bell
  }
  CHECK(files_of(name + "-over.watch") == 0);
  CHECK(files_of(name + "-gone") == 0);
  error_code ec;
  CHECK(shared_memory::open(name + "-to-be-told").txn(ec).owner_died());
  for (const char* which : {"-over", "-to-be-told", "-used"}) shared_memory::unlink(name + which);
}

TEST_CASE("how long the name of a block with transactions may be", "[transactions]") {
  const watchdog limit;
  const std::string begin = unique_name("long");
  const nothing_left check(begin);
  for (const std::size_t length : {240u, 241u, 246u, 247u, 255u}) {
    shared_memory m = shared_memory::create(begin + std::string(length - begin.size(), 'x'), 64);
    const unlink_on_destroy owner(m);
    net::io_context io;
    error_code ec;
    if (length == 240) {
      CHECK(m.txn());
      watch w(io, m, ec);
      CHECK_FALSE(ec);
      w.notify();
      continue;
    }
    const auto text_of = [](auto f) -> std::string {
      try {
        f();
      } catch (const std::system_error& e) {
        CHECK(e.code() == std::errc::filename_too_long);
        return e.what();
      }
      return {};
    };
    for (const std::string& text : {text_of([&] { static_cast<void>(m.txn()); }), text_of([&] { watch(io, m); })}) {
      CAPTURE(text);
      CHECK(text.find("companion") != text.npos);
      CHECK(text.find("240") != text.npos);
    }
    CHECK_FALSE(m.txn(ec));
    CHECK(ec == std::errc::filename_too_long);
    const watch w(io, m, ec);
    CHECK(ec == std::errc::filename_too_long);
  }
}

TEST_CASE("an unnamed block does not take another block's companion", "[transactions]") {
  const std::string name = unique_name("nameless");
  const shared_memory first = shared_memory::create(name, 64);
  net::io_context io;
  watch of_first(io, first);
  shared_memory::unlink(name);
  const shared_memory second = shared_memory::create(name, 64);
  watch of_second(io, second);
  shared_memory::unlink(name);

  error_code ec;
  const watch late(io, first, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  watch fellow(io, second);  // whose companion it still is
  const std::uint64_t seen = of_second.version();
  fellow.notify();
  CHECK(of_second.version() != seen);
}
