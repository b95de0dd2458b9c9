#pragma once

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <vector>

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/// Many descriptors, a timer, and Ctrl-C, in one call of epoll_wait.
class events {
 public:
  static constexpr std::size_t tick = SIZE_MAX;             ///< every half second
  static constexpr std::size_t interrupted = SIZE_MAX - 1;  ///< Ctrl-C

  events() {
    add(timer_, tick);
    add(signals_, interrupted);
  }
  events(const events&) = delete;
  events& operator=(const events&) = delete;
  ~events() {
    for (const int descriptor : {signals_, timer_, epoll_}) ::close(descriptor);
  }

  void add(int descriptor, std::size_t what) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = what;
    checked(::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event), "epoll_ctl");
  }

  /// What is ready; if nothing is, waits, or returns at once.
  std::vector<std::size_t> next(bool wait) {
    std::array<epoll_event, 64> ready;
    const int n = ::epoll_wait(epoll_, ready.data(), ready.size(), wait ? -1 : 0);
    if (n == -1 && errno != EINTR) checked(n, "epoll_wait");
    std::vector<std::size_t> found;
    for (int i = 0; i < n; ++i) {
      const std::size_t what = ready[static_cast<std::size_t>(i)].data.u64;
      std::uint64_t ticks = 0;
      if (what == tick && ::read(timer_, &ticks, sizeof ticks) != sizeof ticks) continue;
      found.push_back(what);
    }
    return found;
  }

  static std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

 private:
  static int checked(int result, const char* what) {
    if (result == -1) throw std::system_error(errno, std::generic_category(), what);
    return result;
  }
  static int make_timer() {
    const int timer = checked(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd");
    const itimerspec every{{0, 500'000'000}, {0, 500'000'000}};
    checked(::timerfd_settime(timer, 0, &every, nullptr), "timerfd");
    return timer;
  }
  static int make_signals() {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int s : {SIGINT, SIGTERM}) ::sigaddset(&signals, s);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    return checked(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
  }

  const int epoll_ = checked(::epoll_create1(EPOLL_CLOEXEC), "epoll");
  const int timer_ = make_timer();
  const int signals_ = make_signals();
};
