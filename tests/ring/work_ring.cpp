#include "support/raw_ring.hpp"

#include <belfry/ring/work_ring.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <random>
#include <set>
#include <span>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

struct work_value {
  std::uint64_t n = 0;
  std::uint64_t check = 0;

  static work_value of(std::uint64_t n) { return {n, ~n}; }
  bool whole() const { return check == ~n; }
};

template <std::size_t N>
struct raw_work : raw_ring<work_ring<work_value, N>> {
  using state = layout::work_state;

  layout::work_control& control() { return *reinterpret_cast<layout::work_control*>(this->memory.at); }
  std::atomic<std::uint64_t>& word_bits(std::size_t i) {
    return *reinterpret_cast<std::atomic<std::uint64_t>*>(this->memory.at + sizeof(layout::work_control) +
                                                          i * 3 * sizeof(std::uint64_t));  // and two words of the value
  }
  layout::work_word word(std::size_t i) { return layout::work_word::from(word_bits(i).load()); }

  /// Leaves the slot as a producer does that is stopped or killed right after claiming it.
  void begin_to_write(std::size_t i, std::uint64_t lap, std::size_t owner) {
    word_bits(i).store(
        layout::work_word{lap, static_cast<std::uint8_t>(owner + 1), state::writing}.bits());
    control().tail.store(lap * N + i + 1);
  }
};

static_assert(detail::leasing_ring<work_ring<work_value, 4>>);

template <class Reader>
numbers take_all(Reader& r) {
  numbers all;
  work_value v;
  while (r.pop(v) == attempt::done) all.push_back(v.n);
  return all;
}

}  // namespace

TEST_CASE("items are taken in the order of sending, whichever consumer takes them", "[work_ring]") {
  raw_work<4> ring;
  auto a = ring.writer(0), b = ring.writer(1);
  auto x = ring.reader(32), y = ring.reader(33);
  for (std::uint64_t lap = 0; lap != 5; ++lap) {
    CHECK(a.push(work_value::of(1)) == attempt::done);
    CHECK(b.push(work_value::of(2)) == attempt::done);
    CHECK(a.push(work_value::of(3)) == attempt::done);
    CHECK(b.push(work_value::of(4)) == attempt::done);
    CHECK_FALSE(a.writable());
    CHECK(a.push(work_value::of(5)) == attempt::would_block);
    CHECK(b.push(work_value::of(5)) == attempt::would_block);
    work_value v;
    for (std::uint64_t n = 1; n != 5; ++n) {
      CHECK(x.readable());
      CHECK((n % 2 == 0 ? y : x).pop(v) == attempt::done);
      CHECK(v.n == n);
      CHECK(v.whole());
    }
    CHECK_FALSE(x.readable());
    CHECK(x.pop(v) == attempt::would_block);
    CHECK(y.pop(v) == attempt::would_block);
    CHECK(a.writable());
    CHECK(ring.drained());
  }
}

TEST_CASE("the shared words of a work_ring", "[work_ring]") {
  using state = layout::work_state;
  raw_work<2> ring;
  auto tx = ring.writer(3);
  auto rx = ring.reader(40);
  const auto is = [&](std::size_t i, std::uint64_t lap, unsigned owner, state s) {
    const layout::work_word w = ring.word(i);
    return w.lap == lap && w.owner == owner && w.state == s;
  };
  CHECK(is(0, 0, 0, state::free));
  tx.push(work_value::of(1));
  CHECK(is(0, 0, 0, state::ready));
  CHECK(ring.control().tail == 1);
  work_value v;
  lease_ticket t;
  CHECK(rx.lease(v, t) == attempt::done);
  CHECK(is(0, 0, 41, state::leased));
  CHECK(rx.acknowledge(t));
  CHECK(is(0, 1, 0, state::free));
  CHECK_FALSE(rx.acknowledge(t));
  tx.push(work_value::of(2));
  tx.push(work_value::of(3));
  CHECK(is(1, 0, 0, state::ready));
  CHECK(is(0, 1, 0, state::ready));
  CHECK(take_all(rx) == numbers{2, 3});
}

