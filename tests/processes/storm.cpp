// Kill storms: producers and consumers are killed every few milliseconds, wherever they are, and replaced.
// Every item is recorded in a ledger that survives all deaths.
#include "traffic.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

struct work_item {
  std::uint64_t id = 0;
  std::array<std::uint64_t, 4> check{};

  static work_item of(std::uint64_t id) {
    work_item w{id, {}};
    for (std::size_t i = 0; i != w.check.size(); ++i) w.check[i] = scramble({id, i});
    return w;
  }
  bool whole() const {
    for (std::size_t i = 0; i != check.size(); ++i) {
      if (check[i] != scramble({id, i})) return false;
    }
    return true;
  }
};

/// The record of all processes, in memory that they share.
struct ledger {
  static constexpr std::size_t most = 1 << 24;

  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> enough{false};
  std::array<std::atomic<pid_t>, 8> joined{};        // consumers, by their numbers
  std::array<std::atomic<std::uint8_t>, most> sent;  // 1: begun, 2: done
  std::array<std::atomic<std::uint8_t>, most> seen;  // by how many consumers
  std::array<std::atomic<std::uint8_t>, most> over;  // acknowledged by a consumer that survived it
};

using jobs = channel<work_ring<work_item, 64>>;

void send_work(const std::string& name, ledger& l, how way) {
  net::io_context io;
  auto tx = meet<jobs>::producer(io, name);
  while (!l.enough.load(std::memory_order_relaxed)) {
    const std::uint64_t id = l.next.fetch_add(1);
    if (id >= ledger::most) return;
    l.sent[id].store(1);
    error_code ec;
    do {
      if (way == how::blocking) {
        ec = tx.send(work_item::of(id));
      } else {
        tx.async_send(work_item::of(id), [&](error_code e) { ec = e; });
        io.restart();
        io.run();
      }
      // A consumer has died, or all have left: others will join.
    } while (ec == errc::peer_died || ec == errc::closed);
    EXPECT_EQ(ec, error_code());
    l.sent[id].store(2);
  }
}

/// A received item is recorded before it is acknowledged.
void note(ledger& l, const work_item& w) {
  EXPECT(w.whole());
  EXPECT(w.id < ledger::most);
  EXPECT(l.sent[w.id].load() != 0);
  EXPECT_EQ(l.over[w.id].load(),
            std::uint8_t{0});  // a consumer that had acknowledged it is not killed while it holds it
  l.seen[w.id].fetch_add(1);
}

void receive_work(const std::string& name, ledger& l, std::size_t number, how way) {
  net::io_context io;
  auto rx = meet<jobs>::consumer(io, name);
  l.joined[number].store(::getpid());
  std::mt19937 random(static_cast<unsigned>(::getpid()));
  for (;;) {
    error_code ec;
    lease<work_item> held;
    if (way == how::blocking) {
      // Manually: a lease at once, or a wait for one.
      held = rx.try_receive_lease();
      if (!held) ec = poll_for(rx);
    } else {
      rx.async_receive_lease([&](error_code e, lease<work_item> got) {
        ec = e;
        held = std::move(got);
      });
      io.restart();
      io.run();
    }
    if (ec == errc::peer_died) continue;
    if (ec == errc::closed) {
      if (l.enough.load()) return;
      continue;
    }
    EXPECT_EQ(ec, error_code());
    if (!held) continue;
    const std::uint64_t id = held.value().id;
    if (random() % 16 == 0) {
      held.requeue();
      continue;
    }
    note(l, held.value());
    if (random() % 256 == 0) ::usleep(300);  // long enough to be killed while holding it
    EXPECT(held.ack());
    l.over[id].store(1);
  }
}

struct storm_result {
  int kills = 0;
  std::uint64_t items = 0;
  std::uint64_t again = 0;  // received by more than one
};

/// Kills a random process again and again, and starts another one in its place.
template <class Start>
int rage(std::chrono::milliseconds length, std::vector<std::unique_ptr<child>>& all, Start start,
         const ledger& l, std::mt19937& random) {
  int kills = 0;
  const auto end = std::chrono::steady_clock::now() + length;
  for (; std::chrono::steady_clock::now() < end && l.next.load() < ledger::most; ++kills) {
    a_while(random, 12);
    const std::size_t victim = random() % all.size();
    all[victim]->kill();
    all[victim] = start(victim);
  }
  return kills;
}

storm_result work_storm(std::chrono::milliseconds length) {
  const std::string name = unique_name("storm");
  const nothing_left check(name);
  const auto l = std::make_unique<shared<ledger>>();
  std::mt19937 random(random_seed());

  constexpr std::size_t producers = 3;
  constexpr std::size_t consumers = 3;
  const auto start = [&](std::size_t i) {
    const how way = random() % 2 == 0 ? how::blocking : how::awaited;
    return std::make_unique<child>([&, i, way] {
      if (i < producers) {
        send_work(name, **l, way);
      } else {
        receive_work(name, **l, i - producers, way);
      }
    });
  };
  // Keeps the channel until the last consumer has joined, however late that is.
  net::io_context io;
  auto keeper = meet<jobs>::producer(io, name);
  std::vector<std::unique_ptr<child>> all;
  for (std::size_t i = 0; i != producers + consumers; ++i) all.push_back(start(i));

  storm_result r;
  r.kills = rage(length, all, start, **l, random);
  (*l)->enough.store(true);
  for (std::size_t i = 0; i != consumers; ++i) {
    await([&] { return (*l)->joined[i].load() == all[producers + i]->pid(); });
  }
  keeper.close();
  for (std::size_t i = 0; i != all.size(); ++i) CHECK(all[i]->wait() == 0);

  const std::uint64_t items = std::min<std::uint64_t>((*l)->next.load(), ledger::most);
  std::uint64_t lost = 0;
  for (std::uint64_t id = 0; id != items; ++id) {
    const unsigned sent = (*l)->sent[id].load();
    const unsigned seen = (*l)->seen[id].load();
    if (sent == 2) ++r.items;
    if (sent == 2 && seen == 0) ++lost;
    if (seen > 1) ++r.again;
  }
  CHECK(lost == 0);
  CHECK(r.again > 0);
  CHECK(r.again <= static_cast<std::uint64_t>(r.kills));  // each dead one held at most one item
  return r;
}

