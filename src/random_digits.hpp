#pragma once

#include "platform.hpp"

#include <array>
#include <string>

namespace belfry::detail {

/// So many hexadecimal digits that nobody can guess, 64 at most.
inline std::string random_digits(std::size_t count) {
  std::array<std::byte, 32> random;
  platform::fill_random(random);
  std::string digits;
  for (std::size_t i = 0; i != count; ++i) {
    digits += "0123456789abcdef"[std::to_integer<std::size_t>(random[i / 2] >> (i % 2 * 4)) & 15];
  }
  return digits;
}

}  // namespace belfry::detail
