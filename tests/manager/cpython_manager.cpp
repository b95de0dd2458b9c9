// Counterparts of CPython's own tests of its manager and its authentication (_TestSharedMemory,
// _TestListener, _TestManagerRestart and OtherTest in its Lib/test/_test_multiprocessing.py), with the same
// names. Tests that need both languages are in interop/managing.py. Comments say where C++ differs.
#include "support/process.hpp"
#include "support/test.hpp"

#include <belfry/manager_server.hpp>
#include <belfry/shareable_list.hpp>
#include <belfry/shared_memory.hpp>
#include <belfry/shared_memory_manager.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

using value = shareable_list::value;

const std::string key = "supadupasecretkey";

/// A directory for a server's record and its socket. The server must leave nothing there.
class run_directory {
 public:
  run_directory() {
    options_.run_directory = "/tmp/belfry-test-XXXXXX";
    REQUIRE(::mkdtemp(options_.run_directory.data()) != nullptr);
  }
  run_directory(const run_directory&) = delete;
  run_directory& operator=(const run_directory&) = delete;
  ~run_directory() { CHECK(::rmdir(options_.run_directory.c_str()) == 0); }

  const manager_options& options() const noexcept { return options_; }
  std::string path() const { return options_.run_directory + "/socket"; }

 private:
  manager_options options_;
};

/// A server in a thread, until a client shuts it down, or the scope ends.
class served {
 public:
  served(std::string_view address, std::string_view authkey, const manager_options& options)
      : server_(io_, address, authkey, options), thread_([this] { io_.run(); }) {}
  ~served() {
    server_.close();
    if (thread_.joinable()) thread_.join();
  }

  /// Waits until a client has shut it down.
  void wait() { thread_.join(); }

  std::string address() const { return server_.address(); }

 private:
  net::io_context io_;
  manager_server server_;
  std::thread thread_;
};

std::vector<value> range(int n) {
  std::vector<value> all;
  for (int i = 0; i != n; ++i) all.emplace_back(i);
  return all;
}

bool exists(const std::string& name) { return files_of(name) != 0; }

using stream = net::local::stream_protocol;

/// Sends a message of the handshake, for peers that break the protocol.
void say(stream::socket& s, std::string_view message) {
  std::string framed(3, '\0');
  framed += static_cast<char>(message.size());
  net::write(s, net::buffer(framed.append(message)));
}
std::string hear(stream::socket& s) {
  std::array<unsigned char, 4> length{};
  net::read(s, net::buffer(length));
  std::string message(length[3], '\0');
  net::read(s, net::buffer(message));
  return message;
}
bool has_hung_up(stream::socket& s) {
  error_code ec;
  char c = 0;
  net::read(s, net::buffer(&c, 1), ec);
  return ec == net::error::eof || ec == net::error::connection_reset;
}

volatile std::sig_atomic_t interrupts = 0;

}  // namespace

// C++ has no KeyboardInterrupt: a handler is called, every time.
TEST_CASE("test_shared_memory_SharedMemoryServer_ignores_sigint", "[cpython]") {
  const watchdog limit;
  const run_directory directory;
  struct sigaction before {};
  struct sigaction counting {};
  counting.sa_handler = [](int) { interrupts = interrupts + 1; };
  ::sigaction(SIGINT, &counting, &before);
  {
    shared_memory_manager smm;
    smm.start(directory.options());
    std::ifstream children("/proc/self/task/" + std::to_string(::getpid()) + "/children");
    pid_t server = 0;
    REQUIRE(children >> server);

    const shareable_list sl = smm.shareable_list(range(10));
    REQUIRE(::kill(server, SIGINT) == 0);
    const shareable_list sl2 = smm.shareable_list(range(10));
    CHECK(smm.list_segments() == std::vector{sl.shm().name(), sl2.shm().name()});
    CHECK(interrupts == 0);
    std::raise(SIGINT);
    CHECK(interrupts == 1);
    smm.shutdown();
  }
  ::sigaction(SIGINT, &before, nullptr);
}

// C++ has no tracker; neither the server nor the client prints anything.
TEST_CASE("test_shared_memory_SharedMemoryManager_reuses_resource_tracker", "[cpython]") {
  const watchdog limit;
  const run_directory directory;
  const int said = ::memfd_create("said", 0);
  child other([&] {
    ::dup2(said, STDOUT_FILENO);
    ::dup2(said, STDERR_FILENO);
    shared_memory_manager smm;
    smm.start(directory.options());
    const shareable_list sl = smm.shareable_list(range(10));
    smm.shutdown();
  });
  CHECK(other.wait() == 0);
  CHECK(::lseek(said, 0, SEEK_END) == 0);
  ::close(said);
}

