// Deliveries that come to an end: dead items, and leases that last too long. The words of a work_ring, without endpoints.
#include "support/raw_ring.hpp"

#include <belfry/ring/work_ring.hpp>

#include <atomic>
#include <chrono>
#include <set>

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;

namespace {

using state = layout::work_state;

channel_options dying_after(std::uint32_t deliveries, std::chrono::nanoseconds lease_timeout = 0ns) {
  channel_options o;
  o.max_deliveries = deliveries;
  o.lease_timeout = lease_timeout;
  return o;
}

template <std::size_t N>
struct work : raw_ring<work_ring<std::uint64_t, N>> {
  using raw_ring<work_ring<std::uint64_t, N>>::raw_ring;

  layout::work_control& control() { return *reinterpret_cast<layout::work_control*>(this->memory.at); }
  std::atomic<std::uint64_t>& bits(std::size_t i) {
    return *reinterpret_cast<std::atomic<std::uint64_t>*>(this->memory.at + sizeof(layout::work_control) + i * 16);
  }
  layout::work_word word(std::size_t i) { return layout::work_word::from(bits(i).load()); }
  /// When slot i was leased.
  std::atomic<std::uint64_t>& time(std::size_t i) {
    return *reinterpret_cast<std::atomic<std::uint64_t>*>(this->memory.at + this->memory.bytes - (N - i) * 8);
  }
  /// As if so much time had passed since.
  void age(std::size_t i, std::chrono::nanoseconds by) {
    const auto n = static_cast<std::uint64_t>(by.count());
    time(i) = time(i) > n ? time(i) - n : 0;
  }
  std::size_t dead() {
    std::size_t count = 0;
    for (std::size_t i = 0; i != N; ++i) count += word(i).state == state::dead;
    return count;
  }
};

template <class Reader>
numbers take_all(Reader& rx) {
  numbers all;
  for (std::uint64_t n = 0; rx.pop(n) == attempt::done;) all.push_back(n);
  return all;
}
template <class Reader>
numbers take_dead(Reader& rx) {
  numbers all;
  lease_ticket t;
  for (std::uint64_t n = 0; rx.lease_dead(n, t) == attempt::done;) {
    all.push_back(n);
    REQUIRE(rx.acknowledge(t));
  }
  return all;
}
template <class Writer, class Reader>
void make_dead(Writer& tx, Reader& rx, std::uint64_t first, std::uint64_t end) {
  for (; first != end; ++first) {
    std::uint64_t n = 0;
    lease_ticket t;
    REQUIRE(tx.push(first) == attempt::done);
    REQUIRE(rx.lease(n, t) == attempt::done);
    REQUIRE(n == first);
    REQUIRE(rx.reject(t));
  }
}

}  // namespace

TEST_CASE("an item dies after so many deliveries, however a lease ends, and the others pass by it", "[dead]") {
  work<4> ring(dying_after(3));
  auto tx = ring.writer(0);
  auto x = ring.reader(32), y = ring.reader(33);
  REQUIRE(tx.push(7) == attempt::done);
  std::uint64_t n = 0;
  lease_ticket t;
  const int last = GENERATE(0, 1, 2);
  for (unsigned deliveries = 1; deliveries != 4; ++deliveries) {
    CHECK_FALSE(x.has_dead());
    REQUIRE(x.lease(n, t) == attempt::done);
    CHECK(t.deliveries == deliveries);
    switch (deliveries == 3 ? last : static_cast<int>(deliveries)) {
      case 0: CHECK(x.give_back(t)); break;
      case 1: x.leave(); break;
      default: ring.recover(32);
    }
    CHECK(ring.word(0).state == (deliveries == 3 ? state::dead : state::ready));
    CHECK(ring.word(0).deliveries == deliveries);
    CHECK_FALSE(x.acknowledge(t));
    CHECK(x.made_dead() == (deliveries == 3 && last != 2));
  }
  CHECK_FALSE(x.readable());
  CHECK(x.lease(n, t) == attempt::would_block);
  CHECK(y.pop(n) == attempt::would_block);
  CHECK_FALSE(ring.drained());
  for (std::uint64_t i = 0; i != 40; ++i) {
    REQUIRE(tx.push(i) == attempt::done);
    REQUIRE(y.pop(n) == attempt::done);
    CHECK(n == i);
  }
  CHECK(ring.word(0).state == state::dead);
  for (auto* rx : {&x, &y}) {
    CHECK(rx->has_dead());
    REQUIRE(rx->lease_dead(n, t) == attempt::done);
    CHECK(n == 7);
    CHECK(t.deliveries == 3);
    CHECK(rx->lease_dead(n, t) == attempt::would_block);
    CHECK_FALSE(rx->has_dead());
    if (rx == &x) CHECK(rx->give_back(t));
  }
  CHECK(ring.word(0).state == state::dead_leased);
  CHECK(y.acknowledge(t));
  CHECK_FALSE(y.acknowledge(t));
  CHECK(ring.drained());
}

