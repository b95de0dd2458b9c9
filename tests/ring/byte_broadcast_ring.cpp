// What only a byte_broadcast_ring promises: messages that are held, passed by, skipped; what a dead process leaves.
#include "support/raw_ring.hpp"

#include <belfry/ring/byte_broadcast_ring.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

using blocking = byte_broadcast_ring<overflow::block>;
using overwriting = byte_broadcast_ring<overflow::overwrite>;

/// A message with this number: of many sizes, filled with what follows from the number.
std::vector<std::byte> message_of(std::uint64_t n, std::size_t most = 200) {
  std::vector<std::byte> bytes(8 + n * 2654435761 % (most - 8));
  std::memcpy(bytes.data(), &n, 8);
  for (std::size_t i = 8; i != bytes.size(); ++i) bytes[i] = static_cast<std::byte>(n * 31 + i);
  return bytes;
}
/// Its number; ~0 if it is not whole.
std::uint64_t number_in(std::span<const std::byte> bytes, std::size_t most = 200) {
  std::uint64_t n = 0;
  if (bytes.size() < 8) return ~n;
  std::memcpy(&n, bytes.data(), 8);
  return std::ranges::equal(bytes, message_of(n, most)) ? n : ~std::uint64_t{0};
}

template <class Ring>
struct stage {
  explicit stage(std::size_t slots) : memory(slots, 64, 256), tx(memory.writer()) {}

  using reader = typename Ring::reader;
  using view = typename reader::view;
  attempt push(std::uint64_t n) { return tx.push(message_of(n)); }
  void push(std::uint64_t first, std::uint64_t end) {
    for (; first != end; ++first) REQUIRE(push(first) == attempt::done);
  }
  /// What a consumer receives next, and holds.
  static view hold(reader& rx) {
    view v;
    REQUIRE(rx.pop(v) == attempt::done);
    return v;
  }
  static void release(reader& rx, const view& v) { rx.release(v.position, v.bytes.size()); }
  static numbers all(reader& rx) {
    numbers got;
    for (view v; rx.pop(v) == attempt::done; release(rx, v)) got.push_back(number_in(v.bytes));
    return got;
  }
  std::uint64_t& stamp(std::uint64_t place) { return memory.word(memory.memory.places.first + place * memory.memory.places.stride); }
  std::uint64_t& holders(std::uint64_t place) {
    return memory.word(memory.memory.places.first + place * memory.memory.places.stride + 32);
  }

  raw_ring<Ring> memory;
  typename Ring::writer tx;
};

}  // namespace

TEST_CASE("the traits of a byte_broadcast_ring", "[byte_broadcast_ring]") {
  CHECK(blocking::traits.kind == layout::ring_kind::byte_broadcast);
  CHECK(blocking::traits.abi_fingerprint != overwriting::traits.abi_fingerprint);
  CHECK(blocking::traits.capacity(0) == 64);
  CHECK(blocking::traits.capacity(1) == 1);
  CHECK(overwriting::traits.capacity(1) == 2);
  CHECK(overwriting::traits.capacity(std::uint64_t{1} << 40) == 0);
  CHECK_FALSE(overwriting::traits.never_full);
  const auto shape = overwriting::traits.layout({.capacity = 3, .message_bytes = 100, .participants = 64});
  CHECK(shape.places.first == 128);
  CHECK(shape.places.stride == 192);
  CHECK(shape.places.value == 64);
  CHECK(shape.bytes == 128 + 3 * 192);
  CHECK(blocking::traits.layout({.capacity = 3, .message_bytes = 100, .participants = 64}).places.first == 192 + 64 * 64);
}

