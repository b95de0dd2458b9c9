// A program with its own event loop, here epoll(7): no process runs Asio.
//
//   poll_loop [CHANNELS [ROUNDS]]
//
// Sensors are processes, each with its own channel. They join, send, and leave; some are killed. This program
// waits for all of them, for a timer and for Ctrl-C in one call of epoll_wait. When a sensor has left or
// died, it starts another one. A channel takes five descriptors of this process while its sensor is there.
#include "net.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <spawn.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct measurement {
  std::uint64_t number;
  double value;
};
using measurements = belfry::channel<belfry::spsc_ring<measurement, 64>>;

namespace {

constexpr std::uint64_t of_each = 200;  // measurements

/// A sensor. A sensor to be killed sends everything, and then waits for that.
void send(const std::string& name, bool to_be_killed) {
  net::io_context io;  // an endpoint needs one; it is never run
  measurements::producer tx(io, name);
  for (std::uint64_t i = 0; i != of_each; ++i) {
    if (tx.send({i, 20.0 + static_cast<double>(i % 50) / 10})) return;  // waits while the ring is full
  }
  while (to_be_killed) ::pause();
}

int checked(int result, const char* what) {
  if (result == -1) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

/// Returns a descriptor that is readable every half second.
int make_timer() {
  const int timer = checked(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd");
  const itimerspec every{{0, 500'000'000}, {0, 500'000'000}};
  checked(::timerfd_settime(timer, 0, &every, nullptr), "timerfd");
  return timer;
}

/// Returns a descriptor that is readable at Ctrl-C, and when a sensor's process has ended.
int make_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int s : {SIGINT, SIGTERM, SIGCHLD}) ::sigaddset(&signals, s);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return checked(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
}

pid_t start(std::string name, bool to_be_killed) {
  std::string program = "/proc/self/exe";
  std::string what = to_be_killed ? "victim" : "sensor";
  const std::array<char*, 4> arguments{program.data(), what.data(), name.data(), nullptr};
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  ::sigemptyset(&none);  // unblock the signals in the sensor
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, program.c_str(), nullptr, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) throw std::system_error(error, std::generic_category(), "posix_spawn");
  return pid;
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

class loop {
 public:
  loop(std::size_t channels, unsigned rounds) : rounds_(rounds) {
    add(timer_, timer_event);
    add(signals_, signals_event);
    for (std::size_t i = 0; i != channels; ++i) {
      const std::string name = "poll-loop-" + std::to_string(::getpid()) + '-' + std::to_string(i);
      sensors_.push_back({name, measurements::consumer(io_, name)});
      add(sensors_[i].rx.native_handle(), i);
      due_.push_back(i);
    }
  }
  ~loop() {
    for (const sensor& s : sensors_) {
      if (s.pid != 0) ::kill(s.pid, SIGKILL);
    }
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
    for (sensor& s : sensors_) {
      s.rx.close();  // also removes the channel, if every value was received
      belfry::error_code not_there;
      measurements::unlink(s.name, not_there);
    }
  }
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  void run() {
    for (sensor& s : sensors_) start_next(s);
    std::array<epoll_event, 64> events;
    while (!interrupted_ && over_ != sensors_.size()) {
      const int n = ::epoll_wait(epoll_, events.data(), events.size(), due_.empty() ? -1 : 0);
      if (n == -1 && errno != EINTR) checked(n, "epoll_wait");
      for (int i = 0; i < n; ++i) happened(events[static_cast<std::size_t>(i)].data.u64);
      std::vector<std::size_t> now;
      now.swap(due_);
      for (const std::size_t i : now) look(i);
    }
  }

  void report() const {
    std::cout << "poll_loop: " << sensors_.size() << " channels, " << came_ << " sensors came, " << left_
              << " left, " << died_ << " were killed; " << received_ << " measurements, mean "
              << sum_ / static_cast<double>(received_) << "; at most " << most_descriptors_ << " descriptors"
              << std::endl;
    if (interrupted_) std::cout << "poll_loop: interrupted" << std::endl;
  }

 private:
  static constexpr std::uint64_t timer_event = ~std::uint64_t{0};
  static constexpr std::uint64_t signals_event = timer_event - 1;

  struct sensor {
    std::string name;
    measurements::consumer rx;
    pid_t pid = 0;
    unsigned round = 0;
    std::uint64_t next = 0;
    bool asleep = false;  // between prepare_wait() and finish_wait()
    bool there = false;
    bool to_be_killed = false;
  };

  void add(int handle, std::uint64_t what) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = what;
    checked(::epoll_ctl(epoll_, EPOLL_CTL_ADD, handle, &event), "epoll_ctl");
  }

  void start_next(sensor& s) {
    if (s.round++ == rounds_) {
      ++over_;
      return;
    }
    s.next = 0;
    s.to_be_killed = (++started_ % 3) == 0;
    s.pid = start(s.name, s.to_be_killed);
  }

  void happened(std::uint64_t what) {
    if (what == timer_event) {
      std::uint64_t ticks = 0;
      if (::read(timer_, &ticks, sizeof ticks) == sizeof ticks) {
        std::cout << "poll_loop: " << received_ << " so far" << std::endl;
        most_descriptors_ = std::max(most_descriptors_, open_descriptors());
      }
    } else if (what == signals_event) {
      signalfd_siginfo signal{};
      while (::read(signals_, &signal, sizeof signal) == sizeof signal) {
        interrupted_ = interrupted_ || signal.ssi_signo != SIGCHLD;
      }
      while (::waitpid(-1, nullptr, WNOHANG) > 0) {
      }
    } else {
      wake(what);
    }
  }

  /// Marks a channel to be looked at.
  void wake(std::size_t i) {
    sensor& s = sensors_[i];
    s.asleep = false;
    const belfry::error_code ec = s.rx.finish_wait();
    due_.push_back(i);
    if (!ec) {
      if (!s.there && s.rx.has_peer()) {
        s.there = true;
        ++came_;
      }
    } else if (ec == belfry::errc::closed || ec == belfry::errc::peer_died) {
      // Reported once, after everything that was sent. Then the channel sleeps until the next sensor joins.
      if (!s.there) ++came_;  // it was gone before we looked
      s.there = false;
      ++(ec == belfry::errc::closed ? left_ : died_);
      if (s.next != of_each) throw std::runtime_error("a measurement is missing");
      start_next(s);
    } else {
      throw belfry::net_system_error(ec);
    }
  }

  void look(std::size_t i) {
    sensor& s = sensors_[i];
    if (s.asleep) return;
    // Not without end: the other channels must be served, too.
    for (int n = 0; n != 100; ++n) {
      const auto m = s.rx.try_receive();
      if (!m) break;
      if (m->number != s.next++) throw std::runtime_error("a measurement is missing");
      ++received_;
      sum_ += m->value;
      if (s.next == of_each && s.to_be_killed) ::kill(s.pid, SIGKILL);
    }
    s.asleep = s.rx.prepare_wait();  // true: from now on the sensor will notify us
    if (!s.asleep) wake(i);          // false: there is a value already
  }

  net::io_context io_;  // the consumers need one; it is never run
  const unsigned rounds_;
  const int epoll_ = checked(::epoll_create1(EPOLL_CLOEXEC), "epoll");
  const int timer_ = make_timer();
  const int signals_ = make_signals();
  std::vector<sensor> sensors_;
  std::vector<std::size_t> due_;  // channels that may have a value
  bool interrupted_ = false;
  std::size_t over_ = 0;
  unsigned started_ = 0;
  std::uint64_t came_ = 0;
  std::uint64_t left_ = 0;
  std::uint64_t died_ = 0;
  std::uint64_t received_ = 0;
  std::size_t most_descriptors_ = 0;
  double sum_ = 0;
};

}  // namespace

int main(int argc, char** argv) try {
  const std::string what = argc > 1 ? argv[1] : "";
  if (argc == 3 && (what == "sensor" || what == "victim")) {
    send(argv[2], what == "victim");
    return EXIT_SUCCESS;
  }
  loop l(argc > 1 ? std::stoul(what) : 20, argc > 2 ? static_cast<unsigned>(std::stoul(argv[2])) : 3);
  l.run();
  l.report();
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "poll_loop: " << e.what() << '\n';
  return EXIT_FAILURE;
}
