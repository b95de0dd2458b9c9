// The description of a type as text, and as what was read from such a text.
//
// The text is JSON. A type is an object, or, inside of another type, a string if it is a number:
//
//     {"name":"tick","bytes":24,"align":8,"kind":"struct","fields":[
//       {"name":"seq","type":"u64","offset":0},
//       {"name":"price","type":"f64","offset":8},
//       {"name":"text","type":{"bytes":5,"align":1,"kind":"array","count":5,"of":"char"},"offset":16}]}
//
// | key | |
// |---|---|
// | `name` | of the type, without namespaces; may be missing, and may not be an identifier |
// | `bytes`, `align` | its size and alignment |
// | `kind` | one of the following |
//
// | kind | further keys |
// |---|---|
// | `struct` | `fields`, by offset: `type`, `offset` in bytes from the beginning of this structure, and `name`. Either all fields have a name, and all names differ, or none has: then they are numbered. Bytes between fields mean nothing. There may be no field |
// | `array` | `count` elements, without gaps, `of` a type |
// | `enum` | a number `of` a type: its numbers are not named |
// | `duration` | `of` a type, in the unit `ratio`: `[numerator, denominator]` of seconds |
// | `time_point` | `of` a duration since the epoch of the `clock` |
// | `opaque` | nothing but the bytes is known |
// | a number | |
//
// Numbers, little-endian: `bool`, `char`, `byte`, `u8` to `u128`, `i8` to `i128`, `f16`, `bf16`, `f32`, `f64`, `f80`
// (in 16 bytes), `f128`. As a string they are aligned to their size.
//
// A description that is too long is given with less: the types of its fields without their own fields, or, if that
// is too long as well, as an opaque type.
#pragma once

#include <belfry/detail/layout/type_description.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::detail {

struct described_field;

/// A type_description that owns what it says.
struct description {
  type_kind kind = type_kind::opaque;
  std::string name;
  std::size_t bytes = 0;
  std::size_t align = 0;
  std::size_t count = 0;
  std::vector<description> of;  // one, where there is one
  std::vector<described_field> fields;
  std::int64_t numerator = 0;
  std::int64_t denominator = 0;
  std::string clock;
};

struct described_field {
  std::string name;
  std::size_t offset = 0;
  description type;
};

/// The longest text that is written and read.
inline constexpr std::size_t most_description_bytes = 16 * 1024;

/// As much of a description as its text has room for.
description reduced(const type_description& type, std::size_t most_bytes = most_description_bytes);

std::string to_json(const description& type);
std::string to_json(const type_description& type, std::size_t most_bytes = most_description_bytes);

/// Reads a text that anyone may have written. What it answers is consistent: every part lies inside of what it is a
/// part of, and no more bytes are described than there are. If the text is not a description, `error` says why.
std::optional<description> parse_description(std::string_view text, std::string& error);

/// What is different, and both types in one line: `field "price" is f64 at offset 8 there, i64 here; there: tick
/// {u64 seq; f64 price;}, here: tick {u64 seq; i64 price;}`. Empty if no difference is visible.
std::string difference(const description& found, const description& expected);
/// The same for the text in a segment, which was written with the same `most_bytes`.
std::string difference(std::string_view found, const type_description& expected,
                       std::size_t most_bytes = most_description_bytes);

/// The value as JSON; there have to be as many bytes as the type has. describe.hpp says how values look.
std::string value_to_json(const description& type, const std::byte* value);
/// The bytes of a value. If the text does not fit, throws std::invalid_argument with the place and the reason.
std::vector<std::byte> value_from_json(const description& type, std::string_view text);

}  // namespace belfry::detail
