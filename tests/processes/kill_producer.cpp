// kill -9 of the producer at any moment: its consumer receives everything committed, is told of the death
// once, and continues with the next producer.
#include "traffic.hpp"

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr std::size_t kills = sanitized ? 80 : 600;

/// What a producer records around each send, and what its consumer has received.
struct run {
  std::atomic<bool> joined{false};
  std::atomic<std::uint64_t> begun{0};
  std::atomic<std::uint64_t> done{0};
  std::atomic<std::uint64_t> received{0};
};
struct notes {
  std::array<run, kills + 1> runs;
  std::atomic<std::uint64_t> deaths{0};
};

/// Every other message of a byte_ring is written in place, slowly.
error_code send(sender<frames>& to, item what) {
  if (what.seq % 2 == 0) return to.send(what);
  const outgoing_frame out(what);
  const auto bytes = out.get();
  claim c;
  error_code result;
  to.tx().async_claim(bytes.size() + 40, [&](error_code ec, claim got) {
    result = ec;
    c = std::move(got);
  });
  to.io().restart();
  to.io().run();
  if (result) return result;
  for (std::size_t i = 0; i != bytes.size(); ++i) c.bytes()[i] = bytes[i];
  c.commit(bytes.size());
  return {};
}
error_code send(sender<values>& to, item what) { return to.send(what); }

template <class Channel>
void produce(const std::string& name, how way, run& r, std::uint64_t number, std::uint64_t count) {
  sender<Channel> tx(name, way);
  r.joined.store(true);
  std::mt19937 random(random_seed() + static_cast<unsigned>(number));
  for (std::uint64_t seq = 0; seq != count; ++seq) {
    r.begun.store(seq + 1);
    EXPECT_EQ(send(tx, {number, seq}), error_code());
    r.done.store(seq + 1);
    if (random() % 64 == 0) a_while(random, 8);
  }
}

/// Receives until a producer ends normally.
template <class Channel>
void consume(const std::string& name, how way, notes& n, const event& joined, const event& told) {
  receiver<Channel> rx(name, way);
  joined.set();
  std::uint64_t number = 0;
  std::uint64_t next = 0;
  for (;;) {
    const auto r = rx.receive();
    if (r.error == errc::closed) return;
    if (r.error == errc::peer_died) {
      n.deaths.fetch_add(1);
      told.set();
      continue;
    }
    EXPECT_EQ(r.error, error_code());
    if (r.what.run != number) {
      EXPECT(r.what.run > number);
      number = r.what.run;
      next = 0;
    }
    EXPECT_EQ(r.what.seq, next);
    n.runs[number].received.store(++next);
  }
}

/// With `wait_for_death` the next producer joins after the consumer was told, otherwise at once.
template <class Channel>
void kill_producers(how way, bool wait_for_death) {
  constexpr std::uint64_t last_count = 100;
  const watchdog dog;
  const std::string name = unique_name("producers");
  const nothing_left check(name);
  const shared<notes> n;
  const event ready;
  const event told;
  std::mt19937 random(random_seed());

  child consumer([&] { consume<Channel>(name, way, *n, ready, told); });
  ready.wait();  // it is told of no death before it joins
  std::uint64_t joined = 0;
  {
    child zombie;
    for (std::uint64_t i = 0; i != kills; ++i) {
      child producer([&] { produce<Channel>(name, way, n->runs[i], i, ~std::uint64_t{0}); });
      a_while(random);
      producer.kill_unreaped();
      zombie = std::move(producer);
      const run& r = n->runs[i];
      if (!r.joined.load()) continue;  // whether it counts as dead depends on how far it got
      ++joined;
      if (!wait_for_death) continue;
      // The first reported death may be that of a producer that could not yet report that it had joined.
      told.wait();
      await([&] { return r.received.load() >= r.done.load(); });
    }
  }
  child last([&] { produce<Channel>(name, way, n->runs[kills], kills, last_count); });
  CHECK(last.wait() == 0);
  CHECK(consumer.wait() == 0);

  for (const run& r : n->runs) {
    const std::uint64_t received = r.received.load();
    CHECK((received == r.done.load() || received == r.begun.load()));
  }
  CHECK(n->runs[kills].received == last_count);
  CHECK(n->deaths.load() >= joined);
  CHECK(n->deaths.load() <= kills);
}

}  // namespace

TEMPLATE_TEST_CASE("everything that a killed producer has sent is received, then its death is reported once",
                   "[kill-producer]", values, frames) {
  for (const how way : every_way) {
    INFO(name_of(way));
    kill_producers<TestType>(way, true);
  }
}

TEMPLATE_TEST_CASE("a successor may join before the death of a producer is noticed", "[kill-producer]",
                   values, frames) {
  for (const how way : every_way) {
    INFO(name_of(way));
    kill_producers<TestType>(way, false);
  }
}
