// belfry-bench: Belfry's speed, next to that of the alternatives.
#include "../cases/cases.hpp"
#include "child.hpp"
#include "memory.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <signal.h>
#include <unistd.h>

namespace belfry::bench {
namespace {

struct bench_case {
  std::string_view name;
  std::string_view about;
  void (*run)(report&);
};

constexpr bench_case cases[] = {
    {"parked-rtt", "round trip, both sides asleep, co_await on both", parked_rtt},
    {"hot-rtt", "the same with channel_options::spin; and with send and receive, which block", hot_rtt},
    {"hot-rtt-try", "the same with try_send and try_receive in a loop", hot_rtt_try},
    {"stream-8", "messages of 8 bytes, one way", stream<8>},
    {"stream-64", "... of 64 bytes", stream<64>},
    {"stream-256", "... of 256 bytes", stream<256>},
    {"stream-4096", "... of 4096 bytes", stream<4096>},
    {"stream-65536", "... of 64 KiB", stream<(64 << 10)>},
    {"stream-1048576", "... of 1 MiB", stream<(1 << 20)>},
    {"stream-4194304", "... of 4 MiB", stream<(4 << 20)>},
    {"open-load", "latency at 1 k to 1 M messages a second, sent when they are due", open_load},
    {"syscalls", "system calls per message; processor time over ten idle seconds", syscalls},
    {"wakeups", "wake-ups, system calls per message at 10 k and 100 k messages a second", wake_ups},
    {"many", "round trip on one of 1 to 10,000 channels in one io_context; what it takes to have them", many},
    {"death", "from kill -9 of a process to the completion of the operation that waits for it", death},
    {"watch-rtt", "notify and async_changed, there and back, both sides asleep", watch_rtt},
    {"latest", "the newest value: cost of a write, and of a look", newest},
    {"work", "items from 1, 2, 4 producers to as many consumers, each for one", work},
    {"broadcast", "what a value costs its producer with 1, 4, 16 consumers", broadcast},
    {"frames", "messages of 4 KiB and 1 MiB from 1 to 1, 4, 16 in place; what they cost the producer", frames},
    {"calls", "a request and its reply: round trip asleep; calls per second of 4 clients and 4 servers", calls},
    {"redelivery", "from a kill -9 of the consumer that holds an item to its delivery to another one", redelivery},
    {"fan", "items from 4 to 1, 1 to 4, 4 to 4, by processes that sleep", fan},
    {"bridge", "values from one process to another one over NATS, 64 and 4096 bytes", bridge},
    {"list", "an element of a shareable_list: get, set, iterate, count", list},
    {"block", "create, open, unlink and close a shared_memory", block},
    {"manager", "create, have tracked, open and release a block, by 1 and 8 clients of a manager", manager},
};

/// `stream` chooses all cases that begin with `stream-`.
bool chosen(std::string_view name, std::string_view wanted) {
  return name.starts_with(wanted) && (name.size() == wanted.size() || name[wanted.size()] == '-');
}

void usage(std::FILE* to) {
  std::fprintf(to,
               "belfry-bench [CASE ...] [--json]   these cases, or all\n"
               "belfry-bench --list\n"
               "belfry-bench --compiler            what it was built by\n\n");
}

void list_cases() {
  for (const bench_case& c : cases) {
    std::printf("%-14s %s\n", std::string(c.name).c_str(), std::string(c.about).c_str());
  }
}

int run(const std::vector<std::string_view>& arguments) {
  bool json = false;
  std::vector<std::string_view> wanted;
  for (const std::string_view argument : arguments) {
    if (argument == "--json") {
      json = true;
    } else if (argument == "--list") {
      return list_cases(), 0;
    } else if (argument == "--compiler") {
      return std::printf("%s\n", __VERSION__), 0;
    } else if (argument == "--help") {
      return usage(stdout), list_cases(), 0;
    } else {
      bool known = false;
      for (const bench_case& c : cases) known = known || chosen(c.name, argument);
      if (!known) {
        std::fprintf(stderr, "no such case: %s\n", std::string(argument).c_str());
        return usage(stderr), 2;
      }
      wanted.push_back(argument);
    }
  }
  report out(json);
  int status = 0;
  for (const bench_case& c : cases) {
    bool is_wanted = wanted.empty();
    for (const std::string_view w : wanted) is_wanted = is_wanted || chosen(c.name, w);
    if (!is_wanted) continue;
    if (json) std::fprintf(stderr, "%s\n", std::string(c.name).c_str());  // progress
    try {
      c.run(out);
    } catch (const std::exception& e) {  // the other cases still run
      std::fprintf(stderr, "belfry-bench: %s: %s\n", std::string(c.name).c_str(), e.what());
      status = 1;
    }
  }
  return status;
}

}  // namespace

std::string unique_name(std::string_view what) {
  static int count = 0;
  return "belfry-bench-" + std::to_string(::getpid()) + '-' + std::to_string(++count) + '-' +
         std::string(what);
}

}  // namespace belfry::bench

int main(int argc, char** argv) {
  using namespace belfry::bench;
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  try {
    catch_signals();
    // `syscalls` and `wakeups` run this program under strace: --stream-once WAY MESSAGES, and --load-once WAY
    // RATE MESSAGES
    if (arguments.size() == 3 && arguments[0] == "--stream-once") {
      return stream_once(argv[2], std::strtoull(argv[3], nullptr, 10)), 0;
    }
    if (arguments.size() == 4 && arguments[0] == "--load-once") {
      return load_once(argv[2], std::atoi(argv[3]), std::strtoull(argv[4], nullptr, 10)), 0;
    }
    return run(arguments);
  } catch (const interrupted& i) {
    return 128 + i.signal;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "belfry-bench: %s\n", e.what());
    return 1;
  }
}