TEST_CASE("an item that is given back goes to another consumer", "[work_ring]") {
  raw_work<8> ring;
  auto tx = ring.writer(0);
  auto x = ring.reader(32), y = ring.reader(33);
  for (std::uint64_t n = 1; n != 5; ++n) tx.push(work_value::of(n));
  work_value v;
  lease_ticket t;
  CHECK(x.lease(v, t) == attempt::done);
  CHECK(v.n == 1);
  work_value w;
  CHECK(y.pop(w) == attempt::done);
  CHECK(w.n == 2);
  CHECK(x.give_back(t));
  CHECK_FALSE(x.give_back(t));
  CHECK_FALSE(x.acknowledge(t));
  CHECK(y.pop(w) == attempt::done);
  CHECK(w.n == 1);  // before the items in order
  CHECK(take_all(y) == numbers{3, 4});
  CHECK(ring.drained());
}

TEST_CASE("an item held by a dead consumer is delivered again, once", "[work_ring]") {
  raw_work<4> ring;
  auto tx = ring.writer(0);
  auto dead = ring.reader(32), x = ring.reader(33);
  for (std::uint64_t n = 1; n != 5; ++n) tx.push(work_value::of(n));
  work_value v;
  lease_ticket t;
  CHECK(dead.lease(v, t) == attempt::done);
  CHECK(dead.lease(v, t) == attempt::done);
  CHECK(take_all(x) == numbers{3, 4});
  CHECK_FALSE(ring.drained());
  ring.recover(32);
  ring.recover(32);
  CHECK(take_all(x) == numbers{1, 2});
  CHECK(ring.drained());
  CHECK_FALSE(dead.acknowledge(t));
}

TEST_CASE("an item counts its deliveries", "[work_ring]") {
  raw_work<2> ring;
  auto tx = ring.writer(0);
  auto x = ring.reader(32), y = ring.reader(33);
  tx.push(work_value::of(1));
  CHECK(ring.word(0).deliveries == 0);
  work_value v;
  lease_ticket t;
  for (unsigned n = 1; n != 300; ++n) {
    auto& rx = n % 2 == 0 ? x : y;
    REQUIRE(rx.lease(v, t) == attempt::done);
    REQUIRE(t.deliveries == std::min(n, 255u));
    REQUIRE(ring.word(0).deliveries == t.deliveries);
    switch (n % 3) {
      case 0: REQUIRE(rx.give_back(t)); break;
      case 1: rx.leave(); break;
      default:
        ring.recover(n % 2 == 0 ? 32 : 33);
        REQUIRE_FALSE(rx.acknowledge(t));
    }
    REQUIRE(ring.word(0).deliveries == t.deliveries);
    REQUIRE(ring.word(0).state == layout::work_state::ready);
  }
  CHECK(x.lease(v, t) == attempt::done);
  CHECK(x.acknowledge(t));
  CHECK(ring.word(0).deliveries == 0);
  tx.push(work_value::of(2));
  CHECK(x.lease(v, t) == attempt::done);
  CHECK(t.deliveries == 1);
}

