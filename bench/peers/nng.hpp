// nng over its IPC transport, at an abstract address: pair0, with messages that it does not copy.
#pragma once

#include "../harness/memory.hpp"
#include "../harness/transport.hpp"

#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <unistd.h>

namespace belfry::bench {

class nng_pair {
 public:
  nng_pair(std::size_t bytes, traffic)
      : address_("abstract://" + unique_name("nng")), bytes_(bytes) {}

  class endpoint {
   public:
    endpoint(const nng_pair& pair, side s) {
      succeed(::nng_pair0_open(&socket_));
      const int in_flight = static_cast<int>(depth(pair.bytes_));
      succeed(::nng_socket_set_int(socket_, NNG_OPT_SENDBUF, in_flight));
      succeed(::nng_socket_set_int(socket_, NNG_OPT_RECVBUF, in_flight));
      succeed(::nng_socket_set_size(socket_, NNG_OPT_RECVMAXSZ, 0));
      if (s == side::lead) {
        succeed(::nng_listen(socket_, pair.address_.c_str(), nullptr, 0));
        return;
      }
      int result;  // the other side may not be listening yet
      while ((result = ::nng_dial(socket_, pair.address_.c_str(), nullptr, 0)) ==
             NNG_ECONNREFUSED) {
        ::usleep(100);
      }
      succeed(result);
    }
    ~endpoint() { ::nng_close(socket_); }
    endpoint(const endpoint&) = delete;
    endpoint& operator=(const endpoint&) = delete;

    void send(const void* from, std::size_t bytes) {
      nng_msg* m = nullptr;
      succeed(::nng_msg_alloc(&m, bytes));
      std::memcpy(::nng_msg_body(m), from, bytes);
      succeed(::nng_sendmsg(socket_, m, 0));  // which owns the message from now on
    }
    void receive(void* to, std::size_t bytes) {
      nng_msg* m = nullptr;
      succeed(::nng_recvmsg(socket_, &m, 0));
      expect_size(::nng_msg_len(m), bytes);
      std::memcpy(to, ::nng_msg_body(m), bytes);
      ::nng_msg_free(m);
    }

   private:
    static void succeed(int result) {
      if (result != 0) throw std::runtime_error(::nng_strerror(result));
    }

    nng_socket socket_{};
  };

 private:
  std::string address_;
  std::size_t bytes_;
};

}  // namespace belfry::bench
