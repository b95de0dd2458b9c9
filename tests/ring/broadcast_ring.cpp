#include "support/raw_ring.hpp"

#include <belfry/ring/broadcast_ring.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <latch>
#include <optional>
#include <random>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

template <class Ring>
struct raw_broadcast : raw_ring<Ring> {
  layout::broadcast_control& control() const {
    return *reinterpret_cast<layout::broadcast_control*>(this->memory.at);
  }
};

template <std::size_t N>
using blocking = broadcast_ring<std::uint64_t, N, overflow::block>;
template <std::size_t N>
using overwriting = broadcast_ring<std::uint64_t, N, overflow::overwrite>;

static_assert(detail::lossy_ring<blocking<4>> && detail::lossy_ring<overwriting<4>>);

constexpr std::size_t cursors = 192;
constexpr std::size_t slots_of_blocking = cursors + 64 * 64;
constexpr std::size_t slots_of_overwriting = 192;

/// Everything that a reader receives until the ring is empty.
template <class Reader>
numbers all(Reader& reader) {
  numbers values;
  std::uint64_t value = 0;
  while (reader.pop(value) == attempt::done) values.push_back(value);
  return values;
}
/// Sends values that equal their positions.
template <class Writer>
void push(Writer& writer, std::uint64_t first, std::uint64_t end) {
  for (; first != end; ++first) REQUIRE(writer.push(first) == attempt::done);
}

/// A number, and further words computed from it.
template <std::size_t Words>
struct checked {
  std::array<std::uint64_t, Words> words{};

  static std::uint64_t mixed(std::uint64_t n, std::size_t i) {
    return (n + i * 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
  }
  static checked of(std::uint64_t n) {
    checked c;
    if (Words == 1) {
      c.words[0] = n << 32 | (mixed(n, 1) >> 32);
    } else {
      c.words[0] = n;
      for (std::size_t i = 1; i != Words; ++i) c.words[i] = mixed(n, i);
    }
    return c;
  }
  std::uint64_t number() const { return Words == 1 ? words[0] >> 32 : words[0]; }
  bool whole() const { return words == of(number()).words; }
};
static_assert(sizeof(checked<1>) == 8 && sizeof(checked<3>) == 24 && sizeof(checked<25>) == 200);

}  // namespace

TEST_CASE("the traits of a broadcast_ring", "[broadcast_ring]") {
  using ring = broadcast_ring<tick, 64>;
  CHECK(ring::traits.kind == layout::ring_kind::broadcast);
  CHECK(ring::traits.most.producers == 1);
  CHECK(ring::traits.seats_for(64).consumers == 63);
  CHECK(ring::traits.most.all() == layout::max_participants);
  CHECK(ring::traits.value_bytes == sizeof(tick));
  CHECK(ring::traits.value_align == alignof(tick));
  CHECK(ring::traits.type_fingerprint == type_fingerprint<tick>());
  CHECK(ring::traits.capacity(0) == 64);
  CHECK(ring::traits.capacity(7) == 64);  // the type fixes the capacity
  CHECK(ring::traits.align == 64);
  CHECK_FALSE(ring::traits.competing);

  using lossy = broadcast_ring<tick, 64, overflow::overwrite>;
  CHECK(ring::traits.abi_fingerprint != lossy::traits.abi_fingerprint);
  CHECK(lossy::traits.never_full);
  CHECK_FALSE(ring::traits.never_full);
  CHECK(ring::traits.layout({.capacity = 64, .participants = 64}).bytes == 192 + 64 * 64 + 64 * 24);
  CHECK(lossy::traits.layout({.capacity = 64, .participants = 64}).bytes == 192 + 64 * 24);
  CHECK(broadcast_ring<std::array<char, 9>, 3>::traits.layout({.capacity = 3, .participants = 64}).bytes ==
        192 + 64 * 64 + 3 * 24);
}

TEST_CASE("the shared bytes of a broadcast_ring", "[broadcast_ring]") {
  raw_broadcast<blocking<4>> ring;
  auto reader = ring.reader(5);
  CHECK(ring.word(128) == std::uint64_t{1} << 5);
  auto writer = ring.writer();
  push(writer, 100, 103);
  CHECK(ring.word(0) == 3);  // tail
  CHECK(ring.word(8) == 4);  // claim: the end of all room
  CHECK(ring.word(64) == 0);
  for (std::uint64_t p = 0; p != 3; ++p) {
    CHECK(ring.word(slots_of_blocking + 16 * p) == 2 * p + 2);
    CHECK(ring.word(slots_of_blocking + 16 * p + 8) == 100 + p);
  }
  CHECK(ring.word(slots_of_blocking + 16 * 3) == 0);
  CHECK(all(reader) == from_to(100, 103));
  CHECK(ring.word(64) == 3);  // received
  CHECK(ring.word(cursors + 5 * 64) == 3);
  push(writer, 103, 106);
  CHECK(ring.word(slots_of_blocking) == 2 * 4 + 2);
  CHECK(ring.word(slots_of_blocking + 8) == 104);
  reader.leave();
  CHECK(ring.word(128) == 0);

  // A fresh ring is all zeros.
  const raw_broadcast<blocking<4>> fresh;
  const std::span bytes(fresh.memory.at, fresh.memory.bytes);
  CHECK(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; }));
}

