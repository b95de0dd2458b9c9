// A hostile peer of a byte_broadcast_ring can cause errors, wrong messages and a full ring, but no crash, no hang, and no
// access outside of the segment.
#include "hostile.hpp"

using namespace belfry;
using namespace belfry::test;

namespace {

template <overflow Mode>
class broadcast_attack {
 public:
  using channel = belfry::channel<byte_broadcast_ring<Mode>>;
  static constexpr std::size_t slots = 8;
  static constexpr std::size_t largest = 256;

  broadcast_attack(const std::string& name, bool named, unsigned seed) : random_(seed), victim_(name, named, options(seed)) {}

  void one() {
    const unsigned times = 1 + random_() % 3;
    for (unsigned i = 0; i != times; ++i) scribble();
    use();
    if (random_() % 48 == 0) {
      held_.clear();
      victim_.rebuild();
    } else if (random_() % 32 == 0) {
      held_.clear();
      if (!victim_.reopen(random_() % 2 == 0)) victim_.rebuild();
    }
  }

 private:
  static channel_options options(unsigned seed) {
    channel_options o;
    o.slots = slots;
    o.message_bytes = largest;
    o.start = seed % 2 == 0 ? start::oldest : start::newest;
    if (seed % 4 >= 2) o.lifetime = lifetime::persistent;
    if (seed % 8 >= 4) o.spin = std::chrono::microseconds(5);
    return o;
  }

  void scribble() {
    segment_file& file = victim_.view();
    std::byte* const ring = file.ring();
    layout::identity id;
    std::memcpy(&id, file.data(), sizeof id);
    // What is wrong in it only makes joining fail; then the places are looked for where they were.
    const layout::geometry places = channel::ring_type::traits.layout(
        {.capacity = slots, .message_bytes = largest, .participants = 64, .offset = 0}).places;
    std::byte* const place = ring + places.first + random_() % slots * places.stride;
    const auto words = static_cast<std::size_t>(file.data() + file.size() - ring) / 8;
    switch (random_() % 8) {
      case 0:
      case 1: return scribble_over_header(random_, file, slots);
      case 2: return scribble_at(random_, ring + random_() % 24 * 8, 8, slots);
      case 3: return scribble_at(random_, place, 8, slots);  // a stamp
      case 4: return scribble_at(random_, place + 8, 8, largest);  // a size
      case 5: return scribble_at(random_, place + 16 + random_() % 6 * 8, 8, slots);  // number, holders
      case 6: return scribble_at(random_, ring + random_() % words * 8, random_() % 2 == 0 ? 8 : 1, slots);
      default: file.data()[random_() % file.size()] = static_cast<std::byte>(random_());
    }
  }

  void use() {
    auto& tx = victim_.tx();
    auto& rx = victim_.rx();
    int over = 0;
    const auto receiver = [&](error_code ec, message m) {
      ++over;
      if (!ec) keep(std::move(m));
    };
    const auto counter = [&](error_code, auto...) { ++over; };
    switch (random_() % 16) {
      case 0:
      case 1:
      case 2: tx.try_send(some()); break;
      case 3: {
        const std::array several{some(), some(), some()};
        tx.try_send_n(several);
        break;
      }
      case 4:
      case 5:
        if (claim c = tx.try_claim(random_() % (largest + 10)); c) fill(c);
        break;
      case 6:
      case 7:
        if (auto m = rx.try_receive()) keep(std::move(*m));
        break;
      case 8:
        if (auto m = rx.try_receive_newest()) keep(std::move(*m));
        break;
      case 9: {
        std::array<message, 3> several;
        rx.try_receive_n(several);
        for (message& m : several) {
          if (m) keep(std::move(m));
        }
        break;
      }
      case 10:
        rx.async_receive(receiver);
        rx.async_receive_newest(receiver);
        victim_.run_and_cancel();
        EXPECT_EQ(over, 2);
        break;
      case 11: {
        const auto bytes = some();
        tx.async_send(bytes, counter);
        tx.async_claim(random_() % largest, [&](error_code ec, claim c) {
          ++over;
          if (!ec) fill(c);
        });
        victim_.run_and_cancel();
        EXPECT_EQ(over, 2);
        break;
      }
      case 12:
        rx.async_wait(counter);
        tx.async_wait(counter);
        rx.async_wait_peer(counter);
        tx.async_wait_peer(counter);
        victim_.run_and_cancel();
        EXPECT_EQ(over, 4);
        break;
      case 13:
        rx.prepare_wait();
        tx.prepare_wait();
        rx.finish_wait();
        tx.finish_wait();
        break;
      case 14: {
        message m;
        if (!rx.receive(m, std::chrono::nanoseconds(0))) keep(std::move(m));
        if (!rx.receive_newest(m, std::chrono::nanoseconds(0))) keep(std::move(m));
        tx.send(some(), std::chrono::nanoseconds(0));
        break;
      }
      case 15:
        EXPECT(rx.size() <= rx.capacity());
        EXPECT(tx.size() <= tx.capacity());
        EXPECT_EQ(tx.max_message(), largest);
        EXPECT(tx.pinned() <= 64);
        rx.total_lost();
    }
    if (random_() % 2 == 0 && !held_.empty()) {
      const auto which = held_.begin() + static_cast<std::ptrdiff_t>(random_() % held_.size());
      random_() % 4 == 0 ? held_.clear() : static_cast<void>(held_.erase(which));
    }
  }

  std::span<const std::byte> some() {
    return std::span(source_).first(random_() % (random_() % 16 == 0 ? source_.size() : largest));
  }
  void fill(claim& c) {
    EXPECT(c.size() <= largest);
    for (std::byte& b : c.bytes()) b = std::byte{1};
    if (random_() % 4 != 0) c.commit(random_() % (c.size() + 1));
  }
  void keep(message m) {
    EXPECT(m.size() <= largest);
    unsigned sum = 0;
    for (const std::byte b : m.bytes()) sum += std::to_integer<unsigned>(b);
    sum_ = sum;
    held_.push_back(std::move(m));
    if (held_.size() > slots) held_.erase(held_.begin());
  }

  std::mt19937 random_;
  attacked<channel> victim_;
  std::vector<std::byte> source_ = std::vector<std::byte>(2 * largest, std::byte{1});
  std::vector<message> held_;
  volatile unsigned sum_ = 0;
};

}  // namespace

TEST_CASE("a hostile peer of a byte_broadcast_ring that blocks does no harm", "[hostile-byte-broadcast]") {
  attack<broadcast_attack<overflow::block>>(10'000);
}
TEST_CASE("a hostile peer of a byte_broadcast_ring that overwrites does no harm", "[hostile-byte-broadcast]") {
  attack<broadcast_attack<overflow::overwrite>>(10'000);
}
