// A hostile peer can cause errors and wrong messages, but no crash, no hang, and no access outside of the
// segment. `spsc_ring` trusts its peer with the ring, but with nothing else.
#include "hostile.hpp"

using namespace belfry;
using namespace belfry::test;

namespace {

// ---- what is done with a byte_ring --------------------------------------------------------------------

class byte_attack {
 public:
  static constexpr std::uint64_t capacity = 4096;

  byte_attack(const std::string& name, bool named, unsigned seed)
      : random_(seed), victim_(name, named, options(seed)) {
    rebuild();
  }

  void one() {
    const unsigned times = 1 + random_() % 3;
    for (unsigned i = 0; i != times; ++i) scribble();
    use();
    if (random_() % 48 == 0) {
      rebuild();
    } else if (random_() % 32 == 0) {
      reopen();
    }
  }

 private:
  static channel_options options(unsigned seed) {
    channel_options o = test::options<frames>();
    if (seed % 4 >= 2) o.lifetime = lifetime::persistent;
    if (seed % 8 >= 4) o.spin = std::chrono::microseconds(5);
    return o;
  }

  void scribble() {
    segment_file& file = victim_.view();
    std::byte* const ring = file.ring();
    std::byte* const data = file.data() + file.size() - capacity;
    switch (random_() % 8) {
      case 0:
      case 1:
      case 2: return scribble_over_header(random_, file, capacity);
      case 3: return scribble_at(random_, ring + random_() % 2 * layout::cache_line, 8, capacity);
      case 4: return scribble_at(random_, data + random_() % (capacity / 8) * 8, 4, capacity);
      case 5: return scribble_at(random_, data + random_() % (capacity / 8) * 8 + 4, 4, capacity);
      case 6: {  // the header of an existing record
        const auto& control = *reinterpret_cast<layout::byte_ring_control*>(ring);
        const std::uint64_t head = control.head.load(std::memory_order_relaxed) % capacity / 8 * 8;
        return scribble_at(random_, data + head + random_() % 2 * 4, 4, capacity);
      }
      default: file.data()[random_() % file.size()] = static_cast<std::byte>(random_());
    }
  }

  void use() {
    auto& tx = victim_.tx();
    auto& rx = victim_.rx();
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
        if (claim c = tx.try_claim(random_() % 1024); c) fill(c);
        break;
      case 6:
      case 7:
      case 8:
        if (auto m = rx.try_receive()) keep(std::move(*m));
        break;
      case 9: {
        std::array<message, 3> several;
        rx.try_receive_n(several);
        for (message& m : several) {
          if (m) keep(std::move(m));
        }
        break;
      }
      case 10: {
        bool over = false;
        rx.async_receive([&](error_code ec, message m) {
          over = true;
          if (!ec) keep(std::move(m));
        });
        victim_.run_and_cancel();
        EXPECT(over);
        break;
      }
      case 11: {
        int over = 0;
        const auto bytes = some();
        tx.async_send(bytes, [&](error_code) { ++over; });
        tx.async_claim(random_() % 1024, [&](error_code ec, claim c) {
          ++over;
          if (!ec) fill(c);
        });
        victim_.run_and_cancel();
        EXPECT_EQ(over, 2);
        break;
      }
      case 12: {
        int over = 0;
        rx.async_wait([&](error_code) { ++over; });
        tx.async_wait([&](error_code) { ++over; });
        rx.async_wait_peer([&](error_code) { ++over; });
        tx.async_wait_peer([&](error_code) { ++over; });
        victim_.run_and_cancel();
        EXPECT_EQ(over, 4);
        break;
      }
      case 13: {
        pollfd ready[] = {{tx.native_handle(), POLLIN, 0}, {rx.native_handle(), POLLIN, 0}};
        if (rx.prepare_wait() && tx.prepare_wait()) ::poll(ready, 2, 0);
        rx.finish_wait();
        tx.finish_wait();
        break;
      }
      case 14: {
        message m;
        if (!rx.receive(m, std::chrono::nanoseconds(0))) keep(std::move(m));
        tx.send(some(), std::chrono::nanoseconds(0));
        break;
      }
      case 15:
        EXPECT_EQ(rx.capacity(), std::size_t{capacity});
        EXPECT(tx.max_message() < capacity);
        rx.size();
        tx.size();
        release_some();
    }
    if (random_() % 2 == 0) release_some();
  }

