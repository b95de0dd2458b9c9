// Clients and servers: the asynchronous face of rings of calls.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/call.hpp>
#include <belfry/detail/async/call_endpoints.hpp>
#include <belfry/detail/async/endpoint_handle.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/byte_call_ring.hpp>
#include <belfry/ring/call_ring.hpp>
#include <belfry/ring/message.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <system_error>
#include <type_traits>
#include <utility>

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

/// A call that was made with try_call(), for event loops other than Asio's. If it is destroyed before it has ended, it is
/// cancelled. Movable, not copyable. Not thread-safe: use it only where its client may be used.
template <detail::calling_ring Ring>
class [[nodiscard]] pending_call {
  using endpoint_type = detail::client_endpoint<Ring>;

 public:
  using reply_type = typename endpoint_type::reply_type;

  pending_call() noexcept = default;
  pending_call(std::shared_ptr<endpoint_type> client, detail::begun_call&& c, std::chrono::steady_clock::time_point deadline)
      : client_(std::move(client)), deadline_(deadline), call_(std::move(c)) {
    client_->watch(call_, deadline_);
  }
  pending_call(pending_call&& other) noexcept = default;
  pending_call& operator=(pending_call&& other) noexcept {
    if (this != &other) {
      end();
      client_ = std::move(other.client_);
      deadline_ = other.deadline_;
      call_ = std::move(other.call_);
    }
    return *this;
  }
  ~pending_call() { end(); }

  /// Whether there is a call, and its outcome was not taken yet.
  explicit operator bool() const noexcept { return static_cast<bool>(call_); }
  /// Whether it has ended: with a reply, or with an error.
  bool done() noexcept { return call_ && client_->is_over(call_, deadline_); }
  /// Takes the outcome, as `call` returns it. `std::errc::operation_in_progress` if it has not ended yet.
  error_code take(reply_type& reply) {
    if (!call_) return detail::to_net(make_error_code(errc::closed));
    if (!done()) return detail::to_net(std::make_error_code(std::errc::operation_in_progress));
    client_->unwatch(call_.ticket());
    return detail::to_net(client_->conclude(call_, deadline_, reply));
  }

 private:
  void end() noexcept {
    if (!call_) return;
    client_->unwatch(call_.ticket());
    call_.reset();
  }

  std::shared_ptr<endpoint_type> client_;
  std::chrono::steady_clock::time_point deadline_{};
  detail::begun_call call_;
};

/// The end of a channel that calls.
///
///     net::awaitable<void> ask(net::io_context& io) {
///       quotes::client c(io, "quotes");
///       const auto in_a_second = std::chrono::steady_clock::now() + std::chrono::seconds(1);
///       auto [ec, r] = co_await c.async_call({"BTC"}, in_a_second, net::as_tuple(net::use_awaitable));
///       if (ec == belfry::errc::not_started) ...    // may be repeated
///     }
///
/// Any number of calls may be pending; each completes when its own reply is there. How a call ends:
///
///   no error                    the reply
///   `errc::not_started`         its deadline has passed, and no server ever had it
///   `errc::deadline_exceeded`   its deadline has passed, and a server had it, which is told: see call::cancelled()
///   `errc::maybe_executed`      before its deadline its server was killed, or has dropped it; with
///                               `retry::another_server` it goes on, until it was delivered
///                               `channel_options::max_deliveries` times
///   `errc::refused`             its server has answered with an error code: refusal()
///   `errc::no_server`           if the client does not wait for one: `channel_options::wait_for_server`
///   `errc::overloaded`          if the client does not wait for a place: `channel_options::wait_for_place`
///   `operation_aborted`         it was cancelled: it is withdrawn, or its server is told
///   `errc::corrupted`           another process has written nonsense
///   `errc::message_too_large`   the request is larger than max_message()
///   errors of the system        a server could not be woken, or this client could not sleep
///
/// A call is in the ring when the initiating function returns, unless every place holds a call: then it waits, in turn.
/// A call that does not wait for a server ends with `errc::no_server` also if the last server leaves or dies before a
/// server has taken it. Without a deadline, and without a server, a call waits without end. Neither the death nor the end
/// of a server is reported to a client in another way; async_wait_peer() waits for a server.
///
/// Thread safety: distinct objects are safe; a shared one is not.
///
/// Cancellation: every type (terminal, partial, total) cancels the call. Whether it was executed is then not known. A
/// reply that comes later is discarded. Destroying the client, `close()` and `cancel()` cancel all its calls. If its
/// process is killed, the calls that no server has are withdrawn, and the servers of the others are told.
template <detail::calling_ring Ring, class Executor = net::any_io_executor>
class basic_client : public detail::endpoint_handle<detail::client_endpoint<Ring>, Executor> {
  using base = detail::endpoint_handle<detail::client_endpoint<Ring>, Executor>;
  using endpoint_type = detail::client_endpoint<Ring>;
  using default_token = net::default_completion_token_t<Executor>;
  static constexpr bool in_place = std::same_as<typename detail::call_types<Ring>::reply, message>;
  static constexpr std::chrono::steady_clock::time_point no_deadline = std::chrono::steady_clock::time_point::max();

