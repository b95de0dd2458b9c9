// SIGSTOP after any single instruction: only the producer of a blocking broadcast_ring waits for a stopped
// participant. When that one is killed afterwards, nothing is lost but what it held.
#include "stepping.hpp"
#include "survivors.hpp"

#include <numeric>

#if defined(__x86_64__)

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr std::uint64_t more = 200;  // several rings full

/// What a run has sent, in some order, each once.
std::vector<std::uint64_t> of_run(const std::vector<item>& got, std::uint64_t run) {
  std::vector<std::uint64_t> all;
  for (const item i : got) {
    if (i.run == run) all.push_back(i.seq);
  }
  std::ranges::sort(all);
  return all;
}
std::vector<std::uint64_t> first_numbers(std::uint64_t count) {
  std::vector<std::uint64_t> all(count);
  std::iota(all.begin(), all.end(), 0);
  return all;
}
bool no_doubles(const std::vector<std::uint64_t>& sorted) {
  return std::ranges::adjacent_find(sorted) == sorted.end();
}

template <class Channel>
void await_death(survivors<Channel>& s) {
  const segment_file file(s.name);
  run_until(s.io, [&] { return file.header().count.deaths.load() == 1; });
}

// ---- work_ring --------------------------------------------------------------------------------------------

enum class taking { one, many, ack, requeue, asleep };
const char* name_of(taking how) {
  return std::array{"try_receive", "try_receive_n", "lease and ack", "lease and requeue",
                    "receive with a timeout"}[static_cast<std::size_t>(how)];
}

class stopped_worker {
 public:
  stopped_worker(const std::string& name, taking how) : s_(name), how_(how) {
    s_.add(role::producer, peer::awake);
  }
  void prepare() {
    victim_.join(s_);
    for (std::uint64_t i = 0; i != before_; ++i) EXPECT(victim_->try_receive());
  }
  void rest() { settle(s_.io); }
  void act() {
    std::array<value, batch> many;
    switch (how_) {
      case taking::one: victim_->try_receive(); break;
      case taking::many: victim_->try_receive_n(many); break;
      case taking::ack: victim_->try_receive_lease().ack(); break;
      case taking::requeue: victim_->try_receive_lease().requeue(); break;
      case taking::asleep: victim_->receive(many[0], std::chrono::microseconds(100)); break;
    }
  }
  /// Whatever it holds, the others get the rest.
  void meanwhile() {
    s_.add_consumer();
    s_.rx->listen();
    const std::uint64_t last = s_.tx->next() + more;
    s_.tx->send(more);
    settle(s_.io);
    const auto got = of_run(s_.rx->got(), 1);
    EXPECT(no_doubles(got));
    EXPECT(!got.empty() && got.back() + 1 == last);
    EXPECT(last - got.size() <= before_ + (how_ == taking::many ? batch : 1));
  }
  /// How many it has received for good.
  unsigned follow() {
    if (!s_.rx) {
      s_.add_consumer();
      s_.rx->listen();
    }
    await_death(s_);
    const std::uint64_t sent = s_.tx->next();
    s_.go_on();
    const auto got = of_run(s_.rx->got(), 1);
    EXPECT(no_doubles(got));
    return static_cast<unsigned>(sent - got.size() - before_);
  }
  unsigned complete() const {
    switch (how_) {
      case taking::one:
      case taking::ack: return 1;
      case taking::many: return batch;
      case taking::requeue:
      case taking::asleep: break;
    }
    return 0;
  }

 private:
  survivors<jobs> s_;
  taking how_;
  std::uint64_t before_ = how_ == taking::asleep ? prepared + batch : prepared;
  doomed<jobs::consumer> victim_;
};

class stopped_sender {
 public:
  stopped_sender(const std::string& name, bool many) : s_(name), many_(many) {
    s_.add(role::consumer, peer::asleep);
  }
  void prepare() {
    victim_.join(s_);
    for (std::uint64_t i = 0; i != prepared; ++i)
      EXPECT(victim_->try_send(outgoing<jobs>(nth(i)).get()));
  }
  void rest() { settle(s_.io); }
  void act() {
    std::array<value, batch> values;
    for (std::uint64_t i = 0; i != batch; ++i) values[i] = outgoing<jobs>(nth(prepared + i)).get();
    many_ ? static_cast<void>(victim_->try_send_n(values))
          : static_cast<void>(victim_->try_send(values[0]));
  }
  /// The slots that it has begun to write are skipped, lap after lap.
  void meanwhile() {
    s_.add_producer();
    for (std::uint64_t i = 0; i != more; ++i) s_.tx->push({3, i});
    run_until(s_.io, [&] { return of_run(s_.rx->got(), 3).size() == more; });
    EXPECT(of_run(s_.rx->got(), 3) == first_numbers(more));
  }
  /// How many more it has sent.
  unsigned follow() {
    await_death(s_);
    s_.go_on();
    const auto got = of_run(s_.rx->got(), 1);
    EXPECT(got == first_numbers(got.size()));
    EXPECT(got.size() >= prepared);
    return static_cast<unsigned>(got.size() - prepared);
  }
  unsigned complete() const { return many_ ? batch : 1; }

