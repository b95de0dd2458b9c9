// The cases, each in its own file.
#pragma once

#include "../harness/report.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
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
void broadcast(report& out);
void calls(report& out);
void frames(report& out);
void redelivery(report& out);
void death(report& out);
void open_load(report& out);
void wake_ups(report& out);
void fan(report& out);
void bridge(report& out);

/// The second half of `syscalls`: processor time while nothing happens.
void idle(report& out);

/// A way to stream messages of 64 bytes, and a run of it without measuring, for strace.
struct stream_way {
  std::string name;
  std::string ring;  // empty for a peer
  std::string how;
};
std::vector<stream_way> stream_ways();
void stream_once(const std::string& name, std::uint64_t messages);

/// The same for an open load.
std::vector<stream_way> load_ways();
void load_once(const std::string& name, int rate, std::uint64_t messages);
std::optional<figure> load(const std::string& name, int rate);

}  // namespace belfry::bench
