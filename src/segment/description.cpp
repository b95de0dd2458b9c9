#include "description.hpp"

#include "../base/utf8.hpp"
#include "json_text.hpp"
#include "self_description.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <unordered_set>

namespace belfry::detail {
namespace {

using json = nlohmann::json;

struct number_type {
  std::string_view name;
  type_kind kind;
  std::size_t bytes;
};
constexpr number_type numbers[] = {
    {"bool", type_kind::boolean, 1},        {"char", type_kind::character, 1},
    {"byte", type_kind::byte, 1},           {"u8", type_kind::unsigned_integer, 1},
    {"u16", type_kind::unsigned_integer, 2}, {"u32", type_kind::unsigned_integer, 4},
    {"u64", type_kind::unsigned_integer, 8}, {"u128", type_kind::unsigned_integer, 16},
    {"i8", type_kind::signed_integer, 1},   {"i16", type_kind::signed_integer, 2},
    {"i32", type_kind::signed_integer, 4},  {"i64", type_kind::signed_integer, 8},
    {"i128", type_kind::signed_integer, 16}, {"f16", type_kind::floating, 2},
    {"bf16", type_kind::floating, 2},       {"f32", type_kind::floating, 4},
    {"f64", type_kind::floating, 8},        {"f80", type_kind::floating, 16},
    {"f128", type_kind::floating, 16},
};

const number_type* number_of(std::string_view name) {
  const auto at = std::ranges::find(numbers, name, &number_type::name);
  return at == std::end(numbers) ? nullptr : at;
}
bool is_number(type_kind kind) { return kind <= type_kind::floating; }

constexpr std::size_t most_name_bytes = 200;
constexpr std::size_t most_value_bytes = std::size_t{1} << 30;
constexpr std::size_t most_types = 2000;  // more do not fit in a text

/// Names end up in messages on terminals.
std::string printable(std::string_view name) {
  std::string text(name.substr(0, most_name_bytes));
  while (!text.empty() && !is_utf8(text)) text.pop_back();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters as well.
    const bool second = i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c < 0x20 || c == 0x7f) text[i] = '?';
    if (c == 0xc2 && second) text.replace(i, 2, "?");
  }
  return text;
}

// ---- from the program's own types

/// With `structures` of them inside of each other; those below are opaque, and so is what is deeper than `depth`.
/// `types` counts down to 0.
description copy(const type_description& from, std::size_t depth, std::size_t structures, std::size_t& types) {
  description to;
  to.kind = from.kind;
  to.name = printable(from.name);
  to.bytes = from.bytes;
  to.align = from.align;
  if (types != 0) --types;
  const bool has_parts = from.of != nullptr || !from.fields.empty();
  if ((from.kind == type_kind::structure && structures-- == 0) || (has_parts && (depth-- == 0 || types == 0))) {
    to.kind = type_kind::opaque;
    return to;
  }
  to.count = from.count;
  to.numerator = from.numerator;
  to.denominator = from.denominator;
  to.clock = printable(from.clock);
  if (from.of != nullptr) to.of.push_back(copy(*from.of, depth, structures, types));
  for (const field_description& field : from.fields) {
    to.fields.push_back({printable(field.name), field.offset, copy(*field.type, depth, structures, types)});
  }
  return to;
}

// ---- to text

std::string json_of(const description& type, bool inside) {
  if (inside && is_number(type.kind) && type.align == type.bytes) return json_string(type.name);
  std::string text = "{";
  const auto add = [&text](std::string_view key, const std::string& value) {
    if (text.size() != 1) text += ',';
    (text += json_string(key)) += ':';
    text += value;
  };
  if (!type.name.empty()) add("name", json_string(type.name));
  add("bytes", std::to_string(type.bytes));
  add("align", std::to_string(type.align));
  switch (type.kind) {
    case type_kind::structure: {
      add("kind", json_string("struct"));
      std::string list;
      for (const described_field& field : type.fields) {
        list += list.empty() ? "{" : ",{";
        if (!field.name.empty()) list += "\"name\":" + json_string(field.name) + ',';
        list += "\"type\":" + json_of(field.type, true) + ",\"offset\":" + std::to_string(field.offset) + '}';
      }
      add("fields", '[' + list + ']');
      break;
    }
    case type_kind::array:
      add("kind", json_string("array"));
      add("count", std::to_string(type.count));
      add("of", json_of(type.of.front(), true));
      break;
    case type_kind::enumeration:
      add("kind", json_string("enum"));
      add("of", json_of(type.of.front(), true));
      break;
    case type_kind::duration:
      add("kind", json_string("duration"));
      add("of", json_of(type.of.front(), true));
      add("ratio", '[' + std::to_string(type.numerator) + ',' + std::to_string(type.denominator) + ']');
      break;
    case type_kind::time_point:
      add("kind", json_string("time_point"));
      add("clock", json_string(type.clock));
      add("of", json_of(type.of.front(), true));
      break;
    case type_kind::opaque: add("kind", json_string("opaque")); break;
    default: add("kind", json_string(type.name)); break;
  }
  return text + '}';
}

