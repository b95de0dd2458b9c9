// What is known of a type: the model that the fingerprint, the description in a segment and the tool share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace belfry::detail {

enum class type_kind {
  boolean,
  character,  // `char`
  byte,
  signed_integer,
  unsigned_integer,
  floating,
  enumeration,
  array,
  structure,
  duration,
  time_point,
  opaque,  // its bytes, and no more, are known
};

struct type_description;

struct field_description {
  std::string_view name;  // empty: it is known by its position only
  std::size_t offset = 0;
  const type_description* type = nullptr;
};

/// Objects of this type are constants, with static lifetime, as is everything that they point to.
struct type_description {
  type_kind kind = type_kind::opaque;
  std::string_view name;  // without namespaces; a number's is `u64`, `f32`, ..., see src/segment/description.hpp
  bool named = false;     // by a specialisation of belfry::type_name: the name is part of the fingerprint
  std::size_t bytes = 0;
  std::size_t align = 0;
  std::size_t count = 0;                      // of an array's elements
  const type_description* of = nullptr;       // of an array, an enumeration, a duration, a time_point
  std::span<const field_description> fields;  // of a structure, by offset
  std::intmax_t numerator = 0;                // of a duration's unit, in seconds
  std::intmax_t denominator = 0;
  std::string_view clock;  // of a time_point
  std::uint64_t fingerprint = 0;
};

/// The bytes that a value's parts have together; those in arrays have at least one byte each. A type in which they
/// exceed the size, because fields overlap, is not described: a reader could be made to read bytes over and over.
constexpr std::size_t content_bytes(const type_description& type) {
  if (type.kind == type_kind::array) {
    const std::size_t each = content_bytes(*type.of);
    return type.count * (each == 0 ? 1 : each);
  }
  if (type.kind != type_kind::structure) return type.bytes;
  std::size_t sum = 0;
  for (const field_description& field : type.fields) sum += content_bytes(*field.type);
  return sum;
}

}  // namespace belfry::detail
