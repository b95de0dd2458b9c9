// Every operation of a manager with every kind of completion token.
#include "support/process.hpp"
#include "support/rings.hpp"
#include "support/test.hpp"

#include <belfry/manager_server.hpp>
#include <belfry/shared_memory_manager.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

const std::string token_key = "the key of these tokens";

bool is_named(const std::string& name) { return std::filesystem::exists("/dev/shm/" + name); }

class token_directory {
 public:
  token_directory()
      : path((std::filesystem::temp_directory_path() / "belfry-test-XXXXXX").string()) {
    REQUIRE(::mkdtemp(path.data()) != nullptr);
  }
  token_directory(const token_directory&) = delete;
  token_directory& operator=(const token_directory&) = delete;
  ~token_directory() {
    CHECK(std::filesystem::is_empty(path));
    std::filesystem::remove_all(path);
  }
  manager_options options() const {
    manager_options o;
    o.run_directory = path;
    return o;
  }

  std::string path;
};

/// A server with its own thread, a manager that is connected to it, and one that is not.
struct manager_kit {
  explicit manager_kit(std::string_view what)
      : name(unique_name(what)),
        server(server_io, "", token_key, directory.options()),
        thread([this] { server_io.run(); }),
        connected(io),
        fresh(io) {
    auto done = connected.async_connect(server.address(), token_key, {}, net::use_future);
    REQUIRE(run(io));
    done.get();
    auto tracked = connected.async_shared_memory(10, name + "-there", net::use_future);
    REQUIRE(run(io));
    tracked.get();
  }
  ~manager_kit() {
    server.close();
    thread.join();
    CHECK(files_of(name) == 0);
  }

  const watchdog dog;
  std::string name;
  token_directory directory;
  net::io_context server_io;
  manager_server server;
  std::thread thread;
  net::io_context io;
  shared_memory_manager connected;
  shared_memory_manager fresh;
};

// ---- the operations -----------------------------------------------------------------------------------

struct op_start {
  using signature = void(error_code);
  using result = void;
  static constexpr std::errc refusal = std::errc::already_connected;
  template <class Token>
  static auto initiate(manager_kit& k, Token&& token) {
    return k.fresh.async_start({}, token_key, k.directory.options(), std::forward<Token>(token));
  }
  template <class Token>
  static auto fail(manager_kit& k, Token&& token) {
    return k.connected.async_start({}, token_key, k.directory.options(),
                                   std::forward<Token>(token));
  }
  static void check(manager_kit& k) { CHECK(k.fresh.list_segments().empty()); }
  static void repeat(manager_kit& k) { k.fresh = shared_memory_manager(k.io); }
};

struct op_connect {
  using signature = void(error_code);
  using result = void;
  static constexpr std::errc refusal = std::errc::already_connected;
  template <class Token>
  static auto initiate(manager_kit& k, Token&& token) {
    return k.fresh.async_connect(k.server.address(), token_key, {}, std::forward<Token>(token));
  }
  template <class Token>
  static auto fail(manager_kit& k, Token&& token) {
    return k.connected.async_connect(k.server.address(), token_key, {}, std::forward<Token>(token));
  }
  static void check(manager_kit& k) { CHECK(k.fresh.is_connected()); }
  static void repeat(manager_kit& k) { k.fresh = shared_memory_manager(k.io); }
};

struct op_block {
  using signature = void(error_code, shared_memory);
  using result = shared_memory;
  static constexpr std::errc refusal = std::errc::not_connected;
  template <class Token>
  static auto initiate(manager_kit& k, Token&& token) {
    return k.connected.async_shared_memory(100, std::forward<Token>(token));
  }
  template <class Token>
  static auto fail(manager_kit& k, Token&& token) {
    return k.fresh.async_shared_memory(100, std::forward<Token>(token));
  }
  static void check(manager_kit& k) {
    const std::vector<std::string> known = k.server.list_segments();  // including cancelled ones
    CHECK(std::count_if(known.begin(), known.end(), is_named) == 2);
  }
  static void check_result(manager_kit&, const shared_memory& block) {
    CHECK(block.size() == 100);
    CHECK(is_named(block.name()));
  }
  static void repeat(manager_kit& k) {
    for (const std::string& block : k.server.list_segments())
      if (!block.ends_with("-there")) k.connected.release(block);
  }
};