// ---- from text

class reader {
 public:
  description type(const json& from, const std::string& at, std::size_t depth) const {
    if (depth == 0) refuse(at, "is nested too deep");
    description to;
    if (from.is_string()) {
      const number_type* number = number_of(from.get_ref<const std::string&>());
      if (number == nullptr) refuse(at, "is no number that is known");
      to.kind = number->kind;
      to.name = number->name;
      to.bytes = to.align = number->bytes;
      return to;
    }
    if (!from.is_object()) refuse(at, "is not a type");
    if (from.contains("name")) to.name = text(from, "name", at);
    to.bytes = count(from, "bytes", at, most_value_bytes);
    to.align = count(from, "align", at, most_value_bytes);
    if (to.bytes == 0) refuse(at + ".bytes", "is 0");
    if ((to.align & (to.align - 1)) != 0 || to.align == 0 || to.bytes % to.align != 0) {
      refuse(at + ".align", "is no alignment of such a type");
    }
    const std::string kind = text(from, "kind", at);
    if (kind == "struct") {
      to.kind = type_kind::structure;
      fields(to, from, at, depth);
    } else if (kind == "array") {
      to.kind = type_kind::array;
      to.count = count(from, "count", at, to.bytes);
      to.of.push_back(type(member(from, "of", at), at + ".of", depth - 1));
      if (std::uint64_t{to.of.front().bytes} * to.count != to.bytes) refuse(at + ".count", "does not fit the number of bytes");
    } else if (kind == "enum") {
      to.kind = type_kind::enumeration;
      same_bytes(to, from, at, depth);
      if (!is_number(to.of.front().kind)) refuse(at + ".of", "is no number");
    } else if (kind == "duration") {
      to.kind = type_kind::duration;
      same_bytes(to, from, at, depth);
      const json& ratio = member(from, "ratio", at);
      if (!ratio.is_array() || ratio.size() != 2 || !is_positive(ratio[0]) || !is_positive(ratio[1])) {
        refuse(at + ".ratio", "is not a pair of positive integers");
      }
      to.numerator = ratio[0].get<std::int64_t>();
      to.denominator = ratio[1].get<std::int64_t>();
    } else if (kind == "time_point") {
      to.kind = type_kind::time_point;
      to.clock = text(from, "clock", at);
      same_bytes(to, from, at, depth);
      if (to.of.front().kind != type_kind::duration) refuse(at + ".of", "is no duration");
    } else if (const number_type* number = number_of(kind)) {
      to.kind = number->kind;
      to.name = number->name;
      if (to.bytes != number->bytes) refuse(at + ".bytes", "is not the size of " + kind);
    } else if (kind != "opaque") {
      refuse(at + ".kind", "is not known");
    }
    return to;
  }

