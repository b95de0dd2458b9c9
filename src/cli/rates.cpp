#include "rates.hpp"

#include "findings.hpp"
#include "text.hpp"

#include <stdexcept>

namespace belfry::cli {
namespace {

std::uint64_t more(std::uint64_t before, std::uint64_t after) { return after > before ? after - before : 0; }

flow flow_between(const traffic_info& before, const traffic_info& after, double seconds) {
  return {static_cast<double>(more(before.messages, after.messages)) / seconds,
          static_cast<double>(more(before.bytes, after.bytes)) / seconds};
}

std::uint64_t rings_of(const channel_info& info) {
  std::uint64_t sum = 0;
  for (const participant_info& p : info.participants) sum += p.rings;
  return sum;
}

}  // namespace

rates rates_between(const channel_info& before, const channel_info& after, std::chrono::duration<double> time) {
  const double seconds = time.count() > 0 ? time.count() : 1e-9;
  return {flow_between(before.sent, after.sent, seconds), flow_between(before.received, after.received, seconds),
          more(before.sent.lost + before.received.lost, after.sent.lost + after.received.lost),
          static_cast<double>(more(rings_of(before), rings_of(after))) / seconds};
}

bool is_channel(const channel_info& info) { return is_segment(info) && info.kind != "watch"; }

void require_channel(const channel_info& info) {
  if (is_channel(info)) {
    if (!info.problem.empty()) throw std::runtime_error('"' + info.name + "\": " + info.problem);
    return;
  }
  const std::string what = info.kind == "watch" ? "the companion of a block" : info.kind == "block" ? "a block" : "";
  throw std::runtime_error('"' + info.name + "\" is " +
                           (what.empty() ? "no channel: " + info.problem : what + ", not a channel"));
}

}  // namespace belfry::cli
