// The library's own errors. All other errors are the system's error codes.
#pragma once

#include <belfry/detail/base/api.hpp>

#include <string>
#include <system_error>

namespace belfry {

/// Errors for which the system has no code.
///
///     auto [ec, t] = co_await rx.async_receive(as_tuple(use_awaitable));
///     if (ec == belfry::errc::closed) co_return;              // the producer has finished
///     if (ec == belfry::errc::peer_died) continue;            // wait for its successor
///
/// A cancelled operation is always `net::error::operation_aborted`, never one of these.
enum class errc {
  closed = 1,             ///< the other side has left for good, and everything it sent was delivered
  peer_died,              ///< a process at the other side was killed; reported once per death
  owner_died,             ///< the holder of a transaction was killed; the data may be half-written
  role_taken,             ///< a ring for one producer (or consumer) has one already
  roster_full,            ///< every slot for this role is taken
  incompatible,           ///< the segment was made for another type, ring, size or layout version
  corrupted,              ///< shared memory holds what no correct peer would have written
  lagged,                 ///< a slow consumer was lapped and has lost values
  message_too_large,      ///< larger than the ring could ever hold, or than the buffer to receive it
  authentication_failed,  ///< wrong key
  protocol_error,         ///< the peer sent what the protocol does not allow
  // How a call can end, besides with its reply.
  no_server,          ///< no server is there, and the client does not wait for one; safe to repeat
  not_started,        ///< its deadline has passed before a server took it; safe to repeat
  maybe_executed,     ///< its server was killed, or dropped it unanswered
  deadline_exceeded,  ///< its deadline has passed while a server had it: it may have been executed
  refused,            ///< its server has answered with an error code
  overloaded,         ///< every place of the ring holds a call, and the client does not wait for one; safe to repeat
};

/// The category `"belfry"`.
BELFRY_API const std::error_category& error_category() noexcept;

inline std::error_code make_error_code(errc e) noexcept {
  return {static_cast<int>(e), error_category()};
}

namespace detail {

/// An error code with its context: which name, which field, which numbers. Passed from where the error is
/// found to the setup function that throws or returns it.
struct failure {
  std::error_code code;
  std::string what;

  explicit operator bool() const noexcept { return static_cast<bool>(code); }
  [[noreturn]] void raise() const { throw std::system_error(code, what); }
};

}  // namespace detail
}  // namespace belfry

template <>
struct std::is_error_code_enum<belfry::errc> : std::true_type {};