TEST_CASE("every consumer of a broadcast_ring receives every value in order", "[broadcast_ring]") {
  raw_broadcast<blocking<8>> ring;
  auto writer = ring.writer();
  std::vector<blocking<8>::reader> readers;
  for (std::size_t slot = 1; slot != 64; ++slot) readers.push_back(ring.reader(slot));
  std::uint64_t value = 77;
  for (auto& r : readers) {
    CHECK_FALSE(r.readable());
    CHECK(r.pop(value) == attempt::would_block);
  }
  CHECK(value == 77);
  for (std::uint64_t round = 0; round != 10; ++round) {
    push(writer, round * 8, round * 8 + 8);
    CHECK_FALSE(writer.writable());
    CHECK(writer.push(0) == attempt::would_block);
    CHECK(writer.size() == 8);
    for (auto& r : readers) {
      CHECK(r.size() == 8);
      CHECK(r.readable());
      CHECK(all(r) == from_to(round * 8, round * 8 + 8));
      CHECK(r.size() == 0);
      CHECK(r.total_lost() == 0);
    }
    CHECK(writer.writable());
    CHECK(writer.size() == 0);
  }
  CHECK_FALSE(writer.corrupted());
}

TEST_CASE("the slowest consumer holds the producer back until it reads, leaves, or is dead",
          "[broadcast_ring]") {
  raw_broadcast<blocking<4>> ring;
  auto writer = ring.writer();
  auto quick = ring.reader(1);
  auto slow = ring.reader(2);
  push(writer, 0, 4);
  CHECK(all(quick) == from_to(0, 4));
  CHECK(writer.push(4) == attempt::would_block);
  CHECK_FALSE(writer.writable());
  std::uint64_t value = 0;

  SECTION("it reads") {
    CHECK(slow.pop(value) == attempt::done);
    CHECK(value == 0);
    push(writer, 4, 5);
    CHECK(writer.push(5) == attempt::would_block);
    CHECK(all(slow) == from_to(1, 5));
    push(writer, 5, 8);
    CHECK(writer.push(8) == attempt::would_block);  // now the other consumer is the slowest
    CHECK(all(quick) == from_to(4, 8));
    push(writer, 8, 9);
  }
  SECTION("it leaves") {
    slow.leave();
    push(writer, 4, 8);
    CHECK(writer.push(8) == attempt::would_block);
    CHECK(all(quick) == from_to(4, 8));
    quick.leave();
    push(writer, 8, 50);
  }
  SECTION("it is dead") {
    ring.recover(2);
    ring.recover(2);
    CHECK(writer.writable());
    push(writer, 4, 8);
    CHECK(writer.push(8) == attempt::would_block);
    ring.recover(1);
    push(writer, 8, 50);
    // The next owner of its slot does not begin at its position.
    auto successor = ring.reader(2);
    push(writer, 50, 54);
    CHECK(writer.push(54) == attempt::would_block);
    CHECK(all(successor) == from_to(50, 54));
  }
  SECTION("the producer's death holds no consumer back") {
    ring.recover(0);
    CHECK(writer.push(4) == attempt::would_block);
    CHECK(all(slow) == from_to(0, 4));
    push(writer, 4, 8);
  }
}

TEST_CASE("the producer sees new room at once", "[broadcast_ring]") {
  raw_broadcast<blocking<64>> ring;
  auto writer = ring.writer();
  auto reader = ring.reader(1);
  std::uint64_t value = 0;
  push(writer, 0, 64);
  CHECK_FALSE(writer.writable());
  for (std::uint64_t i = 0; i != 15; ++i) {
    CHECK(reader.pop(value) == attempt::done);
    push(writer, 64 + i, 65 + i);
    CHECK_FALSE(writer.writable());
  }
  SECTION("of all consumers, when there is no more room") {
    std::array<std::uint64_t, 64> rest;
    std::size_t n = 0;
    CHECK(reader.pop_n(rest, n) == attempt::done);
    CHECK_FALSE(reader.readable());
    CHECK(writer.size() == 0);
    push(writer, 79, 143);
  }
}

