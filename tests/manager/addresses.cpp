// Where a server listens, and what is at that place already.
#include "served.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using namespace std::string_literals;

namespace fs = std::filesystem;

TEST_CASE("a server listens at addresses of every kind", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("kinds");
  const nothing_left check(name);
  const server_directory directory;
  const std::size_t kind = GENERATE(0u, 1u, 2u, 3u);
  const std::string address =
      std::array{"127.0.0.1:0"s, "localhost:0"s, '@' + name, directory / "socket"}[kind];
  CAPTURE(address);
  served s(directory, address);
  const std::string actual = s.server.address();
  if (address.ends_with(":0")) {
    CHECK(actual.starts_with("127.0.0.1:"));
    CHECK_FALSE(actual.ends_with(":0"));
  } else {
    CHECK(actual == address);
  }
  shared_memory_manager m = s.client();
  CHECK(m.address() == actual);
  m.shared_memory(10, name);
  CHECK(m.list_segments() == std::vector{name});

  net::io_context io;
  error_code ec;
  const manager_server other(io, actual, server_key, directory.options(), ec);
  CHECK(ec == std::errc::address_in_use);
  CHECK_FALSE(other.is_open());
  CHECK(m.list_segments() == std::vector{name});
}

TEST_CASE("malformed addresses are refused", "[manager_server]") {
  const server_directory directory;
  net::io_context io;
  const std::vector<std::string> wrong{"@",
                                       '@' + std::string(108, 'a'),
                                       '/' + std::string(200, 'a'),
                                       "/tmp/with\0nul"s,
                                       "nowhere.example:80",
                                       ":80",
                                       "1.2.3:80",
                                       "[::1:80"};
  for (const std::string& address : wrong) {
    CAPTURE(address);
    const auto error =
        server_error([&] { manager_server(io, address, server_key, directory.options()); });
    CHECK(error.code() == std::errc::invalid_argument);
    CHECK(std::string(error.what()).find(address.substr(0, 20).c_str()) != std::string::npos);
    error_code ec;
    manager_server server(io, address, server_key, directory.options(), ec);
    CHECK(ec == std::errc::invalid_argument);
    CHECK_FALSE(server.is_open());
    server.close();
    shared_memory_manager::connect(address, server_key, {}, ec);
    CHECK(ec == std::errc::invalid_argument);
  }
  error_code ec;
  shared_memory_manager::connect("", server_key, {}, ec);
  CHECK(ec == std::errc::invalid_argument);
}

TEST_CASE("an address that other machines can reach needs the option remote", "[manager_server]") {
  const watchdog dog;
  const server_directory directory;
  net::io_context io;
  for (const std::string address : {"0.0.0.0:0", "[::]:0", "0.0.0.0:5000", "192.0.2.1:5000"}) {
    CAPTURE(address);
    const auto error =
        server_error([&] { manager_server(io, address, server_key, directory.options()); });
    CHECK(error.code() == std::errc::permission_denied);
    CHECK(std::string(error.what()).find(address.substr(0, 4)) != std::string::npos);
  }
  manager_options options = directory.options();
  options.remote = true;
  served s(options, "0.0.0.0:0");
  const std::string port = s.server.address().substr(s.server.address().rfind(':'));
  CHECK(shared_memory_manager::connect("127.0.0.1" + port, server_key).list_segments().empty());
}

TEST_CASE("an address is used by one server at a time", "[manager_server]") {
  const watchdog dog;
  const server_directory directory;
  const server_directory elsewhere;  // so that no record shows the other server
  const std::string address = directory / "socket";
  const bool same_directory = GENERATE(true, false);
  const manager_options options = (same_directory ? directory : elsewhere).options();
  std::optional<served> first(std::in_place, directory, address);
  net::io_context io;
  const auto error = server_error([&] { manager_server(io, address, server_key, options); });
  CHECK(error.code() == std::errc::address_in_use);
  CHECK(std::string(error.what()).find(address) != std::string::npos);
  CHECK(first->client().list_segments().empty());
  first.reset();
  served second(options, address);
  CHECK(second.client().list_segments().empty());
}

TEST_CASE("what a killed server has left at its path is replaced", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("stale");
  const nothing_left check(name);
  const server_directory directory;
  const std::string address = directory / "socket";
  SECTION("a socket") { leave_socket(address); }
  SECTION("a socket, a record, and a block") {
    const event ready;
    child killed([&] {
      served s(directory, address);
      s.client().shared_memory(10, name);
      ready.set();
      for (;;) ::pause();
    });
    ready.wait();
    killed.kill();
    CHECK(in_shared_memory(name));
  }
  CHECK(fs::is_socket(address));
  served s(directory, address);
  CHECK_FALSE(in_shared_memory(name));
  CHECK(s.client().list_segments().empty());
}

TEST_CASE("what another program has at the path is not replaced", "[manager_server]") {
  const watchdog dog;
  const server_directory directory;
  const std::string address = directory / "place";
  net::io_context io;
  const auto refused = [&] {
    error_code ec;
    manager_server server(io, address, server_key, directory.options(), ec);
    CHECK_FALSE(server.is_open());
    return ec == std::errc::address_in_use;
  };
  SECTION("the socket of a living program") {
    net::local::stream_protocol::acceptor living(io,
                                                 net::local::stream_protocol::endpoint(address));
    CHECK(refused());
    net::local::stream_protocol::socket client(io);
    error_code ec;
    client.connect(net::local::stream_protocol::endpoint(address), ec);
    CHECK_FALSE(ec);
  }
  SECTION("a file") {
    std::ofstream(address) << "precious";
    CHECK(refused());
    std::string content;
    std::ifstream(address) >> content;
    CHECK(content == "precious");
  }
  SECTION("a directory") {
    fs::create_directory(address);
    CHECK(refused());
    CHECK(fs::is_directory(address));
  }
  SECTION("a link to nowhere") {
    fs::create_symlink(directory / "nowhere", address);
    CHECK(refused());
    CHECK(fs::is_symlink(address));
  }
  fs::remove_all(address);
}

TEST_CASE("a run directory is created, and only its user may write to it", "[manager_server]") {
  const watchdog dog;
  const server_directory directory;
  manager_options options;
  options.run_directory = directory / "run";
  net::io_context io;
  error_code ec;
  SECTION("it is created") {
    {
      served s(options);
      struct stat status {};
      CHECK(::stat(options.run_directory.c_str(), &status) == 0);
      CHECK((status.st_mode & 0777) == 0700);
      CHECK(::stat(s.server.address().c_str(), &status) == 0);
      CHECK((status.st_mode & 0777) == 0600);
    }
    CHECK(fs::is_empty(options.run_directory));
  }
  SECTION("others may write to it: refused") {
    fs::create_directory(options.run_directory);
    fs::permissions(options.run_directory, fs::perms(0770));
    manager_server(io, "", server_key, options, ec);
    CHECK(ec == std::errc::operation_not_permitted);
  }
  SECTION("a link: refused") {
    fs::create_directory(directory / "real");
    fs::create_symlink(directory / "real", options.run_directory);
    manager_server(io, "", server_key, options, ec);
    CHECK(ec == std::errc::operation_not_permitted);
    fs::remove(directory / "real");
  }
  SECTION("in no directory: refused") {
    options.run_directory += "/run";
    manager_server(io, "", server_key, options, ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
  }
  fs::remove_all(directory / "run");
}