// Without a server the error is `not_connected`, not a ValueError. A scope replaces `with`.
TEST_CASE("test_shared_memory_SharedMemoryManager_basics", "[cpython]") {
  const watchdog limit;
  const run_directory directory;
  shared_memory_manager smm1;
  CHECK(error_of([&] { smm1.shared_memory(9); }) == std::errc::not_connected);
  smm1.start(directory.options());
  std::vector<shareable_list> lol;
  std::vector<shared_memory> lom;
  for (int i = 5; i != 10; ++i) lol.push_back(smm1.shareable_list(range(i)));
  for (std::size_t j = 32; j < 128; j += 16) lom.push_back(smm1.shared_memory(j));
  CHECK(lom.size() == 6);
  const shareable_list doppelganger_list0 = shareable_list::open(lol[0].shm().name());
  CHECK(doppelganger_list0.size() == 5);
  const shared_memory doppelganger_shm0 = shared_memory::open(lom[0].name());
  CHECK(doppelganger_shm0.size() == 32);
  smm1.shutdown();
  for (const shareable_list& l : lol) CHECK_FALSE(exists(l.shm().name()));
  for (const shared_memory& m : lom) CHECK_FALSE(exists(m.name()));
  CHECK(error_of([&] { shared_memory::open(lom[0].name()); }) ==
        std::errc::no_such_file_or_directory);
  CHECK(error_of([&] { smm1.shared_memory(9); }) == std::errc::not_connected);
  CHECK(doppelganger_list0.at(4) == value(4));

  std::string held_name;
  {
    shared_memory_manager smm2;
    smm2.start(directory.options());
    const shareable_list sl = smm2.shareable_list({"h", "o", "w", "d", "y"});
    const shared_memory shm = smm2.shared_memory(128);
    held_name = sl.shm().name();
    CHECK(exists(held_name));
  }
  CHECK(error_of([&] { shareable_list::open(held_name); }) == std::errc::no_such_file_or_directory);
}

// CPython's peer fails with AuthenticationError; here only the client is told.
TEST_CASE("test_deliver_challenge_auth_failure", "[cpython]") {
  const watchdog limit;
  const run_directory directory;
  const served server(directory.path(), key, directory.options());
  net::io_context io;
  stream::socket s(io);
  s.connect(stream::endpoint(server.address()));
  CHECK(hear(s).starts_with("#CHALLENGE#{sha256}"));
  say(s, "something bogus");
  CHECK(hear(s) == "#FAILURE#");
  CHECK(has_hung_up(s));
}

// A challenge without a message, as in that test, is a `protocol_error`.
TEST_CASE("test_answer_challenge_auth_failure", "[cpython]") {
  const watchdog limit;
  const run_directory directory;
  net::io_context io;
  stream::acceptor acceptor(io, stream::endpoint(directory.path()));
  const auto answer_to = [&](std::string_view challenge) {
    bool hung_up = false;
    std::thread bogus([&] {
      stream::socket s = acceptor.accept();
      say(s, challenge);
      if (challenge != "#CHALLENGE#") {
        hear(s);
        say(s, "something bogus");
      }
      hung_up = has_hung_up(s);
    });
    error_code ec;
    const auto smm = shared_memory_manager::connect(directory.path(), key, directory.options(), ec);
    bogus.join();
    CHECK(hung_up);
    CHECK_FALSE(smm.is_connected());
    return ec;
  };
  CHECK(answer_to("#CHALLENGE#") == errc::protocol_error);
  CHECK(answer_to("#CHALLENGE#is-twenty-bytes-long") == errc::authentication_failed);
  CHECK(answer_to("#CHALLENGE#{sha256}is-twenty-bytes-long") == errc::authentication_failed);
  ::unlink(directory.path().c_str());
}

// All digests are tested in manager/authentication.cpp, and against CPython in interop/managing.py.

TEST_CASE("test_empty_authkey", "[cpython]") {
  const watchdog limit;
  const run_directory directory;
  served server(directory.path(), "", directory.options());
  error_code ec;
  shared_memory_manager::connect(server.address(), key, {}, ec);
  CHECK(ec == errc::authentication_failed);
  auto smm = shared_memory_manager::connect(server.address(), "");
  const shareable_list sl = smm.shareable_list({1729});
  CHECK(smm.authkey().empty());
  CHECK(shareable_list::open(sl.shm().name()).at(0) == value(1729));
  smm.shutdown();
  server.wait();
  CHECK(error_of([&] { shared_memory_manager::connect(server.address(), ""); }) ==
        std::errc::no_such_file_or_directory);
}

// The name's NUL may also be written as @.
TEST_CASE("test_abstract_socket", "[cpython]") {
  const watchdog limit;
  const run_directory directory;
  const std::string name = unique_name("something");
  served server('\0' + name, key, directory.options());
  CHECK(server.address() == '@' + name);
  for (const std::string& address : {'@' + name, '\0' + name}) {
    auto smm = shared_memory_manager::connect(address, key);
    const shareable_list sl = smm.shareable_list({1729});
    CHECK(shareable_list::open(sl.shm().name()).at(0) == value(1729));
    smm.release(sl.shm());
  }
  CHECK(error_of([&] { served(server.address(), key, directory.options()); }) ==
        std::errc::address_in_use);
  shared_memory_manager::connect(server.address(), key).shutdown();
  server.wait();
  CHECK(error_of([&] { shared_memory_manager::connect(server.address(), key); }) ==
        std::errc::connection_refused);
}

// No restart takes a second attempt.
TEST_CASE("test_rapid_restart", "[cpython]") {
  const watchdog limit;
  const run_directory directory;
  std::string address = "127.0.0.1:0";
  for (int i = 0; i != 5; ++i) {
    shared_memory_manager smm;
    smm.start(address, key, directory.options());
    if (i != 0) CHECK(smm.address() == address);
    address = smm.address();
    auto putter = shared_memory_manager::connect(address, key);
    const shareable_list sl = putter.shareable_list({"hello world"});
    CHECK(smm.list_segments() == std::vector{sl.shm().name()});
    CHECK(sl.at(0) == value("hello world"));
    smm.shutdown();
    CHECK_FALSE(exists(sl.shm().name()));
  }
}
