// The cases, each in a file of its own.
#pragma once

#include "report.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace belfry::bench {

void parked_rtt(report& out);
void hot_rtt(report& out);
void hot_rtt_try(report& out);
template <std::size_t Bytes>
void stream(report& out);
void syscalls(report& out);
void many(report& out);
void watch_rtt(report& out);
void newest(report& out);
void list(report& out);
void block(report& out);
void manager(report& out);
void work(report& out);
void fan(report& out);

/// The second half of `syscalls`: processor time while nothing happens.
void idle(report& out);

/// A way to stream messages of 64 bytes, and one that is left to itself to do so: what strace looks at.
struct stream_way {
  std::string name;
  std::string ring;  // empty for a peer
  std::string how;
};
std::vector<stream_way> stream_ways();
void stream_once(const std::string& name, std::uint64_t messages);

}  // namespace belfry::bench
