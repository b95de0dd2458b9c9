// Requests and replies by nng and ZeroMQ. One whose library was not found reports that in its turn.
#pragma once

#include "../harness/memory.hpp"
#include "../harness/transport.hpp"
#include "transports.hpp"

#include <cstddef>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#if defined(BELFRY_BENCH_NNG)
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#endif

#include <unistd.h>

namespace belfry::bench {

/// How long a call or a server waits before it looks whether the turn is over.
inline constexpr int calling_timeout = 50;  // ms

#if defined(BELFRY_BENCH_ZEROMQ)

/// One client, one server.
class zeromq_calls {
 public:
  zeromq_calls(std::size_t, traffic) {}

  class endpoint : public zeromq_socket {
   public:
    endpoint(const zeromq_calls& z, side s) : zeromq_socket(s == side::lead ? ZMQ_REQ : ZMQ_REP, 64) {
      if (s == side::lead) {
        connect(z.address_);
      } else {
        bind(z.address_);
      }
    }
  };

 private:
  std::string address_ = "ipc://@" + unique_name("zeromq-calls");
};

/// Several: each client is connected with all servers, and asks them in turn.
class zeromq_callers {
 public:
  explicit zeromq_callers(std::size_t servers) : servers_(servers) {}

  class client : zeromq_socket {
   public:
    explicit client(const zeromq_callers& all) : zeromq_socket(ZMQ_REQ, 64) {
      set(ZMQ_LINGER, 0);
      set(ZMQ_RCVTIMEO, 10 * calling_timeout);
      set(ZMQ_SNDTIMEO, 10 * calling_timeout);
      for (std::size_t i = 0; i != all.servers_; ++i) connect(all.address(i));
    }
    /// The reply takes the place of the request. False: no reply for some time.
    bool call(void* message, std::size_t bytes) { return send(message, bytes) && receive(message, bytes); }
  };

  class server : zeromq_socket {
   public:
    server(const zeromq_callers& all, std::size_t i) : zeromq_socket(ZMQ_REP, 64) {
      set(ZMQ_LINGER, 0);
      set(ZMQ_RCVTIMEO, calling_timeout);
      bind(all.address(i));
    }
    void answer(void* message, std::size_t bytes) {
      if (receive(message, bytes)) send(message, bytes);
    }
  };

 private:
  std::string address(std::size_t server) const { return address_ + std::to_string(server); }

  std::string address_ = "ipc://@" + unique_name("zeromq-callers") + '-';
  std::size_t servers_;
};

#endif

#if defined(BELFRY_BENCH_NNG)

class nng_socket_owner {
 public:
  template <class Open>
  explicit nng_socket_owner(Open open) {
    succeed(open(&socket_));
  }
  ~nng_socket_owner() { ::nng_close(socket_); }
  nng_socket_owner(const nng_socket_owner&) = delete;
  nng_socket_owner& operator=(const nng_socket_owner&) = delete;

  void timeout(const char* option, int milliseconds) { succeed(::nng_socket_set_ms(socket_, option, milliseconds)); }
  void listen(const std::string& address) { succeed(::nng_listen(socket_, address.c_str(), nullptr, 0)); }
  void dial(const std::string& address) {
    int result;  // the other side may not be listening yet
    while ((result = ::nng_dial(socket_, address.c_str(), nullptr, 0)) == NNG_ECONNREFUSED) ::usleep(100);
    succeed(result);
  }
  bool send(const void* from, std::size_t bytes) {
    nng_msg* m = nullptr;
    succeed(::nng_msg_alloc(&m, bytes));
    std::memcpy(::nng_msg_body(m), from, bytes);
    const int result = ::nng_sendmsg(socket_, m, 0);  // if it is sent, the socket owns it
    if (result == 0) return true;
    ::nng_msg_free(m);
    return over(result);
  }
  bool receive(void* to, std::size_t bytes) {
    nng_msg* m = nullptr;
    const int result = ::nng_recvmsg(socket_, &m, 0);
    if (result != 0) return over(result);
    expect_size(::nng_msg_len(m), bytes);
    std::memcpy(to, ::nng_msg_body(m), bytes);
    ::nng_msg_free(m);
    return true;
  }

 private:
  static void succeed(int result) {
    if (result != 0) throw std::runtime_error(::nng_strerror(result));
  }
  static bool over(int result) {
    if (result != NNG_ETIMEDOUT) succeed(result);
    return false;
  }

  nng_socket socket_{};
};

/// One client, one server.
class nng_calls {
 public:
  nng_calls(std::size_t, traffic) {}

  class endpoint : public nng_socket_owner {
   public:
    endpoint(const nng_calls& all, side s) : nng_socket_owner(s == side::lead ? ::nng_req0_open : ::nng_rep0_open) {
      if (s == side::lead) {
        dial(all.address_);
      } else {
        listen(all.address_);
      }
    }
  };

 private:
  std::string address_ = "abstract://" + unique_name("nng-calls");
};

/// Several, as zeromq_callers.
class nng_callers {
 public:
  explicit nng_callers(std::size_t servers) : servers_(servers) {}

  class client : nng_socket_owner {
   public:
    explicit client(const nng_callers& all) : nng_socket_owner(::nng_req0_open) {
      timeout(NNG_OPT_RECVTIMEO, 10 * calling_timeout);
      timeout(NNG_OPT_SENDTIMEO, 10 * calling_timeout);
      for (std::size_t i = 0; i != all.servers_; ++i) dial(all.address(i));
    }
    bool call(void* message, std::size_t bytes) { return send(message, bytes) && receive(message, bytes); }
  };

  class server : nng_socket_owner {
   public:
    server(const nng_callers& all, std::size_t i) : nng_socket_owner(::nng_rep0_open) {
      timeout(NNG_OPT_RECVTIMEO, calling_timeout);
      listen(all.address(i));
    }
    void answer(void* message, std::size_t bytes) {
      if (receive(message, bytes)) send(message, bytes);
    }
  };

 private:
  std::string address(std::size_t server) const { return address_ + std::to_string(server); }

  std::string address_ = "abstract://" + unique_name("nng-callers") + '-';
  std::size_t servers_;
};

#endif

/// Stands for callers whose library was not found.
struct missing_callers {
  explicit missing_callers(std::size_t) { missing_transport(0, traffic::both_ways); }
  struct client {
    explicit client(const missing_callers&) {}
    bool call(void*, std::size_t) { return false; }
  };
  struct server {
    server(const missing_callers&, std::size_t) {}
    void answer(void*, std::size_t) {}
  };
};

#if !defined(BELFRY_BENCH_ZEROMQ)
using zeromq_calls = missing_transport;
using zeromq_callers = missing_callers;
#endif
#if !defined(BELFRY_BENCH_NNG)
using nng_calls = missing_transport;
using nng_callers = missing_callers;
#endif

}  // namespace belfry::bench
