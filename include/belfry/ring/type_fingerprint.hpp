// A number by which two programs recognise that they use the same type.
#pragma once

#include <belfry/detail/layout/description_of.hpp>
#include <belfry/ring/type_name.hpp>

#include <cstdint>

namespace belfry {

/// FNV-1a of what is known of the type: of its fields (names, offsets and types) if they are known, otherwise of its
/// name; and of its size and alignment. describe.hpp says when fields are known.
template <class T>
constexpr std::uint64_t type_fingerprint() {
  return detail::description_of<T>.fingerprint;
}

}  // namespace belfry
