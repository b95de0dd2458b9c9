// A number for a type's name, the same for every compiler and dialect.
#pragma once

#include <belfry/detail/layout/type_text.hpp>
#include <belfry/ring/type_name.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ratio>
#include <string_view>
#include <type_traits>

namespace belfry::detail {

constexpr std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  for (int byte = 0; byte != 8; ++byte) {
    hash = (hash ^ (value >> (8 * byte) & 0xff)) * 0x100000001b3;
  }
  return hash;
}

/// Arithmetic types, including extended ones: whether `__int128` counts as arithmetic depends on `-std`.
template <class T>
concept number =
    !std::is_class_v<T> && !std::is_union_v<T> && !std::is_enum_v<T> && !std::is_pointer_v<T> &&
    !std::is_member_pointer_v<T> && !std::is_null_pointer_v<T> && !std::is_array_v<T> &&
    !std::is_reference_v<T> && requires(T a, T b) {
  { a < b } -> std::same_as<bool>;
  T(1) / T(2);
};

/// Bits of the significand: tells a `long double` from a `__float128` of the same size.
template <class T>
constexpr std::uint64_t float_digits() {
  std::uint64_t digits = 0;
  for (T epsilon = 1; T(1) + epsilon > T(1); epsilon = epsilon / T(2)) ++digits;
  return digits;
}

/// For a number only its kind and size count: `long` and `long long` are the same eight bytes.
template <number T>
constexpr std::uint64_t number_hash() {
  std::uint64_t hash = 0;
  if constexpr (std::is_same_v<T, bool>) {
    hash = fnv1a("bool");
  } else if constexpr (T(1) / T(2) > T(0)) {
    hash = mix(fnv1a("float"), float_digits<T>());
  } else {
    hash = fnv1a(T(-1) < T(1) ? "signed" : "unsigned");
  }
  return mix(hash, sizeof(T));
}

template <class T>
constexpr std::uint64_t name_hash();

/// Anything but a template of types: its name.
template <class T>
struct structure {
  static constexpr std::uint64_t hash() { return text_hash(type_name<T>); }
};
template <class E, std::size_t N>
struct structure<std::array<E, N>> {
  static constexpr std::uint64_t hash() { return mix(mix(fnv1a("std::array"), name_hash<E>()), N); }
};
template <std::intmax_t Num, std::intmax_t Den>
struct structure<std::ratio<Num, Den>> {
  static constexpr std::uint64_t hash() {
    return mix(mix(fnv1a("std::ratio"), static_cast<std::uint64_t>(Num)),
               static_cast<std::uint64_t>(Den));
  }
};
/// The template's name, and every argument, including default ones that a compiler leaves out (as in
/// std::chrono).
template <template <class...> class Template, class... Args>
struct structure<Template<Args...>> {
  static constexpr std::uint64_t hash() {
    std::uint64_t hash = text_hash(without_arguments(type_name<Template<Args...>>));
    ((hash = mix(hash, name_hash<Args>())), ...);
    return hash;
  }
};

template <class T>
constexpr std::uint64_t name_hash() {
  if constexpr (type_name<T> != compilers_name<T>()) {
    return fnv1a(type_name<T>);  // specialised
  } else if constexpr (std::is_const_v<T>) {
    return mix(fnv1a("const"), name_hash<std::remove_const_t<T>>());
  } else if constexpr (std::is_array_v<T>) {
    return mix(name_hash<std::remove_extent_t<T>>(), std::extent_v<T>);
  } else if constexpr (number<T>) {
    return number_hash<T>();
  } else {
    return structure<T>::hash();
  }
}

}  // namespace belfry::detail
