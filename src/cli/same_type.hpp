// Whether the messages of one channel may be sent through another.
#pragma once

#include "recording.hpp"

#include <belfry/inspect.hpp>

namespace belfry::cli {

recorded_channel recorded(const channel_info& channel);

/// Types are the same if joining a channel takes them for the same: by their fields, if these are known. Otherwise
/// throws std::runtime_error, with a text that says what differs.
void check_same_type(const recorded_channel& from, const std::string& what, const channel_info& to);

}  // namespace belfry::cli
