// Operations of a manager that are cancelled, at every moment.
#include "operations.hpp"

#include <chrono>
#include <string>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

TEMPLATE_TEST_CASE("a manager's operations are cancelled at every moment", "[manager_tokens]",
                   op_start, op_connect, op_block, op_named_block, op_list, op_names, op_release) {
  const auto type = GENERATE(net::cancellation_type::terminal, net::cancellation_type::partial,
                             net::cancellation_type::total);
  manager_kit k("cancel");
  bool completed = false;
  for (int moment = 0; !completed; ++moment) {
    REQUIRE(moment < 200);
    CAPTURE(moment);
    net::cancellation_signal signal;
    call_log log;
    TestType::initiate(k, net::bind_cancellation_slot(signal.slot(), log.handler()));
    k.io.restart();
    for (int i = 0; i != moment && log.calls == 0; ++i) k.io.run_one();
    completed = log.calls != 0;
    signal.emit(type);
    CHECK(log.calls == (completed ? 1 : 0));
    REQUIRE(run(k.io));
    CHECK(log.calls == 1);
    // A cancelled request may still be carried out at any later time; then a second request for the same name
    // fails.
    constexpr bool may_come_second = std::is_same_v<TestType, op_release>;
    if (completed) {
      const bool second = may_come_second && moment != 0 &&
                          log.ec == std::errc::no_such_file_or_directory;
      CHECK((second || !log.ec));
      TestType::check(k);
      break;
    }
    REQUIRE(log.ec == net::error::operation_aborted);
    // A block that the server still tracks has no name, and nothing is left open.
    if (!may_come_second) {
      for (const std::string& block : k.server.list_segments())
        CHECK(in_shared_memory(block) == block.ends_with("-there"));
    }
    TestType::repeat(k);
  }
}

TEST_CASE("a shutdown is cancelled at every moment", "[manager_tokens]") {
  bool completed = false;
  for (int moment = 0; !completed; ++moment) {
    REQUIRE(moment < 200);
    CAPTURE(moment);
    manager_kit k("shutdown");
    net::cancellation_signal signal;
    call_log log;
    k.connected.async_shutdown(net::bind_cancellation_slot(signal.slot(), log.handler()));
    k.io.restart();
    for (int i = 0; i != moment && log.calls == 0; ++i) k.io.run_one();
    completed = log.calls != 0;
    signal.emit(net::cancellation_type::terminal);
    REQUIRE(run(k.io));
    CHECK(log.calls == 1);
    CHECK(log.ec == (completed ? error_code() : net::error::operation_aborted));
    ::usleep(20'000);
    // Either the server has not received the request, or it carries it out completely.
    CHECK(comes_true([&] { return in_shared_memory(k.name + "-there") == k.server.is_open(); }));
  }
}

TEST_CASE("after a cancelled or failed start the manager can be used again", "[manager_tokens]") {
  const watchdog dog;
  const server_directory directory;
  net::io_context io;
  shared_memory_manager m(io);
  const auto start = [&](auto&& token) {
    return m.async_start({}, server_key, directory.options(), std::forward<decltype(token)>(token));
  };
  SECTION("cancelled") {
    net::cancellation_signal signal;
    call_log log;
    start(net::bind_cancellation_slot(signal.slot(), log.handler()));
    SECTION("at once") {}
    SECTION("when the server has started") { io.run_one(); }
    signal.emit(net::cancellation_type::terminal);
    REQUIRE(run(io));
    CHECK(log.ec == net::error::operation_aborted);
  }
  SECTION("failed") {
    call_log log;
    m.async_start("0.0.0.0:0", server_key, directory.options(), log.handler());
    REQUIRE(run(io));
    CHECK(log.ec == std::errc::connection_reset);
  }
  CHECK_FALSE(m.is_connected());
  auto again = start(net::use_future);
  REQUIRE(run(io));
  CHECK_NOTHROW(again.get());
  CHECK(m.is_connected());
}

TEMPLATE_TEST_CASE("a manager's operation or a timer", "[manager_tokens]", EVERY_OPERATION) {
  using namespace net::experimental::awaitable_operators;
  manager_kit k("timer");
  run_coroutine(k.io, [&]() -> net::awaitable<void> {
    net::steady_timer late(k.io, std::chrono::seconds(60));
    const auto first =
        co_await (TestType::initiate(k, net::use_awaitable) || late.async_wait(net::use_awaitable));
    CHECK(first.index() == 0);
  });
  TestType::check(k);
}

TEST_CASE("a timer that is faster than the server", "[manager_tokens]") {
  using namespace net::experimental::awaitable_operators;
  const watchdog dog;
  const server_directory directory;
  net::io_context server_io;  // never run
  manager_server server(server_io, "", server_key, directory.options());
  net::io_context io;
  shared_memory_manager m(io);
  run_coroutine(io, [&]() -> net::awaitable<void> {
    net::steady_timer timer(io, std::chrono::milliseconds(5));
    const auto first = co_await (m.async_connect(server.address(), server_key, net::use_awaitable) ||
                                 timer.async_wait(net::use_awaitable));
    CHECK(first.index() == 1);
  });
  CHECK_FALSE(m.is_connected());
}
