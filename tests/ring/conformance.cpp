// What ring.hpp promises of every ring, without endpoints: one suite for all of them. The list is in
// support/rings.hpp.
#include "../../src/platform/machine.hpp"
#include "support/raw_ring.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <deque>
#include <random>
#include <utility>

using namespace belfry;
using namespace belfry::test;
using detail::in_place_ring;
using detail::leasing_ring;
using detail::lossy_ring;

namespace {

/// The number of a value that is whole.
std::uint64_t whole(const tick& t) { return t.price == of_values::make(t.seq).price ? t.seq : ~std::uint64_t{0}; }
std::uint64_t whole(std::span<const std::byte> bytes) {
  std::uint64_t n = ~std::uint64_t{0};
  if (bytes.size() == sizeof n) std::memcpy(&n, bytes.data(), sizeof n);
  return n;
}
std::uint64_t whole(const copied_message& m) { return whole(m.bytes()); }

/// A value of this number.
template <class Received>
Received received_as(std::uint64_t n) {
  if constexpr (std::same_as<Received, copied_message>) {
    copied_message m;
    std::memcpy(m.room.data(), &n, sizeof n);
    m.count = sizeof n;
    return m;
  } else {
    return of_values::make(n);
  }
}

/// Pops a value, and frees its place. `n` is its number; unchanged if there is none.
template <class Ring>
attempt pop(typename Ring::reader& rx, std::uint64_t& n) {
  attempt answer;
  if constexpr (in_place_ring<Ring>) {
    typename Ring::reader::view view;
    answer = rx.pop(view);
    if (answer != attempt::done) return answer;
    n = whole(view.bytes);
    rx.release(view.position, view.bytes.size());
  } else {
    constexpr std::uint64_t untouched = 1234567;
    auto value = received_as<typename Ring::received>(untouched);
    answer = rx.pop(value);
    if (answer == attempt::done) {
      n = whole(value);
    } else if (whole(value) != untouched) {
      FAIL("an attempt that was not done has changed the value");
    }
  }
  return answer;
}

/// A ring of the list in a segment for so many participants.
template <class Kit, std::size_t Participants>
struct among : Kit {
  static constexpr channel_options options() {
    channel_options o = Kit::options();
    o.participants = Participants;
    return o;
  }
};

/// Every ring; and those for many, where there are as few or as many participants as there can be.
using every_trial = decltype(std::tuple_cat(
    std::declval<every_ring>(),
    std::declval<std::tuple<among<of_ring<work_ring<tick, 16>>, 2>, among<of_ring<work_ring<tick, 16>>, 250>,
                            among<of_ring<broadcast_ring<tick, 16, overflow::block>>, 3>,
                            among<of_ring<broadcast_ring<tick, 16, overflow::block>>, 65>,
                            among<of_ring<broadcast_ring<tick, 16, overflow::block>>, 250>,
                            among<of_messages<byte_broadcast_ring<overflow::block>>, 250>,
                            among<of_messages<byte_broadcast_ring<overflow::overwrite>>, 3>,
                            among<of_messages<byte_broadcast_ring<overflow::overwrite>>, 250>,
                            among<of_messages<byte_work_ring>, 2>, among<of_messages<byte_work_ring>, 250>>>()));


/// A ring of the list with a producer and a consumer, which have the slots that a roster would give them.
template <class Kit>
struct trial {
  using ring = typename Kit::channel::ring_type;
  static constexpr const detail::ring_traits& traits = ring::traits;
  static constexpr detail::seats places = traits.seats_for(Kit::options().participants);
  /// How many values can be there that a consumer has not received.
  static constexpr std::size_t room = Kit::room;
  static constexpr std::size_t first_consumer = places.producers;
  /// Each value is for one consumer.
  static constexpr bool to_one = places.consumers == 1 || traits.competing;