TEST_CASE("the shared bytes of a byte_broadcast_ring that overwrites", "[byte_broadcast_ring]") {
  stage<overwriting> s(4);
  const std::span bytes(s.memory.memory.at, s.memory.memory.bytes);
  CHECK(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; }));
  auto rx = s.memory.reader(5, start::oldest);
  s.push(0, 3);
  CHECK(s.memory.word(0) == 3);  // tail
  CHECK(s.memory.word(8) == 3);  // sent
  CHECK(s.memory.word(64) == 0);
  CHECK(s.stamp(2) == 4 * 2 + 3);
  CHECK(s.stamp(3) == 0);
  const auto held = s.hold(rx);
  CHECK(s.holders(0) == std::uint64_t{1} << 5);
  s.push(3, 5);  // passes position 4, which is in place 0
  CHECK(s.memory.word(0) == 6);
  CHECK(s.memory.word(8) == 5);
  CHECK(s.stamp(0) == 4 * 4 + 2);
  CHECK(s.stamp(1) == 4 * 5 + 3);
  const std::size_t place_0 = s.memory.memory.places.first;
  CHECK(s.memory.word(place_0 + 16) == 4);  // the number of the next message
  s.release(rx, held);
  CHECK(s.holders(0) == 0);
  CHECK(s.memory.word(64) == 1);  // received: a quarter of the places
}

TEST_CASE("what a consumer holds is passed by, and other consumers lose nothing for it", "[byte_broadcast_ring]") {
  stage<overwriting> s(4);
  auto holder = s.memory.reader(1);
  auto other = s.memory.reader(2);
  s.push(0, 1);
  const auto held = s.hold(holder);
  CHECK(s.all(other) == numbers{0});
  for (std::uint64_t n = 1; n != 1000; ++n) {
    s.push(n, n + 1);
    REQUIRE(s.all(other) == numbers{n});
    REQUIRE(number_in(held.bytes) == 0);
  }
  CHECK(other.total_lost() == 0);
  // Three places are left for new messages.
  typename overwriting::reader::view v;
  CHECK(holder.pop(v) == attempt::lagged);
  const numbers rest = s.all(holder);
  CHECK(rest == from_to(1000 - rest.size(), 1000));
  CHECK((rest.size() == 3 && holder.total_lost() == 999 - rest.size()));
  s.release(holder, held);
  s.push(1000, 1004);
  CHECK(s.all(holder) == from_to(1000, 1004));
}

TEST_CASE("if every place is held there is no room, and nothing is changed", "[byte_broadcast_ring]") {
  stage<overwriting> s(3);
  auto a = s.memory.reader(1);
  auto b = s.memory.reader(63);
  auto c = s.memory.reader(2);
  s.push(0, 3);
  std::vector<overwriting::reader::view> of_a{s.hold(a), s.hold(a)};
  CHECK(s.tx.pinned() == 0);
  s.release(b, s.hold(b));
  s.release(b, s.hold(b));
  const auto of_b = s.hold(b);
  CHECK(s.tx.pinned() == 2);
  CHECK_FALSE(s.tx.writable());
  const std::vector<std::byte> before(s.memory.memory.at, s.memory.memory.at + s.memory.memory.bytes);
  CHECK(s.push(3) == attempt::would_block);
  std::span<std::byte> room;
  CHECK(s.tx.claim(1, room) == attempt::would_block);
  CHECK(std::memcmp(before.data(), s.memory.memory.at, before.size()) == 0);
  CHECK(s.all(c) == from_to(0, 3));  // an unread message is held by others, and still there
  s.release(a, of_a[1]);
  CHECK(s.tx.pinned() == 0);
  CHECK(s.tx.writable());
  s.push(3, 10);
  CHECK(s.tx.pinned() == 0);
  CHECK(number_in(of_a[0].bytes) == 0);
  CHECK(number_in(of_b.bytes) == 2);
  SECTION("a dead consumer holds nothing after recover()") {
    const auto last = s.hold(c = s.memory.reader(3, start::oldest));
    CHECK(number_in(last.bytes) == 9);
    CHECK_FALSE(s.tx.writable());
    s.memory.recover(63);
    CHECK(s.push(10) == attempt::done);
    CHECK(number_in(of_a[0].bytes) == 0);
    CHECK(number_in(last.bytes) == 9);
  }
  SECTION("a consumer that leaves holds nothing") {
    a.leave();
    b.leave();
    CHECK(s.holders(0) == 0);
    CHECK(s.holders(2) == 0);
  }
}

