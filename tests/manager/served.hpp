// A manager's server in a context of this process.
#pragma once

#include "support/process.hpp"
#include "support/rings.hpp"
#include "support/test.hpp"

#include <belfry/manager_server.hpp>
#include <belfry/shared_memory_manager.hpp>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

namespace belfry::test {

inline const std::string server_key = "the key of these tests";

/// A directory for records and sockets; removed at the end, and must be empty by then.
class server_directory {
 public:
  server_directory()
      : path_((std::filesystem::temp_directory_path() / "belfry-test-XXXXXX").string()) {
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }
  server_directory(const server_directory&) = delete;
  server_directory& operator=(const server_directory&) = delete;
  ~server_directory() {
    CHECK(std::filesystem::is_empty(path_));
    std::filesystem::remove_all(path_);
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
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::usleep(500);
  }
  return true;
}

inline bool in_shared_memory(const std::string& name) {
  return std::filesystem::exists("/dev/shm/" + name);
}

inline bool has_gone(const std::error_code& ec) {
  return ec == std::errc::connection_reset || ec == std::errc::connection_refused ||
         ec == std::errc::no_such_file_or_directory || ec == std::errc::broken_pipe;
}

/// Leaves at a path what a killed process leaves.
inline void leave_socket(const std::string& path) {
  net::io_context io;
  net::local::stream_protocol::acceptor gone(io, net::local::stream_protocol::endpoint(path));
}

}  // namespace belfry::test