TEST_CASE("a rejected item is dead at once, and stays dead however its lease ends", "[dead]") {
  work<4> ring(dying_after(GENERATE(0u, 1u, 5u)));
  auto tx = ring.writer(0);
  auto x = ring.reader(32), y = ring.reader(33);
  make_dead(tx, x, 1, 2);
  CHECK(x.made_dead());
  CHECK_FALSE(x.made_dead());
  std::uint64_t n = 0;
  lease_ticket t;
  for (int end = 0; end != 4; ++end) {
    REQUIRE(y.lease_dead(n, t) == attempt::done);
    CHECK(ring.word(0).owner == 34);
    CHECK(t.deliveries == 1);
    switch (end) {
      case 0: CHECK(y.give_back(t)); break;
      case 1: CHECK(y.reject(t)); break;
      case 2: y.leave(); break;
      default: ring.recover(33);
    }
    CHECK(ring.word(0).state == state::dead);
    CHECK(ring.word(0).deliveries == 1);
    CHECK_FALSE(y.reject(t));
    CHECK_FALSE(y.give_back(t));
    CHECK_FALSE(y.acknowledge(t));
    CHECK_FALSE(x.readable());
  }
  CHECK(take_dead(x) == numbers{1});
  CHECK(ring.drained());
}

TEST_CASE("a ring full of dead items drops the oldest of them, and keeps a quarter", "[dead]") {
  work<8> ring(dying_after(1));
  auto tx = ring.writer(0), ty = ring.writer(1);
  auto rx = ring.reader(32);
  const bool many = GENERATE(false, true);
  make_dead(tx, rx, 0, 8);
  CHECK(ring.dead() == 8);
  CHECK(tx.writable());
  CHECK(ty.writable());
  for (std::uint64_t n = 8; n != 14; ++n) {
    CHECK(tx.writable());
    if (many) {
      std::size_t sent = 0;
      CHECK(tx.push_n(std::array<std::uint64_t, 1>{n}, sent) == attempt::done);
      CHECK(sent == 1);
    } else {
      CHECK(tx.push(n) == attempt::done);
    }
  }
  CHECK(ring.control().dropped == 6);
  CHECK(ring.dead() == 2);
  CHECK_FALSE(tx.writable());
  CHECK_FALSE(ty.writable());
  CHECK(tx.push(14) == attempt::would_block);
  CHECK(ring.dead() == 2);
  CHECK(take_all(rx) == from_to(8, 14));
  CHECK(take_dead(rx) == numbers{6, 7});
  CHECK(ring.drained());
}

TEST_CASE("however few places a ring has, dead items do not end it", "[dead]") {
  const auto run = [](auto& ring, std::size_t stay) {
    auto tx = ring.writer(0);
    auto rx = ring.reader(32);
    make_dead(tx, rx, 0, 20);
    CHECK(take_dead(rx).size() >= stay);
    CHECK(ring.drained());
  };
  work<1> one;
  run(one, 0);
  work<2> two;
  run(two, 1);
  work<3> three;
  run(three, 1);
  work<5> five;
  run(five, 1);
}

