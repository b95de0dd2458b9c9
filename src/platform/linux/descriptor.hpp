// Where descriptors of ours begin: behind the standard three, whatever the program has closed of these. What
// it prints would go into a segment, a bell, a socket.
#pragma once

namespace belfry::platform {

inline constexpr int first_descriptor = 3;

}  // namespace belfry::platform
