// A stream of messages through the kernel, written and read one by one, blocking: a pipe, a socket.
#pragma once

#include "../harness/contender.hpp"
#include "../harness/messages.hpp"
#include "../harness/timer.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <system_error>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace belfry::bench {

enum class conduit { pipe, unix_socket };

template <std::size_t Bytes>
class kernel_stream final : public contender {
 public:
  explicit kernel_stream(conduit kind) {
    int ends[2];
    const int r = kind == conduit::pipe
                      ? ::pipe2(ends, O_CLOEXEC)
                      : ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
    if (r != 0) throw std::system_error(errno, std::system_category(), "pipe or socketpair");
    out_ = detail::unique_handle(ends[0]);
    in_ = detail::unique_handle(ends[1]);
    if (kind == conduit::pipe) ::fcntl(in_.get(), F_SETPIPE_SZ, 1 << 20);  // if permitted
  }

  figure lead(std::uint64_t n) override {
    rate_timer timer(n);
    const auto m = std::make_unique<message<Bytes>>();
    for (std::uint64_t i = 0; i != n;) {
      transfer(*m, [&](char* at, std::size_t bytes) { return ::read(out_.get(), at, bytes); });
      check(*m, i);
      timer.arrived(++i);
    }
    return timer.per_second(n);
  }

  void follow(std::uint64_t n) override {
    const auto m = std::make_unique<message<Bytes>>();
    for (std::uint64_t i = 0; i != n; ++i) {
      m->number(i);
      transfer(*m, [&](char* at, std::size_t bytes) { return ::write(in_.get(), at, bytes); });
    }
  }

 private:
  /// Reads or writes all of it, in as many parts as the kernel makes of it.
  template <class Call>
  static void transfer(message<Bytes>& m, Call call) {
    char* at = reinterpret_cast<char*>(m.words.data());
    for (std::size_t rest = Bytes; rest != 0;) {
      const ssize_t moved = call(at, rest);
      if (moved <= 0) throw std::system_error(errno, std::system_category(), "read or write");
      at += moved;
      rest -= static_cast<std::size_t>(moved);
    }
  }

  detail::unique_handle out_;
  detail::unique_handle in_;
};

}  // namespace belfry::bench