  std::span<const std::byte> some() {
    const std::size_t most = random_() % 16 == 0 ? source_.size() : 300;
    return std::span(source_).first(random_() % most);
  }

  void fill(claim& c) {
    expect_inside(c.bytes(), write_base_);
    for (std::byte& b : c.bytes()) b = std::byte{1};
    if (random_() % 4 != 0) c.commit(random_() % (c.size() + 1));
  }

  void keep(message m) {
    expect_inside(m.bytes(), read_base_);
    unsigned sum = 0;
    for (const std::byte b : m.bytes()) sum += std::to_integer<unsigned>(b);
    sum_ = sum;
    held_.push_back(std::move(m));
    if (held_.size() > 8) held_.erase(held_.begin());
  }

  void release_some() {
    if (held_.empty()) return;
    const auto which = held_.begin() + static_cast<std::ptrdiff_t>(random_() % held_.size());
    if (random_() % 4 == 0) {
      held_.clear();
    } else {
      held_.erase(which);
    }
  }

  /// Its bytes lie in the ring, or in its second mapping.
  static void expect_inside(std::span<const std::byte> bytes, const std::byte* base) {
    EXPECT(bytes.size() < capacity);
    if (base == nullptr) return;
    EXPECT(bytes.data() >= base + 8 && bytes.data() + bytes.size() <= base + 2 * capacity);
  }

  layout::byte_ring_control& control() {
    return *reinterpret_cast<layout::byte_ring_control*>(victim_.view().ring());
  }
  /// The ring's address in the mapping of a new endpoint, if it can be known.
  void learn_write_base() {
    const std::uint64_t tail = control().tail.load() % capacity;
    write_base_ = nullptr;
    if (claim c = victim_.tx().try_claim(1)) {
      write_base_ = c.bytes().data() - 8 - tail;
      c.bytes()[0] = std::byte{1};
      c.commit();
    }
  }
  void learn_read_base() {
    const std::uint64_t head = control().head.load() % capacity;
    read_base_ = nullptr;
    if (auto m = victim_.rx().try_receive()) read_base_ = m->bytes().data() - 8 - head;
  }

  void rebuild() {
    held_.clear();
    victim_.rebuild();
    learn_write_base();
    learn_read_base();
  }
  void reopen() {
    held_.clear();
    const bool the_producer = random_() % 2 == 0;
    if (!victim_.reopen(the_producer)) {
      rebuild();
    } else if (the_producer) {
      learn_write_base();
    } else {
      learn_read_base();
    }
  }

  std::mt19937 random_;
  attacked<frames> victim_;
  std::vector<std::byte> source_ = std::vector<std::byte>(5000, std::byte{1});
  std::vector<message> held_;
  const std::byte* read_base_ = nullptr;
  const std::byte* write_base_ = nullptr;
  volatile unsigned sum_ = 0;
};

// ---- what is done with rings of values ------------------------------------------------------------------

using newest = channel<latest<value>>;
using jobs = channel<work_ring<value, 64>>;
using news = channel<broadcast_ring<value, 64, overflow::block>>;
using flashes = channel<broadcast_ring<value, 64, overflow::overwrite>>;

/// spsc_ring is Boost.Lockfree's queue, which trusts its peer; the other rings trust no process.
template <class Channel>
constexpr bool trusts_nobody = !std::is_same_v<Channel, values>;

template <class Channel>
class value_attack {
 public:
  value_attack(const std::string& name, bool named, unsigned seed)
      : random_(seed), victim_(name, named, options(seed)) {}

  void one() {
    const unsigned times = 1 + random_() % 3;
    for (unsigned i = 0; i != times; ++i) scribble();
    use();
    if (random_() % 48 == 0) {
      held_ = {};
      victim_.rebuild();
    } else if (random_() % 32 == 0) {
      held_ = {};
      if (!victim_.reopen(random_() % 2 == 0)) victim_.rebuild();
    }
  }

