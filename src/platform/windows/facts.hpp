// What Windows alone can tell the program `belfry`.
#pragma once

#include <cstdint>
#include <optional>

namespace belfry::platform {

struct windows_version {
  unsigned major_number = 0;
  unsigned minor_number = 0;
  unsigned build = 0;
};
windows_version version_of_windows() noexcept;

/// How many bytes this user may still use where channels are; none if it cannot be told.
std::optional<std::uint64_t> free_for_channels() noexcept;

}  // namespace belfry::platform
