// What the bridge uses of Asio besides what the library does.
#pragma once

#include <belfry/asio.hpp>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#else
#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>
#endif

namespace belfry::detail::nats {

/// `const auto [ec] = co_await timer.async_wait(as_result);`
inline constexpr net_as_tuple_t<net::use_awaitable_t<>> as_result{net::use_awaitable};

/// Coroutines of one strand wait for it, and another one, or a callback, lets them go on.
class signal {
 public:
  explicit signal(const net::any_io_executor& executor) : timer_(executor) {}

  /// Lets all that wait go on.
  void notify() { timer_.cancel(); }
  net::awaitable<void> wait() { return wait_until(net::steady_timer::time_point::max()); }
  net::awaitable<void> wait_for(std::chrono::nanoseconds time) {
    return wait_until(net::steady_timer::clock_type::now() +
                      std::chrono::duration_cast<net::steady_timer::duration>(time));
  }

 private:
  net::awaitable<void> wait_until(net::steady_timer::time_point when) {
    timer_.expires_at(when);  // also lets others go on, which look, and wait again
    co_await timer_.async_wait(as_result);
  }

  net::steady_timer timer_;
};

}  // namespace belfry::detail::nats
