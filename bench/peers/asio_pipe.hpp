// Pipes in Asio, with co_await on both sides.
#pragma once

#include "../harness/asio.hpp"
#include "../harness/contender.hpp"
#include "../harness/messages.hpp"
#include "../harness/timer.hpp"
#include "asio_round_trip.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace belfry::bench {

class inherited_pipe {
 public:
  inherited_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      throw std::system_error(errno, std::system_category(), "pipe");
    out_ = detail::unique_handle(ends[0]);
    in_ = detail::unique_handle(ends[1]);
    ::fcntl(in_.get(), F_SETPIPE_SZ, 1 << 20);  // if permitted
  }

  net::posix::stream_descriptor reader(net::io_context& io) const {
    return {io, ::dup(out_.get())};
  }
  net::posix::stream_descriptor writer(net::io_context& io) const { return {io, ::dup(in_.get())}; }

 private:
  detail::unique_handle out_;
  detail::unique_handle in_;
};

class asio_pipe_round_trip final : public contender {
 public:
  explicit asio_pipe_round_trip(double units) : units_(units) {}

  figure lead(std::uint64_t n) override {
    lap_timer timer(n, 1);
    net::io_context io(1);
    auto in = back_.reader(io);
    auto out = there_.writer(io);
    run(io, asio_ping(in, out, n, timer));
    return timer.median(units_);
  }

  void follow(std::uint64_t n) override {
    net::io_context io(1);
    auto in = there_.reader(io);
    auto out = back_.writer(io);
    run(io, asio_pong(in, out, n));
  }

 private:
  double units_;
  inherited_pipe there_;
  inherited_pipe back_;
};

/// Written one by one; read as many at a time as there are.
template <std::size_t Bytes>
class asio_pipe_stream final : public contender {
 public:
  figure lead(std::uint64_t n) override {
    net::io_context io(1);
    rate_timer timer(n);
    run(io, receive(pipe_.reader(io), n, timer));
    return timer.per_second(n);
  }

  void follow(std::uint64_t n) override {
    net::io_context io(1);
    run(io, send(pipe_.writer(io), n));
  }

 private:
  static net::awaitable<void> send(net::posix::stream_descriptor out, std::uint64_t n) {
    const auto m = std::make_unique<message<Bytes>>();
    for (std::uint64_t i = 0; i != n; ++i) {
      m->number(i);
      co_await net::async_write(out, net::buffer(m->words), net::use_awaitable);
    }
  }

  static net::awaitable<void> receive(net::posix::stream_descriptor in, std::uint64_t n,
                                      rate_timer& timer) {
    const auto m = std::make_unique<message<Bytes>>();
    std::vector<std::byte> buffer(std::max<std::size_t>(Bytes, 1 << 16));
    std::size_t filled = 0;
    for (std::uint64_t i = 0; i != n;) {
      filled += co_await in.async_read_some(net::buffer(buffer) + filled, net::use_awaitable);
      std::size_t used = 0;
      for (; filled - used >= Bytes; used += Bytes) {
        std::memcpy(m.get(), buffer.data() + used, Bytes);
        check(*m, i);
        timer.arrived(++i);
      }
      std::memmove(buffer.data(), buffer.data() + used, filled - used);
      filled -= used;
    }
  }

  inherited_pipe pipe_;
};

}  // namespace belfry::bench
