#include "support/raw_byte_ring.hpp"

using namespace belfry;
using namespace belfry::test;
using view = byte_ring::reader::view;

TEST_CASE("a capacity is a power of two of at least a page", "[byte_ring]") {
  const auto capacity = byte_ring::traits.capacity;
  CHECK(capacity(0) == 1 << 20);
  constexpr std::uint64_t page = smallest_capacity;
  CHECK(capacity(1) == page);
  CHECK(capacity(page) == page);
  CHECK(capacity(page + 1) == 2 * page);
  CHECK(capacity((1u << 20) - 1) == 1 << 20);
  CHECK(capacity(std::uint64_t{1} << 32) == std::uint64_t{1} << 32);
  CHECK(capacity((std::uint64_t{1} << 32) + 1) == 0);
  CHECK(capacity(~std::uint64_t{0}) == 0);
  CHECK(byte_ring::traits.layout({.capacity = 2 * page, .participants = 2, .offset = 576}).bytes == page - 576 + 2 * page);
  CHECK(byte_ring::traits.layout({.capacity = 2 * page, .participants = 2, .offset = 576}).mirrored == 2 * page);
  CHECK(byte_ring::traits.layout({.capacity = page, .participants = 2, .offset = page - 128}).bytes == 128 + page);
}

TEST_CASE("records are at exact offsets", "[byte_ring]") {
  const raw_byte_ring ring;
  auto writer = ring.writer();
  CHECK(writer.push(as_message("abc")) == attempt::done);
  CHECK(ring.tail() == 16);
  CHECK(writer.push(as_message("12345678")) == attempt::done);
  CHECK(ring.tail() == 32);
  CHECK(writer.push({}) == attempt::done);
  CHECK(ring.tail() == 40);
  CHECK(writer.push(as_message("123456789")) == attempt::done);
  CHECK(ring.tail() == 64);
  CHECK(ring.head() == 0);
  CHECK(writer.size() == 64);

  CHECK(ring.record(0).bytes == 3);
  CHECK(ring.record(0).flags == 0);
  CHECK(text_of(std::span(ring.data() + 8, 3)) == "abc");
  CHECK(ring.record(16).bytes == 8);
  CHECK(ring.record(32).bytes == 0);
  CHECK(ring.record(40).bytes == 9);

  auto reader = ring.reader();
  CHECK(reader.size() == 64);
  view v;
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK(v.position == 0);
  CHECK(v.bytes.data() == ring.data() + 8);
  CHECK(text_of(v) == "abc");
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK(v.position == 16);
  CHECK(text_of(v) == "12345678");
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK(v.position == 32);
  CHECK(v.bytes.empty());
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK(v.position == 40);
  CHECK(text_of(v) == "123456789");
  CHECK(reader.pop(v) == attempt::would_block);
  CHECK(ring.head() == 0);
}

TEST_CASE("a message that crosses the end is contiguous for both sides", "[byte_ring]") {
  const raw_byte_ring ring;
  auto writer = ring.writer();
  auto reader = ring.reader();
  const std::uint64_t before_end = GENERATE(8u, 16u, 24u, 40u);
  advance_to(writer, reader, 0, smallest_capacity - before_end);

  const std::string text = "the quick brown fox jumps over the lazy dog";
  std::span<std::byte> room;
  REQUIRE(writer.claim(text.size(), room) == attempt::done);
  CHECK(room.data() == ring.data() + smallest_capacity - before_end + 8);
  std::memcpy(room.data(), text.data(), text.size());
  writer.commit(text.size());

  view v;
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK(v.position == smallest_capacity - before_end);
  CHECK(text_of(v) == text);
  CHECK(ring.owns(v.bytes));
  // In the file it is in two pieces.
  const std::size_t first = before_end - 8;
  CHECK(text_of(std::span(ring.data() + smallest_capacity - first, first)) == text.substr(0, first));
  CHECK(text_of(std::span(ring.data(), text.size() - first)) == text.substr(first));
  reader.release(v.position, v.bytes.size());
  CHECK(ring.head() == ring.tail());
}

TEST_CASE("the largest message fits at every position", "[byte_ring]") {
  const raw_byte_ring ring;
  auto writer = ring.writer();
  auto reader = ring.reader();
  CHECK(byte_ring::max_message(ring_memory{.capacity = ring.capacity()}) == of_bytes::largest);
  const std::uint64_t start = GENERATE(std::uint64_t{0}, std::uint64_t{8}, std::uint64_t{2048}, std::uint64_t{smallest_capacity - 8});
  advance_to(writer, reader, 0, start);
  const std::string largest(of_bytes::largest, 'L');
  CHECK(writer.push(as_message(largest)) == attempt::done);
  CHECK(ring.tail() - ring.head() == smallest_capacity);
  CHECK(writer.push({}) == attempt::would_block);
  view v;
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK(text_of(v) == largest);
  reader.release(v.position, v.bytes.size());
  CHECK(writer.push(as_message(largest)) == attempt::done);
}

TEST_CASE("a message that the ring could never hold is too large, however full the ring is", "[byte_ring]") {
  const raw_byte_ring ring;
  auto writer = ring.writer();
  const std::string text(of_bytes::largest + 1, 'x');
  std::span<std::byte> room;
  std::size_t n = 99;
  CHECK(writer.push(as_message(text)) == attempt::too_large);
  CHECK(writer.claim(of_bytes::largest + 1, room) == attempt::too_large);
  CHECK(writer.claim(~std::uint64_t{0}, room) == attempt::too_large);
  CHECK(writer.writable(of_bytes::largest + 1));  // true, because waiting would be pointless
  const std::array<std::span<const std::byte>, 3> batch{as_message("a"), as_message(text), as_message("b")};
  CHECK(writer.push_n(batch, n) == attempt::too_large);
  CHECK(n == 1);
  CHECK(ring.tail() == 16);
  CHECK_FALSE(writer.corrupted());
}

