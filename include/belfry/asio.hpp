// Which Asio is used: standalone (default) or Boost.Asio (BELFRY_BOOST_ASIO, set by the pkg-config file of a
// library that was built with it). The rest of Belfry only uses the namespace `net`.
#pragma once

// Asio asks the standard library whether there is aligned_alloc(), and allocates and frees accordingly: the
// answer must be the same in every file that includes Asio.
#include <cstdlib>

#if defined(BELFRY_BOOST_ASIO)

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/version.hpp>

#define BELFRY_ASIO_VERSION BOOST_ASIO_VERSION

// The library has threads, and its objects are shared with the program.
#if defined(__MINGW32__) && !defined(BOOST_ASIO_HAS_THREADS)
#error "Asio has no threads: compile with -D_REENTRANT"
#endif

namespace belfry {
namespace net = boost::asio;
using error_code = boost::system::error_code;
using net_system_error = boost::system::system_error;  // what Asio throws
}  // namespace belfry

namespace belfry::detail {
template <class Token>
using net_as_tuple_t = net::as_tuple_t<Token>;
}  // namespace belfry::detail

#else

// Asio before 1.23 gives Clang coroutines only with libc++; they work with any library that supports them.
#if defined(__clang__) && !defined(ASIO_HAS_CO_AWAIT) && __cpp_impl_coroutine >= 201902
#if defined(ASIO_COMPLETION_TOKEN_FOR)
#error "include <belfry/asio.hpp> before <asio.hpp>, or define ASIO_HAS_CO_AWAIT"
#endif
#define ASIO_HAS_CO_AWAIT 1
#endif

#include <asio/any_io_executor.hpp>
#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/buffer.hpp>
#include <asio/cancellation_state.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/dispatch.hpp>
#include <asio/error.hpp>
#include <asio/execution_context.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/recycling_allocator.hpp>
#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/version.hpp>

#if ASIO_VERSION < 102300
#include <asio/experimental/as_tuple.hpp>
#else
#include <asio/as_tuple.hpp>
#endif

#define BELFRY_ASIO_VERSION ASIO_VERSION

// The library has threads, and its objects are shared with the program.
#if defined(__MINGW32__) && !defined(ASIO_HAS_THREADS)
#error "Asio has no threads: compile with -D_REENTRANT"
#endif

namespace belfry {
namespace net = asio;
using error_code = std::error_code;
using net_system_error = std::system_error;  // what Asio throws
}  // namespace belfry

namespace belfry::detail {
#if ASIO_VERSION < 102300
template <class Token>
using net_as_tuple_t = net::experimental::as_tuple_t<Token>;
#else
template <class Token>
using net_as_tuple_t = net::as_tuple_t<Token>;
#endif
}  // namespace belfry::detail

#endif

#include <belfry/detail/async/asio_flavour.hpp>
#include <belfry/error.hpp>

#include <system_error>

// Whether at_once.hpp was tested with the undocumented parts of this version of Asio that it uses. A program
// that defines BELFRY_PUBLIC_ASIO uses only documented ones.
#if !defined(BELFRY_PUBLIC_ASIO) && BELFRY_ASIO_VERSION >= 102200 && BELFRY_ASIO_VERSION < 103900
#define BELFRY_ASIO_KNOWN 1
#else
#define BELFRY_ASIO_KNOWN 0
#endif

#if defined(BELFRY_BOOST_ASIO)
template <>
struct boost::system::is_error_code_enum<belfry::errc> : std::true_type {};
#endif

namespace belfry::detail {

/// The two of Asio's own error codes that are used below the asynchronous layer.
inline std::error_code operation_aborted() noexcept {
  return {static_cast<int>(net::error::operation_aborted), std::system_category()};
}
inline std::error_code timed_out() noexcept {
  return {static_cast<int>(net::error::timed_out), std::system_category()};
}

/// Converts the `std::error_code` of the layers below to Asio's. A code that has a name in `net::error`
/// compares equal to it, and a system's code to `std::errc`. Boost's system category does both; standalone
/// Asio's knows no `std::errc`.
inline error_code to_net(const std::error_code& ec) {
  if (!ec) return {};
#if defined(BELFRY_BOOST_ASIO)
  const bool of_asio = ec.category() == std::system_category();
#else
  const bool of_asio = ec == operation_aborted() || ec == timed_out();
#endif
  return of_asio ? error_code(ec.value(), net::error::get_system_category()) : error_code(ec);
}
/// The other way round: an error of the system then compares equal to its `std::errc`.
inline std::error_code from_net(const error_code& ec) {
  if (ec.category() == net::error::get_system_category()) return {ec.value(), std::system_category()};
  return ec;
}

}  // namespace belfry::detail
