// What differs between two types, for a text that a person reads.
#include "description.hpp"

#include <algorithm>

namespace belfry::detail {
namespace {

constexpr std::size_t most_shown_bytes = 400;

/// As in C++, with the fields of a structure if `whole`.
std::string show(const description& type, bool whole) {
  switch (type.kind) {
    case type_kind::structure: {
      std::string text = type.name.empty() ? "struct" : type.name;
      if (!whole) return text;
      std::string fields;
      for (const described_field& field : type.fields) {
        if (!fields.empty()) fields += ' ';
        fields += show(field.type, true);
        if (!field.name.empty()) fields += ' ' + field.name;
        fields += ';';
      }
      return text + " {" + fields + '}';
    }
    case type_kind::array: return show(type.of.front(), whole) + '[' + std::to_string(type.count) + ']';
    case type_kind::enumeration:
      return "enum " + type.name + (type.name.empty() ? "(" : " (") + show(type.of.front(), whole) + ')';
    case type_kind::duration:
      return "duration<" + show(type.of.front(), whole) + ", " + std::to_string(type.numerator) +
             (type.denominator == 1 ? "" : '/' + std::to_string(type.denominator)) + '>';
    case type_kind::time_point: return "time_point<" + type.clock + ", " + show(type.of.front(), whole) + '>';
    case type_kind::opaque:
      return "opaque " + type.name + (type.name.empty() ? "(" : " (") + std::to_string(type.bytes) + " bytes)";
    default: return type.name;
  }
}

std::string show_all(const description& type) {
  std::string text = show(type, true);
  if (text.size() <= most_shown_bytes) return text;
  std::size_t end = most_shown_bytes;
  while (end != 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

/// A name, or a number; then a place inside of it.
std::string field_at(const std::string& path) {
  if (path.empty()) return "the type";
  const bool is_number = std::ranges::all_of(path, [](char c) { return c >= '0' && c <= '9'; });
  return is_number ? "field " + path : "field \"" + path + '"';
}

class comparison {
 public:
  /// Opaque types with other names are different only if `names`: compilers spell some names differently.
  explicit comparison(bool names) : names_(names) {}

  /// `at_there` and `at_here` are said of the two types if they are said.
  std::string types(const description& found, const description& expected, const std::string& path,
                    const std::string& at_there = {}, const std::string& at_here = {}) const {
    if (found.kind == type_kind::structure && expected.kind == type_kind::structure) {
      std::string text = fields(found, expected, path);
      if (text.empty() && found.bytes != expected.bytes) {
        text = field_at(path) + " has " + std::to_string(found.bytes) + " bytes there, " +
               std::to_string(expected.bytes) + " here";
      }
      return text.empty() ? alignment(found, expected, path) : text;
    }
    if (found.kind == type_kind::array && expected.kind == type_kind::array && found.count == expected.count) {
      const std::string text = types(found.of.front(), expected.of.front(), path + "[]");
      return text.empty() ? alignment(found, expected, path) : text;
    }
    if (!same(found, expected)) {
      return field_at(path) + " is " + show(found, false) + at_there + " there, " + show(expected, false) + at_here +
             " here";
    }
    return alignment(found, expected, path);
  }

 private:
  bool same(const description& a, const description& b) const {
    if (a.kind != b.kind || a.bytes != b.bytes) return false;
    return (a.kind == type_kind::opaque && !names_) || show(a, true) == show(b, true);
  }
  std::string alignment(const description& found, const description& expected, const std::string& path) const {
    if (found.align == expected.align) return {};
    return field_at(path) + " is aligned to " + std::to_string(found.align) + " there, " +
           std::to_string(expected.align) + " here";
  }

  std::string fields(const description& found, const description& expected, const std::string& path) const {
    const std::string before = path.empty() ? path : path + '.';
    const bool names_there = !found.fields.empty() && !found.fields.front().name.empty();
    const bool names_here = !expected.fields.empty() && !expected.fields.front().name.empty();
    if (names_there != names_here && !found.fields.empty() && !expected.fields.empty()) {
      return "the fields of " + (path.empty() ? "the type" : field_at(path)) + " have " +
             (names_there ? "names there, none here" : "no names there, some here");
    }
    for (std::size_t i = 0; i != expected.fields.size(); ++i) {
      const described_field& here = expected.fields[i];
      const described_field* const there = counterpart(here, i, found.fields);
      const std::string place = before + name_of(here, i);
      if (there == nullptr) return field_at(place) + " is missing there";
      const std::string text = one_field(*there, here, place);
      if (!text.empty()) return text;
    }
    for (std::size_t i = 0; i != found.fields.size(); ++i) {
      const described_field& there = found.fields[i];
      if (counterpart(there, i, expected.fields) == nullptr) {
        return field_at(before + name_of(there, i)) + " is missing here";
      }
    }
    return {};
  }

  std::string one_field(const described_field& there, const described_field& here, const std::string& place) const {
    const std::string at_there = " at offset " + std::to_string(there.offset);
    const std::string at_here = there.offset == here.offset ? "" : " at offset " + std::to_string(here.offset);
    const std::string text = types(there.type, here.type, place, at_there, at_here);
    if (!text.empty() || there.offset == here.offset) return text;
    return field_at(place) + " is " + show(there.type, false) + at_there + " there, " + show(here.type, false) + at_here +
           " here";
  }

  static std::string name_of(const described_field& field, std::size_t i) {
    return field.name.empty() ? std::to_string(i) : field.name;
  }
  static const described_field* counterpart(const described_field& field, std::size_t i,
                                            const std::vector<described_field>& others) {
    if (field.name.empty()) return i < others.size() ? &others[i] : nullptr;
    const auto at = std::ranges::find(others, field.name, &described_field::name);
    return at == others.end() ? nullptr : &*at;
  }

  bool names_;
};

}  // namespace

std::string difference(const description& found, const description& expected) {
  std::string text = comparison(false).types(found, expected, {});
  if (text.empty()) text = comparison(true).types(found, expected, {});
  if (text.empty() && found.name != expected.name) {
    text = "the type is named \"" + found.name + "\" there, \"" + expected.name + "\" here";
  }
  if (text.empty()) return text;
  return text + "; there: " + show_all(found) + ", here: " + show_all(expected);
}

std::string difference(std::string_view found, const type_description& expected, std::size_t most_bytes) {
  std::string error;
  const std::optional<description> there = parse_description(found, error);
  if (!there) return "the description there cannot be read: " + error;
  return difference(*there, reduced(expected, most_bytes));
}

}  // namespace belfry::detail