  attempt push(std::uint64_t n) { return tx.push(values.make(n)); }
  /// Numbers from `first` on; those before `end` were sent.
  void push_all(std::uint64_t first, std::uint64_t end) {
    for (; first != end; ++first) REQUIRE(push(first) == attempt::done);
  }
  attempt push_n(std::uint64_t first, std::size_t count, std::size_t& pushed) {
    std::vector<typename ring::sendable> batch;
    for (const std::uint64_t n : from_to(first, first + count)) batch.push_back(values.make(n));
    return tx.push_n(batch, pushed);
  }
  attempt pop(std::uint64_t& n) { return ::pop<ring>(rx, n); }
  static numbers pop_all(typename ring::reader& from) {
    numbers all;
    for (std::uint64_t n = 0; ::pop<ring>(from, n) == attempt::done;) all.push_back(n);
    return all;
  }
  numbers pop_all() { return pop_all(rx); }
  /// A consumer that is to miss nothing.
  typename ring::reader reader(std::size_t slot = first_consumer) {
    return memory.reader(slot, start::oldest);
  }

  const watchdog dog;  // a ring that is wrong may never be empty
  raw_ring<ring> memory{Kit::options()};
  Kit values{};
  typename ring::writer tx = memory.writer(0);
  typename ring::reader rx = reader();
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a ring's traits agree with its types", "[conformance]", every_trial) {
  using ring = typename TestType::channel::ring_type;
  static_assert(belfry::ring<ring>);
  const detail::ring_traits& t = ring::traits;
  CHECK_FALSE(layout::name_of(t.kind).empty());
  CHECK(t.most.producers > 0);
  CHECK(t.most.consumers > 0);
  CHECK(t.most.all() <= layout::max_participants);
  CHECK((!t.competing || t.most.all() > 2));
  for (const std::size_t participants : {2u, 3u, 64u, 250u}) {
    const detail::seats places = t.seats_for(participants);
    CHECK(places.all() == (t.chosen_seats ? participants : t.most.all()));
    CHECK((places.producers > 0 && places.producers <= t.most.producers));
    CHECK((places.consumers > 0 && places.consumers <= t.most.consumers));
  }
  if constexpr (std::same_as<typename ring::sendable, std::span<const std::byte>>) {
    CHECK(t.value_bytes == 0);
  } else {
    CHECK(t.value_bytes == sizeof(typename ring::received));
    CHECK(t.value_align == alignof(typename ring::received));
    CHECK(t.type_fingerprint == type_fingerprint<typename ring::received>());
  }
  CHECK(std::has_single_bit(t.align));
  CHECK(t.align >= std::max<std::size_t>(layout::cache_line, t.value_align));

