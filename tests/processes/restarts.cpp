// Processes that join and leave all the time are killed at random moments and started again: the survivors
// continue, and nothing is left behind.
#include "traffic.hpp"

#include <limits>

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr int kills = sanitized ? 100 : 600;

/// The victims' work; an item may have been sent, or received, without having been recorded.
struct notes {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> run{0};
  std::atomic<std::uint64_t> received{0};
};

/// Joins, sends two items, and leaves, again and again. Each time with another run number.
template <class Channel>
void come_and_send(const std::string& name, notes& n) {
  while (!n.stop.load()) {
    const std::uint64_t run = n.run.fetch_add(1) + 1;
    sender<Channel> tx(name, how::blocking);
    tx.insist({run, 0});
    tx.insist({run, 1});
  }
}

/// The runs received grow; of each a prefix is received. The first may be the rest of a run that others
/// began.
struct in_order {
  item last{0, 0};
  void operator()(item next) {
    EXPECT(last.run == 0 || next == item{last.run, last.seq + 1} ||
           (next.run > last.run && next.seq == 0));
    last = next;
  }
};

/// Receives until a producer of that run has been there; waits for short-lived ones.
template <class Channel>
void receive_until(const std::string& name, how way, const std::atomic<std::uint64_t>& last_run) {
  receiver<Channel> rx(name, way);
  in_order check;
  while (check.last.run != last_run.load() || check.last.seq != 1) {
    const auto r = rx.receive();
    if (r.error == errc::closed) {
      rx.wait_peer();
    } else if (r.error != errc::peer_died) {
      EXPECT_EQ(r.error, error_code());
      check(r.what);
    }
  }
}

template <class Body>
void kill_again_and_again(std::mt19937& random, const Body& body) {
  child zombie;
  for (int i = 0; i != kills; ++i) {
    child victim(body);
    a_while(random);
    victim.kill_unreaped();
    zombie = std::move(victim);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("a consumer survives producers that are killed while they join and leave", "[restarts]",
                   values, frames) {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("producers");
    const nothing_left check(name);
    const shared<notes> n;
    const shared<std::atomic<std::uint64_t>> last_run;
    last_run->store(~std::uint64_t{0});  // not known yet
    std::mt19937 random(random_seed());
    child survivor([&] { receive_until<TestType>(name, way, *last_run); });
    kill_again_and_again(random, [&] { come_and_send<TestType>(name, *n); });
    last_run->store(n->run.fetch_add(1) + 1);
    child last([&] {
      sender<TestType> tx(name, how::blocking);
      tx.insist({last_run->load(), 0});
      tx.insist({last_run->load(), 1});
    });
    CHECK(last.wait() == 0);
    CHECK(survivor.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("a producer survives consumers that are killed while they join and leave", "[restarts]",
                   values, frames) {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("consumers");
    const nothing_left check(name);
    const shared<notes> n;
    std::mt19937 random(random_seed());
    child survivor([&] {
      sender<TestType> tx(name, way);
      for (std::uint64_t seq = 0; !n->stop.load(); ++seq) tx.insist({1, seq});
    });
    const auto come_and_receive = [&](int items) {
      for (;;) {
        receiver<TestType> rx(name, how::blocking);
        for (int i = 0; i != items; ++i) {
          const auto r = rx.receive();
          if (r.error == errc::closed) return;
          EXPECT_EQ(r.error, error_code());
          // Each killed one may have received one item that it did not record.
          EXPECT(r.what.seq + 1 >= n->received.load());
          n->received.store(r.what.seq + 1);
        }
      }
    };
    kill_again_and_again(random, [&] { come_and_receive(3); });
    const std::uint64_t before = n->received.load();
    child last([&] { come_and_receive(std::numeric_limits<int>::max()); });  // joins and stays
    await([&] { return n->received.load() > before + 1; });
    n->stop.store(true);
    CHECK(survivor.wait() == 0);
    CHECK(last.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("none survives, and a new pair continues", "[restarts]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("both");
  const nothing_left check(name);
  const shared<notes> n;
  std::mt19937 random(random_seed());
  for (int i = 0; i != kills; ++i) {
    child producer([&] { come_and_send<TestType>(name, *n); });
    child consumer([&] {
      for (;;) {
        receiver<TestType> rx(name, how::blocking);
        in_order in;
        for (auto r = rx.receive(); r.error != errc::closed; r = rx.receive()) {
          if (!r.error) in(r.what);
        }
      }
    });
    a_while(random);
    ::kill(producer.pid(), SIGKILL);
    if (i % 2 == 0) a_while(random, 6);
    consumer.kill();
  }
  n->stop.store(true);
  const std::uint64_t last_run = n->run.fetch_add(1) + 1;
  child producer([&] {
    sender<TestType> tx(name, how::blocking);
    tx.insist({last_run, 0});
    tx.insist({last_run, 1});
  });
  child consumer([&] {
    const std::atomic<std::uint64_t> run(last_run);
    receive_until<TestType>(name, how::blocking, run);
  });
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
}