TEST_CASE("batches in a broadcast_ring", "[broadcast_ring]") {
  std::size_t n = 99;
  const std::vector<std::uint64_t> values = from_to(0, 20);
  std::array<std::uint64_t, 3> out{};
  SECTION("as many as there is room for") {
    raw_broadcast<blocking<5>> ring;
    auto writer = ring.writer();
    auto reader = ring.reader(1);
    CHECK(writer.push_n({}, n) == attempt::done);
    CHECK(n == 0);
    CHECK(writer.push_n(values, n) == attempt::would_block);
    CHECK(n == 5);
    CHECK(writer.push_n(values, n) == attempt::would_block);
    CHECK(n == 0);
    CHECK(reader.pop_n(out, n) == attempt::done);
    CHECK(n == 3);
    CHECK(reader.pop_n(out, n) == attempt::would_block);
    CHECK(n == 2);
    CHECK(out == std::array<std::uint64_t, 3>{3, 4, 2});
    CHECK(reader.pop_n({}, n) == attempt::done);
    CHECK(n == 0);
  }
  SECTION("all of them") {
    raw_broadcast<overwriting<5>> ring;
    auto writer = ring.writer();
    auto reader = ring.reader(1);
    CHECK(writer.push_n(values, n) == attempt::done);
    CHECK(n == 20);
    CHECK(reader.pop_n(out, n) == attempt::lagged);
    CHECK(n == 0);
    CHECK(reader.total_lost() == 15);
    CHECK(reader.pop_n(out, n) == attempt::done);
    CHECK(out == std::array<std::uint64_t, 3>{15, 16, 17});
  }
}

TEST_CASE("a lapped consumer is told once, with the count of lost values", "[broadcast_ring]") {
  raw_broadcast<overwriting<16>> ring;
  auto writer = ring.writer();
  auto reader = ring.reader(1);
  auto quick = ring.reader(2);
  std::uint64_t value = 77;
  push(writer, 0, 16);
  CHECK(all(quick) == from_to(0, 16));
  CHECK(reader.pop(value) == attempt::done);  // exactly a whole ring behind is not lapped
  CHECK(value == 0);
  push(writer, 16, 17);
  CHECK(reader.size() == 16);
  CHECK(reader.pop(value) == attempt::done);
  CHECK(value == 1);

  push(writer, 17, 40);
  CHECK(writer.writable());
  CHECK(reader.size() == 16);
  CHECK(reader.readable());
  CHECK(reader.pop(value) == attempt::lagged);
  CHECK(value == 1);
  CHECK(reader.total_lost() == 24);  // it continues an eighth of the ring after the oldest, which is 40 - 16
  CHECK(all(reader) == from_to(26, 40));
  CHECK(reader.total_lost() == 24);

  push(writer, 40, 40 + 17);
  CHECK(reader.pop(value) == attempt::lagged);
  CHECK(reader.total_lost() == 24 + 3);
  CHECK(all(reader) == from_to(43, 57));
  CHECK(quick.pop(value) == attempt::lagged);
  CHECK(quick.total_lost() == 27);
  CHECK(all(quick) == from_to(43, 57));
  CHECK_FALSE(reader.corrupted());
}

TEST_CASE("a batch ends before lost values, and the next attempt reports the loss", "[broadcast_ring]") {
  raw_broadcast<overwriting<4>> ring;
  auto writer = ring.writer();
  auto reader = ring.reader(1);
  push(writer, 0, 4);
  // The producer is just overwriting the third value; it has come no further in its next lap.
  ring.word(slots_of_overwriting + 2 * 16) = layout::broadcast_writing(6);
  ring.control().tail = 6;
  std::array<std::uint64_t, 4> out{};
  std::size_t n = 0;
  CHECK(reader.pop_n(out, n) == attempt::would_block);
  CHECK(n == 2);
  CHECK(reader.total_lost() == 0);
  CHECK(reader.readable());
  CHECK(reader.pop_n(out, n) == attempt::lagged);
  CHECK(n == 0);
  CHECK(reader.total_lost() == 1);
}

TEST_CASE("a broadcast_ring of one value", "[broadcast_ring]") {
  std::uint64_t value = 0;
  SECTION("blocks") {
    raw_broadcast<blocking<1>> ring;
    auto writer = ring.writer();
    auto reader = ring.reader(1);
    for (std::uint64_t n = 0; n != 10; ++n) {
      push(writer, n, n + 1);
      CHECK_FALSE(writer.writable());
      CHECK(reader.pop(value) == attempt::done);
      CHECK(value == n);
      writer = ring.writer();
    }
  }
  SECTION("overwrites") {
    raw_broadcast<overwriting<1>> ring;
    auto writer = ring.writer();
    auto reader = ring.reader(1);
    push(writer, 0, 10);
    CHECK(reader.pop(value) == attempt::lagged);
    CHECK(reader.total_lost() == 9);
    CHECK(reader.pop(value) == attempt::done);
    CHECK(value == 9);
    writer = ring.writer();
    push(writer, 10, 11);
    CHECK(all(reader) == from_to(10, 11));
  }
}