TEST_CASE("the bits of slots that do not exist, or of the producer, hold nothing", "[byte_broadcast_ring]") {
  raw_ring<overwriting> memory(2, 10, 256);
  auto tx = memory.writer();
  for (std::uint64_t place = 0; place != 2; ++place) {
    for (std::size_t i = 0; i != 4; ++i) {
      memory.word(memory.memory.places.first + place * memory.memory.places.stride + 32 + 8 * i) = ~std::uint64_t{0};
    }
    // Those of the consumers may be true.
    memory.word(memory.memory.places.first + place * memory.memory.places.stride + 32) &= ~((std::uint64_t{1} << 10) - 2);
  }
  CHECK(tx.push(message_of(1)) == attempt::done);
  CHECK(tx.push(message_of(2)) == attempt::done);
  CHECK(tx.pinned() == 0);
}

TEST_CASE("a consumer loses exactly what was overwritten", "[byte_broadcast_ring]") {
  stage<overwriting> s(16);
  auto rx = s.memory.reader(1);
  auto holder = s.memory.reader(2);
  s.push(0, 4);
  std::vector<overwriting::reader::view> held;
  for (int i = 0; i != 4; ++i) held.push_back(s.hold(holder));
  s.push(4, 100);  // 12 places are in use
  overwriting::reader::view v;
  CHECK(rx.pop(v) == attempt::lagged);
  const std::uint64_t lost = rx.total_lost();
  const numbers rest = s.all(rx);
  CHECK(rest == from_to(lost, 100));
  CHECK(rest.size() >= 10);  // an eighth of the ring is left out: it would be overwritten at once
  CHECK(rest.size() <= 12);
  CHECK(rx.pop(v) == attempt::would_block);
  CHECK_FALSE(rx.readable());
}

TEST_CASE("positions that were passed are no loss", "[byte_broadcast_ring]") {
  stage<overwriting> s(2);
  auto holder = s.memory.reader(1);
  auto rx = s.memory.reader(2);
  s.push(0, 1);
  const auto held = s.hold(holder);
  CHECK(s.all(rx) == numbers{0});
  for (std::uint64_t n = 1; n != 50; ++n) {
    s.push(n, n + 1);
    CHECK(rx.readable());
    CHECK(s.all(rx) == numbers{n});
    CHECK_FALSE(rx.readable());
  }
  CHECK(rx.total_lost() == 0);
  // A position that was passed last, without a message behind it: all are held while the producer looks again.
  auto late = s.memory.reader(3, start::oldest);
  CHECK(s.all(late) == numbers{49});
  s.release(holder, held);
}

TEST_CASE("the newest message of a ring that overwrites", "[byte_broadcast_ring]") {
  stage<overwriting> s(4);
  auto rx = s.memory.reader(1);
  auto every = s.memory.reader(2);
  overwriting::reader::view v;
  CHECK(rx.pop_newest(v) == attempt::would_block);
  s.push(0, 3);
  REQUIRE(rx.pop_newest(v) == attempt::done);
  CHECK(number_in(v.bytes) == 2);
  overwriting::reader::view w;
  CHECK(rx.pop_newest(w) == attempt::would_block);
  CHECK_FALSE(rx.readable());
  s.push(3, 50);
  REQUIRE(rx.pop_newest(w) == attempt::done);  // lapped long ago
  CHECK(number_in(w.bytes) == 49);
  CHECK(number_in(v.bytes) == 2);
  CHECK(rx.total_lost() == 0);
  CHECK(every.pop(w) == attempt::lagged);
  CHECK(every.total_lost() >= 46);
  s.release(rx, v);
  CHECK(rx.pop(v) == attempt::would_block);
  CHECK(rx.total_lost() == 0);
  s.push(50, 52);
  CHECK(number_in(s.hold(rx).bytes) == 50);  // then every message, in order
}