  const std::uint64_t capacity = t.capacity(0);
  CHECK(capacity > 0);
  CHECK(t.capacity(capacity) == capacity);
  for (const std::uint64_t wish : {std::uint64_t{1}, capacity + 1, ~std::uint64_t{0}}) {
    if (t.chosen_capacity || t.chosen_messages) {
      const std::uint64_t granted = t.capacity(wish);
      CHECK((granted == 0 || granted >= wish));
    } else {
      CHECK(t.capacity(wish) == capacity);
    }
  }
  const std::uint64_t page = platform::mapping_granularity();
  for (const std::uint64_t offset : {std::uint64_t{0}, t.align, 7 * t.align, page}) {
    const ring_layout shape =
        t.layout({.capacity = capacity, .message_bytes = t.message_bytes(0), .participants = 64, .offset = offset});
    CHECK(shape.bytes >= capacity * std::max<std::uint64_t>(t.value_bytes, 1));
    CHECK(shape.mirrored <= shape.bytes);
    if (shape.mirrored != 0) CHECK((offset + shape.bytes - shape.mirrored) % page == 0);
  }
}

TEMPLATE_LIST_TEST_CASE("a fresh ring is empty", "[conformance]", every_trial) {
  trial<TestType> c;
  std::uint64_t n = 77;
  for (const start where : {start::newest, start::oldest}) {
    auto rx = c.memory.reader(c.first_consumer, where);
    CHECK_FALSE(rx.readable());
    CHECK(pop<typename trial<TestType>::ring>(rx, n) == attempt::would_block);
    CHECK(n == 77);
    CHECK(rx.size() == 0);
    CHECK_FALSE(rx.corrupted());
  }
  CHECK(c.tx.writable());
  CHECK(c.tx.size() == 0);
  CHECK_FALSE(c.tx.corrupted());
  CHECK(c.memory.drained());
}

TEMPLATE_LIST_TEST_CASE("a full ring takes no more, and has room again as soon as one value is received",
                        "[conformance]", every_trial) {
  trial<TestType> c;
  std::uint64_t n = 0;
  if (c.traits.overwrites) {
    for (std::uint64_t i = 0; i != 3 * c.room + 1; ++i) {
      CHECK(c.tx.writable());
      CHECK(c.push(i) == attempt::done);
    }
    return;
  }
  std::uint64_t next = 0;
  for (std::uint64_t received = 0; received != 5 * c.room; ++received) {
    while (next != received + c.room) {
      CHECK(c.tx.writable());
      CHECK(c.push(next++) == attempt::done);
    }
    CHECK(c.push(next) == attempt::would_block);
    CHECK_FALSE(c.tx.writable());
    REQUIRE(c.pop(n) == attempt::done);
    CHECK(n == received);
    CHECK(c.tx.writable());
  }
}

TEMPLATE_LIST_TEST_CASE("a batch is sent and received as far as possible", "[conformance]", every_trial) {
  trial<TestType> c;
  std::size_t count = 99;
  CHECK(c.tx.push_n({}, count) == attempt::done);
  CHECK(count == 0);
  if (c.traits.overwrites) {
    CHECK(c.push_n(0, c.room + 3, count) == attempt::done);
    CHECK(count == c.room + 3);
  } else {
    CHECK(c.push_n(0, c.room - 1, count) == attempt::done);
    CHECK(count == c.room - 1);
    CHECK(c.push_n(c.room - 1, 3, count) == attempt::would_block);
    CHECK(count == 1);
    CHECK(c.push_n(c.room, 3, count) == attempt::would_block);
    CHECK(count == 0);
  }
  using ring = typename trial<TestType>::ring;
  if constexpr (!in_place_ring<ring>) {
    auto rx = c.reader(c.first_consumer + (c.to_one ? 0 : 1));  // that loses nothing
    std::vector<typename ring::received> out(c.room + 2);
    CHECK(rx.pop_n({}, count) == attempt::done);
    CHECK(count == 0);
    numbers got;
    attempt answer = attempt::done;
    for (std::size_t wanted = 1; answer == attempt::done; ++wanted) {
      answer = rx.pop_n(std::span(out).first(wanted), count);
      CHECK((answer == attempt::done) == (count == wanted));
      for (std::size_t i = 0; i != count; ++i) got.push_back(whole(out[i]));
    }
    CHECK(answer == attempt::would_block);
    const std::uint64_t end = c.traits.overwrites ? c.room + 3 : c.room;
    CHECK(got == from_to(end - c.room, end));
    CHECK(rx.pop_n(out, count) == attempt::would_block);
    CHECK(count == 0);
  }
}

TEMPLATE_LIST_TEST_CASE("a ring behaves like a deque", "[conformance]", every_trial) {
  using ring = typename trial<TestType>::ring;
  trial<TestType> c;
  std::mt19937_64 random(random_seed());
  std::deque<std::uint64_t> there;  // sent, and not received
  std::uint64_t next = 0;
  std::uint64_t lost = 0;
  const auto sent = [&](std::size_t count) {
    for (; count != 0; --count) there.push_back(next++);
    // If a consumer is not told of a loss, the values that were overwritten do not count as sent.
    while (!lossy_ring<ring> && c.traits.overwrites && there.size() > c.room) there.pop_front();
  };
  const auto room = [&] { return c.traits.overwrites ? ~std::size_t{0} : c.room - there.size(); };
  bool same = true;
  const auto received = [&](std::uint64_t n) {
    same = same && !there.empty() && n == there.front();
    if (!there.empty()) there.pop_front();
  };
  // The answer to an attempt to receive so many values, which has received `count`.
  const auto answered = [&](attempt answer, std::size_t wanted, std::size_t count) {
    if constexpr (lossy_ring<ring>) {
      if (answer == attempt::lagged) {
        const std::uint64_t more = c.rx.total_lost() - std::exchange(lost, c.rx.total_lost());
        same = same && count == 0 && there.size() > c.room && more >= there.size() - c.room && more < there.size();
        there.erase(there.begin(), there.begin() + static_cast<std::ptrdiff_t>(more));
        return;
      }
      same = same && c.rx.total_lost() == lost;
    }
    if (count < wanted) same = same && answer == attempt::would_block && there.empty();
  };
  for (int i = 0; i != often(50'000) && same; ++i) {
    std::size_t count = 0;
    switch (random() % 8) {
      case 0:
      case 1: {
        const bool fits = room() != 0;
        same = c.tx.writable() == fits && c.push(next) == (fits ? attempt::done : attempt::would_block);
        if (fits) sent(1);
        break;
      }
      case 2: {
        const std::size_t wanted = random() % (c.room / 2 + 2);
        const std::size_t fits = std::min(wanted, room());
        const attempt answer = c.push_n(next, wanted, count);
        same = count == fits && answer == (fits == wanted ? attempt::done : attempt::would_block);
        sent(count);
        break;
      }
      case 3:
        if constexpr (!in_place_ring<ring>) {
          std::vector<typename ring::received> out(random() % (c.room + 2));
          const attempt answer = c.rx.pop_n(out, count);
          for (std::size_t k = 0; k != count; ++k) received(whole(out[k]));
          answered(answer, out.size(), count);
        }
        break;
      case 4: c.tx = c.memory.writer(); break;
      case 5:
        if (c.to_one) c.rx = c.reader();
        break;
      default: {
        std::uint64_t n = 0;
        same = c.rx.readable() != there.empty();
        const attempt answer = c.pop(n);
        if (answer == attempt::done) received(n);
        answered(answer, 1, answer == attempt::done);
      }
    }
    same = same && c.rx.readable() != there.empty() && (c.rx.size() != 0 || there.empty()) &&
        (c.tx.size() != 0 || there.empty()) && c.rx.size() <= c.memory.memory.capacity &&
        c.tx.size() <= c.memory.memory.capacity;
    if (!same) FAIL("different after " << i << " steps");
  }
  CHECK_FALSE(c.tx.corrupted());
  CHECK_FALSE(c.rx.corrupted());
}

TEMPLATE_LIST_TEST_CASE("a ring is drained when everything was received", "[conformance]", every_trial) {
  trial<TestType> c;
  for (std::uint64_t n = 0; n != 3 * c.room; ++n) {
    c.push_all(n, n + 1);
    CHECK_FALSE(c.memory.drained());
    CHECK(c.pop_all() == from_to(n, n + 1));
    CHECK_FALSE(c.rx.readable());
    CHECK(c.memory.drained());
    CHECK(c.rx.size() == 0);
    CHECK(c.tx.size() == 0);
  }
  const bool receives = GENERATE(true, false);
  c.push_all(0, 1);
  std::uint64_t n = 1;
  if (receives) CHECK(c.pop(n) == attempt::done);
  c.rx.leave();
  CHECK(c.memory.drained() == receives);
}

TEMPLATE_LIST_TEST_CASE("recover changes nothing for a participant that held nothing", "[conformance]", every_trial) {
  trial<TestType> c;
  const std::uint64_t half = std::max<std::uint64_t>(c.room / 2, 1);
  c.push_all(0, half);
  for (int times = 0; times != 2; ++times) {
    for (std::size_t slot = 0; slot != c.places.all(); ++slot) {
      if (slot != c.first_consumer) c.memory.recover(slot);
    }
  }
  CHECK_FALSE(c.memory.drained());
  CHECK(c.pop_all() == from_to(0, half));
  c.push_all(half, 2 * half);
  CHECK(c.pop_all() == from_to(half, 2 * half));
  CHECK_FALSE(c.tx.corrupted());
  CHECK_FALSE(c.rx.corrupted());
}

TEMPLATE_LIST_TEST_CASE("a successor continues where its predecessor was killed, or has left", "[conformance]",
                        every_trial) {
  using ring = typename trial<TestType>::ring;
  trial<TestType> c;
  std::uint64_t next = 0;
  std::uint64_t received = 0;
  const bool killed = GENERATE(true, false);
  for (int life = 0; life != 20; ++life) {
    const std::uint64_t more = std::min<std::uint64_t>(c.room - (next - received), 3);
    c.push_all(next, next + more);
    next += more;
    c.tx = c.memory.writer();
    if (c.room > 1 || life % 2 == 0) {
      std::uint64_t n = 0;
      REQUIRE(c.pop(n) == attempt::done);
      CHECK(n == received++);
    }
    if constexpr (in_place_ring<ring>) {  // a message that is not released is delivered again
      typename ring::reader::view view;
      if (c.rx.readable()) CHECK(c.rx.pop(view) == attempt::done);
    }
    if (!killed) c.rx.leave();
    for (int times = 0; killed && times != 2; ++times) c.memory.recover(c.first_consumer);
    c.rx = c.reader();
    // Where each consumer receives every value, the successor receives older ones again.
    const numbers again = c.pop_all(c.rx);
    const std::uint64_t first = next - again.size();
    CHECK(again == from_to(first, next));
    if (c.to_one) {
      CHECK(first == received);
    } else {
      CHECK(first <= received);
    }
    received = next;
  }
}

TEMPLATE_LIST_TEST_CASE("each value goes to one consumer, or to all of them", "[conformance]", every_trial) {
  using ring = typename trial<TestType>::ring;
  if (trial<TestType>::places.consumers == 1) return;
  trial<TestType> c;
  std::vector<typename ring::reader> others;
  for (std::size_t i = 1; i != c.places.consumers; ++i) others.push_back(c.reader(c.first_consumer + i));
  for (std::uint64_t first = 0; first != 10 * c.room; first += c.room) {
    c.push_all(first, first + c.room);
    numbers all;
    for (auto& rx : others) {
      if (c.to_one) {
        std::uint64_t n = 0;
        if (pop<ring>(rx, n) == attempt::done) all.push_back(n);
      } else {
        CHECK(c.pop_all(rx) == from_to(first, first + c.room));
      }
    }
    const numbers rest = c.pop_all();
    all.insert(all.end(), rest.begin(), rest.end());
    CHECK(all == from_to(first, first + c.room));
  }
}

TEMPLATE_LIST_TEST_CASE("a consumer that was killed, or has left, holds nothing up", "[conformance]", every_trial) {
  if (trial<TestType>::places.consumers == 1) return;
  trial<TestType> c;
  const std::size_t slot = c.first_consumer + 1;
  const bool killed = GENERATE(true, false);
  std::uint64_t next = 0;
  for (int life = 0; life != 5; ++life) {
    auto other = c.memory.reader(slot);
    c.push_all(next, next + c.room);
    CHECK(c.pop_all() == from_to(next, next + c.room));
    next += c.room;
    CHECK(c.tx.writable() == (c.to_one || c.traits.overwrites));
    if (!killed) other.leave();
    for (int times = 0; killed && times != 2; ++times) c.memory.recover(slot);
    CHECK(c.tx.writable());
  }
}

TEMPLATE_LIST_TEST_CASE("many producers fill the same ring", "[conformance]", every_trial) {
  using ring = typename trial<TestType>::ring;
  if (trial<TestType>::places.producers == 1) return;
  trial<TestType> c;
  std::vector<typename ring::writer> others;
  for (std::size_t slot = 0; slot != c.places.producers; ++slot) others.push_back(c.memory.writer(slot));
  for (std::uint64_t first = 0; first != 10 * c.room; first += c.room) {
    for (const std::uint64_t n : from_to(first, first + c.room))
      CHECK(others[n % others.size()].push(c.values.make(n)) == attempt::done);
    for (auto& tx : others) CHECK(tx.push(c.values.make(0)) == attempt::would_block);
    CHECK(c.pop_all() == from_to(first, first + c.room));
  }
}

// ---- rings that can do more ---------------------------------------------------------------------------

TEMPLATE_LIST_TEST_CASE("a leasing ring gives back what was not acknowledged", "[conformance]", every_trial) {
  using ring = typename trial<TestType>::ring;
  if constexpr (leasing_ring<ring>) {
    trial<TestType> c;
    auto other = c.reader(c.first_consumer + 1);
    c.push_all(0, 4);
    typename ring::received value{};
    std::array<lease_ticket, 4> held;
    for (std::uint64_t n = 0; n != held.size(); ++n) {
      CHECK(c.rx.lease(value, held[n]) == attempt::done);
      CHECK(whole(value) == n);
    }
    CHECK_FALSE(other.readable());
    CHECK_FALSE(c.memory.drained());
    CHECK(c.rx.acknowledge(held[1]));
    CHECK(c.rx.give_back(held[2]));
    CHECK(c.pop_all(other) == numbers{2});
    for (const lease_ticket& stale : {held[1], held[2]}) {
      CHECK_FALSE(c.rx.acknowledge(stale));
      CHECK_FALSE(c.rx.give_back(stale));
      CHECK_FALSE(other.acknowledge(stale));
    }
    CHECK_FALSE(other.acknowledge(held[0]));  // another one holds it
    CHECK_FALSE(other.give_back(held[0]));
    const bool killed = GENERATE(true, false);
    if (!killed) c.rx.leave();
    for (int times = 0; killed && times != 2; ++times) c.memory.recover(c.first_consumer);
    CHECK(other.readable());
    CHECK(c.pop_all(other) == numbers{0, 3});
    CHECK(c.memory.drained());
  }
}

TEMPLATE_LIST_TEST_CASE("a lossy ring counts what was lost, and tells it once", "[conformance]", every_trial) {
  using ring = typename trial<TestType>::ring;
  if constexpr (lossy_ring<ring>) {
    trial<TestType> c;
    std::uint64_t received = 0;
    std::uint64_t laps = 0;
    for (std::uint64_t next = 0; next != 100 * c.room; ++next) {
      if (c.push(next) != attempt::done) --next;
      if (next % (3 * c.room) != 0 && c.traits.overwrites) continue;
      for (std::uint64_t n = 0;;) {
        const std::uint64_t before = c.rx.total_lost();
        const attempt answer = c.pop(n);
        if (answer == attempt::would_block) break;
        CHECK((answer == attempt::lagged) == (c.rx.total_lost() > before));
        if (answer == attempt::lagged) {
          ++laps;
        } else {
          REQUIRE(answer == attempt::done);
          CHECK(n == received++ + c.rx.total_lost());
        }
      }
    }
    CHECK((laps != 0) == c.traits.overwrites);
    CHECK_FALSE(c.rx.corrupted());
  }
}

TEMPLATE_LIST_TEST_CASE("a ring in place: a claim sends what was committed, or nothing", "[conformance]", every_trial) {
  using ring = typename trial<TestType>::ring;
  if constexpr (in_place_ring<ring>) {
    trial<TestType> c;
    const std::uint64_t most = ring::max_message(c.memory.memory);
    std::span<std::byte> room;
    typename ring::reader::view view;
    for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{100}, most}) {
      CHECK(c.tx.writable(bytes));
      REQUIRE(c.tx.claim(bytes, room) == attempt::done);
      REQUIRE(room.size() == bytes);
      std::ranges::fill(room, std::byte{'c'});
      CHECK_FALSE(c.rx.readable());
      CHECK(c.push(1) == attempt::would_block);  // one claim at a time
      CHECK(c.tx.claim(1, room) == attempt::would_block);
      if (bytes == 1) {
        c.tx.abandon();
        CHECK_FALSE(c.rx.readable());
        continue;
      }
      c.tx.commit(bytes / 2);
      REQUIRE(c.rx.pop(view) == attempt::done);
      CHECK(view.bytes.size() == bytes / 2);
      CHECK(std::ranges::all_of(view.bytes, [](std::byte b) { return b == std::byte{'c'}; }));
      c.rx.release(view.position, view.bytes.size());
    }
    // Its producer is killed.
    REQUIRE(c.tx.claim(100, room) == attempt::done);
    c.tx = c.memory.writer();
    CHECK_FALSE(c.rx.readable());
    c.push_all(5, 6);
    CHECK(c.pop_all() == numbers{5});
  }
}