TEST_CASE("a full ring takes no more until a message is released", "[byte_ring]") {
  const raw_byte_ring ring;
  auto writer = ring.writer();
  auto reader = ring.reader();
  constexpr std::size_t quarter = smallest_capacity / 4 - 8;
  for (int i = 0; i != 4; ++i) CHECK(writer.push(as_message(std::string(quarter, 'x'))) == attempt::done);
  CHECK(writer.push({}) == attempt::would_block);
  CHECK_FALSE(writer.writable(0));
  CHECK_FALSE(writer.writable());
  view v;
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK_FALSE(writer.writable(0));  // delivered, but not released
  reader.release(v.position, v.bytes.size());
  CHECK(ring.head() == quarter + 8);
  CHECK(writer.writable(quarter));
  CHECK_FALSE(writer.writable(quarter + 1));
  CHECK(writer.push(as_message(std::string(quarter + 1, 'x'))) == attempt::would_block);
  CHECK_FALSE(writer.writable());  // not for the size of the last attempt
  CHECK(writer.push(as_message(std::string(quarter, 'x'))) == attempt::done);
}

TEST_CASE("a claim is invisible until it is committed, and may shrink", "[byte_ring]") {
  const raw_byte_ring ring;
  auto writer = ring.writer();
  auto reader = ring.reader();
  std::span<std::byte> room;
  std::span<std::byte> more;
  REQUIRE(writer.claim(100, room) == attempt::done);
  CHECK(room.size() == 100);
  CHECK(ring.tail() == 0);
  CHECK_FALSE(reader.readable());
  // Nothing else can be sent before the commit.
  CHECK(writer.claim(1, more) == attempt::would_block);
  CHECK(writer.push(as_message("x")) == attempt::would_block);
  CHECK_FALSE(writer.writable(1));

  std::memcpy(room.data(), "short", 5);
  writer.commit(5);
  CHECK(ring.tail() == 16);
  view v;
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK(text_of(v) == "short");

  REQUIRE(writer.claim(100, room) == attempt::done);
  writer.abandon();
  CHECK(ring.tail() == 16);
  CHECK(writer.push(as_message("after")) == attempt::done);
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK(text_of(v) == "after");

  REQUIRE(writer.claim(3, room) == attempt::done);
  writer.commit(0);
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK(v.bytes.empty());
}

TEST_CASE("a batch is published with one store, as many messages as there is room for", "[byte_ring]") {
  const raw_byte_ring ring;
  auto writer = ring.writer();
  const std::string big(smallest_capacity / 2 - 48, 'b');
  const std::array<std::span<const std::byte>, 3> batch{as_message(big), as_message("two"), as_message(big)};
  std::size_t n = 99;
  CHECK(writer.push_n(batch, n) == attempt::done);
  CHECK(n == 3);
  CHECK(ring.tail() == 2 * (big.size() + 8) + 16);
  CHECK(writer.push_n(batch, n) == attempt::would_block);
  CHECK(n == 0);
  CHECK(writer.push_n({}, n) == attempt::done);

  auto reader = ring.reader();
  view v;
  for (const auto& sent : batch) {
    REQUIRE(reader.pop(v) == attempt::done);
    CHECK(text_of(v) == text_of(sent));
  }
}

TEST_CASE("room is returned in order, whatever the order of the releases", "[byte_ring]") {
  const raw_byte_ring ring;
  auto writer = ring.writer();
  auto reader = ring.reader();
  std::array<view, 4> held;
  for (const char* text : {"a", "b", "c", "d"}) writer.push(as_message(text));
  for (view& v : held) REQUIRE(reader.pop(v) == attempt::done);
  const auto release = [&](std::size_t i) {
    reader.release(held[i].position, held[i].bytes.size());
    return ring.head();
  };
  CHECK(release(1) == 0);
  CHECK(ring.record(16).flags == layout::record_released);
  CHECK(release(3) == 0);
  CHECK(release(0) == 32);  // together with the second
  CHECK(release(2) == 64);  // together with the fourth
  CHECK(ring.drained());
}

TEST_CASE("messages delivered and not released are delivered again to a successor", "[byte_ring]") {
  const raw_byte_ring ring;
  auto writer = ring.writer();
  for (const char* text : {"a", "b", "c"}) writer.push(as_message(text));
  view v;
  {
    auto reader = ring.reader();
    for (int i = 0; i != 3; ++i) REQUIRE(reader.pop(v) == attempt::done);
    reader.release(16, 1);  // the second, out of order; then the reader is killed
  }
  auto reader = ring.reader();
  CHECK(reader.size() == 48);
  for (const char* text : {"a", "b", "c"}) {
    REQUIRE(reader.pop(v) == attempt::done);
    CHECK(text_of(v) == text);
  }
  CHECK(ring.record(16).flags == 0);  // this reader has not released it
  reader.release(0, 1);
  CHECK(ring.head() == 16);
}

TEST_CASE("a claim that was not committed is discarded with its producer", "[byte_ring]") {
  const raw_byte_ring ring;
  std::span<std::byte> room;
  {
    auto writer = ring.writer();
    writer.push(as_message("sent"));
    REQUIRE(writer.claim(64, room) == attempt::done);
    std::memset(room.data(), 0xff, room.size());
  }
  auto writer = ring.writer();
  auto reader = ring.reader();
  CHECK(writer.size() == 16);
  writer.push(as_message("next"));
  view v;
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK(text_of(v) == "sent");
  REQUIRE(reader.pop(v) == attempt::done);
  CHECK(text_of(v) == "next");
  CHECK(reader.pop(v) == attempt::would_block);
}
