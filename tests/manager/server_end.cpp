// The end of a server, and waiting for it.
#include "../../src/manager/client/calls.hpp"
#include "served.hpp"

#include <chrono>
#include <filesystem>
#include <future>
#include <list>
#include <optional>
#include <string>
#include <thread>

using namespace belfry;
using namespace belfry::test;

namespace fs = std::filesystem;

// ---- the end -------------------------------------------------------------------------------------------

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

// ---- waiting for the end -------------------------------------------------------------------------------

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
