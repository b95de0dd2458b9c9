// Queues by which several processes pass items to several others, one receiver for each item. An idle process
// sleeps, but not without limit, so that it notices the end of the turn.
#pragma once

#include "../harness/fan.hpp"
#include "../harness/memory.hpp"
#include "posix_queue.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <boost/interprocess/ipc/message_queue.hpp>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace belfry::bench {

/// A pipe: passes whole items, as long as a page holds a whole number of them.
template <class Item>
class shared_pipe {
  static_assert(4096 % sizeof(Item) == 0);

 public:
  shared_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) fail("pipe");
    out_ = detail::unique_handle(ends[0]);
    in_ = detail::unique_handle(ends[1]);
    ::fcntl(in_.get(), F_SETPIPE_SZ, 1 << 20);  // if permitted
  }

  struct sender {
    sender(const shared_pipe& p, std::size_t) : pipe(p) {}
    bool send(const Item& item) {
      return pipe.transfer(pipe.in_, POLLOUT,
                           [&](int fd) { return ::write(fd, &item, sizeof item); });
    }
    const shared_pipe& pipe;
  };
  struct receiver {
    receiver(const shared_pipe& p, std::size_t) : pipe(p) {}
    bool receive(Item& item) {
      return pipe.transfer(pipe.out_, POLLIN,
                           [&](int fd) { return ::read(fd, &item, sizeof item); });
    }
    const shared_pipe& pipe;
  };

 private:
  [[noreturn]] static void fail(const char* what) {
    throw std::system_error(errno, std::system_category(), what);
  }

  template <class Call>
  bool transfer(const detail::unique_handle& end, short event, Call call) const {
    for (;;) {
      const ssize_t bytes = call(end.get());
      if (bytes == sizeof(Item)) return true;
      if (bytes != -1 || errno != EAGAIN) fail("read or write");
      pollfd wanted{end.get(), event, 0};
      if (::poll(&wanted, 1, static_cast<int>(timeout.count())) == 0) return false;
    }
  }

  detail::unique_handle out_;
  detail::unique_handle in_;
};

template <class Item>
class shared_posix_queue {
  static constexpr int milliseconds = static_cast<int>(timeout.count());

 public:
  struct sender : posix_message_queue::user {
    sender(const shared_posix_queue& q, std::size_t) : user(q.queue_, EPOLLOUT) {}
    bool send(const Item& item) { return user::send(&item, sizeof item, milliseconds); }
  };
  struct receiver : posix_message_queue::user {
    receiver(const shared_posix_queue& q, std::size_t) : user(q.queue_, EPOLLIN) {}
    bool receive(Item& item) { return user::receive(&item, sizeof item, milliseconds); }
  };

 private:
  posix_message_queue queue_{sizeof(Item)};
};

template <class Item>
class shared_interprocess_queue {
  using queue = boost::interprocess::message_queue;

 public:
  shared_interprocess_queue() {
    queue(boost::interprocess::create_only, name_.c_str(), depth(sizeof(Item)), sizeof(Item));
  }
  ~shared_interprocess_queue() { queue::remove(name_.c_str()); }
  shared_interprocess_queue(const shared_interprocess_queue&) = delete;
  shared_interprocess_queue& operator=(const shared_interprocess_queue&) = delete;

  class user {
   public:
    user(const shared_interprocess_queue& q, std::size_t)
        : queue_(boost::interprocess::open_only, q.name_.c_str()) {}
    bool send(const Item& item) {
      return queue_.try_send(&item, sizeof item, 0) ||
             queue_.timed_send(&item, sizeof item, 0, limit());
    }
    bool receive(Item& item) {
      queue::size_type received = 0;
      unsigned priority = 0;
      return queue_.try_receive(&item, sizeof item, received, priority) ||
             queue_.timed_receive(&item, sizeof item, received, priority, limit());
    }

   private:
    static auto limit() { return std::chrono::system_clock::now() + timeout; }

    queue queue_;
  };
  using sender = user;
  using receiver = user;

 private:
  std::string name_ = unique_name("queue");
};

}  // namespace belfry::bench