 private:
  survivors<jobs> s_;
  bool many_;
  doomed<jobs::producer> victim_;
};

// ---- broadcast_ring ---------------------------------------------------------------------------------------

class stopped_listener {
 public:
  stopped_listener(const std::string& name, bool many) : s_(name), many_(many) {
    s_.add(role::producer, peer::awake);
  }
  void prepare() {
    victim_.join(s_);
    for (std::uint64_t i = 0; i != prepared; ++i) EXPECT(victim_->try_receive());
  }
  void rest() { settle(s_.io); }
  void act() {
    std::array<value, batch> values;
    many_ ? static_cast<void>(victim_->try_receive_n(values))
          : static_cast<void>(victim_->try_receive());
  }
  /// The producer is held back, though the other consumer has received everything.
  void meanwhile() {
    s_.add_consumer();
    s_.rx->listen();
    s_.tx->fill();
    settle(s_.io);
    EXPECT(!s_.tx->idle());
    const std::uint64_t sent = s_.tx->next() - 1;  // one waits
    EXPECT(sent >= 64 && sent <= 64 + prepared + batch);
    EXPECT(of_run(s_.rx->got(), 1) == first_numbers(sent));
  }
  /// No longer; how far the victim had got cannot be seen from outside.
  unsigned follow() {
    if (!s_.rx) {
      s_.add_consumer();
      s_.rx->listen();
    }
    run_until(s_.io, [&] { return s_.tx->idle(); });
    s_.tx->send(more);
    EXPECT(s_.tx->deaths() <= 1);
    s_.go_on();
    EXPECT(of_run(s_.rx->got(), 1) == first_numbers(s_.tx->next()));
    return 0;
  }

 private:
  survivors<news> s_;
  bool many_;
  doomed<news::consumer> victim_;
};

class stopped_publisher {
 public:
  explicit stopped_publisher(const std::string& name) : s_(name) {
    s_.add(role::consumer, peer::asleep);
  }
  void prepare() {
    victim_.join(s_);
    for (std::uint64_t i = 0; i != prepared; ++i)
      EXPECT(victim_->try_send(outgoing<flashes>(nth(i)).get()));
  }
  void rest() { settle(s_.io); }
  void act() { victim_->try_send(outgoing<flashes>(nth(prepared)).get()); }
  /// Consumers join, read what is whole, and leave.
  void meanwhile() {
    settle(s_.io);
    EXPECT(s_.rx->got().size() >= prepared);
    flashes::consumer late(s_.io, s_.name, options<flashes>());
    std::uint64_t count = 0;
    while (const auto v = late.try_receive()) EXPECT(read(*v) == nth(count++));
    EXPECT(count >= prepared && count <= prepared + 1);
  }
  unsigned follow() {
    run_until(s_.io, [&] { return s_.rx->deaths() == 1; });
    s_.go_on();
    const auto got = of_run(s_.rx->got(), 1);
    EXPECT(got == first_numbers(got.size()));
    return static_cast<unsigned>(got.size() - prepared);
  }
  unsigned complete() const { return 1; }

 private:
  survivors<flashes> s_;
  doomed<flashes::producer> victim_;
};

}  // namespace

TEST_CASE("a participant stopped in the middle of a work_ring holds no other up", "[stopped]") {
  const watchdog dog(std::chrono::minutes(10));
  for (const taking how :
       {taking::one, taking::many, taking::ack, taking::requeue, taking::asleep}) {
    kill_everywhere<stopped_worker>(std::string("work_ring, stopped: ") + name_of(how), how);
  }
  kill_everywhere<stopped_sender>("work_ring, stopped: try_send", false);
  kill_everywhere<stopped_sender>("work_ring, stopped: try_send_n", true);
}

TEST_CASE("a consumer stopped in the middle of a blocking broadcast_ring holds the producer back",
          "[stopped]") {
  const watchdog dog(std::chrono::minutes(10));
  kill_everywhere<stopped_listener>("broadcast_ring<block>, stopped: try_receive", false);
  kill_everywhere<stopped_listener>("broadcast_ring<block>, stopped: try_receive_n", true);
  kill_everywhere<stopped_publisher>("broadcast_ring<overwrite>, stopped: try_send");
}

#endif
