// Checks that text from outside is UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace belfry {

/// Well-formed UTF-8 as in table 3-7 of the Unicode standard: no overlong forms, no surrogates,
/// nothing above U+10FFFF.
inline bool is_utf8(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  for (std::size_t i = 0; i != text.size();) {
    const std::uint8_t first = at(i);
    if (first < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() - i < length) return false;
    std::uint8_t low = 0x80;
    std::uint8_t high = 0xbf;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
    if (at(i + 1) < low || at(i + 1) > high) return false;
    for (std::size_t k = 2; k != length; ++k) {
      if ((at(i + k) & 0xc0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

/// The number of characters, as Python's `len` gives it, of well-formed UTF-8.
inline std::size_t utf8_characters(std::string_view text) noexcept {
  std::size_t n = 0;
  for (const char c : text) n += (static_cast<std::uint8_t>(c) & 0xc0) != 0x80;
  return n;
}

}  // namespace belfry