 public:
  using time_point = std::chrono::steady_clock::time_point;
  /// A value, or the bytes of a message.
  using request_type = typename detail::call_types<Ring>::request;
  /// A value, or a message in place: its place in the ring is free when it is destroyed. It must not be read after the
  /// client was closed.
  using reply_type = typename detail::call_types<Ring>::reply;
  template <class Other>
  struct rebind_executor {
    using other = basic_client<Ring, Other>;
  };

  /// From an executor or an execution context, and a name or handles; see endpoint_handle.
  using base::base;
  template <std::convertible_to<Executor> Other>
  basic_client(basic_client<Ring, Other>&& other) : base(std::move(other)) {}

  /// Calls, and completes when the call has ended. Signature: void(error_code, reply_type). Errors: see the class. The
  /// bytes of a request must stay valid until then. The deadline travels with the call; both processes must be in the
  /// same time namespace.
  template <class Token = default_token>
  auto async_call(const request_type& request, Token&& token = Token())
    requires(!std::convertible_to<Token, time_point>) { return start<request_type>(request, no_deadline, std::forward<Token>(token)); }
  template <class Token = default_token>
  auto async_call(const request_type& request, time_point deadline, Token&& token = Token()) {
    return start<request_type>(request, deadline, std::forward<Token>(token));
  }
  template <class Token = default_token>
  auto async_call(net::const_buffer request, Token&& token = Token())
    requires(in_place && !std::convertible_to<Token, time_point>) { return async_call(bytes_of(request), std::forward<Token>(token)); }
  template <class Token = default_token>
  auto async_call(net::const_buffer request, time_point deadline, Token&& token = Token()) requires in_place {
    return async_call(bytes_of(request), deadline, std::forward<Token>(token));
  }
  /// The same with a request that was written in place. An empty claim: `permission_denied`.
  template <class Token = default_token>
  auto async_call(call_claim&& request, Token&& token = Token())
    requires(in_place && !std::convertible_to<Token, time_point>) {
    return start<call_claim>(std::move(request), no_deadline, std::forward<Token>(token));
  }
  template <class Token = default_token>
  auto async_call(call_claim&& request, time_point deadline, Token&& token = Token()) requires in_place {
    return start<call_claim>(std::move(request), deadline, std::forward<Token>(token));
  }

  /// Calls, and blocks this thread until the call has ended. The timeout is the deadline of the call. Errors: see the
  /// class; `operation_in_progress` while asynchronous operations are pending.
  error_code call(const request_type& request, reply_type& reply, std::chrono::nanoseconds timeout = detail::for_ever) {
    return call(request, reply, std::stop_token(), timeout);
  }
  /// The same, and a request to stop cancels the call: `operation_aborted`. Any thread may request the stop, but a signal
  /// handler must not.
  error_code call(const request_type& request, reply_type& reply, const std::stop_token& stop,
                  std::chrono::nanoseconds timeout = detail::for_ever) {
    detail::call_action<endpoint_type, request_type> action{this->target(), request, deadline_after(timeout)};
    return wait_for(action, reply, stop);
  }
  /// The same, with timeout and stop in the order of the other rings.
  error_code call(const request_type& request, reply_type& reply, std::chrono::nanoseconds timeout,
                  const std::stop_token& stop) {
    return call(request, reply, stop, timeout);
  }
  error_code call(call_claim&& request, reply_type& reply, std::chrono::nanoseconds timeout = detail::for_ever,
                  const std::stop_token& stop = {}) requires in_place {
    detail::call_action<endpoint_type, call_claim> action{this->target(), std::move(request), deadline_after(timeout)};
    return wait_for(action, reply, stop);
  }

  /// Puts a call into the ring, if there is a free place (and a server, if the client does not wait for one). Its end is
  /// something to do for prepare_wait(). Empty if it was not made; then `finish_wait` sleeps until there is a free place.
  pending_call<Ring> try_call(const request_type& request, time_point deadline = no_deadline) {
    detail::begun_call c;
    if (!this->is_open()) return {};
    const detail::outcome o = this->endpoint().begin(request, deadline, c);
    this->endpoint().wants_room(o == detail::outcome::would_block);
    if (o != detail::outcome::done) return {};
    return pending_call<Ring>(this->endpoint_, std::move(c), deadline);
  }

  /// Room for a request of so many bytes, to be written in place; empty if there is none.
  call_claim try_claim(std::size_t bytes) noexcept requires in_place {
    call_claim result;
    if (this->is_open()) this->endpoint().claim(bytes, result);
    return result;
  }
  /// Completes with room for a request of so many bytes. Signature: void(error_code, call_claim). Errors: see the class.
  template <class Token = default_token>
  auto async_claim(std::size_t bytes, Token&& token = Token()) requires in_place {
    return this->template initiate<void(error_code, call_claim)>(
        detail::call_claim_action<endpoint_type>{this->target(), bytes}, std::forward<Token>(token));
  }
  /// The size of the largest possible request, and of the largest possible reply, in bytes.
  std::size_t max_message() const noexcept requires in_place {
    return this->is_open() ? static_cast<std::size_t>(this->endpoint().largest()) : 0;
  }