TEST_CASE("an end that was forged to be before a message does not keep a consumer of the newest message busy",
          "[byte_broadcast_ring]") {
  stage<overwriting> s(4);
  auto rx = s.memory.reader(1);
  s.push(0, 3);
  REQUIRE(s.all(rx) == from_to(0, 3));
  s.push(3, 4);
  const bool forged_again = GENERATE(false, true);
  overwriting::reader::view v;
  attempt a = attempt::would_block;
  int attempts = 0;
  for (; a == attempt::would_block && attempts != 10'000; ++attempts) {
    // The consumer's next message is there, but the tail says that the producer has not come so far.
    if (attempts == 0 || forged_again) s.memory.word(0) = static_cast<std::uint64_t>(1 + attempts % 2);
    CHECK(rx.readable());  // so a wait for the next message ends at once, each time
    a = rx.pop_newest(v);
  }
  CHECK(a == attempt::corrupted);
  CHECK(attempts > 1);  // a producer that is between the message and the tail is no forger
  CHECK(rx.corrupted());
}

TEST_CASE("a consumer of the newest message waits for a producer that has not stored the tail yet", "[byte_broadcast_ring]") {
  stage<overwriting> s(4);
  auto rx = s.memory.reader(1);
  overwriting::reader::view v;
  for (std::uint64_t n = 0; n != 100; ++n) {
    s.push(2 * n, 2 * n + 2);
    // As if the tail were seen late, many times, but each time for less long than a forged one.
    s.memory.word(0) = 2 * n;
    for (int i = 0; i != 100; ++i) {
      const attempt a = rx.pop_newest(v);
      REQUIRE((a == attempt::would_block || a == attempt::done));
      if (a == attempt::done) s.release(rx, v);
    }
    s.memory.word(0) = 2 * n + 2;
    if (rx.pop_newest(v) == attempt::done) s.release(rx, v);
    REQUIRE_FALSE(rx.readable());
  }
}

TEST_CASE("a consumer of a ring that blocks holds the producer at the oldest message that it holds", "[byte_broadcast_ring]") {
  stage<blocking> s(4);
  auto rx = s.memory.reader(1);
  auto other = s.memory.reader(2);
  s.push(0, 4);
  std::vector<blocking::reader::view> held;
  for (int i = 0; i != 4; ++i) held.push_back(s.hold(rx));
  CHECK(s.all(other) == from_to(0, 4));
  CHECK(s.tx.pinned() == 1);
  s.release(rx, held[2]);
  s.release(rx, held[1]);
  CHECK(s.push(4) == attempt::would_block);
  CHECK(number_in(held[0].bytes) == 0);
  s.release(rx, held[0]);
  CHECK(s.tx.pinned() == 0);
  s.push(4, 7);
  CHECK(s.push(7) == attempt::would_block);
  CHECK(number_in(held[3].bytes) == 3);
  const bool killed = GENERATE(true, false);
  killed ? s.memory.recover(1) : rx.leave();
  CHECK(s.push(7) == attempt::done);
  CHECK(s.all(other) == from_to(4, 8));
  CHECK(s.memory.drained());
}

TEST_CASE("the newest message of a ring that blocks: the producer goes on", "[byte_broadcast_ring]") {
  stage<blocking> s(4);
  auto rx = s.memory.reader(1);
  blocking::reader::view v;
  CHECK(rx.pop_newest(v) == attempt::would_block);
  for (std::uint64_t n = 0; n != 40; n += 4) {
    s.push(n, n + 4);
    CHECK_FALSE(s.tx.writable());
    REQUIRE(rx.pop_newest(v) == attempt::done);
    CHECK(number_in(v.bytes) == n + 3);
    CHECK(s.tx.writable());
    if (n % 8 == 0) s.release(rx, v);
    if (n % 8 != 0) {
      s.push(90, 93);
      CHECK(s.push(93) == attempt::would_block);  // it is still held
      s.release(rx, v);
      REQUIRE(rx.pop_newest(v) == attempt::done);
      s.release(rx, v);
    }
  }
  CHECK(rx.total_lost() == 0);
}

