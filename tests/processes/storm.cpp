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
  std::atomic<bool> delivered{false};  // a value to a consumer of a broadcast
  std::atomic<bool> again{false};      // an item of work to a second consumer
  std::array<std::atomic<pid_t>, 8> joined{};        // consumers, by their numbers
  std::array<std::atomic<std::uint8_t>, most> sent;  // 1: begun, 2: done
  std::array<std::atomic<std::uint8_t>, most> seen;  // by how many consumers
  std::array<std::atomic<std::uint8_t>, most> over;  // acknowledged by a consumer that survived it
};

/// What is sent: the item, or a message that begins with it, and has some bytes more.
struct outgoing_item {
  explicit outgoing_item(std::uint64_t id) : item(work_item::of(id)) {
    std::memcpy(bytes.data(), &item, sizeof item);
    std::fill(bytes.begin() + sizeof item, bytes.end(), static_cast<std::byte>(id));
  }
  operator const work_item&() const { return item; }
  operator std::span<const std::byte>() const { return std::span(bytes).first(sizeof item + item.id % 200); }

  work_item item;
  std::array<std::byte, 240> bytes;
};
const work_item& item_in(const work_item& w) { return w; }
const work_item& item_in(const lease<work_item>& l) { return l.value(); }
work_item item_in(const message& m) {
  work_item w;
  EXPECT(m.size() >= sizeof w);
  std::memcpy(&w, m.bytes().data(), sizeof w);
  EXPECT_EQ(m.size(), sizeof w + w.id % 200);
  for (const std::byte b : m.bytes().subspan(sizeof w)) EXPECT(b == static_cast<std::byte>(w.id));
  return w;
}

// ---- work_ring, byte_work_ring -----------------------------------------------------------------------------

/// Items that are copied, and held by leases.
struct copied_items {
  using channel = belfry::channel<work_ring<work_item, 64>>;
  using held = lease<work_item>;
  static channel_options options() { return {}; }
  static held take(channel::consumer& rx) { return rx.try_receive_lease(); }
  template <class Handler>
  static void async_take(channel::consumer& rx, Handler h) {
    rx.async_receive_lease(std::move(h));
  }
  static bool end(held& h) { return h.ack(); }
};
/// Items in place.
struct items_in_place {
  using channel = belfry::channel<byte_work_ring>;
  using held = message;
  static channel_options options() {
    channel_options o;
    o.slots = 64;
    o.message_bytes = 256;
    return o;
  }
  static held take(channel::consumer& rx) {
    auto m = rx.try_receive();
    return m ? std::move(*m) : message();
  }
  template <class Handler>
  static void async_take(channel::consumer& rx, Handler h) {
    rx.async_receive(std::move(h));
  }
  static bool end(held& h) { return h.release(); }
};