TEMPLATE_LIST_TEST_CASE("a ring in place: messages may be released in any order", "[conformance]", every_trial) {
  using ring = typename trial<TestType>::ring;
  if constexpr (in_place_ring<ring>) {
    trial<TestType> c;
    std::mt19937 random(random_seed());
    std::vector<typename ring::reader::view> held;
    std::uint64_t next = 0;
    for (int round = 0; round != 100; ++round) {
      for (std::size_t i = 0; i != c.room; ++i) CHECK(c.push(next++) == attempt::done);
      for (typename ring::reader::view view; c.rx.pop(view) == attempt::done;) held.push_back(view);
      CHECK(held.size() == c.room);
      CHECK(c.push(next) == attempt::would_block);  // held, or full
      std::ranges::shuffle(held, random);
      for (const auto& view : held) {
        CHECK_FALSE(c.memory.drained());
        c.rx.release(view.position, view.bytes.size());
      }
      CHECK(c.memory.drained());
      held.clear();
    }
  }
}

TEMPLATE_LIST_TEST_CASE("a ring in place: no larger message can be sent", "[conformance]", every_trial) {
  using ring = typename trial<TestType>::ring;
  if constexpr (in_place_ring<ring>) {
    trial<TestType> c;
    const std::uint64_t most = ring::max_message(c.memory.memory);
    const std::vector<std::byte> bytes(most + 1);
    std::span<std::byte> room;
    CHECK(c.tx.push(bytes) == attempt::too_large);
    CHECK(c.tx.claim(most + 1, room) == attempt::too_large);
    CHECK(c.tx.writable(most + 1));  // it would not block
    CHECK(c.tx.push(std::span(bytes).first(most)) == attempt::done);
    if (c.traits.chosen_messages) return;  // the others have places, too
    CHECK_FALSE(c.tx.writable(0));
    CHECK(c.push(1) == attempt::would_block);
  }
}

