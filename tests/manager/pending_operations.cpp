// Many operations of a manager at once, and what ends while they are pending.
#include "operations.hpp"

#include <array>
#include <filesystem>
#include <future>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

TEST_CASE("many operations of one manager at once", "[manager_tokens]") {
  manager_kit k("many");
  constexpr int each = 20;
  int blocks = 0;
  int lists = 0;
  int names = 0;
  std::set<std::string> made;
  for (int i = 0; i != each; ++i) {
    k.connected.async_shared_memory(100, k.name + '-' + std::to_string(i),
                                    [&](const error_code& ec, const shared_memory& b) {
                                      blocks += ec ? 1000 : 1;
                                      made.insert(b.name());
                                    });
    const std::vector<shareable_list::value> values{i};
    k.connected.async_shareable_list(values, [&, i](const error_code& ec, shareable_list l) {
      lists += ec || l.at(0) != shareable_list::value(i) ? 1000 : 1;
      made.insert(l.shm().name());
    });
    k.connected.async_list_segments(
        [&](const error_code& ec, const std::vector<std::string>&) { names += ec ? 1000 : 1; });
  }
  REQUIRE(run(k.io));
  CHECK(blocks == each);
  CHECK(lists == each);
  CHECK(names == each);
  CHECK(made.size() == 2 * each);
  for (const std::string& name : made) CHECK(in_shared_memory(name));
  CHECK(k.server.list_segments().size() == 2 * each + 1);

  int releases = 0;
  for (const std::string& name : made)
    k.connected.async_release(name, [&](const error_code& ec) { releases += ec ? 1000 : 1; });
  REQUIRE(run(k.io));
  CHECK(releases == 2 * each);
  CHECK(k.server.list_segments().size() == 1);
}

TEST_CASE("some of many operations are cancelled", "[manager_tokens]") {
  manager_kit k("one");
  std::array<net::cancellation_signal, 9> signals;
  std::array<call_log, 9> logs;
  for (std::size_t i = 0; i != 9; ++i) {
    k.connected.async_shared_memory(
        100, k.name + '-' + std::to_string(i),
        net::bind_cancellation_slot(signals[i].slot(), logs[i].handler()));
  }
  for (const std::size_t i : {0u, 4u, 8u}) signals[i].emit(net::cancellation_type::terminal);
  REQUIRE(run(k.io));
  for (std::size_t i = 0; i != 9; ++i) {
    CAPTURE(i);
    CHECK(logs[i].calls == 1);
    CHECK(logs[i].ec == (i % 4 == 0 ? net::error::operation_aborted : error_code()));
    CHECK(in_shared_memory(k.name + '-' + std::to_string(i)) == (i % 4 != 0));
  }
}

TEST_CASE("a manager is moved or destroyed while its operations are pending", "[manager_tokens]") {
  manager_kit k("goes");
  call_log log;
  std::optional<shared_memory_manager> m(std::move(k.connected));
  m->async_shared_memory(100, k.name + "-last", log.handler());
  m->async_list_segments(log.handler());
  SECTION("it is moved") {
    shared_memory_manager other(std::move(*m));
    m.reset();
    REQUIRE(run(k.io));
    CHECK(other.is_connected());
  }
  SECTION("it is destroyed") {
    m.reset();
    REQUIRE(run(k.io));
  }
  CHECK(log.calls == 2);
  CHECK_FALSE(log.ec);
}

TEST_CASE("a server is destroyed while operations are pending", "[manager_tokens]") {
  manager_kit k("leaves");
  call_log log;
  std::promise<void> gate;
  net::post(k.server_io, [&, open = gate.get_future()] {
    open.wait();
    k.server.close();
  });
  for (int i = 0; i != 5; ++i) k.connected.async_list_segments(log.handler());
  k.connected.async_shared_memory(100, k.name + "-late", log.handler());
  settle(k.io);
  CHECK(log.calls == 0);
  gate.set_value();
  REQUIRE(run(k.io));
  CHECK(log.calls == 6);
  CHECK(log.ec);
}

TEST_CASE("a context is destroyed while operations of a manager are pending", "[manager_tokens]") {
  const watchdog dog;
  const server_directory directory;
  const std::string name = unique_name("context");
  const nothing_left check(name);
  memory_log memory;
  const auto bound = [&] {
    return net::bind_allocator(logging_allocator<int>(memory), [](const error_code&, auto&&...) {});
  };
  net::io_context server_io;
  manager_server server(server_io, "", server_key, directory.options());
  std::optional<net::io_context> io(std::in_place);
  std::optional<shared_memory_manager> m;
  SECTION("which connects") {
    m.emplace(*io);
    m->async_connect(server.address(), server_key, {}, bound());
    io->poll();
  }
  SECTION("which starts a server") {
    m.emplace(*io);
    m->async_start({}, server_key, directory.options(), bound());
    io->poll();
  }
  CHECK(memory.bytes > 0);
  io.reset();
  CHECK(memory.bytes == 0);
  // No descriptor is closed twice: it might belong to another object meanwhile.
  std::array<int, 8> others;
  for (int& fd : others) fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  m.reset();
  for (const int fd : others) CHECK(::fcntl(fd, F_GETFD) == FD_CLOEXEC);
  for (const int fd : others) ::close(fd);
}

