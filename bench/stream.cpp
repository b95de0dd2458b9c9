// Messages per second, one way.
#include "belfry_stream.hpp"
#include "cases.hpp"
#include "measure.hpp"
#include "peers/bare_queue.hpp"
#include "peers/kernel_stream.hpp"
#include "process_pair.hpp"

#include <stdexcept>

namespace belfry::bench {
namespace {

struct way : stream_way {
  entrant who;
};

template <std::size_t Bytes>
constexpr std::size_t spsc_capacity = Bytes < 4096 ? 4096 : 1024;
template <std::size_t Bytes>
constexpr std::size_t byte_capacity = Bytes < 4096 ? std::size_t{1} << 20 : std::size_t{4} << 20;

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
std::vector<way> all_ways() {
  std::vector<way> all;
  add_ways<Bytes, through_spsc<Bytes, spsc_capacity<Bytes>>>(all, "spsc_ring");
  add_ways<Bytes, through_bytes<Bytes, byte_capacity<Bytes>>>(all, "byte_ring");
  const auto add_peer = [&](entrant e) { all.push_back({{e.name, {}, {}}, std::move(e)}); };
  add_peer(
      enter<bare_queue_stream<Bytes, spsc_capacity<Bytes>>>("bare boost::lockfree::spsc_queue"));
  add_peer(enter<kernel_stream<Bytes>>("pipe", conduit::pipe));
  add_peer(enter<kernel_stream<Bytes>>("unix stream socket", conduit::unix_socket));
  return all;
}

}  // namespace

template <std::size_t Bytes>
void stream(report& out) {
  const auto ways = all_ways<Bytes>();
  std::vector<entrant> entrants;
  for (const way& w : ways) entrants.push_back(w.who);
  const auto figures = measure(entrants, {.first = 20000});

  std::vector<std::pair<std::string, std::optional<figure>>> peers;
  for (std::size_t i = 0; i != ways.size(); ++i) {
    if (ways[i].ring.empty()) peers.emplace_back(ways[i].name, figures[i]);
  }
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

std::vector<stream_way> stream_ways() {
  std::vector<stream_way> all;
  for (const way& w : all_ways<64>()) all.push_back(w);
  return all;
}

void stream_once(const std::string& name, std::uint64_t messages) {
  for (const way& w : all_ways<64>()) {
    if (w.name != name) continue;
    const auto who = w.who.make();
    std::vector<turn> turns{{name, who.get(), messages, {}}};
    if (run_pair(turns, std::chrono::minutes(5)) != 1) throw std::runtime_error("it has failed");
    return;
  }
  throw std::runtime_error("no such way to stream: " + name);
}

}  // namespace belfry::bench
