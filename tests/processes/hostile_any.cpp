// A hostile peer of any_channel, whose participants believe nothing but what they have checked: it also forges what the
// segment says of its ring, before they join.
#include "hostile.hpp"
#include "support/rings.hpp"

#include <belfry/any_channel.hpp>

namespace belfry::test::hostile_any {
namespace {

using newest = channel<latest<value>>;
using jobs = channel<work_ring<value, 64>>;
using tasks = channel<byte_work_ring>;
using news = channel<broadcast_ring<value, 64, overflow::block>>;
using flashes = channel<broadcast_ring<value, 64, overflow::overwrite>>;

template <class Channel>
class any_attack {
 public:
  any_attack(const std::string& name, bool named, unsigned seed)
      : random_(seed), victim_(name, named, options()) {}

  void one() {
    for (unsigned times = 1 + random_() % 3; times != 0; --times) scribble();
    use();
    switch (random_() % 24) {
      case 0: victim_.rebuild(); break;
      case 1:
      case 2:
        forge_identity();
        [[fallthrough]];
      case 3:
        if (!victim_.reopen(random_() % 2 == 0)) victim_.rebuild();
        break;
      default: break;
    }
  }

 private:
  static channel_options options() {
    channel_options o;
    if (std::is_same_v<Channel, frames>) o.capacity = 4096;
    if (std::is_same_v<Channel, tasks>) o.slots = 16, o.message_bytes = 300;
    if (std::is_same_v<Channel, tasks> || std::is_same_v<Channel, jobs>) {
      o.max_deliveries = 2;
      o.lease_timeout = std::chrono::microseconds(50);
    }
    o.start = start::oldest;
    return o;
  }

  /// What only a joining process reads.
  void forge_identity() {
    using layout::identity;
    static constexpr std::pair<std::size_t, std::size_t> fields[] = {
        {offsetof(identity, kind), 4},
        {offsetof(identity, value_bytes), 8},
        {offsetof(identity, capacity), 8},
        {offsetof(identity, abi_fingerprint), 8},
        {offsetof(identity, ring_offset), 8},
        {offsetof(identity, ring_bytes), 8},
        {offsetof(identity, places) + offsetof(layout::geometry, places), 8},
        {offsetof(identity, places) + offsetof(layout::geometry, first), 8},
        {offsetof(identity, places) + offsetof(layout::geometry, stride), 8},
        {offsetof(identity, places) + offsetof(layout::geometry, value), 8},
        {offsetof(identity, places) + offsetof(layout::geometry, written), 8},
        {offsetof(identity, places) + offsetof(layout::geometry, read), 8},
        {offsetof(identity, description_bytes), 4},
        {offsetof(identity, message_bytes), 8},
        {offsetof(identity, lease_timeout), 8},
        {offsetof(identity, max_deliveries), 4},
    };
    std::byte* const id = victim_.view().data();
    switch (random_() % 4) {
      case 0: {  // another kind; often the rest fits
        const auto kind = static_cast<std::uint32_t>(1 + random_() % 9);
        std::memcpy(id + offsetof(identity, kind), &kind, sizeof kind);
        break;
      }
      case 1: {  // smaller values, or fewer of them: that fits, too
        for (const std::size_t field : {offsetof(identity, value_bytes), offsetof(identity, capacity),
                                        offsetof(identity, places) + offsetof(layout::geometry, places)}) {
          std::uint64_t right = 0;
          std::memcpy(&right, id + field, sizeof right);
          if (random_() % 2 != 0 || right < 2) continue;
          right -= 1 + random_() % (right - 1);
          std::memcpy(id + field, &right, sizeof right);
        }
        break;
      }
      default: {
        const auto& [offset, bytes] = fields[random_() % std::size(fields)];
        scribble_at(random_, id + offset, bytes, 64);
      }
    }
  }

  void scribble() {
    segment_file& file = victim_.view();
    const std::size_t producers = Channel::ring_type::traits.seats_for(64).producers;
    if (random_() % 4 == 0) return scribble_over_header(random_, file, 64, producers);
    std::byte* const ring = file.ring();
    const auto words = static_cast<std::size_t>(file.data() + file.size() - ring) / 8;
    const std::size_t word = random_() % 2 == 0 ? random_() % std::min<std::size_t>(words, 48) : random_() % words;
    scribble_at(random_, ring + word * 8, random_() % 2 == 0 ? 8 : 1, 64);
  }

  void use() {
    auto& tx = static_cast<any_channel::producer&>(victim_.tx());
    auto& rx = static_cast<any_channel::consumer&>(victim_.rx());
    const std::span<const std::byte> given = some(tx.info().value_bytes);
    // On the heap, and just as large: an access outside is noticed.
    std::vector<std::byte> room(some(rx.info().value_bytes).size());
    std::size_t bytes = 0;
    int over = 0;
    switch (random_() % 9) {
      case 0: tx.try_send(given); break;
      case 8:
        if (const auto got = rx.try_receive_dead(room)) EXPECT(*got <= room.size());
        rx.async_receive_dead(net::buffer(room), [&](error_code ec, std::size_t n) {
          ++over;
          EXPECT(n <= room.size() && (!ec || n == 0));
        });
        victim_.run_and_cancel();
        EXPECT_EQ(over, 1);
        break;
      case 1:
        if (const auto got = rx.try_receive(room)) EXPECT(*got <= room.size());
        break;
      case 2:
        rx.async_receive(net::buffer(room), [&](error_code ec, std::size_t n) {
          ++over;
          EXPECT(n <= room.size() && (!ec || n == 0));
        });
        rx.async_wait([&](error_code) { ++over; });
        victim_.run_and_cancel();
        EXPECT_EQ(over, 2);
        break;
      case 3:
        tx.async_send(given, [&](error_code) { ++over; });
        tx.async_wait([&](error_code) { ++over; });
        tx.async_wait_peer([&](error_code) { ++over; });
        victim_.run_and_cancel();
        EXPECT_EQ(over, 3);
        break;
      case 4:
        rx.prepare_wait();
        tx.prepare_wait();
        rx.finish_wait();
        tx.finish_wait();
        break;
      case 5:
        rx.receive(room, bytes, std::chrono::nanoseconds(0));
        EXPECT(bytes <= room.size());
        break;
      case 6: tx.send(given, std::chrono::nanoseconds(0)); break;
      default:
        EXPECT(rx.size() <= rx.capacity());
        EXPECT(tx.size() <= tx.capacity());
        rx.lost();
    }
  }
  /// Bytes of the size that was told at the join, or of another one.
  std::span<const std::byte> some(std::uint64_t told) {
    const std::uint64_t right = told == 0 || told > source_.size() ? random_() % 300 : told;
    return std::span(source_).first(random_() % 8 == 0 ? random_() % source_.size() : static_cast<std::size_t>(right));
  }

  std::mt19937 random_;
  attacked<any_face<Channel>> victim_;
  const std::vector<std::byte> source_ = std::vector<std::byte>(5000, std::byte{1});
};

}  // namespace

TEST_CASE("a hostile peer of any_channel does no harm", "[hostile-any]") {
  constexpr std::uint64_t cases = 4'000;
  attack<any_attack<values>>(cases);
  attack<any_attack<frames>>(cases);
  attack<any_attack<jobs>>(cases);
  attack<any_attack<tasks>>(cases);
  attack<any_attack<news>>(cases);
  attack<any_attack<flashes>>(cases);
  attack<any_attack<newest>>(cases);
}

}  // namespace belfry::test::hostile_any
