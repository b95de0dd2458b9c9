// One connection to a NATS server: the client's, with its sockets in Asio's reactor. When it is lost it is over, and the
// bridge makes another one: so it is known of every message on which connection it was sent, and the client keeps none
// to send it later, out of order.
#pragma once

#include "blocking_calls.hpp"
#include "client.hpp"
#include "net.hpp"

#include <belfry/nats_bridge.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::detail::nats {

class socket_adapter;

/// Everything on one strand, which is the executor.
class connection : public std::enable_shared_from_this<connection> {
 public:
  using executor_type = net::any_io_executor;

  /// A subscription, whose messages come as long as it exists. No message: the subject of a request has no listener
  /// that names this inbox as its reply.
  class inbox {
   public:
    using handler = std::function<void(message_ptr)>;
    inbox(const inbox&) = delete;
    inbox& operator=(const inbox&) = delete;
    ~inbox();

    /// No more messages are wanted; those that are on their way still come.
    void leave() noexcept { natsSubscription_Drain(subscription_); }

   private:
    friend class connection;
    inbox(connection& owner, handler h) : owner_(&owner), handler_(std::move(h)) {}
    /// Whether the handler was called.
    bool drain();

    connection* owner_;  // null: it is gone
    handler handler_;
    natsSubscription* subscription_ = nullptr;
  };

  struct outcome {
    std::shared_ptr<connection> made;
    natsStatus status = NATS_OK;
    std::string text;
  };
  /// Connects. `servers`: addresses.
  static net::awaitable<outcome> connect(executor_type strand, std::shared_ptr<blocking_calls> blocking, nats_options options,
                                         std::vector<std::string> servers);
  ~connection();

  /// Completes when the connection is lost.
  net::awaitable<void> lost();
  bool is_lost() const noexcept { return lost_; }
  /// Why.
  const std::string& reason() const noexcept { return reason_; }
  /// Ends it as if it was lost.
  void close(std::string reason);

  /// Called with what the server has refused, such as a publish without permission.
  void on_error(std::function<void(natsStatus, const std::string&)> handler) { on_error_ = std::move(handler); }

  /// A subject that no other process has, below which inboxes are: ends in a dot.
  const std::string& inbox_prefix() const noexcept { return prefix_; }
  /// For one purpose of one link, which no other one hears.
  std::string new_inbox() { return prefix_ + "n" + std::to_string(++last_inbox_); }
  /// `queue`: each message goes to one member of this group.
  std::unique_ptr<inbox> subscribe(const std::string& subject, inbox::handler handler, const char* queue = nullptr);

  natsStatus publish(natsMsg* message) noexcept { return natsConnection_PublishMsg(nc_, message); }
  natsStatus publish(const char* subject, std::string_view data) noexcept {
    return natsConnection_Publish(nc_, subject, data.data(), static_cast<int>(data.size()));
  }
  natsStatus publish_request(const char* subject, const char* reply, std::string_view data) noexcept {
    return natsConnection_PublishRequest(nc_, subject, reply, data.data(), static_cast<int>(data.size()));
  }
  /// Bytes that the client has not written to its socket.
  std::size_t buffered() const noexcept;
  std::size_t max_payload() const noexcept { return static_cast<std::size_t>(natsConnection_GetMaxPayload(nc_)); }
  std::string url() const;
  /// Addresses of other servers of the cluster, as far as the server has told them.
  std::vector<std::string> discovered() const;

  enum class answer { came, timed_out, no_responders, lost };
  struct reply {
    answer how = answer::lost;
    message_ptr message;
  };
  /// `again`: after so long without an answer the request is sent again, as JetStream drops what comes while it has no
  /// leader. `is_answer`: what else comes is ignored.
  net::awaitable<reply> request(std::string subject, std::string data,
                                std::chrono::nanoseconds timeout = std::chrono::seconds(5),
                                std::chrono::nanoseconds again = std::chrono::hours(1),
                                bool (*is_answer)(natsMsg*) = nullptr);

  struct api_reply {
    nlohmann::json body;
    int code = 0;          ///< of an error, as HTTP has them; 0: none
    int error = 0;         ///< JetStream's own number of it
    std::string text;      ///< of an error
    bool ok() const noexcept { return code == 0; }
  };
  /// A request of JetStream's, without "$JS.API."; one that may come twice.
  net::awaitable<reply> api_request(std::string subject, std::string data = {});
  net::awaitable<api_reply> api(std::string subject, nlohmann::json body = nullptr);
  static api_reply parse_reply(std::string_view text);
  static api_reply not_answered(answer how, const std::string& subject);

 private:
  friend class socket_adapter;
  struct waiter {
    explicit waiter(const executor_type& executor) : done(executor) {}
    signal done;
    bool over = false;
    reply result;
  };

  connection(executor_type strand, std::shared_ptr<blocking_calls> blocking);
  void drain_inboxes();
  void set_lost(std::string reason);
  void refused(natsStatus status, const std::string& text);

  executor_type executor_;
  std::shared_ptr<blocking_calls> blocking_;
  std::shared_ptr<socket_adapter> adapter_;
  natsConnection* nc_ = nullptr;
  bool connected_ = false;  // else the thread that connects may be setting nc_
  std::string prefix_;
  std::vector<inbox*> inboxes_;
  std::uint64_t changes_ = 0;  // of the list
  std::set<std::shared_ptr<waiter>> waiters_;
  std::uint64_t last_request_ = 0;
  std::uint64_t last_inbox_ = 0;
  signal lost_signal_;
  bool lost_ = false;
  std::string reason_;
  std::function<void(natsStatus, const std::string&)> on_error_;
};

}  // namespace belfry::detail::nats
