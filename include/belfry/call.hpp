// A call, as the server that has accepted it holds it.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/call_side.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/call_ring.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

/// What every call has; see call and byte_call.
///
/// Movable, not copyable. Not thread-safe: use it only where its server may be used. A call that is destroyed unanswered,
/// or whose server is closed first, is treated as if the process had been killed: it ends with `errc::maybe_executed`, or
/// goes to another server, as its client has asked.
class [[nodiscard]] basic_call {
 public:
  basic_call() noexcept = default;
  basic_call(basic_call&& other) noexcept
      : server_(std::exchange(other.server_, nullptr)),
        held_(other.held_),
        ended_(std::move(other.ended_)),
        knows_(std::exchange(other.knows_, false)) {}
  basic_call& operator=(basic_call&& other) noexcept {
    if (this != &other) {
      drop();
      server_ = std::exchange(other.server_, nullptr);
      held_ = other.held_;
      ended_ = std::move(other.ended_);
      knows_ = std::exchange(other.knows_, false);
    }
    return *this;
  }
  ~basic_call() { drop(); }

  /// Whether this is a call that was not answered yet.
  explicit operator bool() const noexcept { return server_ != nullptr; }

  /// Until when its client waits; `time_point::max()` if without end.
  std::chrono::steady_clock::time_point deadline() const noexcept { return held_.deadline; }
  /// How often the call was delivered to a server, this time included: 1 for the first time; 255 stands for 255 or more.
  /// More than 1 only with `retry::another_server`. 0: no call.
  unsigned deliveries() const noexcept { return held_.ticket.word.deliveries; }

  /// Whether its client no longer waits: it has cancelled the call, has died, or the deadline has passed. Then the
  /// server may drop the call, or answer it in vain.
  bool cancelled() noexcept {
    if (server_ == nullptr || !server_->is_cancelled(held_)) return false;
    if (!knows_ && server_->is_open() && server_->is_abandoned(held_)) {
      knows_ = true;
      server_->told_abandoned(true);
    }
    return true;
  }

  /// Completes when the client no longer waits. Signature: void(error_code). If the call ends before, by an answer or
  /// because it is dropped, with `operation_aborted`; without a call likewise, on the handler's own executor. Any number may be pending, beside other operations of the server.
  /// Cancellation: every type.
  ///
  ///     auto result = co_await (work(c.request()) || c.async_wait_cancelled(net::use_awaitable));
  template <class Token>
  auto async_wait_cancelled(Token&& token) {
    if (server_ != nullptr && ended_ == nullptr) ended_ = std::make_shared<std::atomic<bool>>(false);
    return net::async_initiate<Token, void(error_code)>(
        detail::wait_cancelled_initiation(server_ != nullptr ? server_->shared() : nullptr, held_, ended_), token);
  }

  /// Ends the call with an error code of the server: the client gets `errc::refused`, and this code from
  /// `client::refusal()`. It arrives if its category is the system's, the generic one or Belfry's; otherwise refusal() is
  /// `errc::refused`. False if it is too late, as reply().
  bool fail(const error_code& ec) noexcept {
    if (server_ == nullptr) return false;
    if (server_->is_open()) {
      server_->place(held_).outcome.store(detail::encode_error(detail::from_net(ec)), std::memory_order_relaxed);
    }
    return end(layout::call_state::refused);
  }

  /// Gives back a call of which nothing was done: it is as if no server had had it. Any server may accept it next, this
  /// one too; and if its client does not wait any longer, it ends with `errc::not_started` or `errc::no_server`. False if
  /// it is too late, as reply(). For servers that only pass calls on, and find that they cannot.
  bool requeue() noexcept {
    if (server_ == nullptr) return false;
    settle();
    return std::exchange(server_, nullptr)->give_back(held_);
  }

 protected:
  basic_call(detail::serving_endpoint& server, const detail::held_call& held) noexcept : server_(&server), held_(held) {}