TEMPLATE_TEST_CASE("a consumer that joins late begins at the newest or the oldest value", "[broadcast_ring]",
                   blocking<8>, overwriting<8>) {
  raw_broadcast<TestType> ring;
  auto writer = ring.writer();
  auto early = ring.reader(1, start::oldest);
  CHECK(all(early).empty());
  early.leave();
  push(writer, 0, 3);
  CHECK(ring.control().attached[0] == 0);
  auto first = ring.reader(1, start::oldest);
  CHECK(first.size() == 3);
  auto second = ring.reader(2);
  CHECK(second.size() == 0);
  push(writer, 3, 5);
  CHECK(all(first) == from_to(0, 5));
  CHECK(all(second) == from_to(3, 5));
  first.leave();
  second.leave();

  // No consumer holds the producer back, and the newest values stay.
  push(writer, 5, 1000);
  CHECK(writer.writable());
  auto third = ring.reader(1, start::oldest);
  CHECK(all(third) == from_to(992, 1000));
  push(writer, 1000, 1004);
  CHECK(all(third) == from_to(1000, 1004));
  CHECK(third.total_lost() == 0);
  auto fourth = ring.reader(63, start::oldest);
  CHECK(all(fourth) == from_to(1000 - (std::is_same_v<TestType, overwriting<8>> ? 4 : 0), 1004));
}

TEST_CASE("a newcomer holds the producer back from its first position on", "[broadcast_ring]") {
  raw_broadcast<blocking<8>> ring;
  auto writer = ring.writer();
  push(writer, 0, 20);
  auto old = ring.reader(1, start::oldest);
  CHECK(writer.push(20) == attempt::would_block);
  auto young = ring.reader(2);
  CHECK(all(old) == from_to(12, 20));
  push(writer, 20, 28);
  CHECK(writer.push(28) == attempt::would_block);
  CHECK(all(old) == from_to(20, 28));
  CHECK(writer.push(28) == attempt::would_block);
  // The producer may use the room that it found before the newcomer joined.
  CHECK(all(young) == from_to(20, 28));
  push(writer, 28, 29);
  auto middle = ring.reader(3, start::oldest);
  CHECK(all(middle) == from_to(28, 29));
  push(writer, 29, 36);
  CHECK(all(old) == from_to(28, 36));
  CHECK(all(young) == from_to(28, 36));
  push(writer, 36, 37);
  CHECK(writer.push(37) == attempt::would_block);
  CHECK(all(middle) == from_to(29, 37));
  push(writer, 37, 38);
}

TEST_CASE("a consumer in the middle of joining holds the producer back only while it lives",
          "[broadcast_ring]") {
  raw_broadcast<blocking<4>> ring;
  auto writer = ring.writer();
  push(writer, 0, 10);
  // A newcomer that has read an old claim, and only now sets its cursor.
  ring.word(cursors + 3 * 64) = 2;
  ring.control().attached[0] = 1 << 3;
  CHECK(writer.push(10) == attempt::would_block);
  CHECK_FALSE(writer.corrupted());
  SECTION("it finishes joining") {
    auto reader = ring.reader(3, start::oldest);
    CHECK(all(reader) == from_to(6, 10));
  }
  SECTION("it dies") { ring.recover(3); }
  push(writer, 10, 12);
}

TEMPLATE_TEST_CASE("a successor of a dead producer continues at the same position", "[broadcast_ring]",
                   blocking<4>, overwriting<4>) {
  constexpr std::size_t slots =
      std::is_same_v<TestType, blocking<4>> ? slots_of_blocking : slots_of_overwriting;
  raw_broadcast<TestType> ring;
  auto reader = ring.reader(1);
  const std::uint64_t position = GENERATE(0, 1, 3, 4, 5, 7, 8, 9, 40);
  for (std::uint64_t p = 0; p != position; ++p) {
    auto writer = ring.writer();
    CHECK_FALSE(writer.corrupted());
    push(writer, p, p + 1);
    CHECK(all(reader) == from_to(p, p + 1));
  }
  const std::uint64_t in_the_way = position < 4 ? 0 : 1;  // the value that is being overwritten

  SECTION("in the middle of a value") {
    if (ring.control().claim <= position) ring.control().claim = position + 1;
    for (int i = 0; i != 3; ++i) {
      ring.word(slots + position % 4 * 16) = layout::broadcast_writing(position);
      ring.word(slots + position % 4 * 16 + 8) = 0xdead;
      auto late = ring.reader(2, start::oldest);
      const std::uint64_t there = late.size();
      CHECK(there <= std::min<std::uint64_t>(position, 4) - in_the_way);
      if (std::is_same_v<TestType, overwriting<4>>) {
        CHECK(there == std::min<std::uint64_t>(position, 4) - in_the_way);
      }
      CHECK(all(late) == from_to(position - there, position));
      CHECK_FALSE(reader.readable());
      late.leave();
      auto successor = ring.writer();
      CHECK_FALSE(successor.corrupted());
    }
    auto successor = ring.writer();
    push(successor, position, position + 4);
    CHECK(all(reader) == from_to(position, position + 4));
  }
  SECTION("after the stamp, before the tail") {
    std::optional writer(ring.writer());
    push(*writer, position, position + 1);
    ring.control().tail = position;
    CHECK_FALSE(ring.drained());
    CHECK(all(reader) == from_to(position, position + 1));
    CHECK(ring.drained());
    auto late = ring.reader(2);
    CHECK(all(late).empty());
    writer = ring.writer();
    CHECK_FALSE(writer->corrupted());
    CHECK(ring.control().tail == position + 1);
    push(*writer, position + 1, position + 5);
    CHECK(all(reader) == from_to(position + 1, position + 5));
    CHECK(all(late) == from_to(position + 1, position + 5));
  }
  SECTION("after the claim, before the second look at the cursors") {
    ring.control().claim = std::max<std::uint64_t>(ring.control().claim, position + 4);
    auto successor = ring.writer();
    CHECK_FALSE(successor.corrupted());
    push(successor, position, position + 4);
    CHECK(all(reader) == from_to(position, position + 4));
  }
}

