// Servers, the processes that started them, and their clients: whichever is killed, and whenever, nothing is
// left behind.
#include "servers.hpp"

#include <algorithm>
#include <csignal>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// A client that makes blocks, and releases every other one, until it is killed.
void make_blocks(shared_memory_manager m, const std::string& name) {
  const std::string mine = name + '-' + std::to_string(::getpid()) + '-';
  for (int i = 0;; ++i) {
    const auto block = m.shared_memory(100, mine + std::to_string(i));
    if (i % 4 == 0) m.shareable_list({i, "text"}, mine + "list-" + std::to_string(i));
    if (i % 2 == 0) m.release(block);
  }
}

}  // namespace

// ---- the starter is killed -----------------------------------------------------------------------------

TEST_CASE("a server ends with the process that started it", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("starter");
  const nothing_left check(name);
  const life_directory directory;
  starter s(directory, [&](shared_memory_manager& m) {
    m.shared_memory(100, name + "-a");
    m.shareable_list({1}, name + "-b");
  });
  CHECK(files_of(name) == 2);
  s.process().kill();
  CHECK(soon([&] { return has_ended(s.server()); }));
  CHECK(files_of(name) == 0);
  CHECK(directory.files() == 0);
}

TEST_CASE("a starter is killed at any moment", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("moment");
  const nothing_left check(name);
  const life_directory directory;
  const adopted_orphans servers;
  std::mt19937 random(1);
  for (int round = 0; round != (sanitized ? 10 : 40); ++round) {
    child c([&] {
      shared_memory_manager m;
      m.start(directory.options());
      make_blocks(std::move(m), name);
    });
    ::usleep(random() % 30'000);
    c.kill();
  }
  servers.wait();
  CHECK(files_of(name) == 0);
  CHECK(directory.files() == 0);
}

TEST_CASE("a surviving fork of the starter does not keep the server alive", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("fork");
  const nothing_left check(name);
  const life_directory directory;
  const shared<pid_t> grandchild;
  starter s(directory, [&](shared_memory_manager& m) {
    m.shared_memory(100, name);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::alarm(60);
      for (;;) ::pause();
    }
    *grandchild = pid;
  });
  s.process().kill();
  CHECK(soon([&] { return has_ended(s.server()); }));
  CHECK(files_of(name) == 0);
  CHECK(directory.files() == 0);
  REQUIRE(*grandchild > 0);
  CHECK_FALSE(has_ended(*grandchild));
  CHECK(::kill(*grandchild, SIGKILL) == 0);
}

// ---- the server is killed ------------------------------------------------------------------------------

TEST_CASE("a killed server is cleaned up after", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("gc");
  const nothing_left check(name);
  const life_directory directory;
  const collector who = GENERATE(collector::library, collector::program);
  child server = serve(directory);
  {
    shared_memory_manager m = client_of(directory);
    for (int i = 0; i != 5; ++i) m.shared_memory(100, name + std::to_string(i));
    m.shareable_list({1, 2}, name + "-list");
    m.release(name + "3");
  }
  SECTION("a living server is not affected") {
    collect(directory, who);
    CHECK(files_of(name) == 5);
    CHECK(client_of(directory).list_segments().size() == 5);
  }
  SECTION("another program's block of the same name is not removed") {
    shared_memory::unlink(name + "1");
    const auto filler = shared_memory::create(name + "-filler", 100);  // may have got the inode
    shared_memory::unlink(name + "-filler");
    shared_memory::create(name + "1", 100);
    server.kill();
    collect(directory, who);
    CHECK(files_of(name) == 1);
    shared_memory::unlink(name + "1");
  }
  server.kill();
  collect(directory, who);
  CHECK(files_of(name) == 0);
  CHECK(directory.files() == 0);
  collect(directory, who);
}

TEST_CASE("gc with nothing to clean up", "[managers]") {
  const watchdog dog;
  const life_directory directory;
  for (const std::string& where : {directory.path(), directory.path() + "/nowhere"}) {
    CHECK(tool({"gc", "--run-directory", where, no_channel}).wait() == 0);
  }
}

TEST_CASE("a block that is still in use is removed by the next cleaning", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("used");
  const nothing_left check(name);
  const life_directory directory;
  const collector who = GENERATE(collector::library, collector::program);
  const auto a = GENERATE(access::read_write, access::read_only);
  child server = serve(directory);
  client_of(directory).shared_memory(100, name + "-unused");
  client_of(directory).shared_memory(100, name + "-used");
  const event opened;
  const event done;
  child user([&] {
    const auto block = shared_memory::open(name + "-used", a);
    opened.set();
    done.wait();
  });
  opened.wait();
  server.kill();
  for (int i = 0; i != 2; ++i) {
    collect(directory, who);
    CHECK_FALSE(exists(name + "-unused"));
    CHECK(exists(name + "-used"));
    CHECK(directory.files() > 0);
  }
  SECTION("its user ends") {
    done.set();
    CHECK(user.wait() == 0);
  }
  SECTION("its user is killed") { user.kill(); }
  collect(directory, who);
  CHECK(files_of(name) == 0);
  CHECK(directory.files() == 0);
}

