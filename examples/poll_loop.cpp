// A program with its own event loop, of epoll(7) or WaitForMultipleObjects: no process runs Asio.
//
//   poll_loop [CHANNELS [ROUNDS]]
//
// Sensors are processes, each with its own channel. They join, send, and leave; some are killed. This program
// waits for all of them, for a timer and for Ctrl-C in one call. When a sensor has left or died, it starts
// another one. On Linux a channel takes five descriptors of this process while its sensor is there; on Windows
// there are at most 62 channels.
#include "events.hpp"
#include "net.hpp"
#include "process.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

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
  while (to_be_killed) std::this_thread::sleep_for(std::chrono::hours(1));
}

class loop {
 public:
  loop(std::size_t channels, unsigned rounds) : rounds_(rounds) {
    for (std::size_t i = 0; i != channels; ++i) {
      const std::string name = "poll-loop-" + own_number() + '-' + std::to_string(i);
      sensors_.push_back({name, measurements::consumer(io_, name)});
      events_.add(sensors_[i].rx.native_handle(), i);
      due_.push_back(i);
    }
  }
  ~loop() {
    for (sensor& s : sensors_) s.running = process();  // kills it
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
    while (!interrupted_ && over_ != sensors_.size()) {
      for (const std::size_t what : events_.next(due_.empty())) happened(what);
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
  struct sensor {
    std::string name;
    measurements::consumer rx;
    process running{};
    unsigned round = 0;
    std::uint64_t next = 0;
    bool asleep = false;  // between prepare_wait() and finish_wait()
    bool there = false;
    bool to_be_killed = false;
  };

  void start_next(sensor& s) {
    if (s.round++ == rounds_) {
      ++over_;
      return;
    }
    s.next = 0;
    s.to_be_killed = (++started_ % 3) == 0;
    s.running = process({s.to_be_killed ? "victim" : "sensor", s.name});
  }

  void happened(std::size_t what) {
    if (what == events::tick) {
      std::cout << "poll_loop: " << received_ << " so far" << std::endl;
      most_descriptors_ = std::max(most_descriptors_, events::open_descriptors());
    } else if (what == events::interrupted) {
      interrupted_ = true;
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
      if (s.next == of_each && s.to_be_killed) s.running.kill();
    }
    s.asleep = s.rx.prepare_wait();  // true: from now on the sensor will notify us
    if (!s.asleep) wake(i);          // false: there is a value already
  }

  net::io_context io_;  // the consumers need one; it is never run
  const unsigned rounds_;
  events events_;
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