  /// The error code that the server has given for the last call that ended with `errc::refused`. In the handler of that
  /// call, and right after `co_await` or `call`, it is that of this call.
  error_code refusal() const noexcept {
    return this->endpoint_ ? detail::to_net(this->endpoint().refusal()) : error_code();
  }

  /// Calls in the ring, of all clients, however far they are; a snapshot.
  std::size_t size() const noexcept { return this->is_open() ? this->endpoint().side().size() : 0; }

 private:
  template <class Payload, class From, class Token>
  auto start(From&& request, time_point deadline, Token&& token) {
    return this->template initiate<void(error_code, reply_type)>(
        detail::call_action<endpoint_type, Payload>{this->target(), std::forward<From>(request), deadline},
        std::forward<Token>(token));
  }
  static request_type bytes_of(const net::const_buffer& bytes) noexcept requires in_place {
    return request_type(static_cast<const std::byte*>(bytes.data()), bytes.size());
  }
  static time_point deadline_after(std::chrono::nanoseconds timeout) noexcept {
    const auto now = std::chrono::steady_clock::now();
    return timeout < no_deadline - now ? now + std::chrono::duration_cast<time_point::duration>(timeout) : no_deadline;
  }
  template <class Action>
  error_code wait_for(Action& action, reply_type& reply, const std::stop_token& stop) {
    error_code ec = this->block(action, detail::for_ever, stop);
    if (!ec) ec = detail::to_net(action.endpoint->conclude(action.begun, action.deadline, reply));
    return ec;
  }
};

/// The end of a channel that answers calls.
///
///     net::awaitable<void> serve(net::io_context& io) {
///       quotes::server s(io, "quotes");
///       for (;;) {
///         auto c = co_await s.async_accept(net::use_awaitable);
///         c.reply(quote_for(c.request()));
///       }
///     }
///
/// Servers compete for calls: each call goes to one of them. A server may hold any number, and answer them in any order.
/// If it is killed, each call that it holds ends with `errc::maybe_executed`, or goes to another server, as its client has
/// asked, at most `channel_options::max_deliveries` times in all; the same if a call is destroyed unanswered, or the server
/// closed. A call whose deadline has passed is not delivered.
///
/// A server outlives its clients: neither their death nor their end is reported, except to the calls that it holds
/// (call::cancelled()); async_wait_peer() waits for a client. Accepting must be able to wake a sleeping client: see
/// basic_producer.
///
/// Thread safety: distinct objects are safe; a shared one is not. Pending accepts are served in order.
///
/// Cancellation: every type gives the strongest guarantee: an accept that completes with `operation_aborted` has taken no
/// call. Destroying the server, `close()` and `cancel()` complete its operations with `operation_aborted`.
template <detail::calling_ring Ring, class Executor = net::any_io_executor>
class basic_server : public detail::endpoint_handle<detail::server_endpoint<Ring>, Executor> {
  using base = detail::endpoint_handle<detail::server_endpoint<Ring>, Executor>;
  using endpoint_type = detail::server_endpoint<Ring>;
  using default_token = net::default_completion_token_t<Executor>;

 public:
  /// `call<Request, Reply>`, or `byte_call`.
  using call_type = typename endpoint_type::accepted;
  template <class Other>
  struct rebind_executor {
    using other = basic_server<Ring, Other>;
  };

  using base::base;
  template <std::convertible_to<Executor> Other>
  basic_server(basic_server<Ring, Other>&& other) : base(std::move(other)) {}

  /// Completes with a call. Signature: void(error_code, call_type). Errors: `corrupted`, `operation_aborted`, errors of
  /// the system.
  template <class Token = default_token>
  auto async_accept(Token&& token = Token()) {
    return this->template initiate<void(error_code, call_type)>(detail::accept_action<endpoint_type>{this->target()},
                                                                std::forward<Token>(token));
  }

  /// The next call, if there is one; otherwise an empty one.
  call_type try_accept() noexcept {
    call_type result;
    if (this->is_open()) this->endpoint().take(result);
    return result;
  }

  /// Blocks this thread until there is a call. Errors: `timed_out` after the timeout (immediately if it is zero or less);
  /// `operation_in_progress` while asynchronous operations are pending; otherwise as async_accept.
  error_code accept(call_type& result, std::chrono::nanoseconds timeout = detail::for_ever) {
    return accept(result, std::stop_token(), timeout);
  }
  /// The same, and a request to stop ends the wait: `operation_aborted`. Any thread may request the stop, but a signal
  /// handler must not.
  error_code accept(call_type& result, const std::stop_token& stop, std::chrono::nanoseconds timeout = detail::for_ever) {
    detail::accept_action<endpoint_type> action{this->target()};
    const error_code ec = this->block(action, timeout, stop);
    if (!ec) result = std::move(action.result);
    return ec;
  }

  /// Calls in the ring, of all clients, however far they are; a snapshot.
  std::size_t size() const noexcept { return this->is_open() ? this->endpoint().side().size() : 0; }
};

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
