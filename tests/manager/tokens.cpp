// Every operation of a manager with every kind of completion token.
#include "operations.hpp"

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

struct call_once {
  std::unique_ptr<call_log*> log;
  void operator()(const error_code& ec, auto&&...) && {
    ++(*log)->calls;
    (*log)->ec = ec;
  }
};

}  // namespace

// ---- tokens --------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("a manager's operations call handlers", "[manager_tokens]", EVERY_OPERATION) {
  manager_kit k("callback");
  call_log log;
  SECTION("a lambda") { TestType::initiate(k, log.handler()); }
  SECTION("an lvalue, copied") {
    const auto handler = log.handler();
    TestType::initiate(k, handler);
  }
  SECTION("a std::function") {
    const std::function<typename TestType::signature> f = log.handler();
    TestType::initiate(k, f);
  }
  SECTION("a move-only handler, called as an rvalue") {
    TestType::initiate(k, call_once{std::make_unique<call_log*>(&log)});
  }
  CHECK(log.calls == 0);
  REQUIRE(run(k.io));
  CHECK(log.calls == 1);
  CHECK_FALSE(log.ec);
  CHECK(log.ec == error_code());
  TestType::check(k);
}

TEMPLATE_TEST_CASE("a manager's operations return futures", "[manager_tokens]", EVERY_OPERATION) {
  manager_kit k("future");
  auto future = TestType::initiate(k, net::use_future);
  STATIC_REQUIRE(std::is_same_v<decltype(future.get()), typename TestType::result>);
  auto refused = TestType::fail(k, net::use_future);
  REQUIRE(run(k.io));
  if constexpr (std::is_void_v<typename TestType::result>) {
    CHECK_NOTHROW(future.get());
  } else {
    TestType::check_result(k, future.get());
  }
  TestType::check(k);
  CHECK_THROWS_AS(refused.get(), net_system_error);
}

TEMPLATE_TEST_CASE("a manager's operations can be awaited", "[manager_tokens]", EVERY_OPERATION) {
  manager_kit k("await");
  run_coroutine(k.io, [&]() -> net::awaitable<void> {
    if constexpr (std::is_void_v<typename TestType::result>) {
      co_await TestType::initiate(k, net::use_awaitable);
    } else {
      const auto result = co_await TestType::initiate(k, net::use_awaitable);
      TestType::check_result(k, result);
    }
  });
  TestType::check(k);
}

TEMPLATE_TEST_CASE("use_awaitable throws what as_tuple and redirect_error return, of managers",
                   "[manager_tokens]", EVERY_OPERATION) {
  manager_kit k("errors");
  run_coroutine(k.io, [&]() -> net::awaitable<void> {
    bool thrown = false;
    try {
      co_await TestType::fail(k, net::use_awaitable);
    } catch (const net_system_error& e) {
      thrown = e.code() == TestType::refusal;
    }
    CHECK(thrown);
    const auto failed = co_await TestType::fail(k, use_tuple);
    CHECK(std::get<0>(failed) == TestType::refusal);
    error_code ec;
    co_await TestType::fail(k, net::redirect_error(net::use_awaitable, ec));
    CHECK(ec == TestType::refusal);
    const auto done = co_await TestType::initiate(k, use_tuple);
    CHECK_FALSE(std::get<0>(done));
  });
  TestType::check(k);
}

TEMPLATE_TEST_CASE("a manager's operations can be deferred", "[manager_tokens]", EVERY_OPERATION) {
  manager_kit k("deferred");
  call_log log;
  {
    const auto never = TestType::fail(k, deferred);
    auto later = TestType::initiate(k, deferred);
    settle(k.io);
    CHECK(k.server.list_segments() == std::vector{k.name + "-there"});
    std::move(later)(log.handler());
  }
  CHECK(log.calls == 0);
  REQUIRE(run(k.io));
  CHECK(log.calls == 1);
  CHECK_FALSE(log.ec);
  TestType::check(k);
}

