// What the examples use of Asio, whichever Asio the library was built with. Your own program knows which one
// that is, and includes <asio.hpp> or <boost/asio.hpp>.
#pragma once

#include <belfry/belfry.hpp>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#else
#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#endif

#include <exception>

namespace net = belfry::net;

/// For co_spawn: rethrows a coroutine's exception out of io_context::run().
inline void rethrow(std::exception_ptr e) {
  if (e) std::rethrow_exception(e);
}
