// The time of day, as segments record it.
#pragma once

#include <chrono>
#include <cstdint>

namespace belfry::detail {

/// Nanoseconds since 1970.
inline std::uint64_t now_since_1970() noexcept {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(since_1970).count());
}

}  // namespace belfry::detail
