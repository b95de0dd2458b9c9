// An open load through other means: a bare queue, polled, or with an eventfd that is notified for every
// message; a pipe; a Unix stream socket on Asio.
#pragma once

#include "../harness/open_load.hpp"
#include "asio_socket.hpp"
#include "bare_queue.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <system_error>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace belfry::bench {

using load_queue = bare_queue<load_message, load_capacity>;

class polled_queue_conduit {
 public:
  class sender {
   public:
    explicit sender(const polled_queue_conduit& c) : queue_(*c.queue_) {}
    void send(const load_message& m) { push(queue_, m); }

   private:
    load_queue& queue_;
  };
  class receiver {
   public:
    explicit receiver(const polled_queue_conduit& c) : queue_(*c.queue_) {}
    void receive(latency_log& log) {
      while (!log.complete()) log.arrived(pop(queue_));
    }

   private:
    load_queue& queue_;
  };

 private:
  inherited<load_queue> queue_;
};

/// What a programmer would write by hand for a process that has to sleep. The eventfd is notified for every
/// message, because the sender cannot know whether the receiver sleeps.
class rung_queue_conduit {
 public:
  rung_queue_conduit() : bell_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!bell_) fail("eventfd");
  }

  class sender {
   public:
    explicit sender(const rung_queue_conduit& c) : c_(c) {}
    void send(const load_message& m) {
      push(*c_.queue_, m);
      const std::uint64_t one = 1;
      if (::write(c_.bell_.get(), &one, sizeof one) != sizeof one) fail("write");
    }

   private:
    const rung_queue_conduit& c_;
  };
  class receiver {
   public:
    explicit receiver(const rung_queue_conduit& c) : c_(c), poll_(::epoll_create1(EPOLL_CLOEXEC)) {
      epoll_event event{};
      event.events = EPOLLIN;
      if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, c.bell_.get(), &event) != 0) fail("epoll_ctl");
    }
    void receive(latency_log& log) {
      while (!log.complete()) {
        epoll_event event{};
        const int n = ::epoll_wait(poll_.get(), &event, 1, -1);
        if (n == -1 && errno == EINTR) continue;  // stopped and continued
        if (n != 1) fail("epoll_wait");
        std::uint64_t count = 0;
        if (::read(c_.bell_.get(), &count, sizeof count) != sizeof count) fail("read");
        for (load_message m; c_.queue_->pop(m);) log.arrived(m);
      }
    }

   private:
    const rung_queue_conduit& c_;
    detail::unique_handle poll_;
  };

 private:
  [[noreturn]] static void fail(const char* what) {
    throw std::system_error(errno, std::system_category(), what);
  }

  inherited<load_queue> queue_;
  detail::unique_handle bell_;
};

/// Splits a stream of bytes, which may end in the middle of a message, into messages.
class reassembly {
 public:
  auto room() { return std::span(bytes_).subspan(kept_); }
  void take(std::size_t added, latency_log& log) {
    const std::size_t end = kept_ + added;
    std::size_t at = 0;
    for (load_message m; end - at >= sizeof m; at += sizeof m) {
      std::memcpy(&m, bytes_.data() + at, sizeof m);
      log.arrived(m);
    }
    kept_ = end - at;
    std::memmove(bytes_.data(), bytes_.data() + at, kept_);
  }

 private:
  std::array<char, 65536> bytes_;
  std::size_t kept_ = 0;
};

class pipe_conduit {
 public:
  pipe_conduit() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
    out_ = detail::unique_handle(ends[0]);
    in_ = detail::unique_handle(ends[1]);
  }

  class sender {
   public:
    explicit sender(const pipe_conduit& c) : in_(c.in_) {}
    void send(const load_message& m) {
      if (::write(in_.get(), &m, sizeof m) != sizeof m) fail("write");
    }

   private:
    const detail::unique_handle& in_;
  };
  class receiver {
   public:
    explicit receiver(const pipe_conduit& c) : out_(c.out_) {}
    void receive(latency_log& log) {
      while (!log.complete()) {
        const auto room = stream_.room();
        const ssize_t n = ::read(out_.get(), room.data(), room.size());
        if (n <= 0) fail("read");
        stream_.take(static_cast<std::size_t>(n), log);
      }
    }

   private:
    const detail::unique_handle& out_;
    reassembly stream_;
  };

 private:
  [[noreturn]] static void fail(const char* what) {
    throw std::system_error(errno, std::system_category(), what);
  }

  detail::unique_handle out_;
  detail::unique_handle in_;
};

class asio_socket_conduit {
 public:
  class sender {
   public:
    explicit sender(const asio_socket_conduit& c) : socket_(c.pair_.socket(io_, 1)) {}
    void send(const load_message& m) { net::write(socket_, net::buffer(m.words)); }

   private:
    net::io_context io_{1};
    net::local::stream_protocol::socket socket_;
  };
  class receiver {
   public:
    explicit receiver(const asio_socket_conduit& c) : socket_(c.pair_.socket(io_, 0)) {}
    void receive(latency_log& log) { run(io_, read(log)); }

   private:
    net::awaitable<void> read(latency_log& log) {
      while (!log.complete()) {
        const auto room = stream_.room();
        stream_.take(co_await socket_.async_read_some(net::buffer(room.data(), room.size()),
                                                      net::use_awaitable),
                     log);
      }
    }

    net::io_context io_{1};
    net::local::stream_protocol::socket socket_;
    reassembly stream_;
  };

 private:
  socket_pair pair_;
};

}  // namespace belfry::bench
