// A byte_ring against a deque: messages of random sizes and contents, released in random order. Readers and
// writers are replaced at random moments, as after a crash.
#include "support/raw_byte_ring.hpp"

#include <deque>
#include <random>

using namespace belfry;
using namespace belfry::test;

namespace {

using view = byte_ring::reader::view;

struct sent {
  std::uint64_t seed;
  std::uint64_t size;
  std::uint64_t position;
  bool released = false;

  std::byte at(std::uint64_t i) const { return static_cast<std::byte>((seed * 0x9e3779b97f4a7c15 + i * 31) >> 3); }
};

class model {
 public:
  model(std::size_t capacity, unsigned seed, std::uint64_t typical)
      : ring_(capacity), writer_(ring_.writer()), reader_(ring_.reader()), random_(seed), typical_(typical) {}

  /// One random step; false if ring and model differ afterwards.
  bool step() {
    switch (random_() % 16) {
      case 0: case 1: case 2: return push();
      case 3: return push_n();
      case 4: case 5: return claim();
      case 6: case 7: case 8: case 9: return pop();
      case 10: case 11: case 12: case 13: return release();
      case 14: return random_() % 8 != 0 || reader_dies();
      default: return random_() % 8 != 0 || writer_dies();
    }
  }

  /// Whether nothing is left after everything has been read and released.
  bool empty_in_the_end() {
    while (looked_ != there_.size()) {
      if (!pop()) return false;
    }
    while (!there_.empty()) {
      if (!release()) return false;
    }
    return pop() && ring_.head() == ring_.tail() && ring_.drained();
  }

 private:
  std::uint64_t used() const { return tail_ - head_; }
  bool fits(std::uint64_t size) const { return used() + layout::record_bytes(size) <= ring_.capacity(); }
  std::uint64_t random_size() {
    return random_() % 64 == 0 ? random_() % (byte_ring::max_message(detail::ring_memory{.capacity = ring_.capacity()}) + 1) : random_() % typical_;
  }
  sent make() { return {random_(), random_size(), 0}; }
  std::vector<std::byte> content(const sent& m) const {
    std::vector<std::byte> bytes(m.size);
    for (std::uint64_t i = 0; i != m.size; ++i) bytes[i] = m.at(i);
    return bytes;
  }
  void add(sent m) {
    m.position = tail_;
    tail_ += layout::record_bytes(m.size);
    there_.push_back(m);
  }
  bool consistent() { return ring_.tail() == tail_ && ring_.head() == head_ && !writer_.corrupted() && !reader_.corrupted(); }

  bool push() {
    const sent m = make();
    const bool room = fits(m.size);
    if (writer_.writable(m.size) != room) return false;
    if ((writer_.push(content(m)) == attempt::done) != room) return false;
    if (room) add(m);
    return consistent();
  }
  bool push_n() {
    std::vector<sent> batch(random_() % 8);
    std::vector<std::vector<std::byte>> contents;
    std::vector<std::span<const std::byte>> spans;
    for (sent& m : batch) contents.push_back(content(m = make()));
    for (const auto& bytes : contents) spans.emplace_back(bytes);
    std::size_t n = 0;
    const attempt a = writer_.push_n(spans, n);
    for (std::size_t i = 0; i != n; ++i) {
      if (!fits(batch[i].size)) return false;
      add(batch[i]);
    }
    if ((a == attempt::done) != (n == batch.size())) return false;
    return consistent() && (n == batch.size() || !fits(batch[n].size));
  }
  bool claim() {
    sent m = make();
    std::span<std::byte> room;
    const bool possible = fits(m.size);
    if ((writer_.claim(m.size, room) == attempt::done) != possible) return false;
    if (!possible) return consistent();
    if (room.size() != m.size || !ring_.owns(room)) return false;
    if (random_() % 4 == 0) {
      std::fill(room.begin(), room.end(), std::byte{0xdd});
      writer_.abandon();
      return consistent();
    }
    m.size -= random_() % (m.size + 1) / 2;
    std::ranges::copy(content(m), room.begin());
    writer_.commit(m.size);
    add(m);
    return consistent();
  }
  bool pop() {
    view v;
    const bool something = looked_ != there_.size();
    if (reader_.readable() != something) return false;
    if ((reader_.pop(v) == attempt::done) != something) return false;
    if (!something) return true;
    const sent& m = there_[looked_++];
    return v.position == m.position && ring_.owns(v.bytes) && std::ranges::equal(v.bytes, content(m));
  }
  bool release() {
    if (looked_ == 0) return true;
    // Mostly the oldest, so that the ring makes progress.
    std::size_t i = random_() % 2 == 0 ? 0 : random_() % looked_;
    while (i != looked_ && there_[i].released) ++i;
    if (i == looked_) return true;
    there_[i].released = true;
    reader_.release(there_[i].position, there_[i].size);
    while (looked_ != 0 && there_.front().released) {
      head_ += layout::record_bytes(there_.front().size);
      there_.pop_front();
      --looked_;
    }
    return consistent();
  }
  bool reader_dies() {
    reader_ = ring_.reader();
    looked_ = 0;
    for (sent& m : there_) m.released = false;
    return reader_.size() == used();
  }
  bool writer_dies() {
    writer_ = ring_.writer();
    return writer_.size() == used();
  }

  raw_byte_ring ring_;
  byte_ring::writer writer_;
  byte_ring::reader reader_;
  std::mt19937_64 random_;
  std::uint64_t typical_;
  std::uint64_t tail_ = 0;
  std::uint64_t head_ = 0;
  std::size_t looked_ = 0;    // number of elements of `there_` that were delivered
  std::deque<sent> there_;    // sent, and not released
};

}  // namespace

TEST_CASE("a byte_ring behaves like a deque", "[byte_ring]") {
  const auto [capacity, typical] = GENERATE(table<std::size_t, std::uint64_t>({
      {4096, 40}, {4096, 600}, {4096, 4089}, {65536, 300}}));
  for (const unsigned seed : {1u, 2u, 3u}) {
    model m(capacity, seed, typical);
    for (int i = 0; i != often(100000); ++i) {
      if (!m.step()) FAIL("different after " << i << " steps, seed " << seed);
    }
    CHECK(m.empty_in_the_end());
  }
}