TEMPLATE_TEST_CASE("a broadcast_ring is drained when one consumer has received everything", "[broadcast_ring]",
                   blocking<4>, overwriting<4>) {
  raw_broadcast<TestType> ring;
  CHECK(ring.drained());
  auto writer = ring.writer();
  push(writer, 0, 6);
  CHECK_FALSE(ring.drained());
  CHECK(writer.size() == 4);
  std::uint64_t value = 0;
  auto newest = ring.reader(1);
  CHECK(newest.pop(value) == attempt::would_block);
  newest.leave();
  CHECK_FALSE(ring.drained());
  auto reader = ring.reader(1, start::oldest);
  auto another = ring.reader(2, start::oldest);
  for (int i = 0; i != 3; ++i) CHECK(reader.pop(value) == attempt::done);
  reader.tell();
  CHECK_FALSE(ring.drained());
  CHECK(another.pop(value) == attempt::done);
  another.leave();
  CHECK_FALSE(ring.drained());
  CHECK(reader.pop(value) == attempt::done);
  reader.leave();
  CHECK(ring.drained());
  push(writer, 6, 7);
  CHECK_FALSE(ring.drained());
}

TEMPLATE_TEST_CASE_SIG("a blocking broadcast_ring behaves like deques", "[broadcast_ring]",
                       ((std::size_t N), N), 1, 2, 7, 64) {
  raw_broadcast<blocking<N>> ring;
  auto writer = ring.writer();
  struct consumer {
    typename blocking<N>::reader reader;
    std::deque<std::uint64_t> model;
  };
  std::array<std::optional<consumer>, 5> consumers;
  std::mt19937_64 random(N);
  std::uint64_t next = 0;
  bool same = true;
  const auto room = [&] {
    std::size_t most = 0;
    bool none_attached = true;
    for (const auto& c : consumers) {
      if (!c) continue;
      none_attached = false;
      most = std::max(most, c->model.size());
    }
    return none_attached ? std::size_t{1000} : N - most;
  };
  const auto sent = [&](std::size_t n) {
    for (; n != 0; --n, ++next) {
      for (auto& c : consumers) {
        if (c) c->model.push_back(next);
      }
    }
  };
  for (int i = 0; i != often(300000) && same; ++i) {
    std::array<std::uint64_t, 10> batch{};
    const std::span some(batch.data(), random() % (batch.size() + 1));
    std::size_t n = 0;
    const std::size_t which = random() % consumers.size();
    std::optional<consumer>& c = consumers[which];
    switch (random() % 8) {
      case 0: {
        for (auto& each : consumers) {
          if (each) each->reader.tell();
        }
        const bool fits = room() != 0;
        same = writer.writable() == fits && (writer.push(next) == attempt::done) == fits;
        if (fits) sent(1);
        break;
      }
      case 1: {
        for (auto& each : consumers) {
          if (each) each->reader.tell();
        }
        for (std::uint64_t& v : some) v = next + static_cast<std::uint64_t>(&v - some.data());
        const std::size_t fits = std::min(some.size(), room());
        same = (writer.push_n(some, n) == attempt::done) == (fits == some.size()) && n == fits;
        sent(n);
        break;
      }
      case 2:
      case 3: {
        if (!c) break;
        const std::size_t there = std::min(some.size(), c->model.size());
        same = (c->reader.pop_n(some, n) == attempt::done) == (there == some.size()) && n == there;
        for (std::size_t k = 0; k != n && same; ++k) {
          same = some[k] == c->model.front();
          c->model.pop_front();
        }
        break;
      }
      case 4: {
        std::uint64_t value = 0;
        if (!c) break;
        same = c->reader.readable() != c->model.empty() &&
               (c->reader.pop(value) == attempt::done) != c->model.empty();
        if (!c->model.empty()) {
          same = same && value == c->model.front();
          c->model.pop_front();
        }
        break;
      }
      case 5: writer = ring.writer(); break;
      case 6:
        if (c) {
          if (random() % 2 == 0) c->reader.leave();
          ring.recover(which + 1);
          c.reset();
        }
        break;
      case 7:
        if (!c && random() % 2 == 0) {
          // The oldest value that any consumer needs, as the producer knows it; everything if none is
          // attached.
          const bool none_attached = room() == 1000;
          c = consumer{ring.reader(which + 1, start::oldest), {}};
          const std::size_t there = c->reader.size();
          same = there <= std::min<std::uint64_t>(next, N) &&
                 (!none_attached || ring.control().claim != next ||
                  there == std::min<std::uint64_t>(next, N));
          for (std::uint64_t p = next - there; p != next; ++p) c->model.push_back(p);
        } else if (!c) {
          c = consumer{ring.reader(which + 1), {}};
        }
        break;
    }
    for (const auto& each : consumers)
      same = same && (!each || each->reader.size() == each->model.size());
    if (!same) FAIL("different after " << i << " steps");
  }
  CHECK_FALSE(writer.corrupted());
}

