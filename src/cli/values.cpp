#include "values.hpp"

#include "text.hpp"

#include <CLI/CLI.hpp>
#include <array>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace belfry::cli {
namespace {

std::string hex_of(std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte b : bytes) {
    text += digits[std::to_integer<std::size_t>(b >> 4)];
    text += digits[std::to_integer<std::size_t>(b & std::byte{15})];
  }
  return text;
}

/// A JSON string without its quotes; anything else as it is.
std::string unquoted(const std::string& json) {
  return json.starts_with('"') ? nlohmann::json::parse(json).get<std::string>() : json;
}

/// As RFC 4180 has it.
std::string csv_of(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return quoted += '"';
}

}  // namespace

std::optional<described_type> type_of_values(const channel_info& channel) {
  if (channel.type.empty()) return {};
  try {
    described_type type = described_type::parse(channel.type);
    if (type.bytes() == channel.value_bytes) return type;
  } catch (const std::system_error&) {  // another process has written it
  }
  return {};
}

void add_value_options(CLI::App& command, value_options& options) {
  struct choice {
    const char* name;
    value_format format;
    const char* what;
  };
  const std::array choices{
      choice{"--json", value_format::json, "One JSON value a line; hexadecimal digits where no fields are known"},
      choice{"--csv", value_format::csv, "A line with the names of the fields, then a line a value"},
      choice{"--hex", value_format::hex, "Hexadecimal digits, a line a value"},
      choice{"--raw", value_format::raw, "The bytes, with nothing in between"},
  };
  std::vector<CLI::Option*> flags;
  for (const choice& c : choices) {
    CLI::Option* const flag = command.add_flag_callback(
        c.name, [&options, format = c.format] { options.format = format; }, c.what);
    for (CLI::Option* const other : flags) flag->excludes(other);
    flags.push_back(flag);
  }
  command.add_option("--field", options.field, "Only this part of each value: price, legs[2].quantity, [0]")
      ->type_name("FIELD");
}

value_printer::value_printer(const channel_info& channel, value_options options)
    : options_(std::move(options)), type_(type_of_values(channel)) {
  if (options_.field.empty()) {
    if (type_ && options_.format == value_format::csv) columns_ = columns_of(*type_);
    return;
  }
  if (!type_)
    throw std::runtime_error("there is no field \"" + options_.field + "\": the type of the values is not known");
  part_ = find_field(*type_, options_.field);
  if (options_.format != value_format::csv) return;
  columns_ = columns_of(part_->as);
  for (field& c : columns_) c.name = part_->name + (c.name.empty() || c.name.starts_with('[') ? "" : ".") + c.name;
}

void value_printer::print(std::span<const std::byte> value) {
  const described_type* type = type_ && value.size() == type_->bytes() ? &*type_ : nullptr;
  if (type != nullptr && part_) {
    value = value.subspan(part_->offset, part_->bytes);
    type = &part_->as;
  }
  switch (options_.format) {
    case value_format::raw:
      std::cout.write(reinterpret_cast<const char*>(value.data()), static_cast<std::streamsize>(value.size()));
      return;
    case value_format::hex: std::cout << hex_of(value) << '\n'; return;
    case value_format::json:
      if (type != nullptr)
        std::cout << type->to_json(value) << '\n';
      else
        std::cout << '"' << hex_of(value) << "\"\n";
      return;
    case value_format::csv: return print_csv(value);
    case value_format::text: break;
  }
  const std::string text = type != nullptr ? type->to_json(value) : hex_of(value);
  std::cout << shown(type != nullptr ? unquoted(text) : text) << '\n';
}

void value_printer::print_csv(std::span<const std::byte> value) {
  const bool known = !columns_.empty();
  if (!std::exchange(titled_, true)) {
    std::string titles;
    for (const field& c : columns_)
      titles += (&c == columns_.data() ? "" : ",") + csv_of(c.name.empty() ? "value" : c.name);
    std::cout << (known ? titles : "value") << '\n';
  }
  std::string line;
  for (const field& c : columns_) {
    if (c.offset + c.bytes > value.size()) break;
    if (&c != columns_.data()) line += ',';
    line += csv_of(unquoted(c.as.to_json(value.subspan(c.offset, c.bytes))));
  }
  std::cout << (known ? line : hex_of(value)) << '\n';
}

}  // namespace belfry::cli
