// The actions of the operations of producers and consumers: the second parameter of operation_for.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/operation_for.hpp>
#include <belfry/detail/ring/kept.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// void(error_code): one value is in the ring.
template <class Endpoint>
struct send_action {
  Endpoint* endpoint;
  kept<typename Endpoint::sendable> value;

  outcome try_once() noexcept { return endpoint->put(*value); }
  bool ready() noexcept { return endpoint->can_put(*value); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec);
  }
};

/// The same without a copy: the value stays where the caller has it.
template <class Endpoint>
struct send_from_action {
  Endpoint* endpoint;
  const typename Endpoint::sendable* value;

  outcome try_once() noexcept { return endpoint->put(*value); }
  bool ready() noexcept { return endpoint->can_put(*value); }
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
  kept<typename Endpoint::received> value{};

  outcome try_once() noexcept { return endpoint->take(*value); }
  bool ready() noexcept { return endpoint->ready(); }
  template <class Handler>
  decltype(auto) finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec, std::move(*value));
  }
};

/// void(error_code): the value is where the caller wants it.
template <class Endpoint>
struct receive_to_action {
  Endpoint* endpoint;
  typename Endpoint::received* value;

  outcome try_once() noexcept { return endpoint->take(*value); }
  bool ready() noexcept { return endpoint->ready(); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec);
  }
};

/// void(error_code, message): the newest; those before it are skipped.
template <class Endpoint>
struct receive_newest_action {
  Endpoint* endpoint;
  typename Endpoint::received value{};

  outcome try_once() noexcept { return endpoint->take_newest(value); }
  bool ready() noexcept { return endpoint->reader().readable(); }
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

/// void(error_code, lease<std::span<std::byte>>): the value is in the first bytes of the room.
template <class Endpoint, class Lease>
struct lease_into_action {
  Endpoint* endpoint;
  std::span<std::byte> room;
  Lease held{};

  outcome try_once() noexcept { return endpoint->take_lease(held, room); }
  bool ready() noexcept { return endpoint->ready() || endpoint->reader().readable(room.size()); }
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

template <class Endpoint, class Executor>
class initiation;

/// void(error_code, Dead): a dead item. The condition is that there is one. If another consumer has taken it when this
/// operation completes, it waits again.
template <class Endpoint, class Executor>
struct receive_dead_action {
  Endpoint* endpoint;
  Executor executor;

  outcome try_once() noexcept { return ready() ? outcome::done : outcome::would_block; }
  bool ready() noexcept { return endpoint->has_dead(); }
  template <class Handler>
  void finish(Handler& handler, error_code ec) {
    typename Endpoint::dead_type dead;
    if (!ec) {  // so the endpoint is there
      const outcome o = endpoint->locked([&] { return endpoint->is_open() ? endpoint->take_dead(dead) : outcome::done; });
      if (o == outcome::would_block) {
        const auto self = std::static_pointer_cast<Endpoint>(endpoint->shared_from_this());
        return initiation<Endpoint, Executor>(self, executor)(std::move(handler), *this);
      }
      ec = to_net(o != outcome::done ? endpoint->error_of(o) : dead ? std::error_code() : operation_aborted());
    }
    std::move(handler)(ec, std::move(dead));
  }
};

/// void(error_code, std::size_t): the same, and the dead item is in the first bytes of the room.
template <class Endpoint, class Executor>
struct receive_dead_into_action {
  Endpoint* endpoint;
  Executor executor;
  std::span<std::byte> room;

  outcome try_once() noexcept { return ready() ? outcome::done : outcome::would_block; }
  bool ready() noexcept { return endpoint->has_dead(); }
  template <class Handler>
  void finish(Handler& handler, error_code ec) {
    std::span<std::byte> value = room;
    if (!ec) {  // so the endpoint is there
      bool open = true;
      const outcome o = endpoint->locked([&] {
        open = endpoint->is_open();
        return open ? endpoint->take_dead(value) : outcome::done;
      });
      if (o == outcome::would_block) {
        const auto self = std::static_pointer_cast<Endpoint>(endpoint->shared_from_this());
        return initiation<Endpoint, Executor>(self, executor)(std::move(handler), *this);
      }
      ec = to_net(open ? endpoint->error_of(o) : operation_aborted());
    }
    std::move(handler)(ec, ec ? std::size_t{0} : value.size());
  }
};

/// The same, in the caller's thread: the attempt takes the item.
template <class Endpoint>
struct receive_dead_to_action {
  Endpoint* endpoint;
  typename Endpoint::dead_type dead{};

  outcome try_once() noexcept { return endpoint->take_dead(dead); }
  bool ready() noexcept { return endpoint->has_dead(); }
};

/// Whether an operation with this action is a condition.
template <class Action>
inline constexpr bool is_condition = false;
template <class Endpoint>
inline constexpr bool is_condition<wait_peer_action<Endpoint>> = true;
template <class Endpoint, class Executor>
inline constexpr bool is_condition<receive_dead_action<Endpoint, Executor>> = true;
template <class Endpoint, class Executor>
inline constexpr bool is_condition<receive_dead_into_action<Endpoint, Executor>> = true;

/// Whether a blocking call with this action is told of no event, and competes with no other participant.
template <class Action>
inline constexpr bool waits_aside = false;
template <class Endpoint>
inline constexpr bool waits_aside<receive_dead_to_action<Endpoint>> = true;

/// An action that a blocking call tries in its own thread.
template <class Action>
struct blocking_request final : request {
  explicit blocking_request(Action a) : action(std::move(a)) {}
  outcome try_once() noexcept override { return action.try_once(); }
  bool ready() noexcept override { return action.ready(); }
  bool is_begun() const noexcept override {
    if constexpr (is_call<Action>) return action.is_begun();
    return waits_aside<Action>;
  }
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
    op.at_once = is_call<Action>;
    op.timed = is_call<Action>;
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
