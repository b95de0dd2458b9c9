// A manager's server in a context of this process, and managers that use it.
#include "../../src/manager/client/calls.hpp"
#include "support/process.hpp"
#include "support/rings.hpp"
#include "support/test.hpp"

#include <belfry/manager_server.hpp>
#include <belfry/shared_memory_manager.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using namespace std::string_literals;

namespace {

namespace fs = std::filesystem;

const std::string server_key = "the key of these tests";

/// A directory for records and sockets; removed at the end, and must be empty by then.
class server_directory {
 public:
  server_directory() : path_((fs::temp_directory_path() / "belfry-test-XXXXXX").string()) {
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }
  server_directory(const server_directory&) = delete;
  server_directory& operator=(const server_directory&) = delete;
  ~server_directory() {
    CHECK(fs::is_empty(path_));
    fs::remove_all(path_);
  }

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& file) const { return path_ + '/' + file; }
  manager_options options() const {
    manager_options o;
    o.run_directory = path_;
    return o;
  }

 private:
  std::string path_;
};

/// A server whose context runs in its own threads until the server has ended.
class served {
 public:
  explicit served(const manager_options& options, std::string_view address = {}, int threads = 1)
      : server(io, address, server_key, options) {
    for (int i = 0; i != threads; ++i) threads_.emplace_back([this] { io.run(); });
  }
  explicit served(const server_directory& d, std::string_view address = {}, int threads = 1)
      : served(d.options(), address, threads) {}
  ~served() { end(); }

  /// The server is alone in its context, which has no work after its end.
  void end() {
    server.close();
    for (std::thread& t : threads_) t.join();
    threads_.clear();
  }
  shared_memory_manager client() const {
    return shared_memory_manager::connect(server.address(), server_key);
  }

  net::io_context io;
  manager_server server;

 private:
  std::vector<std::thread> threads_;
};

/// The exception of a setup function; one with an unexpected code if it throws none.
template <class Function>
std::system_error server_error(Function f) {
  try {
    f();
  } catch (const std::system_error& e) {
    return e;
  }
  return std::system_error(make_error_code(errc::protocol_error), "nothing was thrown");
}

/// Waits with a limit, so that the test continues if the condition never holds.
template <class Condition>
bool comes_true(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::usleep(500);
  }
  return true;
}

bool in_shared_memory(const std::string& name) { return fs::exists("/dev/shm/" + name); }

bool has_gone(const std::error_code& ec) {
  return ec == std::errc::connection_reset || ec == std::errc::connection_refused ||
         ec == std::errc::no_such_file_or_directory || ec == std::errc::broken_pipe;
}

/// Leaves at a path what a killed process leaves.
void leave_socket(const std::string& path) {
  net::io_context io;
  net::local::stream_protocol::acceptor gone(io, net::local::stream_protocol::endpoint(path));
}

}  // namespace

// ---- what a manager does --------------------------------------------------------------------------------

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

// ---- addresses --------------------------------------------------------------------------------------------

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

// ---- names ------------------------------------------------------------------------------------------------

