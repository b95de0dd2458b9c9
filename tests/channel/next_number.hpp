// Either side of a channel of any ring, and what it receives next.
#pragma once

#include "support/rings.hpp"

namespace belfry::test {

template <class Kit>
typename Kit::channel::producer producer_of(net::io_context& io, const std::string& name) {
  return meet<typename Kit::channel>::producer(io, name, Kit::options());
}
template <class Kit>
typename Kit::channel::consumer consumer_of(net::io_context& io, const std::string& name) {
  return meet<typename Kit::channel>::consumer(io, name, Kit::options());
}

/// The next number, or the error instead.
template <class Consumer>
std::uint64_t next_number(Consumer& rx, error_code& ec) {
  typename Consumer::value_type v{};
  ec = rx.receive(v, std::chrono::seconds(60));
  return ec ? 0 : number(v);
}

}  // namespace belfry::test