TEST_CASE("a message that no successful process can have written is corrupted", "[byte_broadcast_ring]") {
  const auto attack = []<class Ring>(stage<Ring> s, std::size_t at, std::uint64_t value) {
    auto rx = s.memory.reader(1);
    s.push(0, 1);
    s.memory.word(s.memory.memory.places.first + at) = value;
    typename Ring::reader::view v;
    CHECK(rx.pop(v) == attempt::corrupted);
    CHECK(rx.corrupted());
    CHECK(rx.readable());
  };
  attack(stage<blocking>(4), 8, 257);             // a size
  attack(stage<overwriting>(4), 8, 257);
  attack(stage<overwriting>(4), 8, ~std::uint64_t{0});
  attack(stage<overwriting>(4), 16, 1);           // a number
  attack(stage<overwriting>(4), 0, 4 * 4 + 3);    // the stamp of a position that is not reached
  attack(stage<blocking>(4), 0, 2 * 4 + 2);
}

TEST_CASE("a successor of the producer continues after whatever its predecessor has left", "[byte_broadcast_ring]") {
  stage<overwriting> s(4);
  auto rx = s.memory.reader(1);
  const std::uint64_t before = GENERATE(0u, 2u, 9u);
  s.push(0, before);
  CHECK(s.all(rx).size() == std::min<std::uint64_t>(before, 4) - (before == 9 ? 4 : 0));
  if (before == 9) CHECK(s.all(rx) == from_to(5, 9));
  std::span<std::byte> room;
  std::uint64_t sent = before;
  SECTION("a claim") {
    REQUIRE(s.tx.claim(100, room) == attempt::done);
    std::ranges::fill(room, std::byte{9});
  }
  SECTION("a message without tail and sent") {
    s.push(before, before + 1);
    s.memory.word(0) = before;
    const bool with_sent = GENERATE(true, false);
    if (!with_sent) s.memory.word(8) = before;
    ++sent;
    CHECK_FALSE(s.memory.drained());
  }
  SECTION("a position that was passed, without tail") {
    if (before == 9) {
      auto holder = s.memory.reader(2, start::oldest);
      const auto held = s.hold(holder);
      REQUIRE(s.tx.claim(1, room) == attempt::done);
      CHECK(s.memory.word(0) == 10);
      s.memory.word(0) = 9;
      s.tx = s.memory.writer();
      CHECK(s.memory.word(0) == 10);
      s.release(holder, held);
    }
  }
  s.tx = s.memory.writer();
  CHECK_FALSE(s.tx.corrupted());
  CHECK(s.memory.word(8) == sent);
  s.push(sent, sent + 2);
  CHECK(s.all(rx) == from_to(before, sent + 2));
  CHECK(rx.total_lost() == (before == 9 ? 5 : 0));
  CHECK(s.memory.drained());
}

namespace {

/// A ring, and what it should do: everything that was sent, and what each of three consumers holds.
class holding_model {
 public:
  explicit holding_model(unsigned seed, std::size_t slots) : s_(slots), random_(seed) {
    for (std::size_t i = 0; i != 3; ++i) readers_.push_back({s_.memory.reader(1 + 30 * i), {}, 0});
  }

  /// False: something was wrong.
  bool step() {
    consumer& c = readers_[random_() % readers_.size()];
    switch (random_() % 8) {
      case 0:
      case 1:
      case 2:
        send();
        check_held();
        break;
      case 3: receive(c, false); break;
      case 4: receive(c, true); break;
      case 5:
        if (!c.held.empty()) release(c);
        break;
      case 6:
        if (random_() % 8 == 0) s_.tx = s_.memory.writer();
        break;
      default:
        if (random_() % 32 == 0) restart(c);
    }
    return good_;
  }

