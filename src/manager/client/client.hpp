// What a client knows about its manager, and the requests that it sends.
#pragma once

#include "../../platform/program.hpp"
#include "../wire/address.hpp"
#include "client_session.hpp"

#include <belfry/detail/manager/manager_call.hpp>
#include <belfry/manager_options.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace belfry::detail {

/// An authenticated connection, idle between two requests.
struct manager_connection {
  manager_connection(unique_handle s, const std::string& key, bool md5_allowed)
      : socket(std::move(s)), session(key, md5_allowed) {}

  unique_handle socket;
  client_session session;
};
using connection_ptr = std::unique_ptr<manager_connection>;

/// Shared by a manager object, its calls and its endpoints. Thread-safe.
class manager_client {
 public:
  enum class server_kind {
    unknown,
    ours,     // any number of requests on a connection
    cpython,  // one request on a connection, then the server closes it
  };

  manager_client(const manager_address& address, std::string_view key,
                 const manager_options& options);
  ~manager_client();

  /// Stores the address that the server has told.
  void at(const manager_address& address);
  manager_address address() const;
  const std::string& key() const noexcept { return key_; }
  bool md5_allowed() const;
  const manager_options& options() const noexcept { return options_; }

  /// A thread that sees `true` also sees address and kind: pairs with the release in set_ready().
  bool ready() const noexcept { return ready_.load(std::memory_order_acquire); }
  void set_ready(bool ready) noexcept { ready_.store(ready, std::memory_order_release); }
  server_kind kind() const noexcept { return kind_.load(std::memory_order_relaxed); }
  void set_kind(server_kind kind) noexcept { kind_.store(kind, std::memory_order_relaxed); }

  connection_ptr take_idle();
  void keep_idle(connection_ptr c);
  void drop_idle() noexcept;

  // ---- for the client that has started the server ----------------------------------------------------

  /// The server's standard output: tells the address, and its end of file tells that the server has ended.
  /// When we close our end, the server learns that we have ended.
  const unique_handle& lifeline() const noexcept { return lifeline_; }
  void started(platform::child_process child, unique_handle lifeline);
  /// Also false in the child of a fork.
  bool owns_server() const noexcept;
  /// Makes sure that the server has ended, and removes what it has left. `timeout`: for its own end.
  void bury(std::chrono::milliseconds timeout = std::chrono::seconds(5)) noexcept;

 private:
  const std::string key_;
  const manager_options options_;
  mutable std::mutex mutex_;
  manager_address address_;
  std::vector<connection_ptr> idle_;
  std::atomic<bool> ready_{false};
  std::atomic<server_kind> kind_{server_kind::unknown};
  platform::child_process child_;
  unique_handle lifeline_;
  unsigned fork_generation_ = fork_generation.load(std::memory_order_relaxed);
};

/// Requests, one after the other, on an idle connection or a new one.
class request_chain {
 public:
  explicit request_chain(client_ptr client) : client_(std::move(client)) {}

  struct question {
    std::string_view method;
    pickle::tuple arguments;
  };

  /// Continues as far as it can without waiting for socket(). `answered`: the answer is in session();
  /// `failed`: see `f`.
  enum class progress { answered, failed, to_read, to_write };
  progress ask(const question& q, failure& f);
  client_session& session() noexcept { return connection_->session; }
  /// The socket, or a timer if the server accepts no connection at the moment.
  native_socket_type socket() const noexcept {
    return connection_ ? connection_->socket.get() : retry_.get();
  }

  /// No further request: makes the connection available to other calls.
  void finish();
  /// Gives the connection to the caller.
  connection_ptr take() { return std::move(connection_); }
  void insist_on_new() noexcept { fresh_ = true; }

  manager_client& client() const noexcept { return *client_; }

 private:
  enum class stage { idle, connecting, greeting, asking };
  progress exchange(failure& f);
  bool connect(failure& f);
  bool connect_later(failure& f);
  bool may_retry(failure& f);

  client_ptr client_;
  connection_ptr connection_;
  stage stage_ = stage::idle;
  unique_handle retry_;  // becomes ready when it is time to connect again
  std::chrono::milliseconds pause_{1};
  std::size_t at_ = 0;  // bytes sent or received of the current part
  bool fresh_ = false;
  bool reused_ = false;
};

/// The error for a refusal by the server.
failure refused(std::string_view what, const std::string& traceback);

}  // namespace belfry::detail
