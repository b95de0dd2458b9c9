// A hostile peer of a byte_work_ring: it forges words, sizes, times and hints at any moment.
#include "hostile.hpp"

using namespace belfry;
using namespace belfry::test;

namespace {

using tasks = channel<byte_work_ring>;

class task_attack {
 public:
  task_attack(const std::string& name, bool named, unsigned seed) : random_(seed), victim_(name, named, options(seed)) {}

  void one() {
    for (unsigned times = 1 + random_() % 3; times != 0; --times) scribble();
    use();
    if (random_() % 48 == 0) {
      forget();
      victim_.rebuild();
    } else if (random_() % 32 == 0) {
      forget();
      if (!victim_.reopen(random_() % 2 == 0)) victim_.rebuild();
    }
  }

 private:
  static constexpr std::size_t slots = 8;
  static constexpr std::size_t message_bytes = 304;

  static channel_options options(unsigned seed) {
    channel_options o;
    o.slots = slots;
    o.message_bytes = message_bytes;
    o.max_deliveries = seed % 4;
    if (seed % 8 >= 4) o.lease_timeout = std::chrono::microseconds(50);
    if (seed % 16 >= 8) o.spin = std::chrono::microseconds(5);
    return o;
  }

  void scribble() {
    segment_file& file = victim_.view();
    const std::size_t producers = byte_work_ring::traits.seats_for(64).producers;
    if (random_() % 4 == 0) return scribble_over_header(random_, file, slots, producers);
    std::byte* const ring = file.ring();
    constexpr layout::geometry places = layout::message_places(
        slots, sizeof(layout::work_control), sizeof(layout::message_header), message_bytes);
    switch (random_() % 4) {
      case 0: return scribble_at(random_, ring + random_() % (sizeof(layout::work_control) / 8) * 8, 8, slots);
      case 1:
      case 2: {  // a word, or a size
        std::byte* const place = ring + places.first + random_() % slots * places.stride;
        return scribble_at(random_, place + random_() % 2 * 8, random_() % 2 == 0 ? 8 : 1, message_bytes);
      }
      default: {
        const auto words = static_cast<std::size_t>(file.data() + file.size() - ring) / 8;
        return scribble_at(random_, ring + random_() % words * 8, 8, slots);
      }
    }
  }

  void use() {
    auto& tx = victim_.tx();
    auto& rx = victim_.rx();
    int over = 0;
    const auto taken = [&](error_code ec, message m) {
      ++over;
      if (!ec) keep(std::move(m));
    };
    switch (random_() % 16) {
      case 0:
      case 1: tx.try_send(some()); break;
      case 2: {
        const std::array several{some(), some(), some()};
        tx.try_send_n(several);
        break;
      }
      case 3:
      case 4:
        if (claim c = tx.try_claim(random_() % 400); c) fill(c);
        break;
      case 5:
      case 6:
        if (auto m = rx.try_receive()) keep(std::move(*m));
        break;
      case 7: {
        std::array<message, 3> several;
        rx.try_receive_n(several);
        for (message& m : several) {
          if (m) keep(std::move(m));
        }
        break;
      }
      case 8:
        rx.async_receive(taken);
        victim_.run_and_cancel();
        EXPECT_EQ(over, 1);
        break;
      case 9: {
        const auto bytes = some();
        tx.async_send(bytes, [&](error_code) { ++over; });
        tx.async_claim(random_() % 400, [&](error_code ec, claim c) {
          ++over;
          if (!ec) fill(c);
        });
        victim_.run_and_cancel();
        EXPECT_EQ(over, 2);
        break;
      }
      case 10:
        rx.async_wait([&](error_code) { ++over; });
        tx.async_wait([&](error_code) { ++over; });
        rx.async_wait_peer([&](error_code) { ++over; });
        victim_.run_and_cancel();
        EXPECT_EQ(over, 3);
        break;
      case 11:
        rx.prepare_wait();
        tx.prepare_wait();
        rx.finish_wait();
        tx.finish_wait();
        break;
      case 12: {
        message m;
        if (!rx.receive(m, std::chrono::nanoseconds(0))) keep(std::move(m));
        tx.send(some(), std::chrono::nanoseconds(0));
        break;
      }
      case 13:
        if (message m = rx.try_receive_dead()) keep(std::move(m));
        break;
      case 14:
        rx.async_receive_dead(taken);
        rx.async_receive(taken);
        victim_.run_and_cancel();
        EXPECT_EQ(over, 2);
        break;
      default:
        EXPECT_EQ(tx.max_message(), message_bytes);
        EXPECT(rx.size() <= slots && tx.size() <= slots);
    }
    if (random_() % 2 == 0) end_one();
  }

  std::span<const std::byte> some() { return std::span(source_).first(random_() % source_.size()); }

  void fill(claim& c) {
    expect_inside(c.bytes());
    for (std::byte& b : c.bytes()) b = std::byte{1};
    if (random_() % 4 != 0) c.commit(random_() % (c.size() + 1));
  }
  void keep(message m) {
    expect_inside(m.bytes());
    unsigned sum = 0;
    for (const std::byte b : m.bytes()) sum += std::to_integer<unsigned>(b);
    sum_ = sum;
    held_.push_back(std::move(m));
    if (held_.size() > 6) held_.erase(held_.begin());
  }
  void end_one() {
    if (held_.empty()) return;
    const auto which = held_.begin() + static_cast<std::ptrdiff_t>(random_() % held_.size());
    switch (random_() % 4) {
      case 0: which->requeue(); break;
      case 1: which->reject(); break;
      default: which->release();
    }
    held_.erase(which);
  }
  void forget() { held_.clear(); }

  /// In the place of a message: each begins 16 bytes behind a cache line, at most `slots` strides from another.
  static void expect_inside(std::span<const std::byte> bytes) {
    EXPECT(bytes.size() <= message_bytes);
    EXPECT(reinterpret_cast<std::uintptr_t>(bytes.data()) % layout::cache_line == sizeof(layout::message_header));
  }

  std::mt19937 random_;
  attacked<tasks> victim_;
  const std::vector<std::byte> source_ = std::vector<std::byte>(400, std::byte{1});
  std::vector<message> held_;
  volatile unsigned sum_ = 0;
};

}  // namespace

TEST_CASE("a hostile peer of a byte_work_ring does no harm", "[hostile-byte-work]") {
  attack<task_attack>(20'000);
}
