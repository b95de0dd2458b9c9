#include "fields.hpp"

#include "text.hpp"

#include <charconv>
#include <nlohmann/json.hpp>
#include <stdexcept>

// The text of a description has been checked by described_type, which has written it.

namespace belfry::cli {
namespace {

using nlohmann::json;

/// Arrays of more elements stay one column, and so does what would make more columns than these.
constexpr std::size_t most_elements = 16;
constexpr std::size_t most_columns = 1024;

/// Inside of another type, a number is a string: u64, bf16, bool.
std::size_t bytes_of(const json& type) {
  if (!type.is_string()) return type.at("bytes").get<std::size_t>();
  const std::string& name = type.get_ref<const std::string&>();
  const std::size_t digits = name.find_first_of("0123456789");
  if (digits == name.npos) return 1;
  if (name == "f80") return 16;
  return std::stoul(name.substr(digits)) / 8;
}

bool is_char(const json& type) { return type.is_string() && type.get_ref<const std::string&>() == "char"; }
std::string kind_of(const json& type) { return type.is_string() ? "number" : type.at("kind").get<std::string>(); }

std::string name_of(const json& type) {
  if (type.is_string()) return type.get<std::string>();
  const std::string kind = kind_of(type);
  if (kind == "array") return name_of(type.at("of")) + '[' + std::to_string(type.at("count").get<std::size_t>()) + ']';
  if (kind == "duration") {
    const json& ratio = type.at("ratio");
    return "duration<" + name_of(type.at("of")) + ", " + ratio[0].dump() + '/' + ratio[1].dump() + '>';
  }
  if (kind == "time_point") return "time_point<" + type.at("clock").get<std::string>() + '>';
  const std::string name = type.value("name", "");
  return name.empty() ? kind : name;
}

described_type type_of(const json& type) {
  if (!type.is_string()) return described_type::parse(type.dump());
  const std::size_t bytes = bytes_of(type);
  return described_type::parse(json{{"kind", type}, {"bytes", bytes}, {"align", bytes}}.dump());
}

std::string name_in(const json& item, std::size_t index, const std::string& of) {
  if (!item.contains("name")) return of + '[' + std::to_string(index) + ']';
  return (of.empty() ? "" : of + '.') + item.at("name").get<std::string>();
}

field field_of(const json& type, std::string name, std::size_t offset) {
  return {std::move(name), name_of(type), offset, bytes_of(type), type_of(type)};
}

/// Calls `each` with type, name and offset of every field of a structure.
template <class Each>
void each_field(const json& structure, const std::string& name, std::size_t offset, Each each) {
  std::size_t index = 0;
  for (const json& item : structure.at("fields"))
    each(item.at("type"), name_in(item, index++, name), offset + item.at("offset").get<std::size_t>());
}

void list(const json& type, const std::string& name, std::size_t offset, std::vector<field>& out) {
  if (kind_of(type) == "array") return list(type.at("of"), name + "[]", offset, out);
  if (kind_of(type) != "struct") return;
  each_field(type, name, offset, [&](const json& part, const std::string& part_name, std::size_t at) {
    out.push_back(field_of(part, part_name, at));
    list(part, part_name, at, out);
  });
}

void take_apart(const json& type, const std::string& name, std::size_t offset, std::vector<field>& out) {
  const std::string kind = kind_of(type);
  const auto deeper = [&](const json& part, const std::string& part_name, std::size_t at) {
    take_apart(part, part_name, at, out);
  };
  if (out.size() < most_columns) {
    if (kind == "struct" && !type.at("fields").empty()) return each_field(type, name, offset, deeper);
    const std::size_t count = kind == "array" ? type.at("count").get<std::size_t>() : 0;
    if (kind == "array" && count <= most_elements && !is_char(type.at("of"))) {
      const json& element = type.at("of");
      for (std::size_t i = 0; i != count; ++i)
        deeper(element, name + '[' + std::to_string(i) + ']', offset + i * bytes_of(element));
      return;
    }
  }
  out.push_back(field_of(type, name, offset));
}

/// The part of a name up to the next `.` or `[`, which is cut off; "[3]" with its brackets.
std::string next_step(std::string_view& name) {
  if (name.starts_with('.')) name.remove_prefix(1);
  const std::size_t end = name.starts_with('[') ? name.find(']') + 1 : name.find_first_of(".[");
  const std::string step(name.substr(0, end == 0 ? name.npos : end));
  name.remove_prefix(step.size());
  return step;
}

/// SIZE_MAX if it is no number.
std::size_t index_in(const std::string& step) {
  std::string_view digits = step;
  if (digits.starts_with('[') && digits.ends_with(']')) digits = digits.substr(1, digits.size() - 2);
  std::size_t index = SIZE_MAX;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  return ec == std::errc() && end == digits.data() + digits.size() ? index : SIZE_MAX;
}

[[noreturn]] void no_field(const std::string& step, const std::string& of, const std::string& instead) {
  throw std::runtime_error("there is no field \"" + step + "\" in " + (of.empty() ? "the value" : of) + ": " + instead);
}

}  // namespace

std::vector<field> fields_of(const described_type& type) {
  std::vector<field> all;
  list(json::parse(type.description()), "", 0, all);
  return all;
}

std::vector<field> columns_of(const described_type& type) {
  std::vector<field> all;
  take_apart(json::parse(type.description()), "", 0, all);
  return all;
}

field find_field(const described_type& type, std::string_view name) {
  const json whole = json::parse(type.description());
  const json* at = &whole;
  std::string path;
  std::size_t offset = 0;
  do {
    const std::string step = next_step(name);
    const std::size_t index = index_in(step);
    const std::string kind = kind_of(*at);
    if (kind == "array") {
      const std::size_t count = at->at("count").get<std::size_t>();
      if (index >= count) no_field(step, path, "it has the elements 0 to " + std::to_string(count - 1));
      at = &at->at("of");
      offset += index * bytes_of(*at);
      path += '[' + std::to_string(index) + ']';
      continue;
    }
    if (kind != "struct") no_field(step, path, "it is " + name_of(*at) + ", of which no fields are known");
    const json* found = nullptr;
    std::string names;
    std::size_t number = 0;
    for (const json& item : at->at("fields")) {
      const std::string own = item.contains("name") ? item.at("name").get<std::string>() : std::to_string(number);
      if (item.contains("name") ? own == step : number == index) found = &item;
      names += (names.empty() ? "" : ", ") + own;
      ++number;
    }
    if (found == nullptr) no_field(step, path, "it has " + (names.empty() ? "none" : names));
    path = name_in(*found, index, path);
    offset += found->at("offset").get<std::size_t>();
    at = &found->at("type");
  } while (!name.empty());
  return field_of(*at, path, offset);
}

}  // namespace belfry::cli
