// What the benchmarks use of Asio, standalone or Boost's.
#pragma once

#include <belfry/asio.hpp>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#else
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/read.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#endif

#include <exception>
#include <utility>

namespace belfry::bench {

/// Runs the context until the coroutine is done; rethrows its exception.
inline void run(net::io_context& io, net::awaitable<void> coroutine) {
  net::co_spawn(io, std::move(coroutine), [&io](std::exception_ptr e) {
    io.stop();
    if (e) std::rethrow_exception(e);
  });
  io.run();
}

}  // namespace belfry::bench
