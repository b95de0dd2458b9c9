// The elements of an aggregate: its bases and members, and those of its arrays one by one.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace belfry::detail {

/// Becomes whatever an element is. To become one of which the predicate is false might throw, it says: so
/// `noexcept` of an initialization tells of all its elements. (A conversion that did not exist would tell of one, but
/// then the compiler looks for others: braces may be left out.) Never called.
template <class Aggregate, class Predicate>
struct element {
  template <class T>
  requires(!std::is_same_v<T, Aggregate>) operator T() const noexcept(Predicate::template value<T>);
};
/// Becomes only an element that is a reference.
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

/// Has as many as `Low`, and not `High`. Where more can be initialized fewer can, too: the rest has defaults.
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

/// Whether the predicate holds for all elements that can be seen.
template <class T, class Predicate>
constexpr bool all_elements() {
  constexpr std::size_t n = count_elements<T>();
  constexpr auto all = std::make_index_sequence<n>();
  // What is left out of the first 256 might throw, too.
  if constexpr (cannot_throw<T, always>(all) && !cannot_throw<T, Predicate>(all)) {
    return false;
  } else if constexpr (n < most_elements && can_initialize<T, always, reference_element<T>>(all)) {
    return false;  // else it could have been initialized without
  } else {
    return true;
  }
}

}  // namespace belfry::detail
