// A peer that writes nonsense can only cause errc::corrupted at the other side.
#include "support/raw_byte_ring.hpp"

#include <random>
#include <thread>

using namespace belfry;
using namespace belfry::test;
using view = byte_ring::reader::view;

namespace {

struct fixture {
  fixture() {
    advance_to(writer, reader, 0, smallest_capacity - 64);
    for (const char* text : {"first", "second", "third"}) writer.push(as_message(text));
  }
  std::uint64_t start() const { return smallest_capacity - 64; }

  raw_byte_ring ring;
  byte_ring::writer writer = ring.writer();
  byte_ring::reader reader = ring.reader();
  view v;
};

}  // namespace

TEST_CASE("a forged tail makes the ring permanently corrupted for the reader", "[byte_ring]") {
  fixture f;
  const std::uint64_t head = f.start();
  const std::uint64_t forged = GENERATE_COPY(
      head + smallest_capacity + 8, head + 1, head + 12, head - 8, std::uint64_t{0}, ~std::uint64_t{7},
      ~std::uint64_t{0}, head + (std::uint64_t{1} << 63));
  const std::uint64_t true_tail = f.ring.tail();
  f.ring.control().tail = forged;
  CHECK(f.reader.readable());  // the attempt then reports it
  CHECK(f.reader.pop(f.v) == attempt::corrupted);
  CHECK(f.reader.corrupted());
  f.ring.control().tail = true_tail;
  CHECK(f.reader.pop(f.v) == attempt::corrupted);
}

TEST_CASE("a tail that goes back makes the ring corrupted for a reader that has seen it", "[byte_ring]") {
  fixture f;
  REQUIRE(f.reader.pop(f.v) == attempt::done);
  f.ring.control().tail = f.start() + 16;
  REQUIRE(f.reader.pop(f.v) == attempt::done);  // the reader still uses the tail that it has seen
  REQUIRE(f.reader.pop(f.v) == attempt::done);
  CHECK(text_of(f.v) == "third");
  CHECK(f.reader.pop(f.v) == attempt::corrupted);
}

TEST_CASE("a forged head makes the ring corrupted for the writer", "[byte_ring]") {
  fixture f;
  const std::uint64_t tail = f.ring.tail();
  const std::uint64_t head = f.ring.head();
  const std::uint64_t forged = GENERATE_COPY(tail + 8, head + 4, head - 8 - smallest_capacity, std::uint64_t{1},
                                             ~std::uint64_t{7}, tail + smallest_capacity);
  CAPTURE(forged);
  f.ring.control().head = forged;
  // While it knows of enough room, it does not read the head.
  const std::string largest(of_bytes::largest, 'x');
  std::span<std::byte> room;
  CHECK(f.writer.push(as_message(largest)) == attempt::corrupted);
  CHECK(f.writer.corrupted());
  CHECK(f.writer.push(as_message("x")) == attempt::corrupted);
  CHECK(f.writer.claim(1, room) == attempt::corrupted);
  std::size_t n = 99;
  const std::array<std::span<const std::byte>, 1> batch{as_message("x")};
  CHECK(f.writer.push_n(batch, n) == attempt::corrupted);
  CHECK(n == 0);
  CHECK(f.writer.writable(1));
  CHECK(f.ring.tail() == tail);
}

TEST_CASE("a forged length makes the ring corrupted for the reader", "[byte_ring]") {
  fixture f;
  const std::uint32_t length = GENERATE(41u, 48u, std::uint32_t{of_bytes::largest}, std::uint32_t{of_bytes::largest + 1}, 0x7fffffffu, 0xfffffff9u, 0xffffffffu);
  f.ring.set_record(f.start(), {length, 0});
  CHECK(f.reader.pop(f.v) == attempt::corrupted);
  CHECK(f.reader.pop(f.v) == attempt::corrupted);
}

TEST_CASE("a forged length within the sent bytes gives a nonsense message", "[byte_ring]") {
  fixture f;
  f.ring.set_record(f.start(), {40, 0});
  REQUIRE(f.reader.pop(f.v) == attempt::done);
  CHECK(f.v.bytes.size() == 40);
  CHECK(f.ring.owns(f.v.bytes));
  CHECK(f.reader.pop(f.v) == attempt::would_block);
  f.reader.release(f.v.position, 40);
  CHECK(f.ring.head() == f.ring.tail());
}

TEST_CASE("a length that is forged while messages are held stays within the ring", "[byte_ring]") {
  fixture f;
  view second;
  REQUIRE(f.reader.pop(f.v) == attempt::done);
  REQUIRE(f.reader.pop(second) == attempt::done);
  f.reader.release(second.position, second.bytes.size());
  f.ring.set_record(second.position, {0xffffffff, layout::record_released});
  f.reader.release(f.v.position, f.v.bytes.size());
  CHECK(f.reader.corrupted());
  CHECK(f.ring.head() == f.start() + 16);
  CHECK(f.reader.pop(f.v) == attempt::corrupted);
}

TEST_CASE("flags of a record that was not delivered are ignored", "[byte_ring]") {
  fixture f;
  f.ring.set_record(f.start(), {5, 0xffffffff});
  f.ring.set_record(f.start() + 16, {6, layout::record_released});
  REQUIRE(f.reader.pop(f.v) == attempt::done);
  CHECK(text_of(f.v) == "first");
  f.reader.release(f.v.position, 5);
  CHECK(f.ring.head() == f.start() + 16);
  REQUIRE(f.reader.pop(f.v) == attempt::done);
  CHECK(text_of(f.v) == "second");
}