TEST_CASE("words and hints that no honest process can have written are found out, or do no harm", "[work_ring]") {
  using word = layout::work_word;
  using state = layout::work_state;
  raw_work<4> ring;
  auto tx = ring.writer(0);
  auto rx = ring.reader(32);
  work_value v;
  for (std::uint64_t n = 0; n != 20; ++n) {
    REQUIRE(tx.push(work_value::of(n)) == attempt::done);
    REQUIRE(rx.pop(v) == attempt::done);
  }
  SECTION("a lap far ahead") {
    const auto s = GENERATE(state::free, state::writing, state::passed, state::ready, state::leased);
    const auto lap = GENERATE(std::uint64_t{8}, std::uint64_t{1} << 44, word::laps - 1);
    for (std::size_t i = 0; i != 4; ++i) ring.word_bits(i).store(word{lap, 0, s}.bits());
    const std::uint64_t tail = ring.control().tail;
    CHECK(tx.writable());
    CHECK(tx.push(work_value::of(1)) == attempt::corrupted);
    CHECK(tx.corrupted());
    CHECK(ring.control().tail <= tail + 1);
    CHECK(ring.reader(33).pop(v) != attempt::done);
  }
  SECTION("a tail that no ring can reach") {
    ring.control().tail = GENERATE(layout::work_end(4) + 1, std::uint64_t{1} << 63, ~std::uint64_t{0});
    CHECK(tx.writable());
    CHECK(tx.push(work_value::of(1)) == attempt::corrupted);
    CHECK(rx.readable());
    CHECK(rx.pop(v) == attempt::corrupted);
  }
  SECTION("a tail far ahead") {
    ring.control().tail = std::uint64_t{1} << 40;
    CHECK(tx.push(work_value::of(1)) == attempt::done);
    CHECK(rx.readable());
    CHECK(rx.pop(v) == attempt::done);
    CHECK(v.n == 1);
  }
  SECTION("a head far ahead") {
    ring.control().head = GENERATE(std::uint64_t{1} << 40, ~std::uint64_t{0});
    auto late = ring.reader(33);
    for (auto* r : {&rx, &late}) {
      CHECK_FALSE(r->readable());
      CHECK(tx.push(work_value::of(1)) == attempt::done);
      CHECK(r->readable());
      CHECK(r->pop(v) == attempt::done);
    }
  }
}

TEST_CASE("an item that a dead producer had begun is discarded", "[work_ring]") {
  raw_work<4> ring;
  auto rx = ring.reader(32);
  auto tx = ring.writer(1);
  tx.push(work_value::of(1));
  ring.begin_to_write(1, 0, 0);
  tx.push(work_value::of(3));
  CHECK(take_all(rx) == numbers{1, 3});  // past the item that is being written
  CHECK_FALSE(ring.drained());
  ring.recover(0);
  CHECK(take_all(rx).empty());
  CHECK(ring.drained());
  for (std::uint64_t n = 4; n != 8; ++n) CHECK(tx.push(work_value::of(n)) == attempt::done);
  CHECK(tx.push(work_value::of(8)) == attempt::would_block);
  CHECK(take_all(rx) == numbers{4, 5, 6, 7});
}

TEST_CASE("a participant stopped in the middle holds no other up", "[work_ring]") {
  const bool writes = GENERATE(true, false);
  raw_work<8> ring;
  auto tx = ring.writer(1);
  auto rx = ring.reader(33), stopped = ring.reader(32);
  lease_ticket t;
  if (writes) {
    ring.begin_to_write(0, 0, 0);
  } else {
    work_value v;
    tx.push(work_value::of(0));
    REQUIRE(stopped.lease(v, t) == attempt::done);
  }
  std::uint64_t next = 100;
  for (int round = 0; round != 50; ++round) {
    numbers sent;
    while (tx.push(work_value::of(next)) == attempt::done) sent.push_back(next++);
    CHECK(sent.size() == 7);
    numbers got = take_all(rx);
    std::sort(got.begin(), got.end());  // only roughly in order
    CHECK(got == sent);
  }
  // When it continues, no item is missing.
  if (writes) {
    auto* const value =
        reinterpret_cast<work_value*>(reinterpret_cast<std::byte*>(&ring.word_bits(0)) + 8);
    *value = work_value::of(7);
    const layout::work_word before = layout::work_word::from(
        ring.word_bits(0).exchange(layout::work_word{0, 0, layout::work_state::ready}.bits()));
    CHECK(before.state == layout::work_state::passed);
    ring.control().late.fetch_add(1);
    CHECK(take_all(rx) == numbers{7});
  } else {
    CHECK(stopped.give_back(t));
    CHECK(take_all(rx) == numbers{0});
  }
  CHECK(ring.drained());
  CHECK(tx.writable());
}

