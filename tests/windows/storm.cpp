// Kills by TerminateProcess at random moments, over all rings. What the killed have sent and received is accounted for.
#include "kits.hpp"
#include "started.hpp"
#include "support/arrivals.hpp"
#include "support/catch.hpp"

#include <belfry/belfry.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <utility>

using namespace belfry;
using namespace belfry::test;

namespace {

using namespace std::chrono_literals;

/// Of each ring, producers and consumers. All rounds are a thousand kills.
std::uint64_t rounds() { return std::getenv("BELFRY_TEST_ALL_ROUNDS") != nullptr ? 56 : 4; }

/// How often each value was received, by all processes together: a consumer that is killed has told until then.
class ledger {
 public:
  static constexpr std::size_t values = 1 << 16;

  static shared_memory make(const std::string& name) { return shared_memory::create(name, values * sizeof(std::uint64_t)); }
  explicit ledger(shared_memory& block) : counts_(block.as<std::uint64_t>()) {}

  void received(std::uint64_t n) {
    EXPECT(n < values);
    std::atomic_ref(counts_[n]).fetch_add(1, std::memory_order_relaxed);
  }
  std::uint64_t count(std::uint64_t n) const { return std::atomic_ref(counts_[n]).load(std::memory_order_relaxed); }

 private:
  std::span<std::uint64_t> counts_;
};

std::string ledger_of(const std::string& name) { return name + "-ledger"; }

/// The values of a producer's life: its number, and how many values it had sent before.
constexpr std::uint64_t value_of(std::uint64_t life, std::uint64_t n) { return life << 32 | n; }

/// Sends until it is killed. The argument: the channel, and the number of this life.
template <class Kit>
void produce_until_killed(const std::string& argument) {
  const std::size_t at = argument.rfind('#');
  const std::string name = argument.substr(0, at);
  const std::uint64_t life = std::stoull(argument.substr(at + 1));
  net::io_context io;
  Kit values;
  typename Kit::channel::producer tx(io, name, Kit::options());
  event(name + "-joined").set();
  for (std::uint64_t n = 1;; ++n) {
    const error_code ec = tx.send(values.make(value_of(life, n)), 600s);
    EXPECT(!ec);
  }
}

/// Receives until it is killed, and tells what.
template <class Kit>
void consume_until_killed(const std::string& name) {
  auto block = shared_memory::open(ledger_of(name));
  ledger all(block);
  net::io_context io;
  typename Kit::channel::consumer rx(io, name, Kit::options());
  event(name + "-joined").set();
  for (;;) {
    typename Kit::channel::consumer::value_type v{};
    const error_code ec = rx.receive(v, 600s);
    if (ec == errc::lagged) continue;
    EXPECT(!ec);
    all.received(number(v));
  }
}

template <class Kit>
struct bodies {
  const std::string name = Kit::name;
  const body producer{name + "-produce-until-killed", produce_until_killed<Kit>};
  const body consumer{name + "-consume-until-killed", consume_until_killed<Kit>};
};
template <class... Kits>
std::tuple<bodies<Kits>...> bodies_of(std::tuple<Kits...>);
const decltype(bodies_of(every_ring())) all_bodies;

template <class Kit, class... Kits>
constexpr bool is_one_of = (std::is_same_v<Kit, Kits> || ...);
template <class Kit>
constexpr bool loses = is_one_of<Kit, overwriting, newest, byte_overwriting>;
/// A newcomer receives what is in the ring, also what others have received.
template <class Kit>
constexpr bool begins_anew = is_one_of<Kit, blocking, byte_blocking>;
/// What a killed consumer has not given back is received again.
template <class Kit>
constexpr bool gives_back = is_one_of<Kit, test::bytes, byte_work>;

std::size_t files_left(const std::string& name) {
  collect_garbage();
  return files_of(name) + stray_files("gone-") + stray_files("new-");
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("killed producers: what each has sent comes once, and each death is told once",
                        "[all-rings]", every_ring) {
  const std::string name = unique_name("producers");
  std::minstd_rand random(1);
  {
    net::io_context io;
    typename TestType::channel::consumer rx(io, name, TestType::options());
    const event joined(name + "-joined");
    for (std::uint64_t life = 1; life <= rounds(); ++life) {
      started producer(std::string(TestType::name) + "-produce-until-killed", name + '#' + std::to_string(life));
      joined.wait();
      arrivals arrived(TestType::channel::ring_type::traits);
      std::uint64_t left = random() % 200;  // until it is killed
      for (bool killed = false;; left -= left != 0) {
        if (left == 0 && !std::exchange(killed, true)) producer.kill();
        typename TestType::channel::consumer::value_type v{};
        const error_code ec = rx.receive(v, 600s);
        if (ec == errc::lagged) continue;
        if (ec) {
          REQUIRE(ec == errc::peer_died);
          REQUIRE(killed);
          break;
        }
        const std::uint64_t n = number(v);
        REQUIRE(n >> 32 == life);
        REQUIRE(arrived.add(n & 0xffffffff));
      }
      REQUIRE(arrived.none_missing());
      const channel_info info = inspect(name);
      REQUIRE(info.deaths == life);
      REQUIRE(info.alive() == 1);
    }
    // It was told: nothing is left to tell.
    typename TestType::channel::consumer::value_type v{};
    CHECK(rx.receive(v, 1ms) == net::error::timed_out);
  }
  CHECK(files_left(name) == 0);
}

TEMPLATE_LIST_TEST_CASE("killed consumers: every value is received once, or was in the hands of one that was killed",
                        "[all-rings]", every_ring) {
  const std::string name = unique_name("consumers");
  std::minstd_rand random(2);
  {
    auto block = ledger::make(ledger_of(name));
    ledger all(block);
    net::io_context io;
    TestType values;
    typename TestType::channel::producer tx(io, name, TestType::options());
    const event joined(name + "-joined");
    std::uint64_t sent = 0;
    std::uint64_t told = 0;
    for (std::uint64_t life = 1; life <= rounds(); ++life) {
      started consumer(std::string(TestType::name) + "-consume-until-killed", name);
      joined.wait();
      std::uint64_t left = 1 + random() % 200;
      for (const std::uint64_t last = sent + left; sent != last;) {
        const error_code ec = tx.send(values.make(sent + 1), 600s);
        if (!ec) ++sent;
        else if (ec == errc::peer_died) ++told;
        else FAIL(ec.message());
      }
      consumer.kill();
    }
    CHECK(told < rounds());
    if constexpr (loses<TestType>) {
      tx.close();
      error_code ignored;
      TestType::channel::unlink(name, ignored);
    } else {
      typename TestType::channel::consumer rx(io, name, TestType::options());
      tx.close();
      typename TestType::channel::consumer::value_type v{};
      error_code ec;
      while (!(ec = rx.receive(v, 600s))) all.received(number(v));
      CHECK(ec == errc::closed);
      std::uint64_t missing = 0;
      std::uint64_t repeated = 0;
      for (std::uint64_t n = 1; n <= sent; ++n) {
        missing += all.count(n) == 0;
        repeated += all.count(n) - (all.count(n) != 0);
      }
      CHECK(missing <= rounds());
      if (!begins_anew<TestType>) CHECK(repeated <= (gives_back<TestType> ? rounds() : 0));
    }
  }
  CHECK(files_left(name) == 0);
}