// ---- broadcast_ring --------------------------------------------------------------------------------------

template <overflow Mode>
using news = channel<broadcast_ring<work_item, 64, Mode>>;

/// One value after the other; each is recorded before and after.
template <overflow Mode>
void publish(const std::string& name, ledger& l) {
  net::io_context io;
  auto tx = meet<news<Mode>>::producer(io, name);
  while (!l.enough.load(std::memory_order_relaxed)) {
    const std::uint64_t id = l.next.load();  // there is no other producer now
    if (id >= ledger::most) return;
    l.sent[id].store(1);
    l.next.store(id + 1);
    error_code ec;
    do {
      ec = tx.send(work_item::of(id));
    } while (ec == errc::peer_died || ec == errc::closed);
    EXPECT_EQ(ec, error_code());
    l.sent[id].store(2);
  }
}

/// Nothing is missing except an item whose producer was killed while sending it, and what was reported as
/// lost.
template <overflow Mode>
void follow(const std::string& name, ledger& l, std::size_t number) {
  net::io_context io;
  auto rx = meet<news<Mode>>::consumer(io, name);
  l.joined[number].store(::getpid());
  std::uint64_t next = ~std::uint64_t{0};
  std::uint64_t lost = 0;
  for (;;) {
    work_item w;
    const error_code ec = rx.receive(w);
    if (ec == errc::peer_died) continue;
    if (ec == errc::closed) {
      if (l.enough.load()) return;
      continue;
    }
    if (ec == errc::lagged) {
      EXPECT(Mode == overflow::overwrite);
      lost += rx.lost();
      continue;
    }
    EXPECT_EQ(ec, error_code());
    EXPECT(w.whole());
    EXPECT(l.sent[w.id].load() != 0);
    if (next != ~std::uint64_t{0}) {
      EXPECT(w.id >= next);
      std::uint64_t sent = 0;
      std::uint64_t perhaps = 0;  // their producer was killed before or after sending
      for (std::uint64_t id = next; id != w.id; ++id) {
        const unsigned state = l.sent[id].load();
        if (state == 2) ++sent;
        if (state == 1) ++perhaps;
      }
      EXPECT(lost >= sent);
      EXPECT(lost <= sent + perhaps);
    }
    lost = 0;
    next = w.id + 1;
    l.seen[w.id].fetch_add(1);
  }
}

template <overflow Mode>
storm_result news_storm(std::chrono::milliseconds length) {
  const std::string name = unique_name("news-storm");
  const nothing_left check(name);
  const auto l = std::make_unique<shared<ledger>>();
  std::mt19937 random(random_seed());
  constexpr std::size_t consumers = 3;
  const auto start = [&](std::size_t i) {
    return std::make_unique<child>([&, i] {
      if (i == consumers) {
        publish<Mode>(name, **l);
      } else {
        follow<Mode>(name, **l, i);
      }
    });
  };
  std::vector<std::unique_ptr<child>> all;
  for (std::size_t i = 0; i <= consumers; ++i) all.push_back(start(i));
  storm_result r;
  r.kills = rage(length, all, start, **l, random);
  // The producer leaves when all consumers have joined, so that they are told.
  for (std::size_t i = 0; i != consumers; ++i) {
    await([&] { return (*l)->joined[i].load() == all[i]->pid(); });
  }
  (*l)->enough.store(true);
  CHECK(all[consumers]->wait() == 0);
  for (std::size_t i = 0; i != consumers; ++i) CHECK(all[i]->wait() == 0);
  for (std::uint64_t id = 0; id != (*l)->next.load(); ++id) r.items += (*l)->seen[id].load();
  CHECK(r.items > 0);
  return r;
}

void report(const storm_result& r) {
  WARN(r.kills << " kills, " << r.items << " items, " << r.again << " of them delivered again");
}

}  // namespace

TEST_CASE("a storm over a work_ring loses and duplicates nothing", "[storm-work]") {
  const watchdog dog;
  report(work_storm(std::chrono::seconds(sanitized ? 2 : 5)));
}

TEST_CASE("a storm over a broadcast_ring hides nothing from survivors", "[storm-broadcast]") {
  const watchdog dog;
  report(news_storm<overflow::block>(std::chrono::milliseconds(sanitized ? 1000 : 2500)));
  report(news_storm<overflow::overwrite>(std::chrono::milliseconds(sanitized ? 1000 : 2500)));
}

TEST_CASE("a minute's storm over a work_ring", "[.][storm-work-long]") {
  const watchdog dog(std::chrono::seconds(600));
  report(work_storm(std::chrono::seconds(60)));
}

TEST_CASE("a minute's storm over a broadcast_ring", "[.][storm-broadcast-long]") {
  const watchdog dog(std::chrono::seconds(600));
  report(news_storm<overflow::block>(std::chrono::seconds(60)));
  report(news_storm<overflow::overwrite>(std::chrono::seconds(60)));
}
