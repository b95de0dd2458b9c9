// Every asynchronous operation of a manager, behind one interface.
#pragma once

#include "served.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace belfry::test {

/// A server with its own thread, a manager that is connected to it, and one that is not.
struct manager_kit {
  explicit manager_kit(std::string_view what)
      : name(unique_name(what)),
        server(server_io, "", server_key, directory.options()),
        thread([this] { server_io.run(); }),
        connected(io),
        fresh(io) {
    auto done = connected.async_connect(server.address(), server_key, {}, net::use_future);
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
  server_directory directory;
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
    return k.fresh.async_start({}, server_key, k.directory.options(), std::forward<Token>(token));
  }
  template <class Token>
  static auto fail(manager_kit& k, Token&& token) {
    return k.connected.async_start({}, server_key, k.directory.options(),
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
    return k.fresh.async_connect(k.server.address(), server_key, {}, std::forward<Token>(token));
  }
  template <class Token>
  static auto fail(manager_kit& k, Token&& token) {
    return k.connected.async_connect(k.server.address(), server_key, {},
                                     std::forward<Token>(token));
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
    CHECK(std::count_if(known.begin(), known.end(), in_shared_memory) == 2);
  }
  static void check_result(manager_kit&, const shared_memory& block) {
    CHECK(block.size() == 100);
    CHECK(in_shared_memory(block.name()));
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
  static void check(manager_kit& k) { CHECK_FALSE(in_shared_memory(k.name + "-there")); }
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
    CHECK_FALSE(in_shared_memory(k.name + "-there"));
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

}  // namespace belfry::test

#define EVERY_OPERATION \
  op_start, op_connect, op_block, op_named_block, op_list, op_names, op_release, op_shutdown
