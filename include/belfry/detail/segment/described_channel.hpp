// Channels on another machine: what a channel is, as a text, and a channel made from such a text.
#pragma once

#include <belfry/detail/base/api.hpp>
#include <belfry/error.hpp>

#include <string>
#include <string_view>

namespace belfry::detail {

/// What another process needs to make the same channel, without its C++ type: JSON. `identity` is the beginning of the
/// segment (layout::identity), in hexadecimal digits, without what belongs to this segment alone; `description` the text
/// behind its roster; the other keys are for people. Errors: as inspect(), and `errc::incompatible`.
BELFRY_API std::string describe_channel(std::string_view name, failure& f);

/// Makes such a channel, if there is none of this name. If there is one, it must have the same ring, type, size and
/// capacity: else `errc::incompatible`, and the text says what differs. The text may come from anywhere. Joins nothing.
BELFRY_API void make_channel(std::string_view name, std::string_view text, unsigned mode, failure& f);

}  // namespace belfry::detail
