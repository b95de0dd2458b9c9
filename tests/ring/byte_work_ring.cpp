// What a byte_work_ring promises beyond every ring's promises, and beyond those of a work_ring, whose algorithm it has:
// messages in place, several of them held, sizes that are checked.
#include "support/raw_ring.hpp"

#include <belfry/ring/byte_work_ring.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

using state = layout::work_state;
using view = byte_work_ring::reader::view;

struct raw_tasks : raw_ring<byte_work_ring> {
  explicit raw_tasks(std::size_t slots, std::size_t message_bytes = 64, std::uint32_t max_deliveries = 0)
      : raw_ring(options_of(slots, message_bytes, max_deliveries)) {}

  layout::message_header& header(std::size_t i) {
    return *reinterpret_cast<layout::message_header*>(memory.at + memory.places.first + i * memory.places.stride);
  }
  layout::work_word word(std::size_t i) { return layout::work_word::from(header(i).word.load()); }

 private:
  static channel_options options_of(std::size_t slots, std::size_t message_bytes, std::uint32_t max_deliveries) {
    channel_options o;
    o.slots = slots;
    o.message_bytes = message_bytes;
    o.max_deliveries = max_deliveries;
    return o;
  }
};

std::string text_in(const view& v) { return {reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size()}; }

}  // namespace

TEST_CASE("the places of a byte_work_ring", "[byte_work_ring]") {
  raw_tasks ring(3, 100);
  CHECK(ring.memory.message_bytes == 112);
  CHECK(byte_work_ring::max_message(ring.memory) == 112);
  CHECK(ring.memory.places.first % 64 == 0);
  CHECK(ring.memory.places.stride == 128);
  CHECK(ring.memory.places.value == 16);
  auto tx = ring.writer(0);
  auto rx = ring.reader(32);
  std::span<std::byte> room;
  REQUIRE(tx.claim(100, room) == attempt::done);
  CHECK(room.size() == 100);
  CHECK(reinterpret_cast<std::uintptr_t>(room.data()) % 16 == 0);
  CHECK(ring.word(0).state == state::writing);
  CHECK(ring.word(0).owner == 1);
  std::ranges::fill(room, std::byte{'x'});
  tx.commit(99);
  CHECK(ring.header(0).bytes == 99);
  view v;
  REQUIRE(rx.pop(v) == attempt::done);
  CHECK(v.bytes.data() == room.data());
  CHECK(text_in(v) == std::string(99, 'x'));
  CHECK(v.position.deliveries == 1);
  CHECK(ring.word(0).state == state::leased);
  CHECK(ring.word(0).owner == 33);
  CHECK(rx.release(v.position, v.bytes.size()));
  CHECK_FALSE(rx.release(v.position, v.bytes.size()));
  CHECK(ring.drained());
}

