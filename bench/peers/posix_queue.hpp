// POSIX message queues, one in each direction, nonblocking: an idle process waits in epoll.
#pragma once

#include "../harness/memory.hpp"
#include "../harness/transport.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/resource.h>

namespace belfry::bench {

/// On Linux a queue is a file descriptor, which both processes inherit; its name is removed at once.
class posix_message_queue {
 public:
  explicit posix_message_queue(std::size_t bytes) {
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_MSGQUEUE, &unlimited);  // if permitted
    const std::string name = '/' + unique_name("queue");
    // 10: only a privileged process may have more.
    for (const std::size_t messages : {depth(bytes), std::min<std::size_t>(depth(bytes), 10)}) {
      mq_attr attributes{};
      attributes.mq_maxmsg = static_cast<long>(messages);
      attributes.mq_msgsize = static_cast<long>(bytes);
      handle_ = detail::unique_handle(::mq_open(
          name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0600, &attributes));
      if (handle_) break;
    }
    if (!handle_) fail("mq_open (fs.mqueue.msgsize_max is the largest message)");
    ::mq_unlink(name.c_str());
  }

  /// One direction of the queue.
  class user {
   public:
    user(const posix_message_queue& queue, std::uint32_t event) : queue_(queue.handle_.get()) {
      epoll_event wanted{};
      wanted.events = event;
      if (!poll_ || ::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, queue_, &wanted) != 0) fail("epoll");
    }

    /// False after `timeout` milliseconds.
    bool send(const void* from, std::size_t bytes, int timeout = -1) {
      while (::mq_send(queue_, static_cast<const char*>(from), bytes, 0) != 0) {
        if (errno != EAGAIN) fail("mq_send");
        if (!wait(timeout)) return false;
      }
      return true;
    }
    bool receive(void* to, std::size_t bytes, int timeout = -1) {
      ssize_t n;
      while ((n = ::mq_receive(queue_, static_cast<char*>(to), bytes, nullptr)) == -1) {
        if (errno != EAGAIN) fail("mq_receive");
        if (!wait(timeout)) return false;
      }
      expect_size(static_cast<std::size_t>(n), bytes);
      return true;
    }

   private:
    bool wait(int timeout) {
      epoll_event event{};
      const int n = ::epoll_wait(poll_.get(), &event, 1, timeout);
      if (n == -1) fail("epoll_wait");
      return n == 1;
    }

    mqd_t queue_;
    detail::unique_handle poll_{::epoll_create1(EPOLL_CLOEXEC)};
  };

 private:
  [[noreturn]] static void fail(const char* what) {
    throw std::system_error(errno, std::system_category(), what);
  }

  detail::unique_handle handle_;
};

class posix_queue {
 public:
  posix_queue(std::size_t bytes, traffic ways) : to_lead_(bytes) {
    if (ways == traffic::both_ways) to_follow_.emplace(bytes);
  }

  class endpoint {
   public:
    endpoint(const posix_queue& q, side s) {
      const bool lead = s == side::lead;
      (lead ? in_ : out_).emplace(q.to_lead_, lead ? EPOLLIN : EPOLLOUT);
      if (q.to_follow_) (lead ? out_ : in_).emplace(*q.to_follow_, lead ? EPOLLOUT : EPOLLIN);
    }

    void send(const void* from, std::size_t bytes) { out_->send(from, bytes); }
    void receive(void* to, std::size_t bytes) { in_->receive(to, bytes); }

   private:
    std::optional<posix_message_queue::user> in_;
    std::optional<posix_message_queue::user> out_;
  };

 private:
  posix_message_queue to_lead_;
  std::optional<posix_message_queue> to_follow_;
};

}  // namespace belfry::bench
