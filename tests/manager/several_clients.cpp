// Several clients, threads and servers at once.
#include "served.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

TEST_CASE("a server in a context with several threads, and clients in several threads",
          "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("threads");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory, {}, 4);
  constexpr int each = 25;
  std::vector<std::thread> users;
  std::atomic<int> mistakes{0};
  for (int u = 0; u != 4; ++u) {
    users.emplace_back([&, u] {
      try {
        shared_memory_manager m = s.client();
        for (int i = 0; i != each; ++i) {
          const std::string mine = name + '-' + std::to_string(u) + '-' + std::to_string(i);
          m.shared_memory(100, mine);
          if (!in_shared_memory(mine)) ++mistakes;
          if (i % 2 == 0) m.release(mine);
          if (in_shared_memory(mine) != (i % 2 != 0)) ++mistakes;
        }
      } catch (const std::exception&) {
        mistakes += 1000;
      }
    });
  }
  for (std::thread& t : users) t.join();
  CHECK(mistakes == 0);
  CHECK(s.server.list_segments().size() == 4 * (each / 2));
  CHECK(files_of(name) == 4 * (each / 2));
  SECTION("closed") { s.end(); }
  SECTION("shut down") {
    s.client().shutdown();
    s.end();
  }
  CHECK(files_of(name) == 0);
}

TEST_CASE("several clients use the same name", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("race");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory, {}, 2);
  for (int round = 0; round != often(20) + 1; ++round) {
    std::atomic<int> made{0};
    std::atomic<int> refused{0};
    std::vector<std::thread> users;
    for (int u = 0; u != 3; ++u) {
      users.emplace_back([&] {
        shared_memory_manager m = s.client();
        error_code ec;
        const auto block = m.shared_memory(10, name, ec);
        if (!ec && block.is_open()) ++made;
        if (ec == std::errc::file_exists) ++refused;
      });
    }
    for (std::thread& t : users) t.join();
    const bool there = in_shared_memory(name);
    const bool tracked = s.server.list_segments() == std::vector{name};
    error_code ec;
    s.client().release(name, ec);
    const bool left = in_shared_memory(name);
    if (left) shared_memory::unlink(name);
    CAPTURE(round, there, tracked, ec, left);
    REQUIRE((made == 1 && refused == 2));
    REQUIRE((there && tracked && !ec && !left));
  }
}

TEST_CASE("two servers in one context", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("two");
  const nothing_left check(name);
  const server_directory directory;
  net::io_context io;
  manager_server first(io, "", server_key, directory.options());
  manager_server second(io, "", "another key", directory.options());
  CHECK(first.address() != second.address());
  std::thread t([&] { io.run(); });
  shared_memory_manager a = shared_memory_manager::connect(first.address(), server_key);
  shared_memory_manager b = shared_memory_manager::connect(second.address(), "another key");
  a.shared_memory(10, name + "-a");
  b.shared_memory(10, name + "-b");
  CHECK(a.list_segments() == std::vector{name + "-a"});
  CHECK(b.list_segments() == std::vector{name + "-b"});
  error_code ec;
  b.release(name + "-a", ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  CHECK(server_error([&] { b.shared_memory(10, name + "-a"); }).code() == std::errc::file_exists);
  a.shutdown();
  CHECK_FALSE(in_shared_memory(name + "-a"));
  CHECK(in_shared_memory(name + "-b"));
  CHECK(b.list_segments() == std::vector{name + "-b"});
  second.close();
  t.join();
}

TEST_CASE("silent strangers keep no client out", "[manager_server]") {
  const watchdog dog;
  const server_directory directory;
  manager_options options = directory.options();
  options.connections = 4;
  const bool disconnects = GENERATE(false, true);
  if (disconnects) options.timeout = std::chrono::milliseconds(300);
  served s(options);
  net::io_context io;
  std::list<net::local::stream_protocol::socket> strangers;
  for (int i = 0; i != 10; ++i) {
    strangers.emplace_back(io).connect(net::local::stream_protocol::endpoint(s.server.address()));
  }
  shared_memory_manager m;
  const auto connects = [&] {  // if this process has waited for a processor, it was disconnected, too
    error_code ec;
    m = shared_memory_manager::connect(s.server.address(), server_key, ec);
    return !ec;
  };
  CHECK(comes_true(connects));
  CHECK(m.list_segments().empty());
  if (!disconnects) return;
  for (auto& stranger : strangers) {  // they are disconnected
    error_code ec;
    std::array<char, 64> challenge;
    while (!ec) stranger.read_some(net::buffer(challenge), ec);
    CHECK((ec == net::error::eof || ec == net::error::connection_reset));
  }
  ::usleep(500'000);
  CHECK(m.list_segments().empty());  // an authenticated client may be silent
}

TEST_CASE("the greatest timeout is no limit", "[manager_server]") {
  const watchdog dog;
  const server_directory directory;
  manager_options options = directory.options();
  options.timeout = std::chrono::nanoseconds::max();
  served s(options);
  CHECK(s.client().list_segments().empty());
}

// ---- waiting for the end ------------------------------------------------------------------------------------
