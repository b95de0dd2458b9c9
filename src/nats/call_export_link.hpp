// The calls of a channel of this machine to servers on others.
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
#include <utility>
#include <vector>

namespace belfry::detail::nats {

/// A server of its channel, as long as there is one on another machine: else a client of the channel is told that there is
/// none, or waits. A call becomes a request to the subject, which one of the importing bridges takes.
///
/// What a client is told is true, because each request has one of these ends:
///
///   an answer               says whether the call was executed: see call_outcome.hpp
///   no listener at all      the server says so: the call is given back, as if it had not been accepted
///   its bridge is gone      that bridge has told where it listens, and the server says that nothing does: the call is dropped
///   silence                 for some seconds: dropped
///   the connection is lost  dropped
///
/// A call that is dropped may have been executed; its client is told that, or the call is delivered again, as its client
/// has asked.
///
/// The answer that a subject has no listener names nothing but the inbox that it comes to. So each call on its way has an
/// inbox of its own. One that may still get an answer to a former call is not used again.
class call_export_link final : public link {
 public:
  call_export_link(bridge& owner, std::string channel, std::string subject, nats_export_options options);

  void begin() override {}
  void stop() override;

 private:
  using clock = std::chrono::steady_clock;
  struct reply_inbox {
    std::string prefix;
    std::uint64_t number = 0;  // of the call
    bool looked = false;       // for the bridge that has it; the answer may come after that to the call
    std::unique_ptr<connection::inbox> listener;
  };
  struct passed_call {
    byte_call held;
    std::unique_ptr<reply_inbox> inbox;
    std::string far;      // where the bridge listens that has it; empty: not told yet
    unsigned silent = 0;  // looks without a sign of life
  };
  using passed_calls = std::unordered_map<std::uint64_t, passed_call>;

  net::awaitable<void> session(std::shared_ptr<connection> c) override;
  void session_ended() override;
  void leave() override;

  net::awaitable<step> describe(std::shared_ptr<connection> c);
  net::awaitable<bool> is_served(std::shared_ptr<connection> c);
  bool join();
  void leave_ring();
  void not_served(const std::string& why);
  net::awaitable<void> accept(std::uint64_t joined);

  void pass_on(byte_call call);
  std::unique_ptr<reply_inbox> take_inbox();
  void on_reply(const reply_inbox& inbox, message_ptr m);
  void answer(passed_calls::iterator at, natsMsg* m);
  void reply(byte_call call, natsMsg* m);
  /// Takes the call out. `done`: nothing comes to its inbox any more.
  byte_call take(passed_calls::iterator at, bool done);
  void on_cancelled(std::uint64_t number);
  void drop(byte_call call);
  void slow_down();
  void look_at_calls();
  void ended_one();

  const nats_export_options options_;
  std::optional<any_channel::server> server_;
  segment_number segment_ = 0;
  std::string type_;
  std::uint64_t joined_ = 0;  // how often
  bool serving_ = false;      // calls are accepted
  byte_call next_;            // accepted, and not on its way

  passed_calls calls_;
  std::uint64_t last_number_ = 0;
  std::vector<std::unique_ptr<reply_inbox>> spare_;
  std::vector<std::unique_ptr<reply_inbox>> retired_;  // until no handler runs
  clock::time_point last_look_{};
  std::chrono::milliseconds pause_time_{0};  // servers are overloaded
  std::uint64_t unknown_ = 0;                // calls that were dropped since the last look

  signal may_accept_;
  signal pause_;
  signal tick_;
};

}  // namespace belfry::detail::nats
