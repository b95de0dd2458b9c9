// kill -9 of the consumer at any moment: a new one continues where the ring promises.
//
// A consumer records what it has done in memory that survives it. A kill may come between an act and its
// record. The state that its successor finds may differ by that much, and no more.
#include "traffic.hpp"

#include <algorithm>

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr int consumer_kills = sanitized ? 100 : 1000;

struct consumer_notes {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> received{0};   // the next item that is not recorded
  std::atomic<std::uint64_t> doubtful{0};   // how many after it may have been received as well
  std::atomic<std::uint64_t> releasing{0};  // the first unreleased message after the release that has begun
  std::atomic<std::uint64_t> released{0};   // and after the release that is done
};

/// Sends until it is told to stop, mostly as fast as it can; now and then its consumer must wait.
template <class Channel>
void produce(const std::string& name, how way, consumer_notes& n) {
  sender<Channel> tx(name, way);
  std::mt19937 random(random_seed() + 1);
  for (std::uint64_t seq = 0; !n.stop.load(); ++seq) {
    tx.insist({0, seq});
    n.sent.store(seq + 1);
    if (random() % 64 == 0) a_while(random, 8);
  }
}

/// An item about to be received counts as doubtful until it is recorded.
std::uint64_t doubt(consumer_notes& n, std::uint64_t count) {
  const std::uint64_t before = n.doubtful.load();
  n.doubtful.store(before + count);
  return before;
}
void write_down(consumer_notes& n, std::uint64_t next) {
  n.received.store(next);
  n.doubtful.store(0);
}

/// Kills consumers one after the other, and lets the last one receive the rest.
template <class Channel>
void kill_consumers(how producers_way, const std::function<void(const std::string&, consumer_notes&)>& consume) {
  const watchdog dog;
  const std::string name = unique_name("consumers");
  const nothing_left check(name);
  const shared<consumer_notes> n;
  std::mt19937 random(random_seed());

  child producer([&] { produce<Channel>(name, producers_way, *n); });
  {
    child zombie;  // the dead one stays unreaped while its successor works
    for (int i = 0; i != consumer_kills; ++i) {
      child consumer([&] { consume(name, *n); });
      a_while(random);
      consumer.kill_unreaped();
      zombie = std::move(consumer);
    }
  }
  const std::uint64_t before = n->received.load();
  child last([&] { consume(name, *n); });
  await([&] { return n->received.load() != before; });  // it has joined: the producer may leave
  n->stop.store(true);
  CHECK(last.wait() == 0);
  CHECK(producer.wait() == 0);
  CHECK(n->received == n->sent);
}

}  // namespace

TEST_CASE("a new consumer of an spsc_ring continues with the next unreceived value", "[kill-consumer]") {
  for (const how way : every_way) {
    INFO(name_of(way));
    kill_consumers<values>(way, [way](const std::string& name, consumer_notes& n) {
      receiver<values> rx(name, way);
      for (;;) {
        const std::uint64_t doubtful = doubt(n, 1);
        const auto r = rx.receive();
        if (r.error == errc::closed) return;
        EXPECT_EQ(r.error, error_code());
        const std::uint64_t expected = n.received.load();
        EXPECT(r.what.seq >= expected && r.what.seq <= expected + doubtful);
        write_down(n, r.what.seq + 1);
      }
    });
  }
}

TEST_CASE("a consumer that takes many values at once loses no more than these", "[kill-consumer]") {
  constexpr std::size_t batch = 16;
  kill_consumers<values>(how::awaited, [](const std::string& name, consumer_notes& n) {
    net::io_context io;
    auto rx = meet<values>::consumer(io, name);
    for (;;) {
      const std::uint64_t doubtful = doubt(n, batch);
      std::array<value, batch> got;
      error_code error;
      std::size_t count = 0;
      rx.async_receive_n(got, [&](error_code ec, std::size_t taken) { error = ec, count = taken; });
      io.restart();
      io.run();
      if (error == errc::closed) return;
      EXPECT_EQ(error, error_code());
      EXPECT(count != 0);
      const std::uint64_t expected = n.received.load();
      const std::uint64_t begin = read(got[0]).seq;
      EXPECT(begin >= expected && begin <= expected + doubtful);
      for (std::size_t i = 1; i != count; ++i) EXPECT_EQ(read(got[i]).seq, begin + i);
      write_down(n, begin + count);
    }
  });
}

TEST_CASE("a new consumer of a byte_ring continues with the first unreleased message", "[kill-consumer]") {
  for (const how way : every_way) {
    INFO(name_of(way));
    kill_consumers<frames>(way, [way](const std::string& name, consumer_notes& n) {
      receiver<frames> rx(name, way, options<frames>());
      std::mt19937 random(random_seed() + static_cast<unsigned>(::getpid()));
      struct held {
        std::uint64_t seq;
        message m;
      };
      std::vector<held> all;  // in order
      std::uint64_t next = 0;

      // In any order; the room of a message is returned with that of the oldest one. So a message must not be
      // held for too long: the producer would wait for its room, and this consumer for the producer.
      const auto late = [&] { return !all.empty() && next - all.front().seq >= 4; };
      const auto release_one = [&] {
        const auto which =
            all.begin() + static_cast<std::ptrdiff_t>(late() ? 0 : random() % all.size());
        const bool oldest = which == all.begin();
        const std::uint64_t head =
            !oldest ? all.front().seq : all.size() > 1 ? all[1].seq : next;
        n.releasing.store(head);
        message gone = std::move(which->m);
        all.erase(which);
        gone.release();
        n.released.store(head);
      };
      for (bool first = true;; first = false) {
        message m;
        const error_code ec = rx.receive(m);
        if (ec == errc::closed) break;
        EXPECT_EQ(ec, error_code());
        const std::uint64_t seq = read(m).seq;
        if (!first) {
          EXPECT_EQ(seq, next);
        } else {
          if (seq != n.releasing.load()) EXPECT_EQ(seq, n.released.load());
          n.released.store(seq);
          n.releasing.store(seq);
        }
        next = seq + 1;
        n.received.store(next);
        all.push_back({seq, std::move(m)});
        while (late() || (!all.empty() && random() % 2 == 0)) release_one();
      }
      while (!all.empty()) release_one();
    });
  }
}
