// What a client knows of its manager, and its requests.
#pragma once

#include "../../platform/program.hpp"
#include "../wire/address.hpp"
#include "client_session.hpp"

#include <belfry/detail/manager/manager_call.hpp>
#include <belfry/detail/manager/manager_service.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace belfry::detail {

/// A connection that has been authenticated, between two requests.
struct manager_connection {
  manager_connection(unique_handle s, const std::string& key, bool md5_allowed)
      : socket(std::move(s)), session(key, md5_allowed) {}

  unique_handle socket;
  client_session session;
};
using connection_ptr = std::unique_ptr<manager_connection>;

/// Shared by a manager, its calls and its endpoints. Thread-safe.
class manager_client {
 public:
  enum class server_kind {
    unknown,
    ours,     // answers any number of requests on one connection
    cpython,  // one, and closes it
  };

  manager_client(const manager_address& address, std::string_view key,
                 const manager_options& options);
  ~manager_client();

  /// Known from here on, when the server has told its address.
  void at(const manager_address& address);
  manager_address address() const;
  const std::string& key() const noexcept { return key_; }
  bool md5_allowed() const;
  const manager_options& options() const noexcept { return options_; }

  /// Whoever sees that it is ready sees where, and what kind it is. Each the other's partner.
  bool ready() const noexcept { return ready_.load(std::memory_order_acquire); }
  void set_ready(bool ready) noexcept { ready_.store(ready, std::memory_order_release); }
  server_kind kind() const noexcept { return kind_.load(std::memory_order_relaxed); }
  void set_kind(server_kind kind) noexcept { kind_.store(kind, std::memory_order_relaxed); }

  connection_ptr take_idle();
  void keep_idle(connection_ptr c);
  void drop_idle() noexcept;

  // ---- of the one who has started the server --------------------------------------------------------

  /// Its standard output: tells the address, and by its end that of the server. That we close our end tells
  /// the server of ours.
  const unique_handle& lifeline() const noexcept { return lifeline_; }
  void started(platform::child_process child, unique_handle lifeline);
  /// False in the child of a fork, too.
  bool owns_server() const noexcept;
  /// The server has ended, or is to: sees to it that nothing of it is left.
  void bury(std::chrono::milliseconds patience = std::chrono::seconds(5)) noexcept;

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

/// Requests, one after the other, on a connection that is there or made.
class request_chain {
 public:
  explicit request_chain(client_ptr client) : client_(std::move(client)) {}

  struct question {
    std::string_view method;
    pickle::tuple arguments;
  };

  /// Goes on with asking as far as it can without waiting for socket(). `answered`: the answer is in session();
  /// `failed`: see `f`.
  enum class progress { answered, failed, to_read, to_write };
  progress ask(const question& q, failure& f);
  client_session& session() noexcept { return connection_->session; }
  /// Or a timer, if the server cannot be connected to for the moment.
  native_handle_type socket() const noexcept {
    return connection_ ? connection_->socket.get() : retry_.get();
  }

  /// No further question: whoever comes next may have the connection.
  void finish();
  /// The connection is the caller's.
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
  unique_handle retry_;  // ready when it is time to try again to connect
  std::chrono::milliseconds pause_{1};
  std::size_t at_ = 0;  // what has been sent, or received, of the present part
  bool fresh_ = false;
  bool reused_ = false;
};

/// What a refusal means.
failure refused(std::string_view what, const std::string& traceback);

}  // namespace belfry::detail