TEMPLATE_TEST_CASE("a manager's operations can be detached", "[manager_tokens]", EVERY_OPERATION) {
  manager_kit k("detached");
  TestType::initiate(k, net::detached);
  TestType::fail(k, net::detached);
  REQUIRE(run(k.io));
  TestType::check(k);
}

// ---- associated characteristics ------------------------------------------------------------------------

TEMPLATE_TEST_CASE("a manager's handlers are called on their executor", "[manager_tokens]",
                   EVERY_OPERATION) {
  manager_kit k("executor");
  net::io_context elsewhere;
  const auto guard = net::make_work_guard(elsewhere);
  const auto ex = elsewhere.get_executor();
  int calls = 0;
  const auto there = [&](const error_code&, auto&&...) {
    ++calls;
    CHECK(ex.running_in_this_thread());
    CHECK_FALSE(k.io.get_executor().running_in_this_thread());
  };
  TestType::initiate(k, net::bind_executor(ex, there));
  TestType::fail(k, net::bind_executor(ex, there));
  k.io.poll();
  CHECK(calls == 0);
  while (calls != 2) {
    if (k.io.stopped()) k.io.restart();
    k.io.run_one_for(std::chrono::milliseconds(1));
    elsewhere.poll();
  }
  TestType::check(k);
}

TEMPLATE_TEST_CASE("a manager's handlers are by default called on the manager's executor", "[manager_tokens]",
                   EVERY_OPERATION) {
  manager_kit k("own");
  const auto strand = net::make_strand(k.io);
  k.connected = shared_memory_manager(net::any_io_executor(strand));
  k.fresh = shared_memory_manager(net::any_io_executor(strand));
  CHECK(k.fresh.get_executor() == net::any_io_executor(strand));
  int calls = 0;
  const auto inside = [&](const error_code& ec, auto&&...) {
    ++calls;
    CHECK_FALSE(ec);
    CHECK(strand.running_in_this_thread());
  };
  k.connected.async_connect(k.server.address(), server_key, {}, inside);
  REQUIRE(run(k.io));
  TestType::initiate(k, inside);
  REQUIRE(run(k.io));
  CHECK(calls == 2);
}

TEMPLATE_TEST_CASE("a manager's operations use their handlers' allocator", "[manager_tokens]",
                   EVERY_OPERATION) {
  manager_kit k("memory");
  memory_log memory;
  int calls = 0;
  const auto bound = [&] {
    return net::bind_allocator(logging_allocator<int>(memory), [&](const error_code&, auto&&...) {
      ++calls;
      CHECK(memory.bytes == 0);  // deallocated before the handler is called
    });
  };
  std::promise<void> entered;
  std::promise<void> gate;
  net::post(k.server_io, [&, open = gate.get_future()] {
    entered.set_value();
    open.wait();
  });
  entered.get_future().wait();
  bool waits = false;
  SECTION("done") {
    TestType::initiate(k, bound());
    waits = true;
  }
  SECTION("refused") { TestType::fail(k, bound()); }
  settle(k.io);
  gate.set_value();
  REQUIRE(run(k.io));
  if (waits) CHECK(memory.allocations > 0);  // what is only posted is allocated by any_io_executor
  CHECK(calls == 1);
  CHECK(memory.bytes == 0);
}

TEMPLATE_TEST_CASE("a manager's operations never complete within their initiation",
                   "[manager_tokens]", EVERY_OPERATION) {
  manager_kit k("inline");
  bool initiating = false;
  int calls = 0;
  const auto later = [&](const error_code&, auto&&...) {
    ++calls;
    CHECK_FALSE(initiating);
  };
  const auto initiate_all = [&] {
    initiating = true;
    TestType::fail(k, later);
    TestType::initiate(k, later);
    initiating = false;
  };
  SECTION("outside") { initiate_all(); }
  SECTION("in a handler") { net::post(k.io, initiate_all); }
  SECTION("in one of their own") {
    k.connected.async_list_segments([&](const error_code&, auto&&) { initiate_all(); });
  }
  REQUIRE(run(k.io));
  CHECK(calls == 2);
}