// ---- hostile peers ------------------------------------------------------------------------------------

namespace {

/// It is Boost's queue, which trusts its peer.
template <class Ring>
constexpr bool trusts_its_peer = false;
template <class T, std::size_t N>
constexpr bool trusts_its_peer<spsc_ring<T, N>> = true;

/// Both sides of a ring, called in any order, while a hostile process writes into its memory.
template <class Kit>
class attacked : trial<Kit> {
  using typename trial<Kit>::ring;

 public:
  explicit attacked(unsigned seed) : random_(seed) {}

  void scribble() {
    const std::size_t words = this->memory.memory.bytes / 8;
    const std::size_t control = std::min<std::size_t>(words, 32);
    std::uint64_t& word = this->memory.word(random_() % (random_() % 2 == 0 ? control : words) * 8);
    switch (random_() % 6) {
      case 0: word = random_(); break;
      case 1: word = random_() % 64; break;
      case 2: word += random_() % 33 - 16; break;
      case 3: word = (std::uint64_t{1} << random_() % 64) - random_() % 3; break;
      case 4: reinterpret_cast<unsigned char*>(&word)[random_() % 8] = static_cast<unsigned char>(random_()); break;
      default: break;
    }
  }
  void use() {
    std::size_t count = 0;
    std::uint64_t n = 0;
    switch (random_() % 8) {
      case 0: note(this->push(random_())); break;
      case 1: note(this->push_n(random_(), random_() % (2 * this->room), count)); break;
      case 2: note(this->pop(n)); break;
      case 3: take_many(); break;
      case 4: look(); break;
      case 5: this->memory.recover(random_() % this->places.all()); break;
      case 6: replace(); break;
      default: refined(); break;
    }
  }
  bool all_answers_possible() const { return possible_; }

