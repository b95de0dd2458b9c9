// A coroutine that awaits what is ready goes on without being suspended.
//
// Some of that is faster by way of what Asio does not document. This is the only file that uses such things, and only
// with versions that it has been tried with (BELFRY_ASIO_KNOWN); behind each stands a way with what is documented.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/endpoint.hpp>
#include <belfry/error.hpp>

#include <tuple>
#include <type_traits>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// What `co_await` makes of an operation's result, for tokens that do nothing but resume a coroutine.
template <class Token>
struct awaiting : std::false_type {};

/// The values; an error is thrown.
template <class Executor>
struct awaiting<net::use_awaitable_t<Executor>> : std::true_type {
  template <class Token, class... Values>
  static auto result(const Token&, const error_code& ec, Values&&... values) {
    if (ec) throw net_system_error(ec);
    if constexpr (sizeof...(Values) == 1) return (std::forward<Values>(values), ...);
  }
};
#if BELFRY_ASIO_KNOWN
/// The values; the error is put somewhere. (Only a handler can do that in a documented way.)
template <class Executor>
struct awaiting<net::redirect_error_t<net::use_awaitable_t<Executor>>> : std::true_type {
  template <class Token, class... Values>
  static auto result(const Token& token, const error_code& ec, Values&&... values) {
    token.ec_ = ec;
    if constexpr (sizeof...(Values) == 1) return (std::forward<Values>(values), ...);
  }
};
#endif
/// The error first, then the values.
template <class Executor>
struct awaiting<net_as_tuple_t<net::use_awaitable_t<Executor>>> : std::true_type {
  template <class Token, class... Values>
  static auto result(const Token&, const error_code& ec, Values&&... values) {
    return std::tuple<error_code, std::decay_t<Values>...>(ec, std::forward<Values>(values)...);
  }
};

// GCC takes the frame of a coroutine for something that other translation units might see, and warns of what
// comes from an anonymous namespace.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

template <class Token>
inline constexpr bool completes_frame = false;
#if BELFRY_ASIO_KNOWN
template <class Executor>
inline constexpr bool completes_frame<net::use_awaitable_t<Executor>> = true;
#endif

/// Awaits an operation. If it is ready it is done here and now, unless
///
/// - the coroutine may be one of several, under `||`, and end before it is suspended: its completion is posted then,
///   and a sibling could still make its result worthless. (The documented way: it has a cancellation slot.)
/// - others wait at the endpoint;
/// - it is time that other handlers got their turn.
template <class Signature, class Initiation, class Action, class Token>
auto go_on_or_wait(Initiation initiation, Action action, Token token)
    -> decltype(net::async_initiate<Token, Signature>(std::move(initiation), token,
                                                      std::move(action))) {
#if BELFRY_ASIO_KNOWN && BELFRY_ASIO_VERSION < 103600
  const bool may_be_worthless = !co_await net::detail::awaitable_thread_has_context_switched{};
#else
  const net::cancellation_state cancellation = co_await net::this_coro::cancellation_state;
  const bool may_be_worthless = cancellation.slot().is_connected();
#endif
  if (!may_be_worthless && !action.endpoint->time_slice_is_over()) {
    const attempt outcome = action.endpoint->try_at_once(action);
    if (outcome != attempt::would_block) {
      const auto result = [&token](const error_code& ec, auto&&... values) {
        return awaiting<Token>::result(token, ec, std::forward<decltype(values)>(values)...);
      };
      error_code ec;
      if (outcome != attempt::done) [[unlikely]]
        ec = to_net(action.endpoint->error_of(outcome));
      co_return action.finish(result, ec);
    }
  }
  if constexpr (completes_frame<Token>) {
    // As use_awaitable does, in a frame of its own: the handler puts the result into this one, and pops it.
    co_await [&](auto* frame) {
      return net::async_result<Token, Signature>::do_init(frame, initiation, token, action);
    };
    for (;;) {
    }
  } else {
    co_return co_await net::async_initiate<Token, Signature>(std::move(initiation), token,
                                                             std::move(action));
  }
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
