#pragma once

#include "machine.hpp"

#include <array>
#include <string>

namespace belfry::detail {

/// `count` hexadecimal digits that cannot be guessed, 64 at most. Empty if the system has none.
inline std::string random_digits(std::size_t count, failure& f) {
  std::array<std::byte, 32> random;
  if (!platform::fill_random(random, f)) return {};
  std::string digits;
  for (std::size_t i = 0; i != count; ++i) {
    digits += "0123456789abcdef"[std::to_integer<std::size_t>(random[i / 2] >> (i % 2 * 4)) & 15];
  }
  return digits;
}

}  // namespace belfry::detail
