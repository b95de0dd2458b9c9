// A number by which two programs recognise that they mean the same type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace belfry {
namespace detail {

constexpr std::uint64_t fnv1a(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325) {
  for (const char c : text) {
    if (c == ' ') continue;  // compilers differ in where they put them
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return hash;
}

constexpr std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  for (int byte = 0; byte != 8; ++byte) {
    hash = (hash ^ (value >> (8 * byte) & 0xff)) * 0x100000001b3;
  }
  return hash;
}

/// The type's qualified name, out of what the compiler calls this very function.
template <class T>
constexpr std::string_view compilers_name() {
#if defined(_MSC_VER)
  const std::string_view text = __FUNCSIG__;
  const std::size_t begin = text.find("compilers_name<") + 15;
  const std::size_t end = text.rfind(">(void)");
#else
  const std::string_view text = __PRETTY_FUNCTION__;
  const std::size_t begin = text.find("T = ") + 4;
  // GCC goes on with what std::string_view stands for.
  const std::size_t more = text.rfind("; std::string_view = ");
  const std::size_t end = more != text.npos ? more : text.rfind(']');
#endif
  return text.substr(begin, end - begin);
}

}  // namespace detail

/// The name that enters a type's fingerprint. Specialise it where two programs know one layout by
/// different names, or where two compilers spell a name (of a template, say) differently:
///
///     template <> inline constexpr std::string_view belfry::type_name<my::tick> = "tick, version 2";
template <class T>
inline constexpr std::string_view type_name = detail::compilers_name<T>();

/// FNV-1a of the name, mixed with size and alignment. For arithmetic types the name is only
/// the kind: `long` and `long long` are the same eight bytes.
template <class T>
constexpr std::uint64_t type_fingerprint() {
  std::uint64_t hash = 0;
  if constexpr (std::is_same_v<T, bool>) {
    hash = detail::fnv1a("bool");
  } else if constexpr (std::is_floating_point_v<T>) {
    hash = detail::fnv1a("float");
  } else if constexpr (std::is_integral_v<T>) {
    hash = detail::fnv1a(std::is_signed_v<T> ? "signed" : "unsigned");
  } else if constexpr (std::is_array_v<T>) {
    hash = detail::mix(type_fingerprint<std::remove_extent_t<T>>(), std::extent_v<T>);
  } else {
    hash = detail::fnv1a(type_name<T>);
  }
  return detail::mix(detail::mix(hash, sizeof(T)), alignof(T));
}

}  // namespace belfry