TEST_CASE("attaching to a ring with impossible indices reports it as corrupted", "[byte_ring]") {
  const raw_byte_ring ring;
  std::span<std::byte> room;
  view v;
  const auto [tail, head] = GENERATE(table<std::uint64_t, std::uint64_t>({
      {8, 16}, {smallest_capacity + 8, 0}, {4, 0}, {0, 4}, {~std::uint64_t{0}, 0}, {0, ~std::uint64_t{0}}}));
  CAPTURE(tail, head);
  ring.control().tail = tail;
  ring.control().head = head;
  auto writer = ring.writer();
  CHECK(writer.corrupted());
  CHECK(writer.claim(1, room) == attempt::corrupted);
  CHECK(writer.size() <= ring.capacity());
  auto reader = ring.reader();
  CHECK(reader.pop(v) == attempt::corrupted);
  CHECK(reader.size() <= ring.capacity());
}

// Under the thread sanitizer, this also says that a length is read atomically.
TEST_CASE("a length that is forged while it is read is read once", "[byte_ring_hostile]") {
  fixture f;
  const std::uint64_t tail = f.ring.tail();
  std::atomic<bool> over = false;
  std::thread peer([&] {
    std::minstd_rand random(7);
    while (!over.load(std::memory_order_relaxed)) {
      const std::uint64_t record = f.start() + 16 * (random() % 3);
      auto& length = *reinterpret_cast<std::uint32_t*>(f.ring.data() + record % f.ring.capacity());
      std::atomic_ref(length).store(static_cast<std::uint32_t>(random() % 64), std::memory_order_relaxed);
    }
  });
  int apart = 0;
  int beyond = 0;
  int corrupted = 0;
  for (int round = 0; round != 100'000; ++round) {
    f.ring.control().head = f.start();
    auto reader = f.ring.reader();
    std::vector<view> held;
    std::uint64_t next = f.start();
    while (reader.pop(f.v) == attempt::done) {
      if (f.v.position != next) ++apart;
      next = f.v.position + layout::record_bytes(f.v.bytes.size());
      if (next > tail) ++beyond;
      held.push_back(f.v);
    }
    // The oldest last: so the others are released by their own headers.
    for (auto v = held.rbegin(); v != held.rend(); ++v) reader.release(v->position, v->bytes.size());
    if (f.ring.head() > tail) ++beyond;
    if (reader.corrupted()) ++corrupted;
  }
  over.store(true, std::memory_order_relaxed);
  peer.join();
  CHECK(apart == 0);
  CHECK(beyond == 0);
  CHECK(corrupted > 0);
}

// Random and targeted nonsense, a million times: every message that is delivered lies within the ring.
TEST_CASE("a hostile peer never makes the other side access memory outside the ring", "[byte_ring_hostile]") {
  const raw_byte_ring ring;
  std::mt19937_64 random(42);
  const auto position = [&]() -> std::uint64_t {
    switch (random() % 6) {
      case 0: return random();
      case 1: return random() % 16384;
      case 2: return ring.tail() + random() % 64 - 32;
      case 3: return ring.head() + (random() % 1024) * 8;
      case 4: return (random() % 2048) * 8;
      default: return std::uint64_t{1} << (random() % 64);
    }
  };
  auto writer = ring.writer();
  auto reader = ring.reader();
  std::vector<view> held;
  unsigned long outside = 0;
  unsigned long corrupted = 0;
  unsigned long checksum = 0;
  for (int i = 0; i != 1'000'000; ++i) {
    switch (random() % 8) {
      case 0: ring.control().tail = position(); break;
      case 1: ring.control().head = position(); break;
      case 2: case 3: ring.set_record(position() & ~std::uint64_t{7},
                              {static_cast<std::uint32_t>(random() % 3 == 0 ? random() : random() % 5000),
                               static_cast<std::uint32_t>(random() % 3)});
        break;
      default: break;  // an honest value
    }
    std::span<std::byte> room;
    switch (random() % 4) {
      case 0: {
        view v;
        const attempt a = reader.pop(v);
        if (a == attempt::corrupted) ++corrupted;
        if (a != attempt::done) break;
        if (!ring.owns(v.bytes)) ++outside;
        if (!v.bytes.empty()) checksum += std::to_integer<unsigned>(v.bytes.back());
        held.push_back(v);
        break;
      }
      case 1: {
        const std::uint64_t size = random() % 4200;
        const attempt a = writer.claim(size, room);
        if (a == attempt::corrupted) ++corrupted;
        if (a != attempt::done) break;
        if (!ring.owns(room)) ++outside;
        std::memset(room.data(), 0x5a, room.size());
        writer.commit(size);
        break;
      }
      case 2:
        if (!held.empty()) {
          const std::size_t k = random() % held.size();
          reader.release(held[k].position, held[k].bytes.size());
          held.erase(held.begin() + static_cast<std::ptrdiff_t>(k));
        }
        break;
      default: checksum += reader.size() + writer.size();
    }
    if (reader.corrupted() || held.size() > 16) {
      held.clear();
      reader = ring.reader();
    }
    if (writer.corrupted()) {
      ring.control().head = ring.tail() & ~std::uint64_t{7};
      ring.control().tail = ring.head();
      writer = ring.writer();
    }
  }
  CHECK(outside == 0);
  CHECK(corrupted > 1000);
  CHECK(checksum != 0);
}
