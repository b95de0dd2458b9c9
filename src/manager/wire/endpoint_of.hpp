// A manager's address in the forms of Asio and of the system.
#pragma once

#include "../../platform/socket.hpp"
#include "address.hpp"

#include <belfry/asio.hpp>

#include <cstring>
#include <span>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#else
#include <asio/generic/stream_protocol.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/local/stream_protocol.hpp>
#endif

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

inline net::generic::stream_protocol::endpoint endpoint_of(const manager_address& a) {
  switch (a.kind) {
    case manager_address::family::ip:
      return net::ip::tcp::endpoint(net::ip::make_address(a.name), a.port);
    case manager_address::family::abstract:
      return net::local::stream_protocol::endpoint('\0' + a.name);
    case manager_address::family::path: break;
  }
  return net::local::stream_protocol::endpoint(a.name);
}

inline platform::socket_address bytes_of(const net::generic::stream_protocol::endpoint& e) {
  return {reinterpret_cast<const std::byte*>(e.data()), e.size()};
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
