// Channels that the tool's traffic goes through.
#pragma once

#include "running_tool.hpp"
#include "support/rings.hpp"

#include <belfry/describe.hpp>
#include <belfry/inspect.hpp>

#include <algorithm>
#include <array>

namespace belfry::test {

struct quote {
  std::uint64_t seq;
  double price;
  std::array<char, 4> symbol;
};
BOOST_DESCRIBE_STRUCT(quote, (), (seq, price, symbol))

using quotes = channel<spsc_ring<quote, 64>>;
using texts = channel<byte_ring>;

inline quote quote_of(std::uint64_t n) { return {n, 0.5 * static_cast<double>(n), {'A', 'B'}}; }

/// Whether the tool has joined, and waits.
inline bool is_asleep(const std::string& name, const running_tool& tool) {
  error_code ec;
  const channel_info found = inspect(name, ec);
  return std::ranges::any_of(found.participants, [&](const participant_info& p) {
    return p.pid == static_cast<std::uint32_t>(tool.pid()) && p.parked;
  });
}
inline void await_asleep(const std::string& name, const running_tool& tool) {
  await([&] { return is_asleep(name, tool); });
}

/// Until so many have joined.
inline void await_alive(const std::string& name, participant_role role, std::size_t count) {
  await([&] {
    error_code ec;
    return inspect(name, ec).alive(role) == count;
  });
}

/// A channel without participants, which stays.
template <class Channel>
void make_channel(net::io_context& io, const std::string& name) {
  channel_options options;
  options.lifetime = lifetime::persistent;
  typename Channel::producer(io, name, options).close();
}

}  // namespace belfry::test