 private:
  void note(attempt answer) {
    possible_ = possible_ && (answer != attempt::lagged || lossy_ring<ring>) &&
        (answer != attempt::too_large || std::same_as<typename ring::sendable, std::span<const std::byte>>) &&
        answer != attempt::wrong_size;
  }
  void take_many() {
    if constexpr (!in_place_ring<ring>) {
      std::vector<typename ring::received> out(random_() % (2 * this->room));
      std::size_t count = 0;
      note(this->rx.pop_n(out, count));
      possible_ = possible_ && count <= out.size();
    }
  }
  void look() {
    this->tx.writable();
    this->tx.corrupted();
    this->rx.readable();
    this->rx.corrupted();
    this->memory.drained();
    possible_ = possible_ && this->rx.size() <= this->memory.memory.capacity &&
        this->tx.size() <= this->memory.memory.capacity;
    keep_promises();
  }
  /// An endpoint does not sleep while its ring is readable, or writable.
  void keep_promises() {
    std::uint64_t n = 0;
    if (this->rx.readable()) possible_ = possible_ && soon([&] { return this->pop(n); });
    if (writable()) possible_ = possible_ && soon([&] { return this->push(random_()); });
  }
  template <class Attempt>
  static bool soon(Attempt tried) {
    for (int i = 0; i != 4; ++i) {
      if (tried() != attempt::would_block) return true;
    }
    return false;
  }
  bool writable() {
    if constexpr (std::same_as<typename ring::sendable, std::span<const std::byte>>) {
      return this->tx.writable(this->values.make(0).size());
    } else {
      return this->tx.writable();
    }
  }
  void replace() {
    if (random_() % 2 == 0) this->tx = this->memory.writer(random_() % this->places.producers);
    if (random_() % 4 == 0) this->rx.leave();
    if (random_() % 2 == 0) {
      this->rx = this->memory.reader(this->first_consumer + random_() % this->places.consumers,
                                     random_() % 2 == 0 ? start::oldest : start::newest);
      forget();
    }
    if (random_() % 8 == 0) {
      this->traits.construct(this->memory.memory);
      this->tx = this->memory.writer();
      this->rx = this->reader();
      forget();
    }
  }