 private:
  using view = overwriting::reader::view;
  struct consumer {
    overwriting::reader rx;
    std::map<std::uint64_t, view> held;
    std::uint64_t next;
  };

  /// Only the producer could change it.
  void check_held() {
    for (const consumer& each : readers_) {
      for (const auto& [number, v] : each.held) good_ = good_ && number_in(v.bytes) == number;
    }
  }
  bool is_full() const {
    std::size_t held = 0;
    std::vector<std::uint64_t> all;
    for (const consumer& c : readers_) {
      for (const auto& [number, v] : c.held) all.push_back(number);
    }
    std::ranges::sort(all);
    held = static_cast<std::size_t>(std::unique(all.begin(), all.end()) - all.begin());  // (not ranges: Clang 14)
    return held == s_.memory.memory.capacity;
  }
  void send() {
    const bool full = is_full();
    good_ = good_ && s_.tx.writable() != full && (s_.tx.pinned() != 0) == full;
    good_ = good_ && s_.push(sent_) == (full ? attempt::would_block : attempt::done);
    sent_ += !full;
  }
  void receive(consumer& c, bool newest) {
    view v;
    const std::uint64_t lost = c.rx.total_lost();
    const bool readable = c.rx.readable();
    const attempt a = newest ? c.rx.pop_newest(v) : c.rx.pop(v);
    if (a == attempt::lagged) {
      good_ = good_ && !newest && readable && c.rx.total_lost() > lost;
      c.next += c.rx.total_lost() - lost;
      good_ = good_ && c.next <= sent_;
      return;
    }
    good_ = good_ && c.rx.total_lost() == lost;
    if (a == attempt::would_block) {
      if (!newest) good_ = good_ && c.next == sent_ && !readable;
      if (newest) c.next = sent_;  // it was passed: held by others only
      return;
    }
    const std::uint64_t n = number_in(v.bytes);
    good_ = good_ && a == attempt::done && readable && (newest ? n >= c.next : n == c.next) && n < sent_;
    c.held.emplace(n, v);
    c.next = n + 1;
    if (c.held.size() > 3) release(c);
  }
  void release(consumer& c) {
    const auto at = std::next(c.held.begin(), static_cast<std::ptrdiff_t>(random_() % c.held.size()));
    s_.release(c.rx, at->second);
    c.held.erase(at);
  }
  void restart(consumer& c) {
    const std::size_t slot = 1 + 30 * static_cast<std::size_t>(&c - readers_.data());
    random_() % 2 == 0 ? c.rx.leave() : s_.memory.recover(slot);
    c.held.clear();
    c.rx = s_.memory.reader(slot);
    c.next = sent_;
  }

  stage<overwriting> s_;
  std::mt19937_64 random_;
  std::vector<consumer> readers_;
  std::uint64_t sent_ = 0;
  bool good_ = true;
};

}  // namespace