struct op_named_block : op_block {
  template <class Token>
  static auto initiate(manager_kit& k, Token&& token) {
    return k.connected.async_shared_memory(100, k.name + "-made", std::forward<Token>(token));
  }
  template <class Token>
  static auto fail(manager_kit& k, Token&& token) {
    return k.fresh.async_shared_memory(100, k.name + "-made", std::forward<Token>(token));
  }
};

struct op_list : op_block {
  using signature = void(error_code, shareable_list);
  using result = shareable_list;
  template <class Token>
  static auto start(shared_memory_manager& m, Token&& token) {
    const std::vector<shareable_list::value> values{1, "two"};  // destroyed before the operation completes
    return m.async_shareable_list(values, std::forward<Token>(token));
  }
  template <class Token>
  static auto initiate(manager_kit& k, Token&& token) {
    return start(k.connected, std::forward<Token>(token));
  }
  template <class Token>
  static auto fail(manager_kit& k, Token&& token) {
    return start(k.fresh, std::forward<Token>(token));
  }
  static void check_result(manager_kit&, const shareable_list& list) { CHECK(list.size() == 2); }
};

struct op_names {
  using signature = void(error_code, std::vector<std::string>);
  using result = std::vector<std::string>;
  static constexpr std::errc refusal = std::errc::not_connected;
  template <class Token>
  static auto initiate(manager_kit& k, Token&& token) {
    return k.connected.async_list_segments(std::forward<Token>(token));
  }
  template <class Token>
  static auto fail(manager_kit& k, Token&& token) {
    return k.fresh.async_list_segments(std::forward<Token>(token));
  }
  static void check(manager_kit&) {}
  static void check_result(manager_kit& k, const std::vector<std::string>& names) {
    CHECK(names == std::vector{k.name + "-there"});
  }
  static void repeat(manager_kit&) {}
};

struct op_release {
  using signature = void(error_code);
  using result = void;
  static constexpr std::errc refusal = std::errc::not_connected;
  template <class Token>
  static auto initiate(manager_kit& k, Token&& token) {
    return k.connected.async_release(k.name + "-there", std::forward<Token>(token));
  }
  template <class Token>
  static auto fail(manager_kit& k, Token&& token) {
    return k.fresh.async_release(k.name + "-there", std::forward<Token>(token));
  }
  static void check(manager_kit& k) { CHECK_FALSE(is_named(k.name + "-there")); }
  static void repeat(manager_kit& k) {
    if (k.server.list_segments().empty()) k.connected.shared_memory(10, k.name + "-there");
  }
};

struct op_shutdown {
  using signature = void(error_code);
  using result = void;
  static constexpr std::errc refusal = std::errc::not_connected;
  template <class Token>
  static auto initiate(manager_kit& k, Token&& token) {
    return k.connected.async_shutdown(std::forward<Token>(token));
  }
  template <class Token>
  static auto fail(manager_kit& k, Token&& token) {
    return k.fresh.async_shutdown(std::forward<Token>(token));
  }
  static void check(manager_kit& k) {
    CHECK_FALSE(is_named(k.name + "-there"));
    CHECK_FALSE(k.connected.is_connected());
  }
};

/// Counts its calls, and keeps its arguments.
struct call_log {
  int calls = 0;
  error_code ec = errc::protocol_error;

  auto handler() {
    return [this](const error_code& e, auto&&...) {
      ++calls;
      ec = e;
    };
  }
};

struct call_once {
  std::unique_ptr<call_log*> log;
  void operator()(const error_code& ec, auto&&...) && {
    ++(*log)->calls;
    (*log)->ec = ec;
  }
};

