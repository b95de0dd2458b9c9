// Counts the system calls of a run of this program. Tracing slows down the calls, so a waiting process misses
// more.
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
  double rings = 0;  // notifications of bells; for a pipe or socket its writes, which serve the same purpose
};

/// `arguments` makes this program pass a number of messages. It is run with few and with many messages; the
/// difference leaves out the calls for start and end. None if there is no strace.
std::optional<calls_per_message> trace(
    const std::function<std::vector<std::string>(std::uint64_t)>& arguments, std::uint64_t few,
    std::uint64_t many);

}  // namespace belfry::bench
