// Other ways to learn that a process was killed: the end of a socket, a pidfd.
#pragma once

#include "../harness/asio.hpp"
#include "../harness/memory.hpp"
#include "../harness/timer.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <cerrno>
#include <string>
#include <system_error>

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace belfry::bench {

/// The end of file of a Unix stream socket, read by Asio.
class asio_socket_bond {
 public:
  class survivor {
   public:
    explicit survivor(const asio_socket_bond& bond) : acceptor_(io_, bond.address_), socket_(io_) {}

    void wait_for(pid_t) {
      acceptor_.accept(socket_);
      told_ = false;
      net::async_read(socket_, net::buffer(byte_), [this](const error_code& ec, std::size_t) {
        if (ec != net::error::eof) throw std::runtime_error("not the end of the socket");
        told_ = true;
      });
      io_.poll();
    }
    void told() {
      io_.restart();
      while (!told_) io_.run_one();
    }
    void done() { socket_.close(); }

   private:
    net::io_context io_{1};
    net::local::stream_protocol::acceptor acceptor_;
    net::local::stream_protocol::socket socket_;
    std::array<char, 1> byte_{};
    bool told_ = false;
  };

  class victim {
   public:
    explicit victim(const asio_socket_bond& bond) : socket_(io_) { socket_.connect(bond.address_); }

   private:
    net::io_context io_{1};
    net::local::stream_protocol::socket socket_;
  };

 private:
  /// In the abstract namespace, so that nothing is left behind.
  net::local::stream_protocol::endpoint address_{'\0' + unique_name("death")};
};

/// A pidfd in an epoll: the kernel reports the death after the process has released everything.
class epoll_pidfd_bond {
 public:
  class survivor {
   public:
    explicit survivor(const epoll_pidfd_bond&) : poll_(::epoll_create1(EPOLL_CLOEXEC)) {}

    void wait_for(pid_t pid) {
      end_ = detail::unique_handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
      epoll_event event{};
      event.events = EPOLLIN;
      if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, end_.get(), &event) != 0) fail("epoll_ctl");
    }
    void told() {
      epoll_event event{};
      int n = 0;
      while ((n = ::epoll_wait(poll_.get(), &event, 1, -1)) == -1 && errno == EINTR) {
      }
      if (n != 1) fail("epoll_wait");
    }
    void done() { end_.reset(); }

   private:
    [[noreturn]] static void fail(const char* what) {
      throw std::system_error(errno, std::system_category(), what);
    }

    detail::unique_handle poll_;
    detail::unique_handle end_;
  };

  struct victim {
    explicit victim(const epoll_pidfd_bond&) {}
  };
};

}  // namespace belfry::bench
