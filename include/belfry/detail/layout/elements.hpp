// The elements of an aggregate: its bases and members, and each element of its arrays.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace belfry::detail {

/// Converts to any element. The conversion to an element for which the predicate is false is not noexcept; so
/// `noexcept` of an initialization tells whether the predicate holds for all elements. (A missing conversion
/// would not do: the compiler then tries to initialize the members of that element instead, as if braces were
/// left out.) Never called.
template <class Aggregate, class Predicate>
struct element {
  template <class T>
  requires(!std::is_same_v<T, Aggregate>) operator T() const noexcept(Predicate::template value<T>);
};
/// Converts only to an element that is a reference.
template <class Aggregate>
struct reference_element {
  template <class T>
  requires(!std::is_same_v<T, Aggregate>) operator T&() const noexcept;
};

struct always {
  template <class T>
  static constexpr bool value = true;
};

template <class Element, std::size_t>
using repeated = Element;

template <class T, class Predicate, class... Last, std::size_t... I>
constexpr bool can_initialize(std::index_sequence<I...>) {
  return requires { T{repeated<element<T, Predicate>, I>()..., Last()...}; };
}
template <class T, class Predicate, std::size_t... I>
constexpr bool cannot_throw(std::index_sequence<I...>) {
  return requires { requires noexcept(T{repeated<element<T, Predicate>, I>()...}); };
}
template <class T, std::size_t N>
inline constexpr bool has_elements = can_initialize<T, always>(std::make_index_sequence<N>());

inline constexpr std::size_t most_elements = 256;

/// The number of elements, between `Low` (possible) and `High` (impossible). If n can be initialized, so can
/// fewer: the others have defaults.
template <class T, std::size_t Low, std::size_t High>
constexpr std::size_t count_between() {
  constexpr std::size_t middle = (Low + High) / 2;
  if constexpr (middle == Low) {
    return Low;
  } else if constexpr (has_elements<T, middle>) {
    return count_between<T, middle, High>();
  } else {
    return count_between<T, Low, middle>();
  }
}
template <class T, std::size_t N = 1>
constexpr std::size_t count_elements() {
  if constexpr (!has_elements<T, N>) {
    return count_between<T, N / 2, N>();
  } else if constexpr (N < most_elements) {
    return count_elements<T, 2 * N>();
  } else {
    return most_elements;
  }
}

/// Whether the predicate holds for all elements that can be found.
template <class T, class Predicate>
constexpr bool all_elements() {
  constexpr std::size_t n = count_elements<T>();
  constexpr auto all = std::make_index_sequence<n>();
  // Elements after the first 256 are default-initialized, and that might throw as well.
  if constexpr (cannot_throw<T, always>(all) && !cannot_throw<T, Predicate>(all)) {
    return false;
  } else if constexpr (n < most_elements && can_initialize<T, always, reference_element<T>>(all)) {
    return false;  // had it been a value, it could have been left out
  } else {
    return true;
  }
}

}  // namespace belfry::detail
