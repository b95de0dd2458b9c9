// Calls of other machines to servers of this one.
#pragma once

#include "call_outcome.hpp"
#include "link.hpp"

#include <belfry/any_channel.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace belfry::detail::nats {

/// A client of its channel. It listens at the subject while the channel has a server: so a server that is needed elsewhere
/// is looked for elsewhere. A request becomes a call, with the deadline that is left. If the channel has no place for it, the
/// answer says so, and it waits in its own channel: so no more calls are here than the channel has places.
///
/// For each call that lasts it tells the exporting bridge that it has it, and where it listens. If that bridge says so, or is
/// gone, the call is cancelled, and its server is told.
class call_import_link final : public link {
 public:
  call_import_link(bridge& owner, std::string subject, std::string channel, nats_import_options options);

  void begin() override {}
  void stop() override;

 private:
  using clock = std::chrono::steady_clock;
  struct taken_call {
    message_ptr request;
    std::string reply;
    clock::time_point last_sign;
    std::unique_ptr<connection::inbox> control;  // null: nothing was told yet
    std::string control_name;
    net::cancellation_signal cancel;
  };

  net::awaitable<void> session(std::shared_ptr<connection> c) override;
  void session_ended() override;
  void leave() override;

  net::awaitable<step> prepare(std::shared_ptr<connection> c);
  step join(const std::string& description);
  void listen();
  void stop_listening();
  net::awaitable<void> let_go(std::unique_ptr<connection::inbox> former);

  void on_request(message_ptr m);
  /// Why the request cannot be one of this channel; none: it can.
  std::error_code refusal_of(natsMsg* m);
  void start(message_ptr m);
  void on_end(std::uint64_t number, const error_code& ec, message reply);
  void tell_end(connection& c, const taken_call& call, const error_code& ec, const message& reply);
  void answer(connection& c, const std::string& to, std::string_view outcome, std::span<const std::byte> data = {});
  void cancel(std::uint64_t number);
  void watch_calls();
  void give_sign(std::uint64_t number, taken_call& call);
  net::awaitable<void> flush();

  const nats_import_options options_;
  std::optional<any_channel::client> client_;
  std::string type_;
  std::unique_ptr<connection::inbox> requests_;
  std::unordered_map<std::uint64_t, std::shared_ptr<taken_call>> calls_;
  std::uint64_t last_number_ = 0;
  bool watching_ = false;
  bool told_refusal_ = false;
  net::steady_timer watch_;

  signal pause_;
  signal tick_;
};

}  // namespace belfry::detail::nats
