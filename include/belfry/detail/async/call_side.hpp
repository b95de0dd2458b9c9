// What clients and servers have in common: the calls that they hold.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/actions.hpp>
#include <belfry/detail/async/endpoint.hpp>
#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/ring/call.hpp>
#include <belfry/error.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <type_traits>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

using call_clock = std::chrono::steady_clock;

/// An error code, as a place carries it.
inline std::uint64_t encode_error(const std::error_code& ec) noexcept {
  auto kind = layout::call_error::other;
  if (ec.category() == std::system_category()) kind = layout::call_error::system;
  if (ec.category() == std::generic_category()) kind = layout::call_error::generic;
  if (ec.category() == error_category()) kind = layout::call_error::belfry;
  return std::uint64_t{static_cast<std::uint32_t>(kind)} << 32 | static_cast<std::uint32_t>(ec.value());
}
/// Another process may have written any number. One that is no error, or of no category that both know, is `refused`.
inline std::error_code decode_error(std::uint64_t code) noexcept {
  const auto value = static_cast<int>(static_cast<std::uint32_t>(code));
  if (value == 0) return make_error_code(errc::refused);
  switch (static_cast<layout::call_error>(code >> 32)) {
    case layout::call_error::system: return {value, std::system_category()};
    case layout::call_error::generic: return {value, std::generic_category()};
    case layout::call_error::belfry: return {value, error_category()};
    case layout::call_error::other: break;
  }
  return make_error_code(errc::refused);
}

/// A call that a server has taken.
struct held_call {
  call_ticket ticket;
  call_clock::time_point deadline = call_clock::time_point::max();
};

/// The server of a call, as the call sees it.
class serving_endpoint : public endpoint {
 public:
  using endpoint::endpoint;

  virtual layout::call_place& place(const held_call& c) noexcept = 0;
  /// The room for a reply, where replies are bytes.
  virtual std::span<std::byte> reply_room(const held_call&) noexcept { return {}; }
  /// Whether a reply may have so many bytes.
  virtual bool fits_reply(std::uint64_t) const noexcept { return false; }
  /// Ends a call: answered, or refused. False: it is too late.
  virtual bool end(const held_call& c, layout::call_state outcome) noexcept = 0;
  virtual void drop(const held_call& c) noexcept = 0;
  /// As if this server had never had it. False: it is too late.
  virtual bool give_back(const held_call& c) noexcept = 0;
  /// Whether its client has given it up.
  virtual bool is_abandoned(const held_call& c) noexcept = 0;
  /// The user knows it, or no longer has it.
  virtual void told_abandoned(bool knows) noexcept = 0;

  bool is_cancelled(const held_call& c) noexcept {
    return !is_open() || is_abandoned(c) || (c.deadline != call_clock::time_point::max() && call_clock::now() >= c.deadline);
  }
  void look_at_deadline_of(const held_call& c) noexcept { look_again_at(c.deadline); }
  std::shared_ptr<serving_endpoint> shared() { return std::static_pointer_cast<serving_endpoint>(shared_from_this()); }
};

/// void(error_code): the client of a call no longer waits for it. `operation_aborted` if the call has ended before.
struct wait_cancelled_action {
  std::shared_ptr<serving_endpoint> endpoint;  // keeps it alive: the call's object may be gone
  held_call call;
  std::shared_ptr<const std::atomic<bool>> ended;
  bool cancelled = false;

  outcome try_once() noexcept { return ready() ? outcome::done : outcome::would_block; }
  bool ready() noexcept {
    if (*ended) return true;
    cancelled = cancelled || endpoint->is_cancelled(call);
    if (!cancelled) endpoint->look_at_deadline_of(call);
    return cancelled;
  }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(!ec && !cancelled ? to_net(operation_aborted()) : ec);
  }
};
template <>
inline constexpr bool is_condition<wait_cancelled_action> = true;

/// Starts that operation. Without a server: of a call that has ended.
class wait_cancelled_initiation {
 public:
  using executor_type = net::any_io_executor;

  wait_cancelled_initiation(std::shared_ptr<serving_endpoint> server, const held_call& call,
                            std::shared_ptr<const std::atomic<bool>> ended)
      : server_(std::move(server)), call_(call), ended_(std::move(ended)) {}

  executor_type get_executor() const {
    return server_ != nullptr ? server_->executor() : executor_type(net::system_executor());
  }

  template <class Handler>
  void operator()(Handler&& handler) const {
    if (server_ != nullptr) {
      initiation<serving_endpoint, net::any_io_executor>(server_, server_->executor())(
          std::forward<Handler>(handler), wait_cancelled_action{server_, call_, ended_});
      return;
    }
    const auto executor = net::get_associated_executor(handler);
    net::post(executor, [own = std::decay_t<Handler>(std::forward<Handler>(handler))]() mutable {
      std::move(own)(to_net(operation_aborted()));
    });
  }

 private:
  std::shared_ptr<serving_endpoint> server_;
  held_call call_;
  std::shared_ptr<const std::atomic<bool>> ended_;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
