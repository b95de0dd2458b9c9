// The end of a thread's wait.
#pragma once

#include <chrono>

namespace belfry::detail {

/// The end of a timeout that begins now. A timeout of zero or less ends at once. A timeout beyond the clock's
/// range never ends (`time_point::max()`).
inline std::chrono::steady_clock::time_point deadline_after(
    std::chrono::nanoseconds timeout) noexcept {
  using clock = std::chrono::steady_clock;
  const auto now = clock::now();
  if (timeout <= std::chrono::nanoseconds::zero()) return now;
  return timeout >= clock::time_point::max() - now ? clock::time_point::max() : now + timeout;
}

}  // namespace belfry::detail
