#include "process_pair.hpp"

#include "child.hpp"
#include "cpus.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <system_error>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace belfry::bench {
namespace {

using detail::unique_handle;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

std::array<unique_handle, 2> socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
  return {unique_handle(ends[0]), unique_handle(ends[1])};
}

/// Waits until the partner has come to the same turn.
void meet(const unique_handle& partner) {
  char token = 0;
  if (::send(partner.get(), &token, 1, MSG_NOSIGNAL) != 1 ||
      ::recv(partner.get(), &token, 1, 0) != 1) {
    throw std::runtime_error("the partner has gone");
  }
}

/// The body of both processes: plays one turn after the other.
template <class Play>
bool take_turns(std::vector<turn>& turns, const unique_handle& partner, int cpu, Play play) {
  const turn* current = nullptr;
  try {
    pin(cpu);
    for (turn& t : turns) {
      current = &t;
      meet(partner);
      play(t);
    }
    return true;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "belfry-bench: %s: %s\n", current != nullptr ? current->name.c_str() : "-",
                 e.what());
    return false;
  }
}

}  // namespace

std::size_t run_pair(std::vector<turn>& turns, std::chrono::seconds limit_per_turn) {
  static const cpu_pair cpus = choose_cpus();
  auto [lead_end, follow_end] = socket_pair();
  auto [results, results_end] = socket_pair();

  child lead([&, &partner = lead_end, &results_end = results_end] {
    return take_turns(turns, partner, cpus.lead, [&](turn& t) {
      const figure f = t.who->lead(t.operations);
      if (::write(results_end.get(), &f, sizeof f) != sizeof f) fail("write");
    });
  });
  child follow([&, &partner = follow_end] {
    return take_turns(turns, partner, cpus.follow, [](turn& t) { t.who->follow(t.operations); });
  });

  std::array<pollfd, 3> events{
      {{results.get(), POLLIN, 0}, {lead.end(), POLLIN, 0}, {follow.end(), POLLIN, 0}}};
  for (std::size_t done = 0; done != turns.size();) {
    throw_if_interrupted();
    const auto limit = std::chrono::milliseconds(limit_per_turn).count();
    const int n = ::poll(events.data(), events.size(), static_cast<int>(limit));
    if (n == -1 && errno == EINTR) continue;
    if (n == -1) fail("poll");
    if (events[0].revents != 0) {
      figure f;
      if (::read(results.get(), &f, sizeof f) != sizeof f) fail("read");
      turns[done++].result = f;
    } else if (n == 0 || events[1].revents != 0 || follow.has_failed()) {
      std::fprintf(stderr, "belfry-bench: %s: %s\n", turns[done].name.c_str(),
                   n == 0 ? "took too long" : "has ended early");
      return done;
    } else {
      events[2].fd = -1;  // the partner has finished
    }
  }
  lead.wait(std::chrono::seconds(5));
  follow.wait(std::chrono::seconds(5));
  return turns.size();
}

}  // namespace belfry::bench
