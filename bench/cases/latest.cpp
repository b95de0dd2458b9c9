// The cost of writing, and of reading, the newest value while the other process does the opposite as fast as
// it can; against a mutex that both share around the same struct. Means, because it is a matter of luck
// whether a read finds a new value.
#include "../harness/asio.hpp"
#include "cases.hpp"
#include "../harness/measure.hpp"
#include "../harness/memory.hpp"
#include "../harness/messages.hpp"
#include "../harness/timer.hpp"

#include <belfry/channel.hpp>
#include <belfry/ring/latest.hpp>

#include <atomic>
#include <stdexcept>
#include <string>

#include <pthread.h>

namespace belfry::bench {
namespace {

using value = message<64>;
using values = channel<latest<value>>;

enum class op { write, read };

/// `Shared` has a writer and a reader: write(value), read(value&).
template <class Shared>
class newest_value final : public contender {
 public:
  explicit newest_value(op timed) : timed_(timed) {}

  figure lead(std::uint64_t n) override {
    value v{};
    const auto begin = stopwatch::now();
    if (timed_ == op::write) {
      typename Shared::writer writer(shared_);
      for (std::uint64_t i = 0; i != n; ++i) {
        v.number(i);
        writer.write(v);
      }
    } else {
      typename Shared::reader reader(shared_);
      for (std::uint64_t i = 0; i != n; ++i) {
        reader.read(v);
        check(v, v.words[0]);
      }
    }
    const double time = seconds(stopwatch::now() - begin).count();
    over_->store(true);
    return {time / static_cast<double>(n) * 1e9, 0, time};
  }

  void follow(std::uint64_t) override {
    value v{};
    if (timed_ == op::write) {
      typename Shared::reader reader(shared_);
      while (!over_->load(std::memory_order_relaxed)) {
        reader.read(v);
        check(v, v.words[0]);
      }
    } else {
      typename Shared::writer writer(shared_);
      for (std::uint64_t i = 0; !over_->load(std::memory_order_relaxed); ++i) {
        v.number(i);
        writer.write(v);
      }
    }
  }

 private:
  op timed_;
  Shared shared_;
  inherited<std::atomic<bool>> over_;
};

struct in_channel {
  class writer {
   public:
    explicit writer(const in_channel& c) : tx_(c.meeting.producer(io_)) {}
    void write(const value& v) { tx_.try_send(v); }

   private:
    net::io_context io_{1};
    values::producer tx_;
  };
  /// Keeps the old value if there is no newer one.
  class reader {
   public:
    explicit reader(const in_channel& c) : rx_(c.meeting.consumer(io_)) {}
    void read(value& v) {
      if (const auto newer = rx_.try_receive()) v = *newer;
    }

   private:
    net::io_context io_{1};
    values::consumer rx_;
  };

  meeting_point<values> meeting{"latest"};
};

struct guarded {
  pthread_mutex_t mutex;
  value current;
};

class under_mutex {
 public:
  under_mutex() {
    pthread_mutexattr_t shared;
    ::pthread_mutexattr_init(&shared);
    ::pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    if (::pthread_mutex_init(&guarded_->mutex, &shared) != 0) throw std::runtime_error("mutex");
  }

  class writer {
   public:
    explicit writer(const under_mutex& m) : guarded_(*m.guarded_) {}
    void write(const value& v) {
      ::pthread_mutex_lock(&guarded_.mutex);
      guarded_.current = v;
      ::pthread_mutex_unlock(&guarded_.mutex);
    }
    void read(value& v) {
      ::pthread_mutex_lock(&guarded_.mutex);
      v = guarded_.current;
      ::pthread_mutex_unlock(&guarded_.mutex);
    }

   private:
    guarded& guarded_;
  };
  using reader = writer;

 private:
  inherited<guarded> guarded_;
};

}  // namespace

void newest(report& out) {
  const auto figures = measure({
      enter<newest_value<in_channel>>("belfry, latest, write", op::write),
      enter<newest_value<under_mutex>>("shared mutex, write", op::write),
      enter<newest_value<in_channel>>("belfry, latest, read", op::read),
      enter<newest_value<under_mutex>>("shared mutex, read", op::read),
  });
  for (const std::size_t i : {std::size_t{0}, std::size_t{2}}) {
    out.add({"latest",
             "ns",
             {{"bytes", 64}, {"op", std::string(i == 0 ? "write" : "read")}},
             figures[i],
             {{"process-shared mutex", figures[i + 1]}}});
  }
}

}  // namespace belfry::bench
