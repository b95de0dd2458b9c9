// A load that does not wait for the receiver. Every message is due at a moment fixed in advance, and carries
// that moment. Its latency counts from then. So a stall delays, and counts for, all messages that are due
// meanwhile, instead of only one.
#pragma once

#include "asio.hpp"
#include "contender.hpp"
#include "cpus.hpp"
#include "memory.hpp"
#include "messages.hpp"
#include "timer.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include <sys/prctl.h>
#include <sys/resource.h>

namespace belfry::bench {

/// A number, and the moment at which it is due.
using load_message = message<16>;
inline constexpr std::size_t load_capacity = 4096;  // messages; the same for all rings

/// How the sender waits until a message is due. `punctual`: it polls the clock for the last part of the time,
/// or for all of it if that is little, because waking up takes time. `asleep`: it leaves its processor to
/// other processes.
enum class pacing { punctual, asleep };

/// Messages per second, evenly spread.
class schedule {
 public:
  schedule(int rate, pacing how)
      : gap_(std::chrono::nanoseconds(std::chrono::seconds(1)) / rate),
        awake_for_(how == pacing::asleep ? 0 : 300) {}

  stopwatch::time_point due(stopwatch::time_point begin, std::uint64_t i) const {
    return begin + gap_ * static_cast<std::int64_t>(i);
  }

  /// Returns the time at which it stopped waiting.
  stopwatch::time_point wait_until(stopwatch::time_point due, stopwatch::time_point now) const {
    if (due - now > 2 * awake_for_) std::this_thread::sleep_until(due - awake_for_);
    while ((now = stopwatch::now()) < due) relax();
    return now;
  }

 private:
  std::chrono::nanoseconds gap_;
  std::chrono::microseconds awake_for_;
};

/// The receiver's record. The first tenth does not count: it warms up.
class latency_log {
 public:
  explicit latency_log(std::uint64_t messages)
      : warm_up_(messages / 10), latencies_(messages) {}  // written once, so that there are no page faults later

  void arrived(const load_message& m) {
    check(m, count_);
    latencies_[count_] = now() - static_cast<std::int64_t>(m.words[1]);
    if (++count_ == warm_up_) {
      cpu_ = cpu_seconds();
      sleeps_ = sleeps();
    }
  }
  bool complete() const { return count_ == latencies_.size(); }

  /// After all messages have arrived. In microseconds.
  figure summary() {
    const double counted = static_cast<double>(count_ - warm_up_);
    figure f;
    f.cpu = (cpu_seconds() - cpu_) / counted * 1e6;
    f.wake_ups = static_cast<double>(sleeps() - sleeps_) / counted;
    const auto first = latencies_.begin() + static_cast<std::ptrdiff_t>(warm_up_);
    std::sort(first, latencies_.end());
    const auto at = [&](double percentile) {
      const auto index = static_cast<std::ptrdiff_t>(percentile / 100 * counted);
      return static_cast<double>(first[index]) / 1000;
    };
    f.value = at(50);
    f.p99 = at(99);
    f.p999 = at(99.9);
    for (std::size_t i = 0; i != percentiles.size(); ++i) {
      if ((1 - percentiles[i] / 100) * counted >= 1) f.curve[i] = at(percentiles[i]);
    }
    return f;
  }

  static std::int64_t of(stopwatch::time_point t) {
    return std::chrono::nanoseconds(t.time_since_epoch()).count();
  }

 private:
  static std::int64_t now() { return of(stopwatch::now()); }
  /// How often this process has gone to sleep voluntarily.
  static long sleeps() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
  }

  std::uint64_t warm_up_;
  std::uint64_t count_ = 0;
  std::vector<std::int64_t> latencies_;
  double cpu_ = 0;
  long sleeps_ = 0;
};

/// A `Conduit` is made before the fork, and has two ends:
///
///     sender(conduit);    void send(const load_message&);        // waits if there is no room
///     receiver(conduit);  void receive(latency_log&);            // until it is complete
///
/// The processor time is all that of the receiver, but only that within `send` of the sender, because the
/// sender polls the clock all the time.
template <class Conduit>
class open_load_through final : public contender {
 public:
  template <class... Arguments>
  open_load_through(int rate, pacing how, Arguments... arguments)
      : schedule_(rate, how), conduit_(arguments...) {}

  figure lead(std::uint64_t n) override {
    latency_log log(n);
    typename Conduit::receiver end(conduit_);
    shared_->receiver_is_there.store(true, std::memory_order_release);  // pairs with follow()
    end.receive(log);
    const seconds time = stopwatch::now() - shared_->begin;
    figure f = log.summary();
    f.seconds = time.count();
    f.cpu += shared_->sending.count() / static_cast<double>(n) * 1e6;
    return f;
  }

  void follow(std::uint64_t n) override {
    ::prctl(PR_SET_TIMERSLACK, 1UL);  // nanosecond
    typename Conduit::sender end(conduit_);
    // pairs with the release in lead()
    while (!shared_->receiver_is_there.load(std::memory_order_acquire)) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    auto now = stopwatch::now();
    const auto begin = shared_->begin = now + std::chrono::milliseconds(1);
    for (std::uint64_t i = 0; i != n; ++i) {
      const auto due = schedule_.due(begin, i);
      now = schedule_.wait_until(due, now);
      end.send({{i, static_cast<std::uint64_t>(latency_log::of(due))}});
      const auto before = std::exchange(now, stopwatch::now());
      // the receiver reads it after the last message, so that message's time is left out
      if (i + 1 != n) shared_->sending += now - before;
    }
  }

 private:
  struct memory {
    std::atomic<bool> receiver_is_there{false};
    stopwatch::time_point begin;
    alignas(128) seconds sending{0};  // 128: processors fetch lines in pairs
  };

  schedule schedule_;
  Conduit conduit_;
  inherited<memory> shared_;
};

}  // namespace belfry::bench
