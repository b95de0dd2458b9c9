// What is needed to write JSON, and to look at JSON of unknown origin before it is parsed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace belfry::detail {

/// In quotes. The text is well-formed UTF-8.
inline std::string json_string(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      constexpr std::string_view digits = "0123456789abcdef";
      json += "\\u00";
      json += digits[static_cast<unsigned char>(c) >> 4];
      json += digits[static_cast<unsigned char>(c) & 15];
      continue;
    }
    if (c == '"' || c == '\\') json += '\\';
    json += c;
  }
  return json += '"';
}

/// Whether brackets are nested no deeper than that, outside of strings.
inline bool is_nested_at_most(std::size_t most, std::string_view json) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > most) return false;
    } else if (c == ']' || c == '}') {
      if (depth != 0) --depth;
    }
  }
  return true;
}

/// The most that a type and its values may be nested: three brackets for a structure in a structure.
inline constexpr std::size_t most_depth = 16;
inline constexpr std::size_t most_brackets = 3 * most_depth + 8;

}  // namespace belfry::detail
