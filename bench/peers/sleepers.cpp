#include "sleepers.hpp"

#include "asio_pipe.hpp"
#include "asio_socket.hpp"
#include "epoll_eventfd.hpp"
#include "transports.hpp"

namespace belfry::bench {

std::vector<entrant> sleeping_round_trips(double units) {
  std::vector<entrant> all{
      enter<epoll_eventfd_round_trip>("raw epoll+eventfd", units),
      enter<asio_socket_round_trip>("asio unix socket", units),
      enter<asio_pipe_round_trip>("asio pipe", units),
  };
  enter_transports(all, [units]<transport T>(const char* name) {
    return enter<transport_round_trip<T>>(name, units);
  });
  return all;
}

}  // namespace belfry::bench