template <class Kit>
void send_work(const std::string& name, ledger& l, how way) {
  net::io_context io;
  auto tx = meet<typename Kit::channel>::producer(io, name, Kit::options());
  while (!l.enough.load(std::memory_order_relaxed)) {
    const std::uint64_t id = l.next.fetch_add(1);
    if (id >= ledger::most) return;
    l.sent[id].store(1);
    const outgoing_item out(id);
    const typename Kit::channel::producer::value_type& value = out;
    error_code ec;
    do {
      if (way == how::blocking) {
        ec = tx.send(value);
      } else {
        tx.async_send(value, [&](error_code e) { ec = e; });
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
  if (l.seen[w.id].fetch_add(1) != 0) l.again.store(true);
}

template <class Kit>
void receive_work(const std::string& name, ledger& l, std::size_t number, how way) {
  net::io_context io;
  auto rx = meet<typename Kit::channel>::consumer(io, name, Kit::options());
  l.joined[number].store(::getpid());
  std::mt19937 random(static_cast<unsigned>(::getpid()));
  for (;;) {
    error_code ec;
    typename Kit::held held;
    if (way == how::blocking) {
      // Manually: an item at once, or a wait for one.
      held = Kit::take(rx);
      if (!held) ec = poll_for(rx);
    } else {
      Kit::async_take(rx, [&](error_code e, typename Kit::held got) {
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
    const work_item item = item_in(held);
    const std::uint64_t id = item.id;
    if (random() % 16 == 0) {
      held.requeue();
      continue;
    }
    note(l, item);
    if (random() % 64 == 0) ::usleep(300);  // long enough to be killed while holding it
    EXPECT(Kit::end(held));
    l.over[id].store(1);
  }
}

struct storm_result {
  int kills = 0;
  std::uint64_t items = 0;
  std::uint64_t again = 0;  // received by more than one
};

/// Between two kills: 2 to this power, in microseconds. In an emulator it takes much longer to begin.
#if defined(BELFRY_TEST_EMULATED)
constexpr unsigned longest_pause_log2 = 20;
#else
constexpr unsigned longest_pause_log2 = 12;
#endif

/// Kills a random process again and again, and starts another one in its place: for this long, and on until
/// what the storm is about has happened (a watchdog ends a storm where it never does).
template <class Start, class Happened>
int rage(std::chrono::milliseconds length, std::vector<std::unique_ptr<child>>& all, Start start,
         const ledger& l, std::mt19937& random, Happened happened) {
  int kills = 0;
  const auto end = std::chrono::steady_clock::now() + length;
  for (; (std::chrono::steady_clock::now() < end || !happened()) && l.next.load() < ledger::most; ++kills) {
    a_while(random, longest_pause_log2);
    const std::size_t victim = random() % all.size();
    all[victim]->kill();
    all[victim] = start(victim);
  }
  return kills;
}

template <class Kit>
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
        send_work<Kit>(name, **l, way);
      } else {
        receive_work<Kit>(name, **l, i - producers, way);
      }
    });
  };
  // Keeps the channel until the last consumer has joined, however late that is.
  net::io_context io;
  auto keeper = meet<typename Kit::channel>::producer(io, name, Kit::options());
  std::vector<std::unique_ptr<child>> all;
  for (std::size_t i = 0; i != producers + consumers; ++i) all.push_back(start(i));

  storm_result r;
  r.kills = rage(length, all, start, **l, random, [&] { return (*l)->again.load(); });
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

// ---- broadcast_ring, byte_broadcast_ring -------------------------------------------------------------------

template <overflow Mode>
using news = channel<broadcast_ring<work_item, 64, Mode>>;
template <overflow Mode>
using films = channel<byte_broadcast_ring<Mode>>;

template <class Channel>
constexpr bool may_lose = Channel::ring_type::traits.overwrites;
template <class Channel>
constexpr bool holds = detail::in_place_ring<typename Channel::ring_type>;

template <class Channel>
channel_options options_of() {
  channel_options o;
  if (holds<Channel>) o.slots = 64, o.message_bytes = 256;
  return o;
}

/// One value after the other; each is recorded before and after. The last one is sent when all consumers have joined: a
/// value that none of them has received would keep the segment.
template <class Channel>
void publish(const std::string& name, ledger& l) {
  net::io_context io;
  auto tx = meet<Channel>::producer(io, name, options_of<Channel>());
  for (bool last = false; !last;) {
    last = l.enough.load();
    const std::uint64_t id = l.next.load();  // there is no other producer now
    if (id >= ledger::most) return;
    l.sent[id].store(1);
    l.next.store(id + 1);
    error_code ec;
    const outgoing_item out(id);
    const typename Channel::producer::value_type& value = out;
    do {
      ec = tx.send(value);
    } while (ec == errc::peer_died || ec == errc::closed);
    EXPECT_EQ(ec, error_code());
    l.sent[id].store(2);
  }
}

/// Nothing is missing except an item whose producer was killed while sending it, and what was reported as
/// lost. Messages are held for a while, and stay as they are.
template <class Channel>
void follow(const std::string& name, ledger& l, std::size_t number) {
  net::io_context io;
  auto rx = meet<Channel>::consumer(io, name, options_of<Channel>());
  l.joined[number].store(::getpid());
  std::uint64_t next = ~std::uint64_t{0};
  std::uint64_t lost = 0;
  std::vector<typename Channel::consumer::value_type> held(number * 8 + 1);
  for (std::uint64_t turn = 0;; ++turn) {
    auto& got = held[turn % held.size()];
    if constexpr (holds<Channel>) {
      if (got) item_in(got);
    }
    got = {};
    const error_code ec = rx.receive(got);
    if (ec == errc::peer_died) continue;
    if (ec == errc::closed) {
      if (l.enough.load()) return;
      continue;
    }
    if (ec == errc::lagged) {
      EXPECT(may_lose<Channel>);
      lost += rx.lost();
      continue;
    }
    EXPECT_EQ(ec, error_code());
    const work_item w = item_in(got);
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
    l.delivered.store(true);
  }
}

template <class Channel>
storm_result news_storm(std::chrono::milliseconds length) {
  const std::string name = unique_name("news-storm");
  const nothing_left check(name);
  const auto l = std::make_unique<shared<ledger>>();
  std::mt19937 random(random_seed());
  constexpr std::size_t consumers = 3;
  const auto start = [&](std::size_t i) {
    return std::make_unique<child>([&, i] {
      if (i == consumers) {
        publish<Channel>(name, **l);
      } else {
        follow<Channel>(name, **l, i);
      }
    });
  };
  std::vector<std::unique_ptr<child>> all;
  for (std::size_t i = 0; i <= consumers; ++i) all.push_back(start(i));
  storm_result r;
  r.kills = rage(length, all, start, **l, random, [&] { return (*l)->delivered.load(); });
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

TEST_CASE("a storm over a work_ring or byte_work_ring loses and duplicates nothing", "[storm-work]") {
  const watchdog dog;
  report(work_storm<copied_items>(std::chrono::milliseconds(sanitized ? 1000 : 2500)));
  report(work_storm<items_in_place>(std::chrono::milliseconds(sanitized ? 1000 : 2500)));
}

TEST_CASE("a storm over a broadcast_ring hides nothing from survivors", "[storm-broadcast]") {
  const watchdog dog;
  report(news_storm<news<overflow::block>>(std::chrono::milliseconds(sanitized ? 1000 : 2500)));
  report(news_storm<news<overflow::overwrite>>(std::chrono::milliseconds(sanitized ? 1000 : 2500)));
}

TEST_CASE("a storm over a byte_broadcast_ring hides nothing from survivors, and changes nothing that they hold",
          "[storm-byte-broadcast]") {
  const watchdog dog;
  report(news_storm<films<overflow::block>>(std::chrono::milliseconds(sanitized ? 1000 : 2500)));
  report(news_storm<films<overflow::overwrite>>(std::chrono::milliseconds(sanitized ? 1000 : 2500)));
}

TEST_CASE("a minute's storm over a work_ring or byte_work_ring", "[.][storm-work-long]") {
  const watchdog dog(std::chrono::seconds(600));
  report(work_storm<copied_items>(std::chrono::seconds(60)));
  report(work_storm<items_in_place>(std::chrono::seconds(60)));
}

TEST_CASE("a minute's storm over a broadcast_ring", "[.][storm-broadcast-long]") {
  const watchdog dog(std::chrono::seconds(600));
  report(news_storm<news<overflow::block>>(std::chrono::seconds(60)));
  report(news_storm<news<overflow::overwrite>>(std::chrono::seconds(60)));
}

TEST_CASE("a minute's storm over a byte_broadcast_ring", "[.][storm-byte-broadcast-long]") {
  const watchdog dog(std::chrono::seconds(600));
  report(news_storm<films<overflow::block>>(std::chrono::seconds(60)));
  report(news_storm<films<overflow::overwrite>>(std::chrono::seconds(60)));
}