struct memory_log {
  std::size_t allocations = 0;
  std::ptrdiff_t bytes = 0;
};
template <class T>
struct logging_allocator {
  using value_type = T;
  explicit logging_allocator(memory_log& l) : log(&l) {}
  template <class U>
  logging_allocator(const logging_allocator<U>& other) : log(other.log) {}
  T* allocate(std::size_t n) {
    ++log->allocations;
    log->bytes += static_cast<std::ptrdiff_t>(n * sizeof(T));
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) {
    log->bytes -= static_cast<std::ptrdiff_t>(n * sizeof(T));
    std::allocator<T>().deallocate(p, n);
  }
  template <class U>
  bool operator==(const logging_allocator<U>& other) const {
    return log == other.log;
  }
  memory_log* log;
};

}  // namespace

#define EVERY_OPERATION \
  op_start, op_connect, op_block, op_named_block, op_list, op_names, op_release, op_shutdown

// ---- tokens -------------------------------------------------------------------------------------------

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

// ---- associated characteristics -------------------------------------------------------------------------

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
  k.connected.async_connect(k.server.address(), token_key, {}, inside);
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

// ---- cancellation ---------------------------------------------------------------------------------------

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
        CHECK(is_named(block) == block.ends_with("-there"));
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
    CHECK(is_named(k.name + "-there") == k.server.is_open());
  }
}

TEST_CASE("after a cancelled or failed start the manager can be used again", "[manager_tokens]") {
  const watchdog dog;
  const token_directory directory;
  net::io_context io;
  shared_memory_manager m(io);
  const auto start = [&](auto&& token) {
    return m.async_start({}, token_key, directory.options(), std::forward<decltype(token)>(token));
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
    m.async_start("0.0.0.0:0", token_key, directory.options(), log.handler());
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
  const token_directory directory;
  net::io_context server_io;  // never run
  manager_server server(server_io, "", token_key, directory.options());
  net::io_context io;
  shared_memory_manager m(io);
  run_coroutine(io, [&]() -> net::awaitable<void> {
    net::steady_timer timer(io, std::chrono::milliseconds(5));
    const auto first = co_await (m.async_connect(server.address(), token_key, net::use_awaitable) ||
                                 timer.async_wait(net::use_awaitable));
    CHECK(first.index() == 1);
  });
  CHECK_FALSE(m.is_connected());
}

// ---- many operations, and none ------------------------------------------------------------------------

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
  for (const std::string& name : made) CHECK(is_named(name));
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
    CHECK(is_named(k.name + '-' + std::to_string(i)) == (i % 4 != 0));
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
  const token_directory directory;
  const std::string name = unique_name("context");
  const nothing_left check(name);
  memory_log memory;
  const auto bound = [&] {
    return net::bind_allocator(logging_allocator<int>(memory), [](const error_code&, auto&&...) {});
  };
  net::io_context server_io;
  manager_server server(server_io, "", token_key, directory.options());
  std::optional<net::io_context> io(std::in_place);
  std::optional<shared_memory_manager> m;
  SECTION("which connects") {
    m.emplace(*io);
    m->async_connect(server.address(), token_key, {}, bound());
    io->poll();
  }
  SECTION("which starts a server") {
    m.emplace(*io);
    m->async_start({}, token_key, directory.options(), bound());
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
  const token_directory directory;
  child process([&] {
    {
      net::io_context server_io;
      manager_server server(server_io, "", token_key, directory.options());
      std::thread thread([&] { server_io.run(); });
      shared_memory_manager m;
      EXPECT(m.get_executor() == net::any_io_executor(net::system_executor()));
      m.async_connect(server.address(), token_key, net::use_future).get();
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
    EXPECT(std::filesystem::is_empty(directory.path));
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
  from.async_connect(k.server.address(), token_key, [&](const error_code& e) { ec = e; });
  k.io.restart();
  REQUIRE(run(k.io));
  CHECK(ec == error_code());
  CHECK(from.is_connected());
  CHECK(to.is_connected());

  net::io_context io;
  manager_server server(io, "", token_key, k.directory.options());
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
