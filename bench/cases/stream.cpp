// Messages per second, one way.
#include "../harness/belfry_frames.hpp"
#include "../harness/belfry_stream.hpp"
#include "cases.hpp"
#include "../harness/measure.hpp"
#include "../peers/asio_pipe.hpp"
#include "../peers/bare_queue.hpp"
#include "../peers/cpython_ipc.hpp"
#include "../peers/kernel_stream.hpp"
#include "../peers/memory_copy.hpp"
#include "../peers/transports.hpp"
#include "../harness/process_pair.hpp"

#include <algorithm>
#include <stdexcept>

namespace belfry::bench {
namespace {

struct way : stream_way {
  entrant who;
};

/// Larger messages are not values of a ring, and are not sent in batches.
template <std::size_t Bytes>
constexpr bool large = Bytes > 4096;
template <std::size_t Bytes>
constexpr std::size_t spsc_capacity = Bytes < 4096 ? 4096 : 1024;
/// For large messages room for only a few, so that both sides reuse memory that is in their caches.
template <std::size_t Bytes>
constexpr std::size_t byte_capacity = large<Bytes> ? std::min(8 * Bytes, std::size_t{16} << 20)
                                                   : (Bytes == 4096 ? std::size_t{4} : 1) << 20;

template <std::size_t Bytes, class Through>
void add_ways(std::vector<way>& ways, const std::string& ring) {
  for (const auto& [how, m] :
       {std::pair{"try one by one", mode::try_one}, std::pair{"batches of 32", mode::try_batch},
        std::pair{"co_await async_receive", mode::await_one},
        std::pair{"co_await async_receive_n", mode::await_batch}}) {
    const std::string name = ring + ", " + how;
    ways.push_back({{name, ring, how}, enter<belfry_stream<Bytes, Through>>(name, m)});
  }
}

template <std::size_t Bytes>
void add_frames(std::vector<way>& ways, handling h) {
  const std::string prefix = h == handling::in_place      ? "in place, "
                             : h == handling::handed_over ? "handed over, "
                                                          : "";
  for (const auto& [how, w] : {std::pair{"try one by one", waiting::tried},
                               std::pair{"co_await async_receive", waiting::awaited}}) {
    const std::string name = "byte_ring, " + prefix + how;
    ways.push_back({{name, "byte_ring", prefix + how},
                    enter<belfry_frames<Bytes, byte_capacity<Bytes>>>(name, h, w)});
  }
}

/// Belfry, and the layers below it.
template <std::size_t Bytes>
std::vector<way> basic_ways() {
  std::vector<way> all;
  const auto add_peer = [&](entrant e) { all.push_back({{e.name, {}, {}}, std::move(e)}); };
  if constexpr (large<Bytes>) {
    add_frames<Bytes>(all, handling::copied);
    add_frames<Bytes>(all, handling::handed_over);
  } else {
    add_ways<Bytes, through_spsc<Bytes, spsc_capacity<Bytes>>>(all, "spsc_ring");
    add_ways<Bytes, through_bytes<Bytes, byte_capacity<Bytes>>>(all, "byte_ring");
    add_peer(
        enter<bare_queue_stream<Bytes, spsc_capacity<Bytes>>>("bare boost::lockfree::spsc_queue"));
  }
  add_frames<Bytes>(all, handling::in_place);
  add_peer(enter<kernel_stream<Bytes>>("pipe", conduit::pipe));
  add_peer(enter<kernel_stream<Bytes>>("unix stream socket", conduit::unix_socket));
  return all;
}

/// What a program would use instead.
template <std::size_t Bytes>
std::vector<way> all_ways() {
  std::vector<way> all = basic_ways<Bytes>();
  std::vector<entrant> peers{enter<asio_pipe_stream<Bytes>>("asio pipe")};
  enter_transports(
      peers, []<transport T>(const char* name) { return enter<transport_stream<Bytes, T>>(name); });
  peers.push_back(enter<iceoryx_loans<Bytes>>("iceoryx, in place"));
  if constexpr (Bytes >= 4096)
    peers.push_back(enter<memory_copy<Bytes, byte_capacity<Bytes> / Bytes>>("memcpy in and out"));
  for (entrant& e : peers) all.push_back({{e.name, {}, {}}, std::move(e)});
  return all;
}

/// Few rounds, because there are many entrants. Large messages: enough of them that the time of first
/// touching the memory does not matter.
template <std::size_t Bytes>
constexpr effort turns{.first = std::clamp<std::uint64_t>((64 << 20) / Bytes, 16, 20000),
                       .seconds = large<Bytes> ? 0.08 : 0.05,
                       .rounds = large<Bytes> ? 7 : 11,
                       .least = 40};

}  // namespace

template <std::size_t Bytes>
void stream(report& out) {
  const auto ways = all_ways<Bytes>();
  std::vector<entrant> entrants;
  for (const way& w : ways) entrants.push_back(w.who);
  const auto figures = measure(entrants, turns<Bytes>);

  std::vector<std::pair<std::string, std::optional<figure>>> peers;
  for (std::size_t i = 0; i != ways.size(); ++i) {
    if (ways[i].ring.empty()) peers.emplace_back(ways[i].name, figures[i]);
  }
  add_cpython(peers, "stream " + std::to_string(Bytes), 1, cpython_ways);
  for (std::size_t i = 0; i != ways.size(); ++i) {
    if (ways[i].ring.empty()) continue;
    out.add({"stream-" + std::to_string(Bytes),
             "msg/s",
             {{"bytes", static_cast<int>(Bytes)}, {"ring", ways[i].ring}, {"how", ways[i].how}},
             figures[i],
             peers});
  }
}
template void stream<8>(report&);
template void stream<64>(report&);
template void stream<256>(report&);
template void stream<4096>(report&);
template void stream<(64 << 10)>(report&);
template void stream<(1 << 20)>(report&);
template void stream<(4 << 20)>(report&);

std::vector<stream_way> stream_ways() {
  std::vector<stream_way> all;
  for (const way& w : basic_ways<64>()) all.push_back(w);
  return all;
}

void stream_once(const std::string& name, std::uint64_t messages) {
  for (const way& w : basic_ways<64>()) {
    if (w.name != name) continue;
    const auto who = w.who.make();
    std::vector<turn> turns{{name, who.get(), messages, {}}};
    if (run_pair(turns, std::chrono::minutes(5)) != 1) throw std::runtime_error("it has failed");
    return;
  }
  throw std::runtime_error("no such way to stream: " + name);
}

}  // namespace belfry::bench
