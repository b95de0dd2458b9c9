// Counting the system calls of a run of this very program. Tracing makes the calls themselves slow, and
// so whoever waits misses more.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace belfry::bench {

/// Of both processes together, per message.
struct calls_per_message {
  double all = 0;
  double rings = 0;  // of bells; for a pipe or a socket the writes, which are the same there
};

/// `arguments` makes this program pass so many messages. Whatever it takes to begin and to end is in
/// both of two counts, of few and of many messages, and so in neither of these. None if there is no
/// strace.
std::optional<calls_per_message> trace(
    const std::function<std::vector<std::string>(std::uint64_t)>& arguments, std::uint64_t few,
    std::uint64_t many);

}  // namespace belfry::bench
