// What passes through a channel per second, from two looks at it.
#pragma once

#include <belfry/inspect.hpp>

#include <chrono>
#include <cstdint>

namespace belfry::cli {

struct flow {
  double messages = 0;  ///< a second
  double bytes = 0;
};

struct rates {
  flow sent;
  flow received;
  std::uint64_t lost = 0;  ///< in all this time
  double rings = 0;        ///< how often a participant was woken
};

/// Of the same segment. Its counters are not trusted: what has become less counts as nothing.
rates rates_between(const channel_info& before, const channel_info& after, std::chrono::duration<double> time);

/// One that messages pass through: no block, and no companion of one.
bool is_channel(const channel_info& info);
/// Throws std::runtime_error, with a text that says what it is instead.
void require_channel(const channel_info& info);

}  // namespace belfry::cli