TEMPLATE_TEST_CASE_SIG("an overwriting broadcast_ring behaves like its model", "[broadcast_ring]",
                       ((std::size_t N), N), 1, 2, 7, 64) {
  raw_broadcast<overwriting<N>> ring;
  auto writer = ring.writer();
  struct consumer {
    typename overwriting<N>::reader reader;
    std::uint64_t next;
  };
  std::vector<consumer> consumers;
  for (std::size_t slot = 1; slot != 6; ++slot) consumers.push_back({ring.reader(slot), 0});
  std::deque<std::uint64_t> there;  // values differ from positions
  std::mt19937_64 random(N);
  std::uint64_t tail = 0;
  bool same = true;
  for (int i = 0; i != often(300000) && same; ++i) {
    consumer& c = consumers[random() % consumers.size()];
    std::array<std::uint64_t, 10> batch{};
    std::size_t n = 0;
    switch (random() % 6) {
      case 0:
      case 1: {
        const std::span some(batch.data(), random() % (batch.size() + 1));
        for (std::uint64_t& v : some) v = random();
        same = writer.push_n(some, n) == attempt::done && n == some.size();
        there.insert(there.end(), some.begin(), some.end());
        while (there.size() > N) there.pop_front();
        tail += n;
        break;
      }
      case 2: writer = ring.writer(); break;
      case 3:
        if (random() % 10 != 0) break;
        if (random() % 2 == 0) {
          c = {ring.reader(1, start::oldest), tail - there.size()};
        } else {
          c = {ring.reader(1), tail};
        }
        break;
      default: {
        const std::span some(batch.data(), random() % (batch.size() + 1));
        const std::uint64_t lost = c.reader.total_lost();
        const attempt a = c.reader.pop_n(some, n);
        if (some.empty()) {
          same = a == attempt::done && n == 0;
        } else if (tail - c.next > N) {
          const std::uint64_t next = std::max(tail - N + N / 8, c.next + 1);
          same = a == attempt::lagged && n == 0 && c.reader.total_lost() - lost == next - c.next;
          c.next = next;
        } else {
          same = n == std::min<std::uint64_t>(some.size(), tail - c.next) &&
                 a == (n == some.size() ? attempt::done : attempt::would_block);
          for (std::size_t k = 0; k != n && same; ++k, ++c.next) {
            same = some[k] == there[there.size() - (tail - c.next)];
          }
        }
      }
    }
    for (consumer& each : consumers) {
      same = same && each.reader.readable() == (each.next != tail) &&
             each.reader.size() == std::min<std::uint64_t>(tail - each.next, N);
    }
    if (!same) FAIL("different after " << i << " steps");
  }
}

