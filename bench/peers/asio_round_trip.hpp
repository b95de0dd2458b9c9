// Both sides of a round trip over any of Asio's streams.
#pragma once

#include "../harness/asio.hpp"
#include "../harness/messages.hpp"
#include "../harness/timer.hpp"

#include <cstddef>
#include <stdexcept>

namespace belfry::bench {

using asio_letter = message<16>;

inline void expect_whole(std::size_t bytes) {
  if (bytes != sizeof(asio_letter)) throw std::runtime_error("a message came in parts");
}

template <class In, class Out>
net::awaitable<void> asio_ping(In& in, Out& out, std::uint64_t n, lap_timer& timer) {
  asio_letter m{};
  for (std::uint64_t i = 0; i != n; ++i) {
    m.number(i);
    expect_whole(co_await out.async_write_some(net::buffer(m.words), net::use_awaitable));
    expect_whole(co_await in.async_read_some(net::buffer(m.words), net::use_awaitable));
    check(m, i);
    timer.done();
  }
}

template <class In, class Out>
net::awaitable<void> asio_pong(In& in, Out& out, std::uint64_t n) {
  asio_letter m{};
  for (std::uint64_t i = 0; i != n; ++i) {
    expect_whole(co_await in.async_read_some(net::buffer(m.words), net::use_awaitable));
    expect_whole(co_await out.async_write_some(net::buffer(m.words), net::use_awaitable));
  }
}

}  // namespace belfry::bench