TEST_CASE("items that are held are not dropped, and neither are dead ones that a consumer holds", "[dead]") {
  work<4> ring;
  auto tx = ring.writer(0);
  auto x = ring.reader(32), y = ring.reader(33);
  make_dead(tx, x, 0, 2);
  std::uint64_t n = 0;
  lease_ticket held, leased_dead;
  REQUIRE(y.lease_dead(n, leased_dead) == attempt::done);
  CHECK(n == 0);
  REQUIRE(tx.push(2) == attempt::done);
  REQUIRE(x.lease(n, held) == attempt::done);
  make_dead(tx, x, 3, 4);
  CHECK(tx.push(4) == attempt::done);  // in the place of item 1
  CHECK(ring.control().dropped == 1);
  CHECK(tx.push(5) == attempt::would_block);
  CHECK_FALSE(tx.writable());
  CHECK(y.acknowledge(leased_dead));
  CHECK(x.acknowledge(held));
  CHECK(take_all(x) == numbers{4});
  CHECK(take_dead(x) == numbers{3});
}

TEST_CASE("a producer is refused while an item that comes first waits for a consumer, and drops dead ones meanwhile", "[dead]") {
  work<8> ring;
  auto tx = ring.writer(0);
  auto x = ring.reader(32), y = ring.reader(33);
  std::uint64_t n = 0;
  lease_ticket held;
  SECTION("the item is the oldest") {
    REQUIRE(tx.push(0) == attempt::done);
    REQUIRE(x.lease(n, held) == attempt::done);
    make_dead(tx, y, 1, 8);
    CHECK(x.give_back(held));
    for (int tries = 0; tries != 10; ++tries) {
      CHECK_FALSE(tx.writable());
      CHECK(tx.push(8) == attempt::would_block);
    }
    CHECK(ring.dead() == 2);
    CHECK(take_all(x) == numbers{0});
    CHECK(tx.writable());
    for (n = 8; n != 14; ++n) CHECK(tx.push(n) == attempt::done);
  }
  SECTION("the item is the newest") {
    make_dead(tx, y, 1, 8);
    REQUIRE(tx.push(8) == attempt::done);
    for (n = 9; n != 14; ++n) {
      CHECK(tx.writable());
      CHECK(tx.push(n) == attempt::done);
    }
  }
  CHECK_FALSE(tx.writable());
  CHECK(tx.push(14) == attempt::would_block);
  CHECK(ring.dead() == 2);
  CHECK(take_all(x) == from_to(8, 14));
}

TEST_CASE("a lease that lasts too long ends, and its acknowledgement comes too late", "[dead]") {
  const watchdog dog;
  work<4> ring(dying_after(3, 30s));
  auto tx = ring.writer(0);
  auto x = ring.reader(32), y = ring.reader(33);
  tx.push(1);
  tx.push(2);
  std::uint64_t n = 0;
  lease_ticket first, second, other;
  REQUIRE(x.lease(n, first) == attempt::done);
  REQUIRE(x.lease(n, other) == attempt::done);
  CHECK(n == 2);
  CHECK_FALSE(y.readable());
  CHECK(y.look_at_leases() - std::chrono::steady_clock::now() > 25s);
  ring.age(0, 30s);
  CHECK_FALSE(y.readable());  // it is not time to look yet
  auto late = ring.reader(34);
  CHECK(late.readable());
  REQUIRE(late.lease(n, second) == attempt::done);
  CHECK(n == 1);
  CHECK(second.deliveries == 2);
  CHECK_FALSE(x.acknowledge(first));
  CHECK_FALSE(x.give_back(first));
  CHECK_FALSE(x.reject(first));
  CHECK(x.acknowledge(other));
  CHECK(late.acknowledge(second));
  CHECK(ring.drained());
}

