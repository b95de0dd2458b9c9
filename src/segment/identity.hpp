// The header of a segment: what it is for a ring, and whether a found header is that.
#pragma once

#include <belfry/channel_options.hpp>
#include <belfry/detail/layout/layout.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/ring.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace belfry::detail {

inline std::size_t participants(const layout::identity& id) noexcept {
  return std::size_t{id.producers} + id.consumers;
}

/// Whether a channel can have this mode. A participant must be able to read and write. A user with read access alone
/// could still lock the roster, and block every join.
bool check_mode(unsigned mode, std::string_view name, failure& f);

/// The capacity that a new segment gets, if this ring can have the capacity in the options.
bool granted_capacity(const ring_traits& traits, const channel_options& options,
                      std::uint64_t& capacity, failure& f);

/// The header of a segment of this kind and capacity, without its random id.
layout::identity identity_of(const ring_traits& traits, std::uint64_t capacity,
                             const channel_options& options);

/// Whether a segment can be created from a header that another process has sent.
bool plausible(const layout::identity& id) noexcept;

/// Whether `found`, in a file of `file_bytes`, is the header that this ring needs. If not, `f` is `errc::incompatible`;
/// its text begins with `label`.
bool check_identity(const layout::identity& found, std::uint64_t file_bytes,
                    const ring_traits& traits, const channel_options& options,
                    const std::string& label, failure& f);

/// The same for one field.
bool same(const char* field, std::uint64_t found, std::uint64_t expected, const std::string& label,
          failure& f);

}  // namespace belfry::detail
