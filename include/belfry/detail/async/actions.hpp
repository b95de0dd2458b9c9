// The actions of the operations of producers and consumers: the second parameter of operation_for.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/operation_for.hpp>

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// void(error_code): one value is in the ring.
template <class Endpoint>
struct send_action {
  Endpoint* endpoint;
  typename Endpoint::sendable value;

  outcome try_once() noexcept { return endpoint->put(value); }
  bool ready() noexcept { return endpoint->can_put(value); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec);
  }
};

/// void(error_code, std::size_t sent): all values are in the ring; after an error only the first `sent`.
template <class Endpoint>
struct send_n_action {
  Endpoint* endpoint;
  std::span<const typename Endpoint::sendable> rest;
  std::size_t sent = 0;

  outcome try_once() noexcept {
    std::size_t n = 0;
    const outcome o = endpoint->put_n(rest, n);
    sent += n;
    rest = rest.subspan(n);
    return o;
  }
  bool ready() noexcept { return rest.empty() || endpoint->can_put(rest.front()); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec, sent);
  }
};

/// void(error_code, claim)
template <class Endpoint, class Claim>
struct claim_action {
  Endpoint* endpoint;
  std::size_t bytes;
  Claim result{};

  outcome try_once() noexcept { return endpoint->reserve(bytes, result); }
  bool ready() noexcept { return endpoint->writer().writable(bytes); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec, std::move(result));
  }
};

/// void(error_code, T)
template <class Endpoint>
struct receive_action {
  Endpoint* endpoint;
  typename Endpoint::received value{};

  outcome try_once() noexcept { return endpoint->take(value); }
  bool ready() noexcept { return endpoint->ready(); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec, std::move(value));
  }
};

/// void(error_code, std::size_t): a value is in the first bytes of the room.
template <class Endpoint>
struct receive_into_action {
  Endpoint* endpoint;
  std::span<std::byte> room;
  std::size_t bytes = 0;

  outcome try_once() noexcept {
    std::span<std::byte> value = room;
    const outcome o = endpoint->take(value);
    if (o == outcome::done) bytes = value.size();
    return o;
  }
  bool ready() noexcept { return endpoint->ready() || endpoint->reader().readable(room.size()); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec, bytes);
  }
};

/// void(error_code, lease<T>)
template <class Endpoint, class Lease>
struct lease_action {
  Endpoint* endpoint;
  Lease held{};

  outcome try_once() noexcept { return endpoint->take_lease(held); }
  bool ready() noexcept { return endpoint->ready(); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec, std::move(held));
  }
};

/// void(error_code, std::size_t): at least one.
template <class Endpoint>
struct receive_n_action {
  Endpoint* endpoint;
  std::span<typename Endpoint::received> out;
  std::size_t taken = 0;

  outcome try_once() noexcept {
    const outcome o = endpoint->take_n(out, taken);
    return taken != 0 ? outcome::done : o;
  }
  bool ready() noexcept { return out.empty() || endpoint->ready(); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec, taken);
  }
};

/// void(error_code): there is something to receive, or room to send.
template <class Endpoint>
struct wait_action {
  Endpoint* endpoint;

  outcome try_once() noexcept {
    if (endpoint->ready()) return endpoint->corrupted() ? outcome::corrupted : outcome::done;
    return outcome::would_block;
  }
  bool ready() noexcept { return endpoint->ready(); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec);
  }
};

/// void(error_code): a peer is attached.
template <class Endpoint>
struct wait_peer_action {
  Endpoint* endpoint;

  outcome try_once() noexcept { return ready() ? outcome::done : outcome::would_block; }
  bool ready() noexcept { return endpoint->peer_came(); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec);
  }
};

/// Whether an operation with this action is a condition.
template <class Action>
inline constexpr bool is_condition = false;
template <class Endpoint>
inline constexpr bool is_condition<wait_peer_action<Endpoint>> = true;

/// An action that a blocking call tries in its own thread.
template <class Action>
struct blocking_request final : request {
  explicit blocking_request(Action a) : action(std::move(a)) {}
  outcome try_once() noexcept override { return action.try_once(); }
  bool ready() noexcept override { return action.ready(); }
  Action action;
};

/// The initiation function of async_initiate: starts an operation.
template <class Endpoint, class Executor>
class initiation {
 public:
  using executor_type = Executor;

  initiation(std::shared_ptr<Endpoint> e, const Executor& executor)
      : endpoint_(std::move(e)), executor_(executor) {}

  executor_type get_executor() const noexcept {
    if constexpr (type_erased) {
      return endpoint_->executor();
    } else {
      return executor_;
    }
  }

  /// The endpoint was just tried, and the operation would have blocked.
  void has_looked() noexcept { looked_ = true; }

  template <class Handler, class Action>
  void operator()(Handler&& handler, Action action) const {
    const std::uint64_t id = endpoint_->new_id();
    auto slot = net::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) {  // before there is an operation, since it may throw
      // Every type of cancellation gets the strongest guarantee: nothing was taken, nothing sent.
      slot.assign([e = std::weak_ptr<Endpoint>(endpoint_), id](net::cancellation_type type) {
        if (type == net::cancellation_type::none) return;
        if (const std::shared_ptr<Endpoint> alive = e.lock()) alive->cancel(id);
      });
    }
    std::decay_t<Handler> own(std::forward<Handler>(handler));  // it may be an lvalue
    operation& op = operation_for<std::decay_t<Handler>, Action>::make(
        std::move(own), std::move(action), endpoint_->executor());
    op.id = id;
    op.is_condition = is_condition<Action>;
    endpoint_->submit(op, looked_);
  }

 private:
  // The endpoint already holds an executor of this type, and copying it is not free.
  static constexpr bool type_erased = std::is_same_v<Executor, net::any_io_executor>;
  struct none {
    none(const Executor&) noexcept {}
  };

  std::shared_ptr<Endpoint> endpoint_;
  bool looked_ = false;
  [[no_unique_address]] std::conditional_t<type_erased, none, Executor> executor_;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