  bool end(layout::call_state outcome) noexcept {
    settle();
    return std::exchange(server_, nullptr)->end(held_, outcome);
  }
  void drop() noexcept {
    if (server_ == nullptr) return;
    settle();
    std::exchange(server_, nullptr)->drop(held_);
  }
  /// Before its end.
  void settle() noexcept {
    if (ended_) *ended_ = true;
    if (std::exchange(knows_, false)) server_->told_abandoned(false);
  }
  layout::call_place& place() const noexcept { return server_->place(held_); }

  detail::serving_endpoint* server_ = nullptr;
  detail::held_call held_;

 private:
  std::shared_ptr<std::atomic<bool>> ended_;  // only if there is a wait for its cancellation
  bool knows_ = false;           // the user was told that it is cancelled
};

/// A call of a call_ring.
///
///     for (;;) {
///       belfry::call<request, reply> c = co_await s.async_accept(net::use_awaitable);
///       c.reply(answer_to(c.request()));
///     }
///
/// Any number may be held at a time, and answered in any order. See basic_call.
template <class Request, class Reply>
class [[nodiscard]] call : public basic_call {
 public:
  call() noexcept = default;
  call(detail::serving_endpoint& server, const detail::held_call& held, const Request& request) noexcept
      : basic_call(server, held), request_(request) {}

  /// A copy of the request.
  const Request& request() const noexcept { return request_; }

  /// Answers the call. False if it is too late, and the reply was discarded: the client has cancelled it, has died, or has
  /// seen the deadline pass; or the server is closed; or it was answered before.
  bool reply(const Reply& value) noexcept {
    if (server_ == nullptr) return false;
    if (server_->is_open()) detail::call_access<Request, Reply>::store_reply(place(), value);
    return end(layout::call_state::answered);
  }

 private:
  Request request_{};
};

/// A call of a byte_call_ring: the request is read where it lies, the reply is written where the client reads it.
///
///     belfry::byte_call c = co_await s.async_accept(net::use_awaitable);
///     const std::size_t n = render(c.request(), c.claim_reply(c.max_reply()));
///     c.commit(n);
///
/// See basic_call. Of any_channel::server it has the bytes of whatever the request is; if requests and replies are values,
/// the reply must have exactly max_reply() bytes. After the answer, and after the server is closed, its spans must not be used.
class [[nodiscard]] byte_call : public basic_call {
 public:
  byte_call() noexcept = default;
  byte_call(detail::serving_endpoint& server, const detail::held_call& held, std::span<const std::byte> request) noexcept
      : basic_call(server, held), request_(request) {}

  /// The bytes of the request, in place. Aligned to 16 bytes. The client can change them meanwhile: if it may be hostile,
  /// copy first, then check, then use.
  std::span<const std::byte> request() const noexcept { return server_ != nullptr ? request_ : std::span<const std::byte>(); }
  /// The size of the largest possible reply.
  std::size_t max_reply() const noexcept { return server_ != nullptr ? server_->reply_room(held_).size() : 0; }

  /// Room for a reply of so many bytes, to be written in place and committed; empty if it is larger than max_reply().
  std::span<std::byte> claim_reply(std::size_t bytes) noexcept {
    if (bytes > max_reply()) return {};
    return server_->reply_room(held_).first(bytes);
  }
  /// Answers the call with the first `bytes` of the room. False if it is too late (see call::reply), or if there are more
  /// than max_reply(): then the call is not answered yet.
  bool commit(std::size_t bytes) noexcept {
    if (server_ == nullptr || !server_->fits_reply(bytes)) return false;
    if (server_->is_open()) place().outcome.store(bytes, std::memory_order_relaxed);
    return end(layout::call_state::answered);
  }
  /// Copies the reply, and commits it.
  bool reply(std::span<const std::byte> bytes) noexcept {
    if (server_ == nullptr || !server_->fits_reply(bytes.size())) return false;
    if (!bytes.empty() && server_->is_open()) std::memcpy(server_->reply_room(held_).data(), bytes.data(), bytes.size());
    return commit(bytes.size());
  }
  template <std::convertible_to<net::const_buffer> Buffer>
  bool reply(const Buffer& buffer) noexcept {
    const net::const_buffer bytes(buffer);
    return reply(std::span(static_cast<const std::byte*>(bytes.data()), bytes.size()));
  }

 private:
  std::span<const std::byte> request_;
};

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
