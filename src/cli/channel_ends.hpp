// The two ends of a channel, as the commands use them that join one: they wait for the other side, tell what happens to
// it, and can be stopped.
#pragma once

#include "running.hpp"

#include <belfry/any_channel.hpp>
#include <belfry/inspect.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace belfry::cli {

struct receiver_options {
  std::string name;
  double timeout = 0;  ///< seconds for each message; 0: no limit
  bool oldest = false;
  bool until_closed = false;
};

/// Takes messages. Tells on standard error when the producer leaves or is killed, and when values were lost; then waits
/// for the next producer, or ends.
class receiver {
 public:
  receiver(net::io_context& io, const receiver_options& options);
  receiver(const receiver&) = delete;
  receiver& operator=(const receiver&) = delete;
  ~receiver();

  const channel_info& info() const { return rx_.info(); }

  /// The next message, if there is one; valid until the next call.
  std::optional<std::span<const std::byte>> try_next();
  /// The same for a dead item.
  std::optional<std::span<const std::byte>> try_next_dead();
  /// Waits for it. None: stopped, or the producer has left for good. Throws at the time limit.
  net::awaitable<std::optional<std::span<const std::byte>>> next();
  void stop();
  bool is_stopped() const noexcept { return stopped_; }
  /// Whether it has ended because a producer was killed.
  bool is_abandoned() const noexcept { return abandoned_; }

  /// How many values this consumer has lost since the last call.
  std::uint64_t new_losses();

 private:
  net::awaitable<bool> go_on_after(error_code ec);
  /// Unless this was done a moment ago.
  void tell_losses(std::chrono::nanoseconds pause);

  const receiver_options& options_;
  any_channel::consumer rx_;
  time_limit limit_;
  std::vector<std::byte> buffer_;
  std::uint64_t lost_ = 0;  // of these the caller knows
  std::uint64_t told_ = 0;  // and these were told on standard error
  std::chrono::steady_clock::time_point told_at_{};
  bool stopped_ = false;
  bool abandoned_ = false;
};

/// Sends messages. If there is no room and no consumer, waits for one, and tells so on standard error.
class sender {
 public:
  /// 0 seconds: no limit, for each message.
  sender(net::io_context& io, const std::string& name, double timeout);

  const channel_info& info() const { return tx_.info(); }

  bool try_send(std::span<const std::byte> message) { return tx_.try_send(message); }
  /// Waits for room. False: stopped. Throws at the time limit, and if the message cannot be sent.
  net::awaitable<bool> send(std::span<const std::byte> message);
  /// Waits until a message can be sent. False: stopped.
  net::awaitable<bool> wait_for_room();
  void stop();
  bool is_stopped() const noexcept { return stopped_; }

 private:
  net::awaitable<void> wait_for_consumer(error_code ec);

  std::string name_;
  any_channel::producer tx_;
  time_limit limit_;
  bool stopped_ = false;
};

}  // namespace belfry::cli
