// The name of a type.
#pragma once

#include <belfry/detail/layout/type_text.hpp>

#include <string_view>

namespace belfry {

/// The name of a type for its fingerprint. Specialise it where two programs use the same layout under
/// different names, where two compilers spell a name differently, or to give a type a version:
///
///     template <> inline constexpr std::string_view belfry::type_name<my::tick> = "tick, version 2";
///
/// A name that was specialised is part of the fingerprint in any case; the compiler's name only of a type whose
/// fields are not known (see describe.hpp). GCC and Clang agree on the names of ordinary types, numbers, arrays,
/// and templates of these. They disagree on types in an inline namespace or in a function, and on templates whose
/// arguments are objects or unnamed enumerators.
template <class T>
inline constexpr std::string_view type_name = detail::compilers_name<T>();

}  // namespace belfry