  void forget() {
    if constexpr (in_place_ring<ring>) held_.clear();
  }
  void refined() {
    if constexpr (leasing_ring<ring>) {
      typename ring::received value{};
      lease_ticket ticket;
      const attempt answer = this->rx.lease(value, ticket);
      note(answer);
      if (answer != attempt::done) return;
      if (random_() % 3 == 0) this->rx.acknowledge(ticket);
      if (random_() % 3 == 0) this->rx.give_back(ticket);
    }
    if constexpr (in_place_ring<ring>) {
      if (random_() % 2 == 0) {
        std::span<std::byte> room;
        const attempt answer = this->tx.claim(random_() % (ring::max_message(this->memory.memory) + 64), room);
        note(answer);
        if (answer != attempt::done) return;
        std::ranges::fill(room, std::byte{0x5a});  // it can all be accessed
        if (random_() % 4 == 0) return this->tx.abandon();
        this->tx.commit(random_() % (room.size() + 1));
      } else {
        typename ring::reader::view view;
        const attempt answer = this->rx.pop(view);
        note(answer);
        if (answer == attempt::done) {
          for (const std::byte b : view.bytes) sum_ += std::to_integer<unsigned>(b);
          held_.push_back(view);
        }
        if (held_.empty() || random_() % 2 == 0) return;
        const std::size_t i = random_() % held_.size();
        this->rx.release(held_[i].position, held_[i].bytes.size());
        held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  }

  struct nothing {};
  template <class R>
  struct views {
    using type = nothing;
  };
  template <in_place_ring R>
  struct views<R> {
    using type = std::vector<typename R::reader::view>;
  };

  std::mt19937_64 random_;
  typename views<ring>::type held_;
  bool possible_ = true;
  unsigned long sum_ = 0;
};

}  // namespace

// An access outside the ring ends the process; see raw_ring.
TEMPLATE_LIST_TEST_CASE("random bytes in a ring: every call returns, and accesses nothing outside", "[conformance]",
                        every_trial) {
  if (trusts_its_peer<typename TestType::channel::ring_type>) return;
  attacked<TestType> ring(random_seed());
  for (int i = 0; i != often(400'000); ++i) {
    for (auto times = i % 3; times != 0; --times) ring.scribble();
    ring.use();
    if (!ring.all_answers_possible()) FAIL("impossible answer after " << i << " steps");
  }
  SUCCEED();
}