TEMPLATE_TEST_CASE_SIG("readers of a blocking broadcast_ring race its writer", "[broadcast_ring]",
                       ((std::size_t Words, std::size_t N), Words, N), (1, 64), (3, 5), (25, 128)) {
  const watchdog dog;
  using ring_type = broadcast_ring<checked<Words>, N>;
  raw_broadcast<ring_type> ring;
  const std::uint64_t last = static_cast<std::uint64_t>(often(400'000));
  std::latch everybody(5);
  std::atomic<int> torn{0};
  std::atomic<int> wrong{0};
  {
    std::vector<typename ring_type::reader> sides;
    std::vector<std::jthread> readers;
    for (std::size_t i = 1; i != 5; ++i) sides.push_back(ring.reader(i));
    for (auto& side : sides) {
      readers.emplace_back([&] {
        everybody.arrive_and_wait();
        auto reader = side;
        std::array<checked<Words>, 7> batch;
        for (std::uint64_t seen = 0; seen != last;) {
          std::size_t n = 0;
          if (seen % 3 != 0) {
            n = reader.pop(batch[0]) == attempt::done;
          } else {
            reader.pop_n(batch, n);
          }
          for (std::size_t k = 0; k != n; ++k) {
            if (!batch[k].whole()) ++torn;
            if (batch[k].number() != ++seen) ++wrong;
          }
          if (reader.corrupted()) return void(++wrong);
          if (n == 0) std::this_thread::yield();
        }
        reader.leave();
      });
    }
    auto writer = ring.writer();
    everybody.arrive_and_wait();
    for (std::uint64_t n = 1; n <= last;) {
      const attempt a = writer.push(checked<Words>::of(n));
      if (a == attempt::done) {
        ++n;
        if (n % 1000 == 0) writer = ring.writer();
      } else if (a == attempt::corrupted) {
        ++wrong;
        break;
      } else {
        std::this_thread::yield();
      }
    }
  }
  CHECK(torn == 0);
  CHECK(wrong == 0);
  CHECK(ring.drained());
}

TEMPLATE_TEST_CASE_SIG("readers of an overwriting broadcast_ring race its writer",
                       "[broadcast_ring]", ((std::size_t Words, std::size_t N), Words, N), (1, 64),
                       (3, 5), (25, 128), (3, 1)) {
  const watchdog dog;
  using ring_type = broadcast_ring<checked<Words>, N, overflow::overwrite>;
  raw_broadcast<ring_type> ring;
  const std::uint64_t last = static_cast<std::uint64_t>(often(2'000'000));
  std::latch everybody(5);
  std::atomic<int> torn{0};
  std::atomic<int> backwards{0};
  std::atomic<int> miscounted{0};
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> laps{0};
  {
    std::vector<typename ring_type::reader> sides;
    std::vector<std::jthread> readers;
    for (std::size_t i = 1; i != 5; ++i) sides.push_back(ring.reader(i));
    for (auto& side : sides) {
      readers.emplace_back([&] {
        everybody.arrive_and_wait();
        auto reader = side;
        std::array<checked<Words>, 7> batch;
        std::uint64_t seen = 0;  // received and lost: the number of the last value seen
        std::uint64_t own = 0;
        while (seen != last) {
          std::size_t n = 0;
          const std::uint64_t lost = reader.total_lost();
          const attempt a = own % 3 != 0 ? reader.pop(batch[0]) : reader.pop_n(batch, n);
          if (own % 3 != 0) n = a == attempt::done;
          if (a == attempt::corrupted) return void(++miscounted);
          if (a == attempt::lagged) {
            seen += reader.total_lost() - lost;
            laps.fetch_add(1, std::memory_order_relaxed);
            if (reader.total_lost() == lost) ++miscounted;
          }
          for (std::size_t k = 0; k != n; ++k) {
            if (!batch[k].whole()) ++torn;
            if (batch[k].number() <= seen) ++backwards;
            if (batch[k].number() != ++seen) ++miscounted;
          }
          own += n;
          if (a == attempt::would_block) std::this_thread::yield();
        }
        received += own;
      });
    }
    auto writer = ring.writer();
    everybody.arrive_and_wait();
    for (std::uint64_t n = 1; n <= last; ++n) {
      writer.push(checked<Words>::of(n));
      if (n % 1000 == 0) writer = ring.writer();
      if (n % 256 == 0) std::this_thread::yield();  // otherwise a reader hardly ever catches up
    }
  }
  CHECK(torn == 0);
  CHECK(backwards == 0);
  CHECK(miscounted == 0);
  INFO(received << " received, lapped " << laps << " times");
  CHECK(received > 0);
  CHECK(laps > 0);
}

TEST_CASE("consumers of a blocking broadcast_ring join and leave", "[broadcast_ring]") {
  const watchdog dog;
  using ring_type = broadcast_ring<checked<3>, 8>;
  raw_broadcast<ring_type> ring;
  std::atomic<bool> stop{false};
  std::atomic<int> torn{0};
  std::atomic<int> gaps{0};
  std::atomic<int> corrupted{0};
  std::atomic<std::uint64_t> received{0};
  {
    std::vector<std::jthread> consumers;
    for (std::size_t slot = 1; slot != 4; ++slot) {
      consumers.emplace_back([&, slot] {
        std::mt19937 random(static_cast<unsigned>(slot));
        for (int life = 0; life != often(40'000); ++life) {
          auto reader = ring.reader(slot, random() % 2 == 0 ? start::oldest : start::newest);
          std::uint64_t before = 0;
          const unsigned wanted = random() % 12;
          for (unsigned i = 0; i != wanted; ++i) {
            checked<3> value;
            const attempt a = reader.pop(value);
            if (a == attempt::corrupted) ++corrupted;
            if (a == attempt::would_block) std::this_thread::yield();
            if (a != attempt::done) continue;
            if (!value.whole()) ++torn;
            if (before != 0 && value.number() != before + 1) ++gaps;
            before = value.number();
            received.fetch_add(1, std::memory_order_relaxed);
          }
          if (random() % 2 == 0) {
            reader.leave();
          } else {
            ring.recover(slot);
          }
        }
        if (slot == 1) stop = true;
      });
    }
    auto writer = ring.writer();
    std::uint64_t n = 1;
    while (!stop) {
      const attempt a = writer.push(checked<3>::of(n));
      if (a == attempt::corrupted) {
        ++corrupted;
        break;
      }
      if (a == attempt::done) ++n;
      if (a == attempt::would_block) std::this_thread::yield();
    }
  }
  CHECK(torn == 0);
  CHECK(gaps == 0);
  CHECK(corrupted == 0);
  CHECK(received > 0);
}

TEST_CASE("a broadcast_ring reports impossible positions as corrupted", "[broadcast_ring]") {
  std::uint64_t value = 0;
  SECTION("a cursor ahead of the sent values") {
    raw_broadcast<blocking<4>> ring;
    auto writer = ring.writer();
    ring.reader(1);
    push(writer, 0, 4);
    ring.word(cursors + 64) = 5;
    CHECK(writer.writable());  // so that no producer sleeps on it
    CHECK(writer.corrupted());
    CHECK(writer.push(4) == attempt::corrupted);
    ring.word(cursors + 64) = 4;
    CHECK(writer.push(4) == attempt::corrupted);  // it stays corrupted
  }
  SECTION("a claim too far ahead") {
    raw_broadcast<blocking<4>> ring;
    ring.control().claim = 100;
    CHECK(ring.writer().corrupted());
    auto reader = ring.reader(1);
    CHECK(reader.corrupted());
    CHECK(reader.readable());
    CHECK(reader.pop(value) == attempt::corrupted);
  }
  SECTION("a tail that no slot's stamp confirms") {
    raw_broadcast<overwriting<4>> ring;
    ring.control().tail = 6;
    auto writer = ring.writer();
    CHECK(writer.corrupted());
    CHECK(writer.push(0) == attempt::corrupted);
    ring.control().tail = ~std::uint64_t{0};
    CHECK(ring.writer().corrupted());
    CHECK(ring.reader(1).corrupted());
    CHECK(ring.reader(1, start::oldest).corrupted());
  }
  SECTION("a stamp from the future") {
    raw_broadcast<blocking<4>> blocked;
    raw_broadcast<overwriting<4>> lossy;
    auto one = blocked.reader(1);
    auto other = lossy.reader(1);
    blocked.word(slots_of_blocking) = lossy.word(slots_of_overwriting) = 44;
    CHECK(one.readable());
    CHECK(one.pop(value) == attempt::corrupted);
    CHECK(one.corrupted());
    CHECK(other.pop(value) == attempt::corrupted);
    CHECK(other.pop(value) == attempt::corrupted);
  }
}

TEMPLATE_TEST_CASE("random bytes in a broadcast_ring never make an operation hang",
                   "[broadcast_ring]", blocking<6>, overwriting<6>) {
  const watchdog dog;
  raw_broadcast<TestType> ring;
  std::mt19937_64 random(random_seed());
  std::optional<typename TestType::writer> writer(ring.writer());
  std::optional<typename TestType::reader> reader(ring.reader(1));
  std::array<std::uint64_t, 20> batch{};
  const std::array hostile{std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{1} << 62,
                           (std::uint64_t{1} << 62) - 1, std::uint64_t{1} << 63};
  // The control words and the slots; of the many cursors only few are in use.
  const std::size_t slots = ring.memory.bytes - 6 * 16;
  for (int i = 0; i != often(1'000'000); ++i) {
    std::size_t at = std::array<std::size_t, 4>{0, 8, 64, 128}[random() % 4];
    if (random() % 2 == 0) at = slots + random() % 12 * 8;
    if (random() % 8 == 0) at = random() % (ring.memory.bytes / 8) * 8;
    switch (random() % 4) {
      case 0: ring.word(at) = random(); break;
      case 1: ring.word(at) = hostile[random() % hostile.size()] - random() % 3; break;
      case 2: ring.word(at) = random() % 40; break;
      default: ring.word(at) += random() % 9 - 4; break;
    }
    std::size_t n = 0;
    std::uint64_t value = 0;
    if (random() % 20 == 0) writer = ring.writer();
    if (random() % 20 == 0)
      reader = ring.reader(random() % 64, random() % 2 == 0 ? start::oldest : start::newest);
    if (random() % 50 == 0) {
      std::memset(ring.memory.at, 0, ring.memory.bytes);
      writer = ring.writer();
      reader = ring.reader(1);
    }
    const attempt answers[] = {writer->push(i), writer->push_n(batch, n), reader->pop(value),
                               reader->pop_n(batch, n)};
    for (const attempt a : answers) {
      if (a == attempt::too_large) FAIL("no such outcome");
    }
    writer->writable();
    writer->size();
    reader->readable();
    if (reader->size() > 6) FAIL("more than there can be");
    reader->tell();
    ring.drained();
    if (random() % 10 == 0) ring.recover(random() % 64);
    if (random() % 50 == 0) reader->leave();
  }
}
