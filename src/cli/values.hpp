// What the commands print of the values in a channel.
#pragma once

#include "fields.hpp"

#include <belfry/inspect.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace belfry::cli {

enum class value_format {
  text,  ///< for people: JSON where the fields are known, else hexadecimal digits
  json,  ///< a JSON value a line; what has no known fields is a string of hexadecimal digits
  csv,   ///< a line with the names of the fields, then a line a value
  hex,   ///< hexadecimal digits, a line a value
  raw,   ///< the bytes, with nothing in between
};

struct value_options {
  value_format format = value_format::text;
  std::string field;  ///< `legs[2].quantity`: only this part of every value; empty: all
};

/// --json, --csv, --hex, --raw, of which there may be one; --field.
void add_value_options(CLI::App& command, value_options& options);

/// Prints values to standard output, and flushes nothing.
///
///     value_printer printer(inspect(name), options);
///     printer.print(value);
class value_printer {
 public:
  /// Throws std::runtime_error if the values have no such field.
  value_printer(const channel_info& channel, value_options options);

  /// Any bytes, of any number: what is no value of the channel's type is printed as bytes.
  void print(std::span<const std::byte> value);

 private:
  void print_csv(std::span<const std::byte> value);

  value_options options_;
  std::optional<described_type> type_;  ///< of the whole values; none: they are bytes
  std::optional<field> part_;
  std::vector<field> columns_;
  bool titled_ = false;
};

/// The type of the channel's values, if the segment describes it, and as large as they are.
std::optional<described_type> type_of_values(const channel_info& channel);

}  // namespace belfry::cli