 private:
  using consumer = typename Channel::consumer;
  static constexpr bool leases = detail::leasing_ring<typename Channel::ring_type>;

  static channel_options options(unsigned seed) {
    channel_options o;
    if (leases) o.max_deliveries = seed % 4;
    if (leases && seed % 8 >= 4) o.lease_timeout = std::chrono::microseconds(50);
    return o;
  }

  /// A byte of the header, of the ring's control words, or any word of the ring.
  void scribble() {
    segment_file& file = victim_.view();
    const std::size_t producers = Channel::ring_type::traits.seats_for(64).producers;
    if (!trusts_nobody<Channel> || random_() % 3 == 0)
      return scribble_over_header(random_, file, 64, producers);
    std::byte* const ring = file.ring();
    const auto words = static_cast<std::size_t>(file.data() + file.size() - ring) / 8;
    const std::size_t word = random_() % 2 == 0 ? random_() % 32 : random_() % words;
    scribble_at(random_, ring + word * 8, random_() % 2 == 0 ? 8 : 1, 64);
  }

  void use() {
    auto& tx = victim_.tx();
    auto& rx = victim_.rx();
    std::array<value, 8> several;
    int over = 0;
    switch (random_() % 10) {
      case 0: tx.try_send(value{}); break;
      case 1: tx.try_send_n(several); break;
      case 2: rx.try_receive(); break;
      case 3: rx.try_receive_n(several); break;
      case 4:
        rx.async_receive([&](error_code, value) { ++over; });
        rx.async_receive_n(several, [&](error_code, std::size_t) { ++over; });
        victim_.run_and_cancel();
        EXPECT_EQ(over, 2);
        break;
      case 5:
        tx.async_send(value{}, [&](error_code) { ++over; });
        tx.async_send_n(several, [&](error_code, std::size_t) { ++over; });
        tx.async_wait_peer([&](error_code) { ++over; });
        victim_.run_and_cancel();
        EXPECT_EQ(over, 3);
        break;
      case 6:
        rx.prepare_wait();
        tx.prepare_wait();
        rx.finish_wait();
        tx.finish_wait();
        break;
      case 7:
        rx.receive(several[0], std::chrono::nanoseconds(0));
        tx.send(value{}, std::chrono::nanoseconds(0));
        break;
      case 8:
        EXPECT(rx.size() <= rx.capacity());
        EXPECT(tx.size() <= tx.capacity());
        break;
      case 9:
        if constexpr (leases) use_leases();
    }
  }
  void use_leases() {
    switch (random_() % 7) {
      case 0: held_ = victim_.rx().try_receive_lease(); break;
      case 1: held_.ack(); break;
      case 2: held_.requeue(); break;
      case 4: held_.reject(); break;
      case 5: held_ = victim_.rx().try_receive_dead(); break;
      case 6: {
        bool over = false;
        victim_.rx().async_receive_dead([&](error_code, lease<value> l) {
          over = true;
          held_ = std::move(l);
        });
        victim_.run_and_cancel();
        EXPECT(over);
        break;
      }
      case 3: {
        bool over = false;
        victim_.rx().async_receive_lease([&](error_code, lease<value> l) {
          over = true;
          held_ = std::move(l);
        });
        victim_.run_and_cancel();
        EXPECT(over);
      }
    }
  }

  std::mt19937 random_;
  attacked<Channel> victim_;
  lease<value> held_;
};

}  // namespace

TEST_CASE("a hostile peer of a byte_ring does no harm", "[hostile-byte]") {
  attack<byte_attack>(sanitized ? 200'000 : 100'000);
}

TEST_CASE("a hostile peer of an spsc_ring does no harm through header and roster", "[hostile-spsc]") {
  attack<value_attack<values>>(50'000);
}
TEST_CASE("a hostile peer of a work_ring does no harm", "[hostile-work]") {
  attack<value_attack<jobs>>(50'000);
}
TEST_CASE("a hostile peer of a broadcast_ring does no harm", "[hostile-broadcast]") {
  attack<value_attack<news>>(25'000);
  attack<value_attack<flashes>>(25'000);
}
TEST_CASE("a hostile peer of a latest does no harm", "[hostile-latest]") {
  attack<value_attack<newest>>(25'000);
}