TEST_CASE("a ring that overwrites behaves like its model", "[byte_broadcast_ring]") {
  for (const std::size_t slots : {2u, 3u, 5u, 8u, 64u}) {
    const unsigned seed = random_seed();
    holding_model m(seed, slots);
    for (int i = 0; i != often(30'000); ++i) {
      if (!m.step()) FAIL(slots << " slots, seed " << seed << ": wrong after " << i << " steps");
    }
  }
}

// ---- threads: the sanitizers see them -------------------------------------------------------------------

namespace {

/// A producer at full speed; consumers that hold some messages for long, take others at once, or only the newest.
void overwrite_beside(std::uint64_t messages, std::size_t slots) {
  const watchdog dog;
  raw_ring<overwriting> memory(slots, 64, 256);
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> received{0};
  std::atomic<unsigned> bad{0};
  std::atomic<unsigned> ready{0};
  const auto consume = [&](std::size_t slot, std::size_t most_held, bool newest) {
    auto rx = memory.reader(slot);
    ++ready;
    std::map<std::uint64_t, overwriting::reader::view> held;
    std::mt19937 random(static_cast<unsigned>(slot));
    std::uint64_t next = 0;
    std::uint64_t lost = 0;
    while (!over || rx.readable()) {
      overwriting::reader::view v;
      const attempt a = newest ? rx.pop_newest(v) : rx.pop(v);
      if (a == attempt::corrupted) ++bad;
      if (a == attempt::lagged) {
        next += rx.total_lost() - std::exchange(lost, rx.total_lost());
        continue;
      }
      if (a != attempt::done) {
        std::this_thread::yield();
        continue;
      }
      const std::uint64_t n = number_in(v.bytes);
      bad += newest ? n < next || n >= messages : n != next;
      next = n + 1;
      ++received;
      held.emplace(n, v);
      while (held.size() > most_held) {
        const auto at = std::next(held.begin(), static_cast<std::ptrdiff_t>(random() % held.size()));
        bad += number_in(at->second.bytes) != at->first;  // still
        rx.release(at->second.position, at->second.bytes.size());
        held.erase(at);
      }
    }
    for (const auto& [number, v] : held) bad += number_in(v.bytes) != number;
    rx.leave();
  };
  {
    std::vector<std::jthread> all;
    all.emplace_back(consume, 1, 0, false);
    all.emplace_back(consume, 2, slots / 4, false);
    all.emplace_back(consume, 3, slots / 4, true);
    while (ready != 3) std::this_thread::yield();
    auto tx = memory.writer();
    for (std::uint64_t n = 0; n != messages;) {
      if (tx.push(message_of(n)) == attempt::done) {
        ++n;
      } else {
        std::this_thread::yield();
      }
    }
    over = true;
  }
  CHECK(bad == 0);
  CHECK(received > 0);
}

}  // namespace

TEST_CASE("no message changes while consumers hold it, at full speed", "[byte_broadcast_ring]") {
  overwrite_beside(static_cast<std::uint64_t>(often(100'000)), 2);
  overwrite_beside(static_cast<std::uint64_t>(often(100'000)), 5);
  overwrite_beside(static_cast<std::uint64_t>(often(100'000)), 16);
}

namespace {

void hold_across(std::uint64_t overwrites) {
  const watchdog dog(std::chrono::seconds(300));
  raw_ring<overwriting> memory(8, 64, 4096);
  auto tx = memory.writer();
  auto rx = memory.reader(1);
  std::vector<std::byte> bytes(4096);
  std::mt19937 random(random_seed());
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  REQUIRE(tx.push(bytes) == attempt::done);
  overwriting::reader::view held;
  REQUIRE(rx.pop(held) == attempt::done);
  const auto sum = [](std::span<const std::byte> of) {
    return std::accumulate(of.begin(), of.end(), std::uint64_t{0},
                           [](std::uint64_t s, std::byte b) { return s * 31 + std::to_integer<unsigned>(b); });
  };
  const std::uint64_t before = sum(held.bytes);
  std::jthread producer([&] {
    std::vector<std::byte> other(4096);
    for (std::uint64_t n = 0; n != overwrites; ++n) {
      std::memset(other.data(), static_cast<int>(n), 64);
      if (tx.push(std::span(other).first(64 + n % 4032)) != attempt::done) std::abort();
    }
  });
  for (int i = 0; i != 1000; ++i) {
    if (sum(held.bytes) != before) FAIL("a held message has changed");
  }
  producer.join();
  CHECK(sum(held.bytes) == before);
  CHECK(std::ranges::equal(held.bytes, bytes));
  rx.release(held.position, held.bytes.size());
}

}  // namespace

TEST_CASE("a view that is held across 10^5 overwrites is unchanged", "[byte_broadcast_ring]") { hold_across(100'000); }
TEST_CASE("a view that is held across 10^6 overwrites is unchanged", "[.][byte_broadcast_ring-long]") {
  hold_across(1'000'000);
}
