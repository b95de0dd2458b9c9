// Encoding an element of a shareable_list; the format is in shareable_list.cpp.
#pragma once

#include "../base/utf8.hpp"

#include <belfry/shareable_list.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

namespace belfry::detail::list_format {

inline constexpr std::string_view integer_format = "q";
inline constexpr std::string_view float_format = "d";
inline constexpr std::string_view bool_format = "xxxxxxx?";
inline constexpr std::string_view none_format = "xxxxxx?x";
enum code : std::int8_t { number = 0, text = 1, octets = 2, none = 3 };

/// A format has eight characters at most: seven digits and the `s`.
inline constexpr std::uint64_t max_room = 9'999'992;
/// The same with our suffix `sx`: a digit less.
inline constexpr std::uint64_t max_exact_string = 999'999;

/// An encoded element.
struct encoded {
  std::array<char, 8> format{};
  std::int8_t code = number;
  std::uint64_t room = 8;
  std::uint64_t word = 0;        // the data of a number
  std::string_view string = {};  // the data of text and bytes

  bool is_string() const noexcept { return code == text || code == octets; }
};

inline void write_format(std::array<char, 8>& out, std::string_view format) {
  out.fill('\0');
  std::copy(format.begin(), format.end(), out.begin());
}

constexpr std::uint64_t above(std::uint64_t length) { return 8 * (length / 8 + 1); }

/// The room of a new element, in bytes.
inline std::uint64_t room_for(const std::string& s) {
  return std::max<std::uint64_t>(above(utf8_characters(s)), (s.size() + 7) / 8 * 8);
}
inline std::uint64_t room_for(const bytes& b) { return above(b.size()); }

inline void encode_string(encoded& e, std::string_view string) {
  if (string.size() > e.room) throw std::length_error("bytes/str item exceeds available storage");
  if (e.room > max_room) throw std::length_error("an element can have at most 9999992 bytes of room");
  e.string = string;
  const bool exact = string.ends_with('\0');
  if (exact && string.size() > max_exact_string) {
    throw std::length_error("a string that ends in NULs can have at most 999999 bytes");
  }
  write_format(e.format,
               exact ? std::to_string(string.size()) + "sx" : std::to_string(e.room) + 's');
}

/// `room`: the bytes that the element has for its data; 0 for a new element.
inline encoded encode(const shareable_list::value& v, std::uint64_t room) {
  encoded e;
  if (room != 0) e.room = room;
  if (std::holds_alternative<std::nullptr_t>(v)) {
    write_format(e.format, none_format);
    e.code = none;
  } else if (const bool* b = std::get_if<bool>(&v)) {
    write_format(e.format, bool_format);
    e.word = static_cast<std::uint64_t>(*b) << 56;
  } else if (const std::int64_t* i = std::get_if<std::int64_t>(&v)) {
    write_format(e.format, integer_format);
    e.word = static_cast<std::uint64_t>(*i);
  } else if (const double* d = std::get_if<double>(&v)) {
    write_format(e.format, float_format);
    e.word = std::bit_cast<std::uint64_t>(*d);
  } else if (const std::string* s = std::get_if<std::string>(&v)) {
    if (!is_utf8(*s)) throw std::invalid_argument("text that is not UTF-8");
    e.code = text;
    if (room == 0) e.room = room_for(*s);
    encode_string(e, *s);
  } else {
    const bytes& octet_string = std::get<bytes>(v);
    e.code = octets;
    if (room == 0) e.room = room_for(octet_string);
    encode_string(e, octet_string.view());
  }
  return e;
}

}  // namespace belfry::detail::list_format