// Asio's own threads, and their descriptors, stay until the end of their process. So this runs in a process
// that is started for it, and in a child forked there before those threads exist.
TEST_CASE("started to use a manager without a context", "[.][started_manager]") {
  const watchdog dog;
  const std::string name = unique_name("system");
  const nothing_left check(name);
  const server_directory directory;
  child process([&] {
    {
      net::io_context server_io;
      manager_server server(server_io, "", server_key, directory.options());
      std::thread thread([&] { server_io.run(); });
      shared_memory_manager m;
      EXPECT(m.get_executor() == net::any_io_executor(net::system_executor()));
      m.async_connect(server.address(), server_key, net::use_future).get();
      std::vector<std::future<shared_memory>> blocks;
      for (int i = 0; i != 50; ++i)
        blocks.push_back(m.async_shared_memory(100, name + std::to_string(i), net::use_future));
      for (auto& block : blocks) EXPECT_EQ(block.get().size(), 100u);
      EXPECT_EQ(m.async_list_segments(net::use_future).get().size(), 50u);
      std::promise<error_code> called;
      m.async_release(name + "1", [&](const error_code& ec) { called.set_value(ec); });
      EXPECT_EQ(called.get_future().get(), error_code());
      m.async_shutdown(net::use_future).get();
      thread.join();
      EXPECT_EQ(files_of(name), 0u);

      m.async_start(directory.options(), net::use_future).get();
      const shared_memory block = m.async_shared_memory(100, name, net::use_future).get();
      EXPECT_EQ(block.name(), name);
      m.async_release(block, net::use_future).get();
      const std::vector<shareable_list::value> values{1, 2};
      EXPECT_EQ(m.async_shareable_list(values, name, net::use_future).get().shm().name(), name);
      m.async_shutdown(net::use_future).get();
      EXPECT_EQ(files_of(name), 0u);
      m.start(directory.options());
    }
    EXPECT(std::filesystem::is_empty(directory.path()));
  });
  CHECK(process.wait() == 0);
}

TEST_CASE("a manager without a context uses Asio's own threads", "[manager_tokens]") {
  const watchdog dog;
  child program([] {
    ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), 1);
    ::execl("/proc/self/exe", "unit-tests", "[started_manager]", nullptr);
    EXPECT(!"exec");
  });
  CHECK(program.wait() == 0);
}

TEST_CASE("a moved-from manager and a moved-from server behave as closed ones", "[manager_tokens]") {
  manager_kit k("moved-from");
  shared_memory_manager& from = k.connected;
  shared_memory_manager to = std::move(from);
  CHECK(from.get_executor() == k.io.get_executor());
  CHECK_FALSE(from.is_connected());
  CHECK(from.address().empty());
  CHECK(from.authkey().empty());
  error_code ec;
  CHECK_FALSE(from.shared_memory(10, "", ec).is_open());
  CHECK(ec == std::errc::not_connected);
  from.list_segments(ec);
  CHECK(ec == std::errc::not_connected);
  from.release("x", ec);
  CHECK(ec == std::errc::not_connected);
  from.shutdown(ec);
  CHECK(ec == std::errc::not_connected);
  int calls = 0;
  const auto refused = [&](const error_code& e, auto&&...) {
    ++calls;
    CHECK(e == std::errc::not_connected);
  };
  from.async_shared_memory(10, refused);
  from.async_list_segments(refused);
  from.async_release("x", refused);
  from.async_shutdown(refused);
  REQUIRE(run(k.io));
  CHECK(calls == 4);
  channel<spsc_ring<int, 4>>::producer tx(k.io, from, "x", ec);
  CHECK(ec == std::errc::not_connected);
  from.async_connect(k.server.address(), server_key, [&](const error_code& e) { ec = e; });
  k.io.restart();
  REQUIRE(run(k.io));
  CHECK(ec == error_code());
  CHECK(from.is_connected());
  CHECK(to.is_connected());

  net::io_context io;
  manager_server server(io, "", server_key, k.directory.options());
  manager_server moved = std::move(server);
  CHECK_FALSE(server.is_open());
  CHECK(server.address().empty());
  CHECK(server.list_segments().empty());
  CHECK(server.get_executor() == io.get_executor());
  server.close();
  bool ended = false;
  server.async_wait([&](const error_code& e) {
    ended = true;
    CHECK_FALSE(e);
  });
  CHECK_FALSE(ended);
  while (!ended && io.run_one() != 0) {
  }
  CHECK(ended);
  CHECK(moved.is_open());
  server = std::move(moved);
  CHECK(server.is_open());
}
