// Whether the values of a type mean the same in another process.
#pragma once

#include <belfry/detail/layout/elements.hpp>

#include <array>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace belfry {
namespace detail {

template <class T>
constexpr bool looks_shareable();

}  // namespace detail

/// False for types that visibly hold an address: pointers, references, std::string_view, std::span and the
/// like, and arrays and aggregates of these, however deep. Rings and typed views of blocks refuse such a
/// type: in another process that address means something else, or nothing. What cannot be seen: private
/// members of a class, members of a union, a member that is a reference to const, and anything after the
/// first 256 elements of an aggregate, counting each element of its arrays.
///
/// Specialise it to allow a type whose address is never followed in another process, or to refuse your own
/// type:
///
///     template <> inline constexpr bool belfry::shareable<my::job> = true;
template <class T>
inline constexpr bool shareable = detail::looks_shareable<T>();

namespace detail {

/// Classes of the standard library that hide what they hold.
template <class T>
struct holds_address : std::false_type {};
template <class C, class Traits>
struct holds_address<std::basic_string_view<C, Traits>> : std::true_type {};
template <class T, std::size_t N>
struct holds_address<std::span<T, N>> : std::true_type {};
template <class T>
struct holds_address<std::reference_wrapper<T>> : std::true_type {};
template <class Promise>
struct holds_address<std::coroutine_handle<Promise>> : std::true_type {};
template <>
struct holds_address<std::error_code> : std::true_type {};  // of its category
template <>
struct holds_address<std::error_condition> : std::true_type {};
template <class T, std::size_t N>
struct holds_address<std::array<T, N>> : std::bool_constant<!shareable<T>> {};
template <class T>
struct holds_address<std::optional<T>> : std::bool_constant<!shareable<T>> {};
template <class... Ts>
struct holds_address<std::variant<Ts...>> : std::bool_constant<!(shareable<Ts> && ...)> {};
template <class A, class B>
struct holds_address<std::pair<A, B>> : std::bool_constant<!shareable<A> || !shareable<B>> {};
template <class... Ts>
struct holds_address<std::tuple<Ts...>> : std::bool_constant<!(shareable<Ts> && ...)> {};

struct is_shareable {
  template <class T>
  static constexpr bool value = shareable<T>;
};

template <class T>
constexpr bool looks_shareable() {
  if constexpr (std::is_const_v<T> || std::is_volatile_v<T>) {
    return shareable<std::remove_cv_t<T>>;
  } else if constexpr (std::is_pointer_v<T> || std::is_member_pointer_v<T> ||
                       std::is_reference_v<T>) {
    return false;
  } else if constexpr (std::is_array_v<T>) {
    return shareable<std::remove_extent_t<T>>;
  } else if constexpr (holds_address<T>::value) {
    return false;
  } else if constexpr (std::is_class_v<T> && std::is_aggregate_v<T>) {
    return all_elements<T, is_shareable>();
  } else {
    return true;
  }
}

/// What every ring of values demands of their type. Always true: the compiler names what is missing.
template <class T>
constexpr bool can_be_sent() {
  static_assert(std::is_trivially_copyable_v<T>,
                "a value is shared with other processes as its bytes");
  static_assert(shareable<T>,
                "a value holds an address, which means nothing elsewhere: see belfry::shareable");
  static_assert(std::is_default_constructible_v<T>, "a failed receive completes with T{}");
  return true;
}

}  // namespace detail
}  // namespace belfry
