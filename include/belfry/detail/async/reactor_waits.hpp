// What an endpoint waits for in the reactor: its bell, the deaths of the peers that it watches, and a time.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/waitable.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/detail/segment/participant.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// Under the endpoint's lock. A running wait keeps the context running, so an endpoint that has nothing pending stops
/// them all.
class reactor_waits final : public participant::observer {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  explicit reactor_waits(const net::any_io_executor& executor) : executor_(executor) {}

  /// Throws if the reactor refuses the bell.
  void open(native_handle_type bell, std::size_t slots);
  /// Starts all that are not running. `to_call` is called for each that ends, on a thread of the context.
  std::error_code start(const std::shared_ptr<waitable::listener>& to_call) noexcept;
  void stop() noexcept;
  /// Stops them, before a thread or a foreign loop waits for the bell.
  void detach() noexcept;
  /// Waits also for this time, unless it waits for an earlier one. `time_point::max()`: for none.
  std::error_code start_alarm(time_point time, const std::shared_ptr<waitable::listener>& to_call) noexcept;
  /// The time that it waits for; max() if for none.
  time_point alarm_time() const noexcept { return alarm_time_; }
  /// Of a wait that has ended. False: it was stopped before.
  bool ended(const waitable::wait_id& which) noexcept;
  /// Stops them, and gives up the handles.
  void close() noexcept;
  /// In the child of a fork: see waitable::abandon().
  void abandon() noexcept;

  std::error_code watch(std::size_t slot, native_handle_type death) noexcept override;
  void unwatch(std::size_t slot) noexcept override;

 private:
  struct wait {
    std::optional<waitable> handle;
    bool running = false;
    std::uint32_t serial = 0;  // of the last wait
  };
  static std::error_code start(wait& w, const std::shared_ptr<waitable::listener>& to_call,
                               waitable::kind what, std::size_t slot) noexcept;
  static void stop(wait& w) noexcept;

  net::any_io_executor executor_;
  wait bell_;
  std::vector<wait> deaths_;  // per slot
  bool any_running_ = false;  // or were, since the last stop()
  std::optional<alarm> alarm_;
  time_point alarm_time_ = time_point::max();
  std::uint32_t alarm_serial_ = 0;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
