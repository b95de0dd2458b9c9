// System calls, and among them notifications of a bell, per message while streaming. With an open load also
// how often the receiver is woken.
#include "cases.hpp"
#include "../harness/strace.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace belfry::bench {
namespace {

using keys = decltype(result::keys);

/// A way to pass messages, and its counts.
struct counted {
  std::string ring;  // empty for a peer
  std::string how;
  std::optional<calls_per_message> calls;
  std::optional<figure> wake_ups;
};

/// One line for each of Belfry's ways.
template <class Count>
void add(report& out, const char* name, const keys& common, const char* of,
         const std::vector<counted>& ways, Count count) {
  std::vector<std::pair<std::string, std::optional<figure>>> peers;
  for (const counted& w : ways) {
    if (w.ring.empty()) peers.emplace_back(w.how, count(w));
  }
  for (const counted& w : ways) {
    if (w.ring.empty()) continue;
    keys about{{"of", of}};
    about.insert(about.end(), common.begin(), common.end());
    about.insert(about.end(), {{"ring", w.ring}, {"how", w.how}});
    out.add({name, "ratio", about, count(w), peers});
  }
}

void add_calls(report& out, const char* name, const keys& common,
               const std::vector<counted>& ways) {
  const auto of = [](double calls_per_message::*member) {
    return [member](const counted& w) -> std::optional<figure> {
      if (!w.calls) return {};
      return figure{(*w.calls).*member};
    };
  };
  add(out, name, common, "system calls per message", ways, of(&calls_per_message::all));
  add(out, name, common, "rings or writes per message", ways, of(&calls_per_message::rings));
}

}  // namespace

void syscalls(report& out) {
  std::vector<counted> ways;
  for (const stream_way& w : stream_ways()) {
    const auto arguments = [&](std::uint64_t messages) {
      return std::vector<std::string>{"--stream-once", w.name, std::to_string(messages)};
    };
    ways.push_back(
        {w.ring, w.ring.empty() ? w.name : w.how, trace(arguments, 10'000, 1'010'000), {}});
  }
  add_calls(out, "syscalls", {}, ways);
  idle(out);
}

void wake_ups(report& out) {
  for (const int rate : {10'000, 100'000}) {
    const auto few = static_cast<std::uint64_t>(rate / 10);
    std::vector<counted> ways;
    for (const stream_way& w : load_ways()) {
      const auto arguments = [&](std::uint64_t messages) {
        return std::vector<std::string>{"--load-once", w.name, std::to_string(rate),
                                        std::to_string(messages)};
      };
      ways.push_back({w.ring, w.how, trace(arguments, few, 11 * few), load(w.name, rate)});
    }
    const keys at{{"rate", rate}};
    add(out, "wakeups", at, "wake-ups per message", ways,
        [](const counted& w) -> std::optional<figure> {
          if (!w.wake_ups) return {};
          return figure{w.wake_ups->wake_ups};
        });
    add_calls(out, "wakeups", at, ways);
  }
}

}  // namespace belfry::bench
