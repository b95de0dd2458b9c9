// Where locks are: see lock.cpp.
#pragma once

#include <cstdint>

namespace belfry::platform {

inline constexpr std::uint64_t first_lock = std::uint64_t{1} << 62;
/// Where lock n begins.
constexpr std::uint64_t place_of_lock(std::uint64_t n) noexcept { return first_lock + 2 * n; }

/// Held by the process that builds a block which has no name yet.
inline constexpr std::uint64_t building_lock = first_lock - 2;

}  // namespace belfry::platform