TEST_CASE("messages of any size are held in any number, and released in any order, by several consumers",
          "[byte_work_ring]") {
  raw_tasks ring(8, 256);
  std::vector<byte_work_ring::writer> tx{ring.writer(0), ring.writer(1)};
  std::vector<byte_work_ring::reader> rx{ring.reader(32), ring.reader(33), ring.reader(34)};
  std::mt19937_64 random(random_seed());
  struct held {
    std::size_t by;
    view what;
    std::string text;
  };
  std::vector<held> all;
  std::multiset<std::string> there;
  for (int i = 0; i != often(20'000); ++i) {
    if (random() % 2 == 0) {
      const std::string text(random() % 257, static_cast<char>('a' + random() % 26));
      const attempt answer = tx[random() % 2].push(as_message(text));
      if (there.size() + all.size() == 8) REQUIRE(answer == attempt::would_block);
      if (answer == attempt::done) there.insert(text);
    } else if (random() % 2 == 0) {
      held h{random() % 3, {}, {}};
      if (rx[h.by].pop(h.what) != attempt::done) {
        REQUIRE(there.empty());
        continue;
      }
      h.text = text_in(h.what);
      REQUIRE(there.contains(h.text));
      there.erase(there.find(h.text));
      all.push_back(h);
    } else if (!all.empty()) {
      std::swap(all[random() % all.size()], all.back());
      const held& h = all.back();
      REQUIRE(text_in(h.what) == h.text);
      if (random() % 4 == 0) {
        REQUIRE(rx[h.by].give_back(h.what.position));
        there.insert(h.text);
      } else {
        REQUIRE(rx[h.by].release(h.what.position, h.text.size()));
      }
      all.pop_back();
    }
  }
  for (const held& h : all) CHECK(text_in(h.what) == h.text);  // no place that is held was written
}

TEST_CASE("a claim holds up no other producer, and a producer killed in one leaves its place", "[byte_work_ring]") {
  raw_tasks ring(4);
  auto a = ring.writer(0), b = ring.writer(1);
  auto rx = ring.reader(32);
  std::span<std::byte> room, other;
  REQUIRE(a.claim(8, room) == attempt::done);
  CHECK(a.claim(8, other) == attempt::would_block);
  CHECK(a.push(as_message("no")) == attempt::would_block);
  CHECK_FALSE(a.writable());
  CHECK_FALSE(a.writable(8));
  CHECK(a.writable(65));  // it would not block
  CHECK(b.push(as_message("one")) == attempt::done);
  view v;
  REQUIRE(rx.pop(v) == attempt::done);
  CHECK(text_in(v) == "one");
  CHECK(rx.release(v.position, 3));
  CHECK(rx.pop(v) == attempt::would_block);
  CHECK_FALSE(ring.drained());
  SECTION("committed late") {
    for (int i = 0; i != 20; ++i) {
      REQUIRE(b.push(as_message("more")) == attempt::done);
      REQUIRE(rx.pop(v) == attempt::done);
      CHECK(rx.release(v.position, 4));
    }
    std::memcpy(room.data(), "late", 4);
    a.commit(4);
    REQUIRE(rx.pop(v) == attempt::done);
    CHECK(text_in(v) == "late");
    CHECK(rx.release(v.position, 4));
  }
  SECTION("abandoned") {
    a.abandon();
    CHECK(a.writable());
  }
  SECTION("killed") {
    ring.recover(0);
    ring.recover(0);
  }
  CHECK(rx.pop(v) == attempt::would_block);
  CHECK(ring.drained());
  for (int i = 0; i != 4; ++i) CHECK(b.push(as_message("x")) == attempt::done);
  CHECK(b.push(as_message("x")) == attempt::would_block);
}

TEST_CASE("messages that a consumer held when it was killed, or has left, are delivered again", "[byte_work_ring]") {
  raw_tasks ring(4);
  auto tx = ring.writer(0);
  auto x = ring.reader(32), y = ring.reader(33);
  for (const char* text : {"one", "two", "three"}) REQUIRE(tx.push(as_message(text)) == attempt::done);
  view one, two, v;
  REQUIRE(x.pop(one) == attempt::done);
  REQUIRE(x.pop(two) == attempt::done);
  if (GENERATE(true, false)) {
    ring.recover(32);
  } else {
    x.leave();
  }
  CHECK_FALSE(x.release(one.position, 3));
  for (const char* text : {"one", "two", "three"}) {
    REQUIRE(y.pop(v) == attempt::done);
    CHECK(text_in(v) == text);
    CHECK(v.position.deliveries == (v.bytes.size() == 3 ? 2 : 1));
    CHECK(y.release(v.position, v.bytes.size()));
  }
  CHECK(ring.drained());
}

TEST_CASE("a message that is larger than the room stays in the ring, dead or not", "[byte_work_ring]") {
  raw_tasks ring(4);
  auto tx = ring.writer(0);
  auto rx = ring.reader(32);
  REQUIRE(tx.push(as_message("twelve bytes")) == attempt::done);
  view v;
  CHECK(rx.pop(v, 11) == attempt::too_large);
  CHECK(ring.word(0).deliveries == 0);
  REQUIRE(rx.pop(v, 12) == attempt::done);
  CHECK(rx.reject(v.position));
  CHECK(rx.pop_dead(v, 0) == attempt::too_large);
  CHECK(rx.has_dead());
  REQUIRE(rx.pop_dead(v, 12) == attempt::done);
  CHECK(text_in(v) == "twelve bytes");
  CHECK(rx.release(v.position, 12));
  CHECK_FALSE(rx.corrupted());
}

TEST_CASE("a batch is sent up to a message that is too large", "[byte_work_ring]") {
  raw_tasks ring(4);
  auto tx = ring.writer(0);
  const std::string large(65, 'L');
  std::vector<std::span<const std::byte>> batch{as_message("a"), as_message("b"), as_message(large), as_message("c")};
  std::size_t sent = 9;
  CHECK(tx.push_n(batch, sent) == attempt::too_large);
  CHECK(sent == 2);
  CHECK(tx.push_n(std::span(batch).subspan(2), sent) == attempt::too_large);
  CHECK(sent == 0);
  CHECK(tx.push(as_message(large)) == attempt::too_large);
}

TEST_CASE("a size that is impossible is found out, and the message stays", "[byte_work_ring]") {
  raw_tasks ring(4);
  auto tx = ring.writer(0);
  auto rx = ring.reader(32);
  REQUIRE(tx.push(as_message("one")) == attempt::done);
  view v;
  const bool dead = GENERATE(false, true);
  if (dead) {
    REQUIRE(rx.pop(v) == attempt::done);
    REQUIRE(rx.reject(v.position));
  }
  ring.header(0).bytes = GENERATE(std::uint64_t{65}, std::uint64_t{1} << 32, ~std::uint64_t{0});
  CHECK((dead ? rx.has_dead() : rx.readable()));
  CHECK((dead ? rx.pop_dead(v) : rx.pop(v)) == attempt::corrupted);
  CHECK(rx.corrupted());
  CHECK(ring.word(0).state == (dead ? state::dead : state::ready));
  ring.header(0).bytes = 64;
  auto other = ring.reader(33);
  REQUIRE((dead ? other.pop_dead(v) : other.pop(v)) == attempt::done);
  CHECK(v.bytes.size() == 64);
  ring.header(0).bytes = 1000;  // it is not read again
  CHECK(v.bytes.size() == 64);
  CHECK(other.release(v.position, 64));
  CHECK(ring.drained());
}
