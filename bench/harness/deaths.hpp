// Processes that are killed one after the other, and how long it takes until another learns of it.
#pragma once

#include "child.hpp"
#include "contender.hpp"
#include "memory.hpp"
#include "timer.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

namespace belfry::bench {

/// One victim killed after the other. A `Bond` has two ends:
///
///     survivor(bond);  void wait_for(pid_t);  void told();  void done();
///     victim(bond);
///
/// After `wait_for` the survivor only has to go to sleep. `told` sleeps, and returns as soon as the death is
/// known. The follower, which starts and kills the victims, has no part in the bond.
template <class Bond>
class deaths final : public contender {
 public:
  template <class... Arguments>
  explicit deaths(Arguments... arguments) : bond_(arguments...) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
      throw std::system_error(errno, std::system_category(), "socketpair");
    }
    lead_ = detail::unique_handle(ends[0]);
    follow_ = detail::unique_handle(ends[1]);
  }

  figure lead(std::uint64_t n) override {
    typename Bond::survivor survivor(bond_);
    lap_timer timer(n, 1);
    for (std::uint64_t i = 0; i != n; ++i) {
      survivor.wait_for(hear(lead_));
      say(lead_);
      survivor.told();
      timer.done_since(*killed_);
      survivor.done();
      say(lead_);
    }
    return timer.median(microseconds.units);
  }

  void follow(std::uint64_t n) override {
    for (std::uint64_t i = 0; i != n; ++i) {
      const child victim([&] {
        const typename Bond::victim victim(bond_);
        say(follow_);
        for (;;) ::pause();
        return false;
      });
      hear(follow_);
      std::this_thread::sleep_for(std::chrono::microseconds(200));  // until the survivor sleeps
      *killed_ = stopwatch::now();
      ::kill(victim.pid(), SIGKILL);
      victim.wait(std::chrono::seconds(2));
      hear(follow_);
    }
  }

 private:
  /// Reports a step: the victim that it is ready, the survivor that it waits, and that it was told.
  static void say(const detail::unique_handle& to) {
    const pid_t pid = ::getpid();
    if (::send(to.get(), &pid, sizeof pid, MSG_NOSIGNAL) != sizeof pid) fail("send");
  }
  static pid_t hear(const detail::unique_handle& from) {
    pid_t pid = 0;
    if (::recv(from.get(), &pid, sizeof pid, 0) != sizeof pid) fail("recv");
    return pid;
  }
  [[noreturn]] static void fail(const char* what) {
    throw std::system_error(errno, std::system_category(), what);
  }

  Bond bond_;
  detail::unique_handle lead_;
  detail::unique_handle follow_;
  inherited<stopwatch::time_point> killed_;
};

}  // namespace belfry::bench
