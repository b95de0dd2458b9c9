// Commands that wait: until Ctrl-C, or for a limited time.
#pragma once

#include <belfry/asio.hpp>

#include <chrono>
#include <functional>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/steady_timer.hpp>
#else
#include <asio/steady_timer.hpp>
#endif

namespace belfry::cli {

/// Runs a command to its end. At the first Ctrl-C or SIGTERM, `stop` is called, and the command ends by itself; the
/// next one kills the process. An exception of the command is thrown.
void run_until_stopped(net::io_context& io, net::awaitable<void> command, std::function<void()> stop);

/// For how long at most a command waits for one thing.
class time_limit {
 public:
  using clock = std::chrono::steady_clock;

  /// 0 seconds: for ever. `expired` ends the wait.
  time_limit(net::io_context& io, double seconds, std::function<void()> expired);

  void begin();
  void end();
  /// Whether the last wait was ended.
  bool has_expired() const noexcept { return has_expired_; }
  /// "within 2.5 seconds"
  std::string text() const;

 private:
  net::steady_timer timer_;
  double seconds_;
  std::function<void()> expired_;
  std::uint64_t wait_ = 0;  // an expiry may be on its way when its wait has ended
  bool has_expired_ = false;
};

/// Lets the other handlers of the context run.
inline net::awaitable<void> yield_to_others(net::io_context& io) { co_await net::post(io, net::use_awaitable); }

/// `auto [ec, n] = co_await rx.async_receive(buffer, as_result);`
inline constexpr detail::net_as_tuple_t<net::use_awaitable_t<>> as_result{net::use_awaitable};

}  // namespace belfry::cli
