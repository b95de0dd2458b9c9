// A process that scribbles while others read: what was checked may have changed before it is used.
#include "hostile.hpp"

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr std::uint64_t capacity = 4096;
constexpr int rounds = sanitized ? 400 : 2'000;

/// Writes wrong values and right ones in turn, so that a check may see the one and what follows it
/// the other. Leaves what is compared on attachment alone.
[[noreturn]] void scribble_for_ever(segment_file& file, unsigned seed) {
  std::mt19937 random(seed);
  std::byte* const ring = file.data() + layout::header_bytes(2);
  std::byte* const data = file.data() + file.size() - capacity;
  std::byte* const header = file.data() + sizeof(layout::identity);
  for (;;) {
    std::byte* at;
    std::size_t bytes = 4;
    switch (random() % 4) {
      case 0:
        at = ring + random() % 2 * layout::cache_line;
        bytes = 8;
        break;
      case 1:
        at = header + random() % ((layout::header_bytes(2) - sizeof(layout::identity)) / 8) * 8;
        bytes = 8;
        break;
      case 2: at = data + random() % 64 * 8; break;  // where most records begin
      default: at = data + random() % (capacity / 4) * 4;
    }
    std::byte right[8];
    std::memcpy(right, at, bytes);
    for (unsigned times = random() % 8; times != 0; --times) {
      scribble_at(random, at, bytes, capacity);
      for (unsigned i = random() % 64; i != 0; --i) asm volatile("" ::: "memory");
      std::memcpy(at, right, bytes);
    }
  }
}

/// As it was before anybody came: all slots free, nothing in the ring.
void reset(segment_file& file) {
  std::memset(file.data() + sizeof(layout::identity), 0, file.size() - sizeof(layout::identity));
}

std::uint64_t sum_of(std::span<const std::byte> bytes) {
  EXPECT(bytes.size() < capacity);
  std::uint64_t sum = 0;
  for (const std::byte b : bytes) sum += std::to_integer<unsigned>(b);
  return sum;
}

/// A round of everything with new endpoints, if they can be had at all.
void use(const channel_handles& h, std::mt19937& random, std::uint64_t& sum) {
  net::io_context io;
  error_code ec;
  frames::producer tx(io, h, ec);
  if (ec) return;
  frames::consumer rx(io, h, ec);
  if (ec) return;
  const std::vector<std::byte> bytes(600, std::byte{1});
  std::vector<message> held;
  for (int i = 0; i != 100; ++i) {
    tx.try_send(std::span(bytes).first(random() % bytes.size()));
    if (claim c = tx.try_claim(random() % bytes.size())) {
      for (std::byte& b : c.bytes()) b = std::byte{2};
      c.commit();
    }
    if (auto m = rx.try_receive()) {
      sum += sum_of(m->bytes());
      if (random() % 2 == 0) held.push_back(std::move(*m));
    }
    if (held.size() > 4) held.erase(held.begin() + static_cast<std::ptrdiff_t>(random() % 4));
    if (random() % 8 != 0) continue;
    rx.async_receive([&](error_code ec, message m) {
      if (!ec) sum += sum_of(m.bytes());
    });
    tx.async_send(std::span(bytes).first(300), [](error_code) {});
    io.restart();
    io.poll();
    rx.cancel();
    tx.cancel();
    io.restart();
    io.poll();
  }
}

}  // namespace

TEST_CASE("a hostile peer that writes at the same time does no harm", "[hostile-race]") {
  const watchdog dog(std::chrono::seconds(300));
  const nothing_left check(unique_name("unnamed"));
  const channel_handles h = frames::make_handles(options<frames>());
  const unsigned seed = Catch::rngSeed();
  const shared<std::atomic<std::uint64_t>> seen;
  child scribbler([&] {
    segment_file file(::dup(h.get().block.get()));
    scribble_for_ever(file, seed);
  });
  child victim([&] {
    segment_file file(::dup(h.get().block.get()));
    std::mt19937 random(seed + 1);
    std::uint64_t sum = 0;
    for (int i = 0; i != rounds; ++i) {
      reset(file);
      use(h, random, sum);
    }
    seen->store(sum);
  });
  CHECK(victim.wait() == 0);
  CHECK(seen->load() != 0);  // now and then something got through
}
