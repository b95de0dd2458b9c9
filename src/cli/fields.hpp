// The fields of a described type: as a list, and by name.
#pragma once

#include <belfry/describe.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::cli {

/// A part of a value.
struct field {
  std::string name;  ///< from the whole value on: `legs[2].quantity`, or `[0]` where fields are numbered
  std::string type;  ///< u64, leg, char[5]
  std::size_t offset = 0;
  std::size_t bytes = 0;
  described_type as;
};

/// Every field, with those of structures behind their structure. Of an array of structures, those of the first: they
/// are named `legs[].quantity`.
std::vector<field> fields_of(const described_type& type);

/// What a value has if its structures, and short arrays, are taken apart. A value that has no parts is one, without a
/// name.
std::vector<field> columns_of(const described_type& type);

/// By its name. Throws std::runtime_error, with a text that says what there is instead.
field find_field(const described_type& type, std::string_view name);

}  // namespace belfry::cli