TEST_CASE("a name that another program's block has", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("foreign");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager m = s.client();
  auto others = shared_memory::create(name, 8);
  const unlink_on_destroy owner(others);
  others.buf()[0] = std::byte{7};

  CHECK(server_error([&] { m.shared_memory(10, name); }).code() == std::errc::file_exists);
  CHECK(server_error([&] { m.shareable_list({1}, name); }).code() == std::errc::file_exists);
  CHECK(m.list_segments().empty());
  CHECK(m.shared_memory(10, name + "-2").is_open());
  SECTION("cannot be released") {
    error_code ec;
    m.release(name, ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
  }
  SECTION("is not removed by a shutdown") { m.shutdown(); }
  SECTION("is not removed by a close") { s.end(); }
  CHECK(in_shared_memory(name));
  CHECK(shared_memory::open(name).buf()[0] == std::byte{7});
}

TEST_CASE("a name that a block of the same server has", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("twice");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager m = s.client();
  shared_memory_manager other = s.client();
  m.shared_memory(8, name).buf()[0] = std::byte{7};
  for (auto* const who : {&m, &other}) {
    CHECK(server_error([&] { who->shared_memory(10, name); }).code() == std::errc::file_exists);
    error_code ec;
    CHECK(who->shareable_list(std::vector<shareable_list::value>{1}, name, ec).size() == 0);
    CHECK(ec == std::errc::file_exists);
  }
  CHECK(other.list_segments() == std::vector{name});
  CHECK(shared_memory::open(name).buf()[0] == std::byte{7});
  SECTION("until it is released") {
    other.release(name);
    CHECK(m.shared_memory(16, name).size() == 16);
    CHECK(other.list_segments() == std::vector{name});
  }
  SECTION("until it is unlinked") {
    shared_memory::unlink(name);
    CHECK(m.shared_memory(16, name).size() == 16);
    CHECK(other.list_segments() == std::vector{name});
  }
  SECTION("until the end") {}
  s.end();
  CHECK_FALSE(in_shared_memory(name));
}

TEST_CASE("a block that has taken the name of the server's block is not removed", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("replaced");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager m = s.client();
  const auto mine = m.shared_memory(8, name);  // kept open, or the inode might be used again
  shared_memory::unlink(name);
  const auto others = shared_memory::create(name, 16);
  const unlink_on_destroy owner(others);
  CHECK(m.list_segments() == std::vector{name});
  SECTION("by release") {
    m.release(name);
    CHECK(m.list_segments().empty());
  }
  SECTION("by shutdown") { m.shutdown(); }
  SECTION("by close") { s.server.close(); }
  CHECK(shared_memory::open(name).size() == 16);
}

TEST_CASE("a manager refuses a block of size 0", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("empty");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager m = s.client();
  CHECK(server_error([&] { m.shared_memory(0); }).code() == std::errc::invalid_argument);
  CHECK(server_error([&] { m.shared_memory(0, name); }).code() == std::errc::invalid_argument);
  error_code ec;
  m.shared_memory(0, name, ec);
  CHECK(ec == std::errc::invalid_argument);
  m.shared_memory(~std::size_t{0}, name, ec);
  CHECK(ec == std::errc::file_too_large);
  CHECK(m.list_segments().empty());
  CHECK(m.shareable_list({}, name).size() == 0);
}

TEST_CASE("names that no block of a manager can have", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("names");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager m = s.client();
  const std::vector<std::pair<std::string, std::errc>> wrong{
      {".", std::errc::invalid_argument},
      {"..", std::errc::invalid_argument},
      {"a/b", std::errc::invalid_argument},
      {"/" + name, std::errc::invalid_argument},
      {name + '\0', std::errc::invalid_argument},
      {name + std::string(256 - name.size(), 'x'), std::errc::filename_too_long},
      {name + "-\xff", std::errc::invalid_argument},
      {name + "-\xc3", std::errc::invalid_argument},          // half a character
      {name + "-\xed\xa0\x80", std::errc::invalid_argument},  // a surrogate
  };
  const std::vector<shareable_list::value> values{1};
  for (const auto& w : wrong) {
    const auto& text = w.first;
    const auto& expected = w.second;
    CAPTURE(text);
    error_code ec;
    CHECK_FALSE(m.shared_memory(10, text, ec).is_open());
    CHECK(ec == expected);
    CHECK(m.shareable_list(values, text, ec).size() == 0);
    CHECK(ec == expected);
    CHECK(server_error([&] { m.shareable_list(values, text); }).code() == expected);
    m.release(text, ec);
    CHECK((ec == expected || ec == std::errc::no_such_file_or_directory));
    CHECK(m.list_segments(ec).empty());
    CHECK_FALSE(ec);
  }
}

TEST_CASE("names that blocks can have", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("names");
  const nothing_left check(name);
  const server_directory directory;
  const std::string text =
      GENERATE_COPY(name + std::string(255 - name.size(), 'x'), name + " äöü \xf0\x9f\x90\xa6",
                    name + "\n+1 x", name + "[Errno 13]");
  served s(directory);
  shared_memory_manager m = s.client();
  CHECK(m.shared_memory(10, text).name() == text);
  CHECK(m.list_segments() == std::vector{text});
  CHECK(in_shared_memory(text));
  error_code ec;
  m.shared_memory(10, text, ec);
  CHECK(ec == std::errc::file_exists);
  m.release(text);
  CHECK(m.list_segments().empty());
  CHECK_FALSE(in_shared_memory(text));
}

// ---- the end ----------------------------------------------------------------------------------------------

TEST_CASE("close removes everything", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("close");
  const nothing_left check(name);
  const server_directory directory;
  const std::string socket = directory / "socket";
  served s(directory, socket);
  shared_memory_manager m = s.client();
  const auto a = m.shared_memory(10, name + "-a");
  m.shared_memory(10, name + "-b");
  m.shared_memory(10, name + "-c");
  shared_memory::unlink(name + "-c");  // the server does not stop at a missing block
  CHECK(fs::is_socket(socket));
  CHECK(std::distance(fs::directory_iterator(directory.path()), {}) == 2);

  s.server.close();
  CHECK_FALSE(s.server.is_open());
  CHECK(files_of(name) == 0);
  CHECK(fs::is_empty(directory.path()));
  CHECK(s.server.list_segments().empty());
  s.server.close();
  s.end();
  error_code ec;
  m.list_segments(ec);
  CHECK(has_gone(ec));
  m.shared_memory(10, name, ec);
  CHECK(has_gone(ec));
  m.shutdown(ec);
  CHECK(has_gone(ec));
}

TEST_CASE("a server is destroyed while it has clients", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("destroyed");
  const nothing_left check(name);
  const server_directory directory;
  std::optional<served> s(std::in_place, directory);
  std::list<shared_memory_manager> clients;
  for (int i = 0; i != 5; ++i) {
    clients.push_back(s->client());
    clients.back().shared_memory(10, name + std::to_string(i));
  }
  SECTION("and its context still runs") { s.reset(); }
  SECTION("together with its context, which was stopped") {
    s->io.stop();
    s.reset();
  }
  CHECK(files_of(name) == 0);
  for (auto& m : clients) {
    error_code ec;
    m.list_segments(ec);
    CHECK(has_gone(ec));
  }
}

TEST_CASE("a server that never runs", "[manager_server]") {
  const nothing_left check("belfry-none");
  const server_directory directory;
  net::io_context io;
  SECTION("is destroyed") { manager_server(io, "", server_key, directory.options()); }
  SECTION("is closed, and its context runs afterwards") {
    manager_server server(io, "", server_key, directory.options());
    server.close();
    CHECK(fs::is_empty(directory.path()));
    CHECK(run(io));
  }
  SECTION("is moved") {
    manager_server server(io, "", server_key, directory.options());
    const std::string address = server.address();
    manager_server other(std::move(server));
    CHECK_FALSE(server.is_open());
    server.close();
    CHECK(other.is_open());
    CHECK(other.address() == address);
    other = manager_server(io, directory / "other", server_key, directory.options());
    CHECK_FALSE(fs::exists(address));
    CHECK(fs::is_socket(other.address()));
  }
}

TEST_CASE("a server whose setup failed is harmless", "[manager_server]") {
  const server_directory directory;
  net::io_context io;
  error_code ec;
  manager_server server(io, "@", server_key, directory.options(), ec);
  CHECK(ec == std::errc::invalid_argument);
  CHECK_FALSE(server.is_open());
  server.close();
  server = manager_server(io, "", server_key, directory.options(), ec);
  CHECK_FALSE(ec);
  CHECK(server.is_open());
}

TEST_CASE("a client that requests shutdown need not wait for the reply", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("impatient");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager m = s.client();
  m.shared_memory(10, name);
  std::promise<void> gate;
  net::post(s.io, [&, open = gate.get_future()] { open.wait(); });
  {
    const auto asked = detail::shutdown_call(detail::client_of(m));
    CHECK(asked->proceed() == detail::manager_call::wait::to_read);
  }  // the client has gone
  gate.set_value();
  CHECK(comes_true([&] { return !in_shared_memory(name); }));
  CHECK(comes_true([&] { return !s.server.is_open(); }));
}

TEST_CASE("after a shutdown the address is free", "[manager_server]") {
  const watchdog dog;
  const server_directory directory;
  for (int i = 0; i != often(20); ++i) {
    net::io_context io;
    error_code ec;
    manager_server server(io, directory / "socket", server_key, directory.options(), ec);
    REQUIRE_FALSE(ec);
    std::thread t([&] { io.run(); });
    shared_memory_manager m = shared_memory_manager::connect(server.address(), server_key);
    m.shutdown();
    manager_server next(io, directory / "socket", server_key, directory.options(), ec);
    next.close();
    t.join();
    REQUIRE_FALSE(ec);
  }
}

// ---- several ----------------------------------------------------------------------------------------------

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
  if (disconnects) options.timeout = std::chrono::milliseconds(20);
  served s(options);
  net::io_context io;
  std::list<net::local::stream_protocol::socket> strangers;
  for (int i = 0; i != 10; ++i) {
    strangers.emplace_back(io).connect(net::local::stream_protocol::endpoint(s.server.address()));
  }
  shared_memory_manager m = s.client();
  CHECK(m.list_segments().empty());
  if (!disconnects) return;
  for (auto& stranger : strangers) {  // they are disconnected
    error_code ec;
    std::array<char, 64> challenge;
    while (!ec) stranger.read_some(net::buffer(challenge), ec);
    CHECK((ec == net::error::eof || ec == net::error::connection_reset));
  }
  ::usleep(50'000);
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

TEST_CASE("async_wait completes when the server has ended", "[manager_server]") {
  const watchdog dog;
  const server_directory directory;
  served s(directory);
  std::promise<error_code> called;
  bool in_context = false;
  s.server.async_wait([&](const error_code& ec) {
    in_context = s.io.get_executor().running_in_this_thread();
    called.set_value(ec);
  });
  auto future = s.server.async_wait(net::use_future);
  auto coroutine = net::co_spawn(
      s.io,
      [&]() -> net::awaitable<bool> {
        const auto [ec] = co_await s.server.async_wait(use_tuple);
        co_await s.server.async_wait(net::use_awaitable);  // again: completes at once
        co_return !ec;
      },
      net::use_future);
  s.server.async_wait(net::detached);
  auto told = called.get_future();
  CHECK(told.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout);
  SECTION("by a client") { s.client().shutdown(); }
  SECTION("by close") { s.server.close(); }
  CHECK_FALSE(told.get());
  CHECK(in_context);
  CHECK_NOTHROW(future.get());
  CHECK(coroutine.get());
}

TEST_CASE("async_wait completes when its server is destroyed", "[manager_server]") {
  const server_directory directory;
  net::io_context io;
  std::optional<manager_server> server(std::in_place, io, std::string_view(), server_key,
                                       directory.options());
  int calls = 0;
  error_code told = errc::protocol_error;
  const auto note = [&](const error_code& ec) {
    ++calls;
    told = ec;
  };
  bool initiating = true;
  server->async_wait([&](const error_code& ec) {
    CHECK_FALSE(initiating);
    note(ec);
  });
  initiating = false;
  SECTION("before the wait has begun") {}
  SECTION("after the wait has begun") { io.poll(); }
  CHECK(calls == 0);
  server.reset();
  CHECK(calls == 0);
  CHECK(run(io));
  CHECK(calls == 1);
  CHECK_FALSE(told);
}

TEST_CASE("async_wait is cancelled, and the server keeps running", "[manager_server]") {
  const watchdog dog;
  const server_directory directory;
  const auto type = GENERATE(net::cancellation_type::terminal, net::cancellation_type::partial,
                             net::cancellation_type::total);
  const bool at_once = GENERATE(true, false);
  net::io_context io;
  manager_server server(io, "", server_key, directory.options());
  net::cancellation_signal signal;
  int calls = 0;
  error_code told;
  server.async_wait(net::bind_cancellation_slot(signal.slot(), [&](const error_code& ec) {
    ++calls;
    told = ec;
  }));
  if (!at_once) io.poll();
  signal.emit(type);
  CHECK(calls == 0);
  io.poll();
  CHECK(calls == 1);
  CHECK(told == net::error::operation_aborted);
  CHECK(server.is_open());
  CHECK(fs::is_socket(server.address()));
  int others = 0;
  server.async_wait([&](const error_code& ec) { others += ec ? 100 : 1; });
  server.close();
  CHECK(run(io));
  CHECK(others == 1);
  CHECK(calls == 1);
}

TEST_CASE("async_wait or a timer", "[manager_server]") {
  using namespace net::experimental::awaitable_operators;
  const watchdog dog;
  const server_directory directory;
  net::io_context io;
  manager_server server(io, "", server_key, directory.options());
  bool timer_won = false;
  net::co_spawn(
      io,
      [&]() -> net::awaitable<void> {
        net::steady_timer timer(io, std::chrono::milliseconds(5));
        const auto result = co_await (server.async_wait(net::use_awaitable) ||
                                      timer.async_wait(net::use_awaitable));
        timer_won = result.index() == 1 && server.is_open();
        server.close();
      },
      net::detached);
  CHECK(run(io));
  CHECK(timer_won);
}

TEST_CASE("a forked copy of a server has no effect", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("fork");
  const nothing_left check(name);
  const server_directory directory;
  std::optional<net::io_context> io(std::in_place);
  std::optional<manager_server> server(std::in_place, *io, "", server_key, directory.options());
  const std::string address = server->address();
  // Forked while the context has no thread; this thread runs it afterwards.
  auto call = std::async(std::launch::async, [&] {
    return shared_memory_manager::connect(address, server_key).shared_memory(10, name).size();
  });
  while (call.wait_for(std::chrono::seconds(0)) != std::future_status::ready) io->poll();
  CHECK(call.get() == 10);
  child fork([&] {
    if (io) io->notify_fork(net::execution_context::fork_child);
    server.reset();
    io.reset();
  });
  CHECK(fork.wait() == 0);
  CHECK(in_shared_memory(name));
  CHECK(fs::is_socket(address));
  CHECK(std::distance(fs::directory_iterator(directory.path()), {}) == 2);
  server.reset();
  CHECK_FALSE(in_shared_memory(name));
}
