// When the wait of a thread is over.
#pragma once

#include <chrono>

namespace belfry::detail {

/// The moment at which a timeout that begins now is over: at once if it is zero or less, never
/// (`time_point::max()`) if it is so long that the clock ends before.
inline std::chrono::steady_clock::time_point deadline_after(
    std::chrono::nanoseconds timeout) noexcept {
  using clock = std::chrono::steady_clock;
  const auto now = clock::now();
  if (timeout <= std::chrono::nanoseconds::zero()) return now;
  return timeout >= clock::time_point::max() - now ? clock::time_point::max() : now + timeout;
}

}  // namespace belfry::detail
