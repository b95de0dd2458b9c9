// Where our descriptors begin: after the three standard ones, even if the program has closed these. Otherwise
// what it prints would go into a segment, a bell, or a socket.
#pragma once

namespace belfry::platform {

inline constexpr int first_descriptor = 3;

}  // namespace belfry::platform
