// The socket of a NATS client in Asio's reactor: the client's event loop adapter.
#pragma once

#include "client.hpp"
#include "net.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

namespace belfry::detail::nats {

/// The client calls from its own threads as well: what it wants is carried out on the strand. It closes its socket when
/// it likes, so that this is a duplicate: the reactor knows a descriptor that is ours alone.
///
/// Its last calls may come late, even after the io_context was destroyed. They keep this object alive, which therefore
/// gives up everything of the io_context in stop().
class socket_adapter : public std::enable_shared_from_this<socket_adapter> {
 public:
  using strand = net::strand<net::any_io_executor>;

  explicit socket_adapter(strand s) : strand_(std::move(s)) {}
  ~socket_adapter() { close_socket_of_client(); }  // if no function on the strand has

  /// In options. The callbacks keep this object alive until the client has closed its connection.
  void install(natsOptions& options);
  /// The connection was not made, and so the client has not attached it: no callback will come.
  void uninstall() { until_closed_.reset(); }
  /// On the strand, before the client's connection is destroyed: does not use it any more, and calls no handler.
  void stop();

  /// The handlers run on the strand.
  std::function<void()> after_reading;
  std::function<void()> closed;
  std::function<void(natsStatus, const std::string&)> refused;

 private:
  static natsStatus attach(void** user, void* loop, natsConnection* nc, natsSock socket);
  static natsStatus want_read(void* user, bool add);
  static natsStatus want_write(void* user, bool add);
  static natsStatus detach(void* user);
  static void on_closed(natsConnection* nc, void* self);
  static void on_error(natsConnection* nc, natsSubscription* subscription, natsStatus status, void* self);

  /// False after stop().
  template <class Function>
  bool on_strand(Function f) {
    std::unique_lock lock(mutex_);
    if (!strand_) return false;
    if (!strand_->running_in_this_thread()) {
      net::post(*strand_, [self = shared_from_this(), f = std::move(f)] { f(*self); });
      return true;
    }
    lock.unlock();
    f(*this);
    return true;
  }
  void begin();
  void wait_readable();
  void wait_writable();
  void drop();
  void close_socket_of_client();
  void let_go_of_client();

  std::mutex mutex_;
  std::optional<strand> strand_;  // none after stop(), so that no thread of the client has the last copy
  natsConnection* nc_ = nullptr;
  natsSock of_client_ = -1;
  unique_handle own_;  // the duplicate, until socket_ has it
  std::optional<net::posix::stream_descriptor> socket_;
  bool reads_ = false;  // the client wants to
  bool writes_ = false;
  bool reading_ = false;  // a wait is pending
  bool writing_ = false;
  std::shared_ptr<socket_adapter> until_closed_;
  std::shared_ptr<socket_adapter> until_detached_;
};

}  // namespace belfry::detail::nats
