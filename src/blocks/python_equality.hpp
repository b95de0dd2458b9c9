// When two values are equal in Python.
#pragma once

#include <belfry/shareable_list.hpp>

#include <cstdint>
#include <type_traits>
#include <variant>

namespace belfry::detail {

inline std::int64_t number_of(bool b) { return b ? 1 : 0; }
inline std::int64_t number_of(std::int64_t i) { return i; }
inline double number_of(double d) { return d; }

inline bool equal_numbers(std::int64_t a, std::int64_t b) { return a == b; }
/// Exact, without rounding: above 2^53 not every integer is a double.
inline bool equal_numbers(std::int64_t i, double d) {
  constexpr double end = 0x1p63;  // above all 64-bit integers
  return d >= -end && d < end && static_cast<std::int64_t>(d) == i &&
         static_cast<double>(static_cast<std::int64_t>(d)) == d;
}
inline bool equal_numbers(double d, std::int64_t i) { return equal_numbers(i, d); }

inline bool equal_in_python(const shareable_list::value& a, const shareable_list::value& b) {
  return std::visit(
      []<class A, class B>(const A& x, const B& y) {
        if constexpr (std::is_same_v<A, B>) {
          return x == y;
        } else if constexpr (std::is_arithmetic_v<A> && std::is_arithmetic_v<B>) {
          return equal_numbers(number_of(x), number_of(y));
        } else {
          return false;
        }
      },
      a, b);
}

}  // namespace belfry::detail
