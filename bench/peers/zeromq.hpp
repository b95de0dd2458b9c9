// ZeroMQ over ipc://, at an abstract address: PAIR for both directions, PUSH and PULL for one.
#pragma once

#include "../harness/memory.hpp"
#include "../harness/transport.hpp"

#include <cerrno>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>

#include <zmq.h>

namespace belfry::bench {

/// A socket in its own context, and so with its own I/O thread. Its destructor waits until everything is
/// sent.
class zeromq_socket {
 public:
  zeromq_socket(int type, std::size_t in_flight) : context_(::zmq_ctx_new()) {
    socket_.reset(::zmq_socket(context_.get(), type));
    if (!socket_) fail();
    set(ZMQ_SNDHWM, static_cast<int>(in_flight));
    set(ZMQ_RCVHWM, static_cast<int>(in_flight));
    set(ZMQ_RECONNECT_IVL, 1);  // ms: the connecting side may be first
  }

  void set(int option, int value) {
    succeed(::zmq_setsockopt(socket_.get(), option, &value, sizeof value));
  }
  void bind(const std::string& address) { succeed(::zmq_bind(socket_.get(), address.c_str())); }
  void connect(const std::string& address) {
    succeed(::zmq_connect(socket_.get(), address.c_str()));
  }

  /// False after ZMQ_SNDTIMEO or ZMQ_RCVTIMEO.
  bool send(const void* from, std::size_t bytes) {
    return done(::zmq_send(socket_.get(), from, bytes, 0), bytes);
  }
  bool receive(void* to, std::size_t bytes) {
    return done(::zmq_recv(socket_.get(), to, bytes, 0), bytes);
  }
  void subscribe() { succeed(::zmq_setsockopt(socket_.get(), ZMQ_SUBSCRIBE, "", 0)); }

  /// Without a copy of ours: `write` fills the message that is sent, `read` gets the message that came.
  template <class Write>
  bool send_written(std::size_t bytes, Write write) {
    zmq_msg_t m;
    succeed(::zmq_msg_init_size(&m, bytes));
    write(::zmq_msg_data(&m));
    const int sent = ::zmq_msg_send(&m, socket_.get(), 0);  // if it is sent, the socket owns it
    if (sent == -1) {
      const int error = ::zmq_errno();
      ::zmq_msg_close(&m);
      if (error == EAGAIN) return false;
      throw std::runtime_error(::zmq_strerror(error));
    }
    return true;
  }
  template <class Read>
  bool receive_read(std::size_t bytes, Read read) {
    zmq_msg_t m;
    succeed(::zmq_msg_init(&m));
    struct close_message {
      zmq_msg_t& m;
      ~close_message() { ::zmq_msg_close(&m); }
    } const at_the_end{m};
    if (!done(::zmq_msg_recv(&m, socket_.get(), 0), bytes)) return false;
    read(::zmq_msg_data(&m));
    return true;
  }

 private:
  [[noreturn]] static void fail() { throw std::runtime_error(::zmq_strerror(::zmq_errno())); }
  static void succeed(int result) {
    if (result == -1) fail();
  }

  static bool done(int result, std::size_t bytes) {
    if (result == -1 && ::zmq_errno() == EAGAIN) return false;
    succeed(result);
    expect_size(static_cast<std::size_t>(result), bytes);
    return true;
  }

  struct close {
    void operator()(void* socket) const { ::zmq_close(socket); }
  };
  struct term {
    void operator()(void* context) const { ::zmq_ctx_term(context); }
  };
  std::unique_ptr<void, term> context_;
  std::unique_ptr<void, close> socket_;
};

class zeromq {
 public:
  zeromq(std::size_t bytes, traffic ways)
      : address_("ipc://@" + unique_name("zeromq")), bytes_(bytes), ways_(ways) {}

  class endpoint : public zeromq_socket {
   public:
    endpoint(const zeromq& z, side s)
        : zeromq_socket(z.ways_ == traffic::both_ways ? ZMQ_PAIR
                        : s == side::lead             ? ZMQ_PULL
                                                      : ZMQ_PUSH,
                        depth(z.bytes_)) {
      if (s == side::lead) {
        bind(z.address_);
      } else {
        connect(z.address_);
      }
    }
  };

 private:
  std::string address_;
  std::size_t bytes_;
  traffic ways_;
};

}  // namespace belfry::bench
