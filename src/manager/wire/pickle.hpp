// The small part of Python's pickle format that the requests and replies of a manager need. A pickle can only
// contain None, integers, text, lists, tuples and empty dicts; everything else is refused. The format:
// CPython's Lib/pickletools.py, protocol 4.
#pragma once

#include <belfry/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace belfry::detail::pickle {

struct value;

struct none {
  friend bool operator==(const none&, const none&) = default;
};
struct list {
  std::vector<value> items;
};
struct tuple {
  std::vector<value> items;
};
/// Always empty.
struct dict {
  friend bool operator==(const dict&, const dict&) = default;
};

struct value : std::variant<none, std::int64_t, std::string, list, tuple, dict> {
  using variant::variant;
};
bool operator==(const list& a, const list& b);
bool operator==(const tuple& a, const tuple& b);

/// The value of a pickle. `errc::protocol_error`, with what was wrong, for everything that is not one
/// complete pickle of such values, nests deeper than `max_depth`, or has more than `max_values` values.
/// Allocates memory only in proportion to the bytes.
value load(std::string_view bytes, failure& f);
inline constexpr std::size_t max_depth = 16;
inline constexpr std::size_t max_values = 1 << 20;

/// The pickle of a value, as protocol 4 without frames and memos; every CPython from 3.4 on reads it.
std::string dump(const value& v);

}  // namespace belfry::detail::pickle