TEST_CASE("a consumer that joins late finds items that earlier ones left", "[work_ring]") {
  raw_work<4> ring;
  auto tx = ring.writer(0);
  {
    auto gone = ring.reader(32);
    for (std::uint64_t n = 0; n != 6; ++n) {
      tx.push(work_value::of(n));
      work_value v;
      CHECK(gone.pop(v) == attempt::done);
    }
    tx.push(work_value::of(6));
    work_value v;
    lease_ticket t;
    CHECK(gone.lease(v, t) == attempt::done);
    gone.leave();
  }
  tx.push(work_value::of(7));
  auto rx = ring.reader(33);
  CHECK(take_all(rx) == numbers{6, 7});
}

TEST_CASE("a work_ring behaves like its model", "[work_ring]") {
  // Two producers, two consumers, leases, deaths: in any order, no item is lost or delivered twice.
  for (unsigned seed = 0; seed != (sanitized ? 40u : 400u); ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    raw_work<4> ring;
    struct held_item {
      std::uint64_t n;
      lease_ticket ticket;
    };
    std::vector tx{ring.writer(0), ring.writer(1)};
    std::vector rx{ring.reader(32), ring.reader(33)};
    std::vector<std::deque<held_item>> held(2);
    std::set<std::uint64_t> in_ring;
    std::uint64_t next = 0;
    for (int step = 0; step != 500; ++step) {
      const std::size_t who = random() % 2;
      switch (random() % 8) {
        case 0:
        case 1:
        case 2: {
          const bool full = in_ring.size() + held[0].size() + held[1].size() == 4;
          const attempt a = tx[who].push(work_value::of(next));
          if (full) REQUIRE(a == attempt::would_block);
          if (in_ring.empty() && !full) REQUIRE(a == attempt::done);
          if (a == attempt::done) in_ring.insert(next++);
          break;
        }
        case 3:
        case 4:
        case 5: {
          work_value v;
          lease_ticket t;
          const bool readable = rx[who].readable();
          const attempt a = rx[who].lease(v, t);
          REQUIRE(readable == !in_ring.empty());
          REQUIRE((a == attempt::done) == !in_ring.empty());
          if (a != attempt::done) break;
          REQUIRE(v.whole());
          REQUIRE(in_ring.erase(v.n) == 1);
          held[who].push_back({v.n, t});
          break;
        }
        case 6:
          if (held[who].empty()) break;
          if (random() % 4 != 0) {
            REQUIRE(rx[who].acknowledge(held[who].front().ticket));
          } else {
            REQUIRE(rx[who].give_back(held[who].front().ticket));
            in_ring.insert(held[who].front().n);
          }
          held[who].pop_front();
          break;
        case 7:
          if (random() % 8 != 0) break;
          ring.recover(32 + who);
          for (const held_item& h : held[who]) in_ring.insert(h.n);
          held[who].clear();
          rx[who] = ring.reader(32 + who);
          break;
        default: break;
      }
    }
  }
}

namespace {

/// Sends numbers, single and in batches, until all are sent.
template <class Writer>
void send_numbers(Writer& tx, std::uint64_t from, std::uint64_t to, std::mt19937& random) {
  while (from != to) {
    std::array<work_value, 5> some;
    const std::size_t count = std::min<std::uint64_t>(1 + random() % some.size(), to - from);
    for (std::size_t i = 0; i != count; ++i) some[i] = work_value::of(from + i);
    std::size_t pushed = 0;
    if (count == 1) {
      pushed = tx.push(some[0]) == attempt::done ? 1 : 0;
    } else {
      tx.push_n(std::span(some).first(count), pushed);
    }
    from += pushed;
    if (pushed == 0) std::this_thread::yield();
  }
}

/// The numbers that a consumer received, and whether they were valid.
struct received_numbers {
  explicit received_numbers(std::uint64_t most) : seen(most) {}

  bool complete() const { return taken.load() == seen.size(); }
  void note(const work_value& v) {
    if (!v.whole() || v.n >= seen.size()) {
      ++wrong;
    } else {
      seen[v.n].fetch_add(1);
    }
    taken.fetch_add(1);
  }