TEST_CASE("a new server at the address takes over the blocks that are in use", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("successor");
  const nothing_left check(name);
  const life_directory directory;
  child server = serve(directory);
  shared_memory_manager m = client_of(directory);
  auto used = m.shared_memory(100, name + "-used");
  m.shared_memory(100, name + "-unused");
  for (int generation = 0; generation != 3; ++generation) {
    server.kill();
    server = serve(directory);
    CHECK_FALSE(exists(name + "-unused"));
    CHECK(exists(name + "-used"));
    CHECK(m.list_segments() == std::vector{name + "-used"});  // over its old connection
    m.shared_memory(100, name + "-unused");
  }
  SECTION("and removes them at its end") { m.shutdown(); }
  SECTION("until no process uses them") {
    used.close();
    server.kill();
    server = serve(directory);
    CHECK(m.list_segments().empty());
    CHECK(files_of(name) == 0);
    m.shutdown();
  }
  CHECK(server.wait() == 0);
}

TEST_CASE("a starter cleans up after its server", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("raii");
  const nothing_left check(name);
  const life_directory directory;
  const bool given = GENERATE(true, false);
  shared_memory_manager m;
  const auto start = [&] {
    m.start(given ? directory.socket() : std::string(), life_key, directory.options());
  };
  start();
  const auto block = m.shared_memory(100, name + "-open");
  m.shared_memory(100, name + "-unused");
  const pid_t server = server_of(::getpid());
  REQUIRE(::kill(server, SIGKILL) == 0);
  CHECK(soon([&] { return has_ended(server); }));
  CHECK(files_of(name) == 2);
  const auto clean = [&] {
    CHECK(files_of(name) == 0);
    CHECK(directory.files() == 0);
  };
  SECTION("in its destructor") {}
  SECTION("when it is assigned to") {
    m = shared_memory_manager();
    clean();
  }
  SECTION("when shutdown() is called") {
    m.shutdown();
    clean();
    start();
    CHECK(m.list_segments().empty());
    m.shared_memory(100, name + "-again");
  }
  SECTION("after it has noticed the death") {
    error_code ec;
    m.shared_memory(100, name + "-late", ec);
    CHECK(ec);
    m.list_segments(ec);
    CHECK(ec);
  }
}

TEST_CASE("all processes are killed at once", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("everybody");
  const nothing_left check(name);
  const life_directory directory;
  const collector who = GENERATE(collector::library, collector::program);
  starter s(directory, [&](shared_memory_manager& m) { m.shared_memory(100, name + "-a"); });
  const event ready;
  child client([&] {
    const auto a = shared_memory::open(name + "-a");
    const auto b = client_of(directory).shared_memory(100, name + "-b");
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  CHECK(::kill(s.server(), SIGKILL) == 0);
  s.process().kill();
  client.kill();
  CHECK(soon([&] { return has_ended(s.server()); }));
  CHECK(files_of(name) == 2);
  collect(directory, who);
}

// ---- kills at any moment -------------------------------------------------------------------------------

TEST_CASE("clients are killed at any moment", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("clients");
  const nothing_left check(name);
  const life_directory directory;
  shared_memory_manager m;
  m.start(directory.socket(), life_key, directory.options());
  std::mt19937 random(2);
  for (int round = 0; round != (sanitized ? 20 : 600); ++round) {
    child client([&] { make_blocks(client_of(directory), name); });
    ::usleep(random() % 6000);
    client.kill();
  }
  {  // one that is known to have made some
    child client([&] { make_blocks(client_of(directory), name); });
    await([&] { return files_of(name) != 0; });
    client.kill();
  }
  // A block that has a name is known to the server; a known block need not have a name.
  const std::vector<std::string> known = m.list_segments();
  CHECK(files_of(name) > 0);
  CHECK(known.size() >= files_of(name));
  CHECK(static_cast<std::size_t>(std::count_if(known.begin(), known.end(), exists)) ==
        files_of(name));
  m.shutdown();
}

TEST_CASE("all processes are killed at any moment", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("all");
  const nothing_left check(name);
  const life_directory directory;
  const adopted_orphans servers;
  std::mt19937 random(3);
  for (int round = 0; round != (sanitized ? 5 : 25); ++round) {
    std::vector<child> processes;
    processes.emplace_back([&] {
      shared_memory_manager m;
      error_code ec;  // its server may be killed before it can be reached
      m.start(directory.socket(), life_key, directory.options(), ec);
      for (;;) ::pause();
    });
    for (int i = 0; i != 2; ++i) {
      processes.emplace_back([&] {
        await([&] {
          error_code ec;
          const auto probe = shared_memory_manager::connect(directory.socket(), life_key, {}, ec);
          return !ec;
        });
        try {
          make_blocks(client_of(directory), name);
        } catch (const std::system_error&) {
          for (;;) ::pause();  // its server was killed before
        }
      });
    }
    ::usleep(random() % 40'000);
    for (const pid_t server : servers_of(processes.front().pid())) ::kill(server, SIGKILL);
    std::shuffle(processes.begin(), processes.end(), random);
    processes.clear();
    if (round % 3 == 0) continue;  // also several times without a cleaning in between
    servers.wait();                // one that had just started ends itself
    collect(directory);
    REQUIRE(files_of(name) == 0);
    REQUIRE(directory.files() == 0);
  }
  servers.wait();
  collect(directory);
  CHECK(files_of(name) == 0);
  CHECK(directory.files() == 0);
}
