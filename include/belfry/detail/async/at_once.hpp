// A coroutine that awaits a ready operation continues without being suspended.
//
// This is the only file that uses undocumented parts of Asio, because they are faster. It uses them only with versions
// that it was tested with (BELFRY_ASIO_KNOWN). Each has a fallback that uses documented parts only.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/endpoint.hpp>
#include <belfry/error.hpp>

#include <tuple>
#include <type_traits>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// How `co_await` returns the result of an operation, for tokens that only resume a coroutine. What it returns refers to
/// the values, which are in the coroutine's frame: they may be too large for the stack.
template <class Token>
struct awaiting : std::false_type {};

/// Returns the values; throws an error.
template <class Executor>
struct awaiting<net::use_awaitable_t<Executor>> : std::true_type {
  template <class Token, class... Values>
  static decltype(auto) result(const Token&, const error_code& ec, Values&&... values) {
    if (ec) throw net_system_error(ec);
    if constexpr (sizeof...(Values) == 1) return (static_cast<Values&&>(values), ...);
  }
};
#if BELFRY_ASIO_KNOWN
/// Returns the values; stores the error in the variable of the token. (The documented way needs a handler.)
template <class Executor>
struct awaiting<net::redirect_error_t<net::use_awaitable_t<Executor>>> : std::true_type {
  template <class Token, class... Values>
  static decltype(auto) result(const Token& token, const error_code& ec, Values&&... values) {
    token.ec_ = ec;
    if constexpr (sizeof...(Values) == 1) return (static_cast<Values&&>(values), ...);
  }
};
#endif
/// Returns a tuple: the error, then the values.
template <class Executor>
struct awaiting<net_as_tuple_t<net::use_awaitable_t<Executor>>> : std::true_type {
  template <class Token, class... Values>
  static auto result(const Token&, const error_code& ec, Values&&... values) {
    return std::tuple<error_code, Values&&...>(ec, std::forward<Values>(values)...);
  }
};

// GCC treats the frame of a coroutine as visible in other translation units, and warns about members whose type is in
// an anonymous namespace.
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

/// Awaits an operation. If it is ready, it completes immediately and the coroutine is not suspended, except when
///
/// - the coroutine may run under `||` with others and has not been suspended yet. If it ended now, its completion would
///   be posted, and another coroutine could win in between: the result would be lost. (The documented check: the
///   coroutine has a cancellation slot.)
/// - other operations are pending at the endpoint;
/// - the time slice is over, and other handlers must run.
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
    const outcome o = action.endpoint->try_at_once(action);
    if (o != outcome::would_block) {
      const auto result = [&token](const error_code& ec, auto&&... values) -> decltype(auto) {
        return awaiting<Token>::result(token, ec, std::forward<decltype(values)>(values)...);
      };
      error_code ec;
      if (o != outcome::done) [[unlikely]]
        ec = to_net(action.endpoint->error_of(o));
      co_return action.finish(result, ec);
    }
    initiation.has_looked();
  }
  if constexpr (completes_frame<Token>) {
    // use_awaitable does the same in a second frame. Here the handler stores the result in this frame, and pops it.
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