 private:
  [[noreturn]] static void refuse(const std::string& at, const std::string& why) {
    throw std::invalid_argument(at + ' ' + why);
  }
  static const json& member(const json& from, const char* key, const std::string& at) {
    const auto found = from.find(key);
    if (found == from.end()) refuse(at + '.' + key, "is missing");
    return *found;
  }
  static std::string text(const json& from, const char* key, const std::string& at) {
    const json& value = member(from, key, at);
    if (!value.is_string()) refuse(at + '.' + key, "is not a text");
    return printable(value.get_ref<const std::string&>());
  }
  static std::size_t count(const json& from, const char* key, const std::string& at, std::size_t most) {
    const json& value = member(from, key, at);
    if (!value.is_number_unsigned()) refuse(at + '.' + key, "is not a natural number");
    if (value.get<std::uint64_t>() > most) refuse(at + '.' + key, "is too large");
    return value.get<std::size_t>();
  }
  static bool is_positive(const json& value) {
    return value.is_number_unsigned() && value.get<std::uint64_t>() != 0 && value.get<std::uint64_t>() <= INT64_MAX;
  }
  void same_bytes(description& to, const json& from, const std::string& at, std::size_t depth) const {
    to.of.push_back(type(member(from, "of", at), at + ".of", depth - 1));
    if (to.of.front().bytes != to.bytes) refuse(at + ".of", "has another size");
  }
  void fields(description& to, const json& from, const std::string& at, std::size_t depth) const {
    const json& list = member(from, "fields", at);
    if (!list.is_array()) refuse(at + ".fields", "is not a list");
    std::unordered_set<std::string> names;
    for (const json& item : list) {
      const std::string place = at + ".fields[" + std::to_string(to.fields.size()) + ']';
      if (!item.is_object()) refuse(place, "is not a field");
      described_field field;
      if (item.contains("name")) field.name = text(item, "name", place);
      field.offset = count(item, "offset", place, to.bytes);
      field.type = type(member(item, "type", place), place + ".type", depth - 1);
      if (field.type.bytes > to.bytes - field.offset) refuse(place, "ends outside of its structure");
      if (!to.fields.empty() && field.offset < to.fields.back().offset) refuse(place, "is not in the order of offsets");
      if (!to.fields.empty() && field.name.empty() != to.fields.back().name.empty()) {
        refuse(place, "has a name, and another field has none, or the other way round");
      }
      if (!field.name.empty() && !names.insert(field.name).second) refuse(place, "has the name of another field");
      to.fields.push_back(std::move(field));
    }
    if (content_bytes(to) > to.bytes) refuse(at + ".fields", "overlap");
  }

  /// As for a type_description.
  static std::size_t content_bytes(const description& type) {
    if (type.kind == type_kind::array) {
      return type.count * std::max<std::size_t>(1, content_bytes(type.of.front()));
    }
    if (type.kind != type_kind::structure) return type.bytes;
    std::size_t sum = 0;
    for (const described_field& field : type.fields) sum += content_bytes(field.type);
    return sum;
  }
};

}  // namespace

description reduced(const type_description& type, std::size_t most_bytes) {
  for (const std::size_t structures : {most_depth, std::size_t{1}}) {
    std::size_t types = most_types;
    description all = copy(type, most_depth - 1, structures, types);
    if (types != 0 && to_json(all).size() <= most_bytes) return all;
  }
  std::size_t types = 1;
  return copy(type, 0, 0, types);
}

std::string to_json(const description& type) { return json_of(type, false); }

std::string to_json(const type_description& type, std::size_t most_bytes) {
  return to_json(reduced(type, most_bytes));
}

namespace {

/// Of any origin; discarded if it is not JSON, or has more than a description may have.
json parse(std::string_view text, std::size_t brackets, std::string& error) {
  json parsed(json::value_t::discarded);
  if (text.size() > most_description_bytes) {
    error = "the description is longer than " + std::to_string(most_description_bytes) + " bytes";
  } else if (!is_nested_at_most(brackets, text)) {
    error = "the description is nested too deep";
  } else if (parsed = json::parse(text, nullptr, false); parsed.is_discarded()) {
    error = "the description is not JSON";
  }
  return parsed;
}

}  // namespace

std::string type_in(std::string_view segment_description) {
  std::string ignored;
  const json all = parse(segment_description, most_brackets + 1, ignored);
  if (!all.is_object()) return {};
  const auto type = all.find("type");
  return type != all.end() && type->is_object() ? type->dump() : std::string();
}

std::optional<description> parse_description(std::string_view text, std::string& error) {
  const json parsed = parse(text, most_brackets, error);
  if (parsed.is_discarded()) return {};
  try {
    if (!parsed.is_object()) throw std::invalid_argument("type is not an object");
    return reader().type(parsed, "type", most_depth);
  } catch (const std::invalid_argument& e) {
    error = e.what();
    return {};
  }
}

}  // namespace belfry::detail