TEST_CASE("a consumer that gets its own item again tells its leases apart", "[dead]") {
  const watchdog dog;
  work<2> ring(dying_after(0, 30s));
  auto tx = ring.writer(0);
  auto rx = ring.reader(32);
  tx.push(1);
  std::uint64_t n = 0;
  std::vector<lease_ticket> leases(300);
  for (lease_ticket& t : leases) {
    REQUIRE(rx.lease(n, t) == attempt::done);
    ring.age(0, 60s);
    ring.recover(99);  // of no consequence
    ring.reader(40).readable();
  }
  CHECK(leases.back().deliveries == 255);
  REQUIRE(rx.lease(n, leases.back()) == attempt::done);
  for (std::size_t i = 0; i + 1 != leases.size(); ++i) REQUIRE_FALSE(rx.acknowledge(leases[i]));
  CHECK(rx.acknowledge(leases.back()));
  CHECK(ring.drained());
}

TEST_CASE("a lease that lasts too long for the last time ends in death", "[dead]") {
  work<4> ring(dying_after(1, 30s));
  auto tx = ring.writer(0);
  auto x = ring.reader(32);
  tx.push(1);
  std::uint64_t n = 0;
  lease_ticket t;
  REQUIRE(x.lease(n, t) == attempt::done);
  ring.age(0, 60s);
  auto y = ring.reader(33);
  CHECK_FALSE(y.readable());
  CHECK(y.made_dead());
  CHECK(ring.word(0).state == state::dead);
  CHECK_FALSE(x.acknowledge(t));
  REQUIRE(x.lease_dead(n, t) == attempt::done);
  ring.age(0, 60s);
  auto z = ring.reader(34);
  CHECK(z.has_dead());  // held for too long, too
  CHECK_FALSE(x.acknowledge(t));
  CHECK(take_dead(z) == numbers{1});
}

TEST_CASE("the time of a lease is only raised", "[dead]") {
  work<2> ring(dying_after(0, 30s));
  auto tx = ring.writer(0);
  auto x = ring.reader(32);
  const std::uint64_t future = std::uint64_t{1} << 62;
  tx.push(1);
  ring.time(0) = future;
  std::uint64_t n = 0;
  lease_ticket t;
  REQUIRE(x.lease(n, t) == attempt::done);
  CHECK(ring.time(0) == future);
  ring.time(0) = ~std::uint64_t{0};  // forged: the lease does not end by itself
  CHECK_FALSE(ring.reader(33).readable());
  CHECK(x.acknowledge(t));
}

TEST_CASE("forged dead items are found out, or do no harm", "[dead]") {
  using word = layout::work_word;
  work<4> ring(dying_after(2));
  auto tx = ring.writer(0);
  auto rx = ring.reader(32);
  std::uint64_t n = 0;
  lease_ticket t;
  SECTION("a lap far ahead") {
    const auto s = GENERATE(state::dead, state::dead_leased);
    const auto lap = GENERATE(std::uint64_t{8}, std::uint64_t{1} << 44, word::laps - 1);
    for (std::size_t i = 0; i != 4; ++i) ring.bits(i).store(word{lap, 0, s}.bits());
    ring.control().died = 1;
    CHECK(tx.writable());
    CHECK(tx.push(1) == attempt::corrupted);
    CHECK(rx.lease_dead(n, t) == (s == state::dead ? attempt::corrupted : attempt::would_block));
  }
  SECTION("a state that there is not") {
    ring.bits(1).store(7);
    ring.control().died = 1;
    CHECK(rx.has_dead());
    CHECK(rx.lease_dead(n, t) == attempt::corrupted);
    CHECK(rx.corrupted());
  }
  SECTION("counts without a meaning") {
    ring.control().died = ~std::uint64_t{0};
    ring.control().dropped = ~std::uint64_t{0};
    CHECK_FALSE(rx.has_dead());
    make_dead(tx, rx, 0, 9);
    CHECK(rx.has_dead());
    CHECK_FALSE(rx.corrupted());
  }
  SECTION("dead items that were never sent") {
    for (std::size_t i = 0; i != 4; ++i) ring.bits(i).store(word{0, 0, state::dead}.bits());
    CHECK(tx.push(1) == attempt::would_block);
    ring.recover(9);  // counts
    CHECK(tx.push(1) == attempt::done);
    CHECK(rx.lease_dead(n, t) == attempt::done);
  }
}
