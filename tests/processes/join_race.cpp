// The last participant removes the segment while another one joins: none ever gets an error, and no message
// is lost.
#include "traffic.hpp"

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr std::uint64_t rounds = sanitized ? 2'000 : 6'000;

/// A role may be taken for a moment if several processes compete for it.
template <class Endpoint>
std::optional<Endpoint> compete(net::io_context& io, const std::string& name, const channel_options& o) {
  error_code ec;
  std::optional<Endpoint> e(std::in_place, io, name, o, ec);
  if (!ec) return e;
  EXPECT_EQ(ec, error_code(errc::role_taken));
  return std::nullopt;
}

}  // namespace

TEMPLATE_TEST_CASE("a producer and a consumer join and leave all the time", "[join-race]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("race");
  const nothing_left check(name);
  child producer([&] {
    for (std::uint64_t seq = 0; seq != rounds; ++seq) {
      sender<TestType> tx(name, how::blocking);
      tx.insist({0, seq});
    }
  });
  child consumer([&] {
    for (std::uint64_t seq = 0; seq != rounds;) {
      receiver<TestType> rx(name, how::blocking);
      for (;;) {
        const auto r = rx.receive();
        if (r.error == errc::closed) break;
        EXPECT_EQ(r.error, error_code());
        EXPECT_EQ(r.what.seq, seq);
        ++seq;
      }
    }
  });
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("several compete for each role", "[join-race]", values, frames) {
  constexpr std::uint64_t count = rounds / 2;
  struct notes {
    std::atomic<std::uint64_t> sent{0};
    std::atomic<std::uint64_t> received{0};
  };
  const watchdog dog;
  const std::string name = unique_name("compete");
  const nothing_left check(name);
  const shared<notes> n;
  // The process that has the role has the counter.
  const auto produce = [&] {
    net::io_context io;
    while (n->sent.load() != count) {
      auto tx = compete<typename TestType::producer>(io, name, options<TestType>());
      const std::uint64_t seq = n->sent.load();
      if (!tx || seq == count) continue;
      if (tx->try_send(outgoing<TestType>({0, seq}).get())) n->sent.store(seq + 1);
    }
  };
  const auto consume = [&] {
    net::io_context io;
    while (n->received.load() != count) {
      auto rx = compete<typename TestType::consumer>(io, name, options<TestType>());
      if (!rx) continue;
      while (auto m = rx->try_receive()) {
        EXPECT_EQ(read(*m).seq, n->received.load());
        n->received.fetch_add(1);
      }
    }
  };
  child producers[] = {child(produce), child(produce)};
  child consumers[] = {child(consume), child(consume)};
  for (child& c : producers) CHECK(c.wait() == 0);
  for (child& c : consumers) CHECK(c.wait() == 0);
  CHECK(n->received == count);
}

TEMPLATE_TEST_CASE("both leave at the same moment, and a third joins", "[join-race]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("third");
  const nothing_left check(name);
  const event join[2];
  const event go[3];
  const event done;
  // The first two hold both roles, and leave when the third, which wants one of them, may start.
  constexpr int times = sanitized ? 1'000 : 3'000;
  child first([&] {
    for (int i = 0; i != times; ++i) {
      join[0].wait();
      {
        sender<TestType> tx(name);
        done.set();
        go[0].wait();
      }
      done.set();
    }
  });
  child second([&] {
    for (int i = 0; i != times; ++i) {
      join[1].wait();
      {
        receiver<TestType> rx(name);
        done.set();
        go[1].wait();
      }
      done.set();
    }
  });
  child third([&] {
    net::io_context io;
    for (int i = 0; i != times; ++i) {
      go[2].wait();
      std::optional<typename TestType::producer> tx;
      while (!tx) tx = compete<typename TestType::producer>(io, name, options<TestType>());
      EXPECT(tx->try_send(outgoing<TestType>({1, 0}).get()));
      tx.reset();
      std::optional<typename TestType::consumer> rx;
      while (!rx) rx = compete<typename TestType::consumer>(io, name, options<TestType>());
      typename TestType::consumer::value_type v;
      EXPECT_EQ(rx->receive(v), error_code());
      EXPECT(read(v) == item{1, 0});
      v = {};  // released before its consumer leaves
      EXPECT_EQ(rx->receive(v), error_code(errc::closed));
      rx.reset();
      done.set();
    }
  });
  for (int i = 0; i != times; ++i) {
    for (const event& e : join) e.set();
    for (int k = 0; k != 2; ++k) done.wait();
    for (const event& e : go) e.set();
    for (int k = 0; k != 3; ++k) done.wait();
  }
  CHECK(first.wait() == 0);
  CHECK(second.wait() == 0);
  CHECK(third.wait() == 0);
}
