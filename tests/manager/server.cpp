// What a manager asks of its server: blocks and lists, with the right key.
#include "served.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace fs = std::filesystem;

// ---- what a manager does -------------------------------------------------------------------------------

TEST_CASE("a manager makes, lists and releases blocks and lists", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("methods");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  CHECK(s.server.is_open());
  CHECK(s.server.address().starts_with(directory / "manager-"));
  CHECK(s.server.get_executor() == net::any_io_executor(s.io.get_executor()));

  shared_memory_manager m = s.client();
  CHECK(m.is_connected());
  CHECK(m.address() == s.server.address());
  CHECK(m.authkey() == server_key);
  CHECK(m.list_segments().empty());

  auto first = m.shared_memory(100, name + "-b");
  CHECK(first.name() == name + "-b");
  CHECK(first.size() == 100);
  CHECK(first.is_open());
  CHECK_FALSE(first.read_only());
  CHECK(std::all_of(first.buf().begin(), first.buf().end(),
                    [](std::byte b) { return b == std::byte{0}; }));
  auto second = m.shared_memory(1 << 20);
  CHECK(second.name().starts_with("psm_"));
  auto third = m.shareable_list({1, "two", 3.0}, name + "-a");
  CHECK(third.shm().name() == name + "-a");
  auto fourth = m.shareable_list({nullptr});
  const std::vector<std::string> all{first.name(), second.name(), third.shm().name(),
                                     fourth.shm().name()};
  CHECK(m.list_segments() == all);
  CHECK(s.server.list_segments() == all);

  first.buf()[7] = std::byte{42};
  const auto again = shared_memory::open(first.name());
  CHECK(again.buf()[7] == std::byte{42});

  m.release(third.shm().name());
  CHECK_FALSE(in_shared_memory(third.shm().name()));
  m.release(second);
  CHECK_FALSE(in_shared_memory(second.name()));
  CHECK(m.list_segments() == std::vector{all[0], all[3]});
  error_code ec;
  m.release(second.name(), ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  CHECK(server_error([&] { m.release(second); }).code() == std::errc::no_such_file_or_directory);

  SECTION("and ends the server") {
    m.shutdown();
    CHECK_FALSE(m.is_connected());
    CHECK(m.address().empty());
    CHECK(m.authkey().empty());
    for (const std::string& n : all) CHECK_FALSE(in_shared_memory(n));
    CHECK(comes_true([&] { return !s.server.is_open(); }));
    CHECK(first.buf()[7] == std::byte{42});  // the memory goes with its last user
    m.shutdown(ec);
    CHECK(ec == std::errc::not_connected);
    CHECK_FALSE(again.buf().empty());
  }
  SECTION("and leaves the server to others") {
    m = shared_memory_manager();
    CHECK(s.client().list_segments() == std::vector{all[0], all[3]});
    CHECK(in_shared_memory(all[0]));
  }
  s.end();
  for (const std::string& n : all) CHECK_FALSE(in_shared_memory(n));
}

TEST_CASE("the forms with an error code do the same", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("codes");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  error_code ec = errc::closed;
  auto m = shared_memory_manager::connect(s.server.address(), server_key, {}, ec);
  CHECK_FALSE(ec);
  ec = errc::closed;
  const auto block = m.shared_memory(10, name, ec);
  CHECK_FALSE(ec);
  CHECK(block.size() == 10);
  ec = errc::closed;
  const std::vector<shareable_list::value> values{1, 2};
  auto list = m.shareable_list(values, name + "-list", ec);
  CHECK_FALSE(ec);
  CHECK(list.size() == 2);
  ec = errc::closed;
  CHECK(m.list_segments(ec) == std::vector{name, name + "-list"});
  CHECK_FALSE(ec);
  ec = errc::closed;
  m.release(name, ec);
  CHECK_FALSE(ec);
  ec = errc::closed;
  m.shutdown(ec);
  CHECK_FALSE(ec);
}

TEST_CASE("a manager without a server", "[manager_server]") {
  shared_memory_manager m;
  const auto check = [&] {
    CHECK_FALSE(m.is_connected());
    CHECK(m.address().empty());
    CHECK(m.authkey().empty());
    const auto code_of = [](auto f) { return server_error(f).code(); };
    CHECK(code_of([&] { m.shared_memory(10); }) == std::errc::not_connected);
    CHECK(code_of([&] { m.shareable_list({1}); }) == std::errc::not_connected);
    CHECK(code_of([&] { m.list_segments(); }) == std::errc::not_connected);
    CHECK(code_of([&] { m.release("x"); }) == std::errc::not_connected);
    CHECK(code_of([&] { m.shutdown(); }) == std::errc::not_connected);
    error_code ec;
    CHECK_FALSE(m.shared_memory(10, {}, ec).is_open());
    CHECK(ec == std::errc::not_connected);
  };
  check();
  const server_directory directory;
  error_code ec;
  m = shared_memory_manager::connect(directory / "nobody", server_key, {}, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  check();
  const auto error =
      server_error([&] { m = shared_memory_manager::connect(directory / "nobody", server_key); });
  CHECK(error.code() == std::errc::no_such_file_or_directory);
  CHECK(std::string(error.what()).find(directory / "nobody") != std::string::npos);

  leave_socket(directory / "gone");
  m = shared_memory_manager::connect(directory / "gone", server_key, {}, ec);
  CHECK(ec == std::errc::connection_refused);
  fs::remove(directory / "gone");
}

TEST_CASE("a manager can be moved, and connected again", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("moved");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager first = s.client();
  first.shared_memory(10, name);
  shared_memory_manager second(std::move(first));
  CHECK_FALSE(first.is_connected());
  CHECK(second.list_segments() == std::vector{name});
  first = std::move(second);
  CHECK_FALSE(second.is_connected());
  CHECK(first.list_segments() == std::vector{name});
  const error_code already = make_error_code(std::errc::already_connected);
  error_code ec;
  first.start({}, server_key, directory.options(), ec);
  CHECK(ec == already);
  CHECK(first.list_segments() == std::vector{name});
}

// ---- keys ----------------------------------------------------------------------------------------------

TEST_CASE("every form of setup has one with an error code", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("forms");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  error_code ec = make_error_code(errc::protocol_error);
  shared_memory_manager m = shared_memory_manager::connect(s.server.address(), server_key, ec);
  CHECK_FALSE(ec);
  shared_memory block = m.shared_memory(10, ec);
  CHECK_FALSE(ec);
  CHECK(block.size() == 10);
  m.release(block, ec);
  CHECK_FALSE(ec);
  m.release(block, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);

  const std::vector<shareable_list::value> values{1, "two"};
  CHECK(m.shareable_list({1, "two"}, ec).to_vector() == values);
  CHECK_FALSE(ec);
  CHECK(m.shareable_list(values, ec).to_vector() == values);
  CHECK_FALSE(ec);
  CHECK(m.shareable_list({1, "two"}, name, ec).to_vector() == values);
  CHECK_FALSE(ec);
  CHECK(m.shareable_list({1, "two"}, name, ec).empty());
  CHECK(ec == std::errc::file_exists);

  ec = {};
  SECTION("start") { m.start(ec); }
  SECTION("start, with options") { m.start(directory.options(), ec); }
  SECTION("start, with an address") { m.start("", server_key, ec); }
  CHECK(ec == std::errc::already_connected);
  manager_server remote(s.io, "0.0.0.0:0", server_key, ec);
  CHECK(ec == std::errc::permission_denied);
  CHECK_FALSE(remote.is_open());
}

// ---- keys -------------------------------------------------------------------------------------------------

TEST_CASE("a client with another key is refused", "[manager_server]") {
  const watchdog dog;
  const server_directory directory;
  served s(directory);
  for (const std::string key : {"", "another key", "the key of these tests "}) {
    CAPTURE(key);
    const auto error =
        server_error([&] { shared_memory_manager::connect(s.server.address(), key); });
    CHECK(error.code() == errc::authentication_failed);
    error_code ec;
    const auto m = shared_memory_manager::connect(s.server.address(), key, {}, ec);
    CHECK(ec == errc::authentication_failed);
    CHECK_FALSE(m.is_connected());
  }
  CHECK(s.client().list_segments().empty());
}

TEST_CASE("keys of every kind are accepted", "[manager_server]") {
  const watchdog dog;
  const server_directory directory;
  const std::string key =
      GENERATE(std::string(), std::string(10000, 'k'), std::string("\0\xff\n", 3));
  net::io_context io;
  manager_server server(io, "", key, directory.options());
  std::thread t([&] { io.run(); });
  CHECK(shared_memory_manager::connect(server.address(), key).list_segments().empty());
  error_code ec;
  shared_memory_manager::connect(server.address(), key + "x", {}, ec);
  CHECK(ec == errc::authentication_failed);
  server.close();
  t.join();
}
