// The bridge: its connection, and what runs over it. On one strand.
#pragma once

#include "link.hpp"
#include "net.hpp"
#include "socket_adapter.hpp"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace belfry::detail::nats {

class bridge : public std::enable_shared_from_this<bridge> {
 public:
  bridge(net::any_io_executor executor, nats_options options);
  ~bridge();

  const net::any_io_executor& executor() const noexcept { return executor_; }
  net::any_io_executor strand() const { return strand_; }

  // ---- from any thread
  void start();
  void on_event(std::function<void(const nats_event&)> handler);
  /// Throws std::system_error.
  void add(const std::string& channel, const std::string& subject, nats_export_options options);
  void add(const std::string& subject, const std::string& channel, nats_import_options options);
  void stop(std::chrono::nanoseconds limit);
  void close();
  void when_ended(std::function<void(error_code)> handler);
  std::vector<nats_statistics> statistics() const;

  // ---- for links, on the strand
  void tell(const nats_event& e);
  void ended(link& which);
  /// Another one takes the place of a link that has found out what its channel is.
  void replace(link& old, std::shared_ptr<link> made);
  /// The segments that values have come through before an import of this process brought them into this channel, and
  /// the same with what an import has seen last. A list of their numbers, with commas.
  const std::string& hops_into(const std::string& channel) const;
  void set_hops_into(const std::string& channel, const std::string& hops) { hops_[channel] = hops; }

 private:
  void close_now();
  void add(std::shared_ptr<link> made);
  net::awaitable<void> run();
  std::vector<std::string> servers(const std::vector<std::string>& discovered) const;
  void finish(error_code why);

  const net::any_io_executor executor_;
  const nats_options options_;
  const socket_adapter::strand strand_;
  const std::shared_ptr<blocking_calls> blocking_ = blocking_calls::of(executor_.context());
  std::map<std::string, std::string> hops_;
  std::shared_ptr<connection> connection_;
  signal wake_;
  bool stopping_ = false;
  bool closed_ = false;
  bool links_never_connected_ = true;
  net::steady_timer limit_;

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<link>> links_;
  std::function<void(const nats_event&)> on_event_;
  std::vector<std::function<void(error_code)>> waiting_;
  bool over_ = false;
  error_code result_;
};

}  // namespace belfry::detail::nats