  std::vector<std::atomic<std::uint8_t>> seen;
  std::atomic<std::uint64_t> taken{0};
  std::atomic<int> wrong{0};
};

/// Takes items singly, in batches, and by leases that it sometimes gives back. A failed attempt changes
/// nothing.
template <class Reader>
void receive_numbers(Reader& rx, received_numbers& all, std::mt19937& random) {
  const work_value untouched{~std::uint64_t{0}, 1};
  while (!all.complete()) {
    std::array<work_value, 4> some;
    some.fill(untouched);
    std::size_t popped = 0;
    switch (random() % 3) {
      case 0: popped = rx.pop(some[0]) == attempt::done ? 1 : 0; break;
      case 1: rx.pop_n(some, popped); break;
      case 2: {
        lease_ticket t;
        if (rx.lease(some[0], t) != attempt::done) break;
        if (random() % 8 == 0) {
          rx.give_back(t);
          some[0] = untouched;
        } else {
          popped = 1;
          rx.acknowledge(t);
        }
      }
    }
    for (std::size_t i = 0; i != popped; ++i) all.note(some[i]);
    for (std::size_t i = popped; i != some.size(); ++i) {
      if (some[i].n != untouched.n || some[i].check != untouched.check) ++all.wrong;
    }
    if (popped == 0) std::this_thread::yield();
  }
}

}  // namespace

TEMPLATE_TEST_CASE_SIG("many threads use a work_ring", "[work_ring]", ((std::size_t N), N), 1, 3, 16,
                       128) {
  const std::uint64_t each = static_cast<std::uint64_t>(often(N < 16 ? 5'000 : 20'000));
  constexpr std::size_t producers = 3;
  constexpr std::size_t consumers = 3;
  raw_work<N> ring;
  received_numbers all(producers * each);
  std::vector<std::thread> threads;
  for (std::size_t p = 0; p != producers; ++p) {
    threads.emplace_back([&, p] {
      auto tx = ring.writer(p);
      std::mt19937 random(static_cast<unsigned>(p));
      send_numbers(tx, p * each, (p + 1) * each, random);
    });
  }
  for (std::size_t c = 0; c != consumers; ++c) {
    threads.emplace_back([&, c] {
      auto rx = ring.reader(32 + c);
      std::mt19937 random(static_cast<unsigned>(100 + c));
      receive_numbers(rx, all, random);
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(all.wrong == 0);
  CHECK(std::all_of(all.seen.begin(), all.seen.end(), [](const auto& n) { return n.load() == 1; }));
  CHECK(ring.drained());
}

TEST_CASE("only the consumer that takes a large value copies it", "[work_ring]") {
  struct large {
    std::array<char, 1001> text;  // not a multiple of a word
  };
  using ring = work_ring<large, 4>;
  const raw_ring<ring> memory;
  auto tx = memory.writer();
  auto rx = memory.reader();
  for (const char c : {'a', 'b', 'c', 'd', 'e', 'f'}) {
    large in;
    in.text.fill(c);
    CHECK(tx.push(in) == attempt::done);
    large out;
    out.text.fill('?');
    CHECK(rx.pop(out) == attempt::done);
    CHECK(out.text == in.text);
    out.text.fill('?');
    CHECK(rx.pop(out) == attempt::would_block);
    CHECK(out.text.front() == '?');
  }
}

TEST_CASE("random bytes in a work_ring never make an operation hang",
          "[work_ring]") {
  std::mt19937_64 random(7);
  for (int round = 0; round != (sanitized ? 300 : 3000); ++round) {
    raw_work<8> ring;
    auto tx = ring.writer(0);
    auto rx = ring.reader(32);
    for (int step = 0; step != 40; ++step) {
      const std::uint64_t junk = random() >> (random() % 64);
      switch (random() % 5) {
        case 0: ring.word_bits(random() % 8).store(junk); break;
        case 1: ring.control().head.store(junk); break;
        case 2: ring.control().tail.store(junk); break;
        case 3: ring.control().late.store(junk); break;
        default: break;
      }
      work_value v;
      tx.push(work_value::of(1));
      tx.writable();
      rx.readable();
      rx.pop(v);
      ring.recover(random() % 64);
      rx.leave();
      rx.size();
    }
  }
}
