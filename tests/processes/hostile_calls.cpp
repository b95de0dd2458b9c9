// A peer that writes anything over a channel of calls, at the worst moments: errors and wrong values, no crash, no hang,
// no access outside.
#include "hostile.hpp"

#include "support/calls.hpp"

#include <utility>

using namespace belfry;
using namespace belfry::test;

namespace {

/// With the names that `attacked` expects.
template <class Channel>
struct as_pair : Channel {
  using producer = typename Channel::client;
  using consumer = typename Channel::server;
};

using pages = channel<byte_call_ring>;

template <class Channel>
class call_attack {
  static constexpr bool bytes = std::is_same_v<Channel, pages>;
  using reply_type = typename Channel::client::reply_type;
  using call_type = typename Channel::server::call_type;

 public:
  call_attack(const std::string& name, bool named, unsigned seed)
      : random_(seed), victim_(name, named, options(seed)) {}

  void one() {
    const unsigned times = 1 + random_() % 3;
    for (unsigned i = 0; i != times; ++i) scribble();
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
  static channel_options options(unsigned seed) {
    channel_options o;
    if constexpr (bytes) {
      o.slots = 5;
      o.message_bytes = 256;
    }
    if (seed % 2 == 0) o.retry = retry::another_server;
    o.max_deliveries = seed % 4;
    if (seed % 4 == 0) o.wait_for_server = false;
    if (seed % 8 == 0) o.wait_for_place = false;
    if (seed % 3 == 0) o.spin = std::chrono::microseconds(5);
    return o;
  }

  void forget() {
    held_.clear();
    replies_.clear();
    pending_ = {};
    claim_ = {};
  }

  /// A field of the header, a hint, a word or a field of a place, or any word of the ring.
  void scribble() {
    segment_file& file = victim_.view();
    if (random_() % 3 == 0) return scribble_over_header(random_, file, 5, 32);
    const auto& id = file.header().id;
    std::byte* const ring = file.ring();
    const auto ring_bytes = static_cast<std::size_t>(file.data() + file.size() - ring);
    switch (random_() % 4) {
      case 0: return scribble_at(random_, ring + random_() % 3 * 64, 8, 5);
      case 1: return scribble_at(random_, ring + random_() % (ring_bytes / 8) * 8, 8, 5);
      default: {
        const std::size_t offset = id.places.first % ring_bytes + random_() % 5 * (id.places.stride % ring_bytes);
        if (offset > ring_bytes - 32) return;
        const std::size_t field = random_() % 2 == 0 ? 0 : random_() % 4 * 8;
        std::byte* const at = ring + offset / 8 * 8 + field;
        if (random_() % 2 == 0) {  // nearly right: one bit
          *reinterpret_cast<std::uint64_t*>(at) ^= std::uint64_t{1} << random_() % 64;
        } else {
          scribble_at(random_, at, random_() % 2 == 0 ? 8 : 1, 256);
        }
      }
    }
  }

  auto request() {
    if constexpr (bytes) {
      return std::span<const std::byte>(source_).first(random_() % source_.size());
    } else {
      return question{random_(), 0};
    }
  }
  std::chrono::steady_clock::time_point deadline() {
    return random_() % 2 == 0 ? std::chrono::steady_clock::time_point::max()
                              : in(std::chrono::nanoseconds(static_cast<std::int64_t>(random_() % 200'000) - 50'000));
  }
  void answer_call(call_type& c) {
    read(c);
    switch (random_() % 6) {
      case 0: c.fail(errc::closed); break;
      case 1: c = call_type(); break;
      default:
        if constexpr (bytes) {
          c.reply(request());
        } else {
          c.reply({1, 2});
        }
    }
  }
  void read(call_type& c) {
    unsigned sum = c.deliveries() + c.cancelled();
    if constexpr (bytes) {
      EXPECT(c.request().size() <= 256);
      for (const std::byte b : c.request()) sum += std::to_integer<unsigned>(b);
    } else {
      sum += static_cast<unsigned>(c.request().n);
    }
    sum_ = sum;
  }
  void keep(reply_type r) {
    if constexpr (bytes) {
      EXPECT(r.size() <= 256);
      unsigned sum = 0;
      for (const std::byte b : r.bytes()) sum += std::to_integer<unsigned>(b);
      sum_ = sum;
      replies_.push_back(std::move(r));
      if (replies_.size() > 3) replies_.erase(replies_.begin());
    } else {
      sum_ = static_cast<unsigned>(r.n);
    }
  }

  void use() {
    auto& c = victim_.tx();
    auto& s = victim_.rx();
    switch (random_() % 12) {
      case 0:
      case 1: {
        int over = 0;
        for (int i = 0; i != 3; ++i) {
          c.async_call(request(), deadline(), [&](error_code ec, reply_type r) {
            ++over;
            if (!ec) keep(std::move(r));
          });
        }
        s.async_accept([&](error_code ec, call_type k) {
          ++over;
          if (!ec) answer_call(k);
        });
        c.async_wait([&](error_code) { ++over; });
        s.async_wait_peer([&](error_code) { ++over; });
        if (!held_.empty()) held_.back().async_wait_cancelled([&](error_code) { ++over; });
        const int expected = 6 + !held_.empty();
        victim_.io().restart();
        victim_.io().poll();
        if (random_() % 2 == 0) scribble();
        victim_.run_and_cancel();
        held_.clear();
        victim_.io().restart();
        victim_.io().poll();
        EXPECT_EQ(over, expected);
        break;
      }
      case 2:
      case 3:
        if (call_type k = s.try_accept()) {
          read(k);
          held_.push_back(std::move(k));
          if (held_.size() > 3) held_.erase(held_.begin());
        }
        break;
      case 4:
      case 5:
        if (!held_.empty()) {
          answer_call(held_.back());
          held_.pop_back();
        }
        break;
      case 6: pending_ = c.try_call(request(), deadline()); break;
      case 7:
        if (pending_.done()) {
          reply_type r{};
          if (!pending_.take(r)) keep(std::move(r));
        }
        break;
      case 8: {
        call_type k;
        if (!s.accept(k, std::chrono::nanoseconds(0))) answer_call(k);
        reply_type r{};
        if (!c.call(request(), r, std::chrono::nanoseconds(random_() % 2 * 1000))) keep(std::move(r));
        break;
      }
      case 9: {
        pollfd ready[] = {{c.native_handle(), POLLIN, 0}, {s.native_handle(), POLLIN, 0}};
        if (s.prepare_wait() && c.prepare_wait()) ::poll(ready, 2, 0);
        s.finish_wait();
        c.finish_wait();
        break;
      }
      case 10:
        if constexpr (bytes) {
          claim_ = c.try_claim(random_() % 257);
          for (std::byte& b : claim_.bytes()) b = std::byte{1};
          if (random_() % 2 == 0) {
            int over = 0;
            c.async_call(std::move(claim_), deadline(), [&](error_code ec, message m) {
              ++over;
              if (!ec) keep(std::move(m));
            });
            victim_.run_and_cancel();
            EXPECT_EQ(over, 1);
          }
          break;
        }
        [[fallthrough]];
      default:
        EXPECT(c.size() <= c.capacity());
        EXPECT(s.size() <= s.capacity());
        if (random_() % 4 == 0) forget();
    }
  }

  std::mt19937 random_;
  attacked<as_pair<Channel>> victim_;
  std::vector<std::byte> source_ = std::vector<std::byte>(257, std::byte{1});
  std::vector<call_type> held_;
  std::vector<message> replies_;
  pending_call<typename Channel::ring_type> pending_;
  call_claim claim_;
  volatile unsigned sum_ = 0;
};

constexpr std::uint64_t cases = 40'000;

}  // namespace

TEST_CASE("a hostile peer of a call_ring", "[hostile-calls]") { attack<call_attack<questions>>(cases); }

TEST_CASE("a hostile peer of a byte_call_ring", "[hostile-byte-calls]") { attack<call_attack<pages>>(cases); }
