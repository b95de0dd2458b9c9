// The members of an aggregate: how many there are, and each of them.
#pragma once

#include <belfry/detail/layout/elements.hpp>
#include <belfry/detail/layout/member_table.hpp>
#include <belfry/detail/layout/type_text.hpp>

#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace belfry::detail {

/// Converts only to what the predicate holds for.
template <class Aggregate, class Predicate>
struct only {
  template <class T>
  requires(!std::is_same_v<T, Aggregate> && Predicate::template value<T>)
  operator T() const noexcept;
};
template <class Derived>
struct is_base {
  template <class T>
  static constexpr bool value = std::is_base_of_v<T, Derived>;
};
/// A union, or a type without a name. A member of such a type may itself have no name.
struct may_be_anonymous {
  template <class T>
  static constexpr bool value = std::is_union_v<T> || (std::is_class_v<T> && is_unnamed(compilers_name<T>()));
};
/// Converts to nothing; only a constructor that accepts anything accepts it.
struct stranger {};

template <class T, std::size_t N = 0>
constexpr std::size_t count_members() {
  if constexpr (N == most_members) {
    return N;
  } else if constexpr (takes<T, N + 1>()) {
    return count_members<T, N + 1>();
  } else {
    return N;
  }
}

/// Whether a member may have no name, among the first N.
template <class T, std::size_t N>
constexpr bool has_anonymous_member() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    return (takes<T, I, only<T, may_be_anonymous>>() || ...);
  }(std::make_index_sequence<N>());
}

/// Whether `auto& [...]` with count_members<T>() names is certain to compile. What it cannot take apart would be an
/// error in this header; so bases, members without a name, and members that cannot be counted are excluded first.
template <class T>
constexpr bool members_can_be_bound() {
  if constexpr (!std::is_class_v<T> || !std::is_aggregate_v<T> || requires { std::tuple_size<T>::value; }) {
    return false;
  } else if constexpr (!takes<T, 0>() || takes<T, 0, only<T, is_base<T>>>()) {
    return false;
  } else {
    // A member that cannot be initialized with empty braces ends the count too early.
    constexpr std::size_t n = count_members<T>();
    using any = element<T, always>;
    return !takes<T, n, any>() && !takes<T, n, any, any>() && !takes<T, n, any, any, any>() &&
           !takes<T, n, stranger>() && !takes<T, n, reference_element<T>>() &&
           !has_anonymous_member<T, n>();
  }
}

}  // namespace belfry::detail
