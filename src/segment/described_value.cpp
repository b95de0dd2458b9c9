// Values of described types, as JSON and from it.
#include "../base/utf8.hpp"
#include "description.hpp"
#include "json_text.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace belfry::detail {
namespace {

using json = nlohmann::json;

static_assert(std::endian::native == std::endian::little);

/// Neither a double nor a 64-bit integer can hold it.
bool is_hexadecimal(const description& type) {
  return type.kind == type_kind::opaque || type.bytes > 8 || (type.kind == type_kind::floating && type.bytes < 4);
}
bool is_printable(char c) { return c >= 0x20 && c < 0x7f; }
bool is_text(std::string_view text) {
  return is_utf8(text) &&
         std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// ---- to JSON

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

std::uint64_t load_unsigned(const description& type, const std::byte* from) {
  std::uint64_t value = 0;
  std::memcpy(&value, from, type.bytes);
  return value;
}
std::int64_t load_signed(const description& type, const std::byte* from) {
  const unsigned unused = 64 - 8 * static_cast<unsigned>(type.bytes);
  return static_cast<std::int64_t>(load_unsigned(type, from) << unused) >> unused;
}

template <class Float>
void append_float(std::string& out, Float value) {
  if (std::isnan(value)) {
    out += "\"nan\"";
  } else if (std::isinf(value)) {
    out += value < 0 ? "\"-inf\"" : "\"inf\"";
  } else {
    char text[64];
    const std::string_view number(text, static_cast<std::size_t>(std::to_chars(text, std::end(text), value).ptr - text));
    out += number;
    if (number.find_first_of(".e") == number.npos) out += ".0";  // -0 would lose its sign
  }
}

void append_hexadecimal(std::string& out, std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  out += '"';
  for (const std::byte b : bytes) {
    out += digits[std::to_integer<std::size_t>(b >> 4)];
    out += digits[std::to_integer<std::size_t>(b & std::byte{15})];
  }
  out += '"';
}

void append(std::string& out, const description& type, const std::byte* value);

void append_structure(std::string& out, const description& type, const std::byte* value) {
  const bool named = !type.fields.empty() && !type.fields.front().name.empty();
  out += named ? '{' : '[';
  bool first = true;
  for (const described_field& field : type.fields) {
    if (!first) out += ',';
    first = false;
    if (named) (out += json_string(field.name)) += ':';
    append(out, field.type, value + field.offset);
  }
  out += named ? '}' : ']';
}

void append_array(std::string& out, const description& type, const std::byte* value) {
  const description& element = type.of.front();
  if (element.kind == type_kind::character) {
    const std::string_view all(reinterpret_cast<const char*>(value), type.count);
    const std::string_view text = all.substr(0, all.find('\0'));
    if (is_text(text)) {
      out += json_string(text);
      return;
    }
  }
  out += '[';
  for (std::size_t i = 0; i != type.count; ++i) {
    if (i != 0) out += ',';
    append(out, element, value + i * element.bytes);
  }
  out += ']';
}

void append(std::string& out, const description& type, const std::byte* value) {
  switch (type.kind) {
    case type_kind::structure: return append_structure(out, type, value);
    case type_kind::array: return append_array(out, type, value);
    case type_kind::enumeration:
    case type_kind::duration:
    case type_kind::time_point: return append(out, type.of.front(), value);
    default: break;
  }
  if (is_hexadecimal(type)) return append_hexadecimal(out, {value, type.bytes});
  switch (type.kind) {
    case type_kind::boolean: out += *value != std::byte{} ? "true" : "false"; break;
    case type_kind::character:
      if (const char c = load<char>(value); is_printable(c)) {
        out += json_string({&c, 1});
        break;
      }
      [[fallthrough]];
    case type_kind::byte:
    case type_kind::unsigned_integer: out += std::to_string(load_unsigned(type, value)); break;
    case type_kind::signed_integer: out += std::to_string(load_signed(type, value)); break;
    default:
      if (type.bytes == 4) return append_float(out, load<float>(value));
      return append_float(out, load<double>(value));
  }
}

// ---- from JSON

[[noreturn]] void refuse(const std::string& at, const std::string& why) {
  throw std::invalid_argument((at.empty() ? "the value" : at) + ": " + why);
}

/// What was there instead, short enough for a message.
std::string shown(const json& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  std::string text = value.dump(-1, ' ', true);
  return text.size() <= 40 ? text : text.substr(0, 40) + "...";
}

void store_integer(const description& type, const json& from, std::byte* to, const std::string& at) {
  const bool is_signed = type.kind == type_kind::signed_integer;
  const unsigned bits = 8 * static_cast<unsigned>(type.bytes) - is_signed;
  const std::uint64_t most = ~std::uint64_t{} >> (64 - bits);
  if (!from.is_number_integer()) refuse(at, shown(from) + " is not an integer");
  std::uint64_t value = 0;
  if (from.is_number_unsigned()) {
    value = from.get<std::uint64_t>();
    if (value > most) refuse(at, shown(from) + " does not fit in " + type.name);
  } else {
    const std::int64_t negative = from.get<std::int64_t>();
    value = static_cast<std::uint64_t>(negative);
    if (negative < 0 && (!is_signed || ~value > most)) refuse(at, shown(from) + " does not fit in " + type.name);
  }
  std::memcpy(to, &value, type.bytes);
}

void store_float(const description& type, const json& from, std::byte* to, const std::string& at) {
  double value = 0;
  if (from.is_number()) {
    value = from.get<double>();
  } else if (from == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else if (from == "inf" || from == "-inf") {
    value = from == "inf" ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
  } else {
    refuse(at, shown(from) + " is not a number");
  }
  if (type.bytes == sizeof value) {
    std::memcpy(to, &value, sizeof value);
    return;
  }
  // What is not below half of the next power of two would be rounded to infinity.
  constexpr double limit = 0x1.ffffffp127;
  if (std::isfinite(value) && std::abs(value) >= limit) refuse(at, shown(from) + " does not fit in " + type.name);
  const auto single = static_cast<float>(value);
  std::memcpy(to, &single, sizeof single);
}

void store_hexadecimal(const description& type, const json& from, std::byte* to, const std::string& at) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  const std::string* const text = from.get_ptr<const std::string*>();
  if (text == nullptr || text->size() != 2 * type.bytes ||
      !std::ranges::all_of(*text, [&](char c) { return digit(c) >= 0; })) {
    refuse(at, shown(from) + " is not a text of " + std::to_string(2 * type.bytes) + " hexadecimal digits");
  }
  for (std::size_t i = 0; i != type.bytes; ++i) {
    to[i] = static_cast<std::byte>(digit((*text)[2 * i]) << 4 | digit((*text)[2 * i + 1]));
  }
}

void store(const description& type, const json& from, std::byte* to, const std::string& at);

void store_structure(const description& type, const json& from, std::byte* to, const std::string& at) {
  const bool named = !type.fields.empty() && !type.fields.front().name.empty();
  if (!named) {
    if (!from.is_array() || from.size() != type.fields.size()) {
      refuse(at, shown(from) + " is not a list of " + std::to_string(type.fields.size()) + " fields");
    }
    for (std::size_t i = 0; i != type.fields.size(); ++i) {
      store(type.fields[i].type, from[i], to + type.fields[i].offset, at + '[' + std::to_string(i) + ']');
    }
    return;
  }
  if (!from.is_object()) refuse(at, shown(from) + " is not an object");
  for (const described_field& field : type.fields) {
    const auto value = from.find(field.name);
    if (value == from.end()) refuse(at + '.' + field.name, "missing");
    store(field.type, *value, to + field.offset, at + '.' + field.name);
  }
  if (from.size() == type.fields.size()) return;
  for (const auto& item : from.items()) {
    if (std::ranges::find(type.fields, item.key(), &described_field::name) == type.fields.end()) {
      refuse(at, shown(item.key()) + " is not a field");
    }
  }
}

void store_array(const description& type, const json& from, std::byte* to, const std::string& at) {
  const description& element = type.of.front();
  if (const std::string* const text = from.get_ptr<const std::string*>();
      text != nullptr && element.kind == type_kind::character) {
    if (text->size() > type.count) {
      refuse(at, "a text of " + std::to_string(text->size()) + " bytes does not fit in " + std::to_string(type.count));
    }
    std::memcpy(to, text->data(), text->size());
    return;
  }
  if (!from.is_array() || from.size() != type.count) {
    refuse(at, (from.is_array() ? "a list of " + std::to_string(from.size()) : shown(from)) + " is not a list of " +
                   std::to_string(type.count));
  }
  for (std::size_t i = 0; i != type.count; ++i) {
    store(element, from[i], to + i * element.bytes, at + '[' + std::to_string(i) + ']');
  }
}

void store(const description& type, const json& from, std::byte* to, const std::string& at) {
  switch (type.kind) {
    case type_kind::structure: return store_structure(type, from, to, at);
    case type_kind::array: return store_array(type, from, to, at);
    case type_kind::enumeration:
    case type_kind::duration:
    case type_kind::time_point: return store(type.of.front(), from, to, at);
    default: break;
  }
  if (is_hexadecimal(type)) return store_hexadecimal(type, from, to, at);
  switch (type.kind) {
    case type_kind::boolean:
      if (!from.is_boolean()) refuse(at, shown(from) + " is neither true nor false");
      *to = static_cast<std::byte>(from.get<bool>());
      break;
    case type_kind::character:
      if (const std::string* const text = from.get_ptr<const std::string*>(); text != nullptr && text->size() == 1) {
        *to = static_cast<std::byte>(text->front());
        break;
      }
      [[fallthrough]];
    case type_kind::byte:
    case type_kind::unsigned_integer:
    case type_kind::signed_integer: store_integer(type, from, to, at); break;
    default: store_float(type, from, to, at); break;
  }
}

}  // namespace

std::string value_to_json(const description& type, const std::byte* value) {
  std::string out;
  append(out, type, value);
  return out;
}

std::vector<std::byte> value_from_json(const description& type, std::string_view text) {
  if (!is_nested_at_most(most_brackets, text)) refuse({}, "nested too deep");
  json parsed;
  try {
    parsed = json::parse(text);
  } catch (const json::exception& e) {
    const std::string_view what = e.what();
    const std::size_t begin = what.find("] ");  // [json.exception.parse_error.101] ...
    refuse({}, "not JSON: " + std::string(begin == what.npos ? what : what.substr(begin + 2)));
  }
  std::vector<std::byte> bytes(type.bytes);
  store(type, parsed, bytes.data(), {});
  return bytes;
}

}  // namespace belfry::detail
