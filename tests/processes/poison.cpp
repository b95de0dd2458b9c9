// Poison: items whose workers die, and calls whose servers die. They end after max_deliveries, the items as dead letters,
// and the others pass by them.
#include "support/meeting.hpp"
#include "support/process.hpp"
#include "support/test.hpp"

#include <belfry/inspect.hpp>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <deque>
#include <memory>

#include <sys/wait.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr std::uint64_t items = 1000;
constexpr std::uint32_t deliveries = 4;
constexpr bool is_poison(std::uint64_t id) { return id % 20 == 7; }  // 50 of them

struct poison_ledger {
  std::array<std::atomic<std::uint8_t>, items> delivered{};
  std::array<std::atomic<std::uint8_t>, items> done{};
  std::array<std::atomic<std::uint8_t>, items> dead{};
};

struct of_jobs {
  using channel = belfry::channel<work_ring<std::uint64_t, 64>>;
  static channel_options options() {
    channel_options o;
    o.max_deliveries = deliveries;
    return o;
  }
  static bool send(channel::producer& tx, std::uint64_t id) { return !tx.send(id); }
  static error_code take(net::io_context& io, channel::consumer& rx, lease<std::uint64_t>& held) {
    error_code ec;
    rx.async_receive_lease([&](error_code e, lease<std::uint64_t> l) {
      ec = e;
      held = std::move(l);
    });
    io.restart();
    io.run();
    return ec;
  }
  using held = lease<std::uint64_t>;
  static std::uint64_t id_of(const held& h) { return h.value(); }
  static bool end(held& h) { return h.ack(); }
};
struct of_tasks {
  using channel = belfry::channel<byte_work_ring>;
  static channel_options options() {
    channel_options o = of_jobs::options();
    o.slots = 64;
    o.message_bytes = 2048;
    return o;
  }
  static bool send(channel::producer& tx, std::uint64_t id) {
    std::array<std::byte, 2048> bytes{};
    std::memcpy(bytes.data(), &id, sizeof id);
    return !tx.send(net::buffer(bytes.data(), 8 + id % 2000));
  }
  using held = message;
  static error_code take(net::io_context&, channel::consumer& rx, message& held) { return rx.receive(held); }
  static std::uint64_t id_of(const held& h) {
    std::uint64_t id = 0;
    EXPECT(h.size() >= sizeof id);
    std::memcpy(&id, h.bytes().data(), sizeof id);
    EXPECT_EQ(h.size(), 8 + id % 2000);
    return id;
  }
  static bool end(held& h) { return h.release(); }
};

bool has_ended(const child& c) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(c.pid()), &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid != 0;
}

template <class Kit>
void work(const std::string& name, poison_ledger& l) {
  net::io_context io;
  typename Kit::channel::consumer rx(io, name, Kit::options());
  for (;;) {
    typename Kit::held held;
    const error_code ec = Kit::take(io, rx, held);
    if (ec == errc::closed) return;
    if (ec == errc::peer_died) continue;
    EXPECT_EQ(ec, error_code());
    const std::uint64_t id = Kit::id_of(held);
    EXPECT_EQ(held.deliveries(), l.delivered[id].fetch_add(1) + 1u);
    if (is_poison(id)) ::kill(::getpid(), SIGKILL);
    l.done[id].fetch_add(1);
    EXPECT(Kit::end(held));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("poison ends as dead letters, and 200 killed workers lose no other item", "[poison]", of_jobs, of_tasks) {
  const watchdog dog;
  const std::string name = unique_name("poison");
  const nothing_left check(name);
  const auto l = std::make_unique<shared<poison_ledger>>();
  net::io_context io;
  std::optional<typename TestType::channel::producer> tx(std::in_place, io, name, TestType::options());
  typename TestType::channel::consumer dead_consumer(io, name, TestType::options());

  std::uint64_t dead = 0;
  const auto take_dead = [&](error_code ec, typename TestType::held h) {
    if (ec) return;
    const std::uint64_t id = TestType::id_of(h);
    EXPECT_EQ(h.deliveries(), deliveries);
    (**l).dead[id].fetch_add(1);
    EXPECT(TestType::end(h));
    ++dead;
  };
  child producer([&] {
    net::io_context own;
    typename TestType::channel::producer mine(own, name, TestType::options());
    for (std::uint64_t id = 0; id != items;) {
      if (TestType::send(mine, id)) ++id;  // otherwise a worker has died, or all of them are gone
    }
  });
  std::deque<child> workers;
  const auto hire = [&] {
    workers.emplace_back([&] { work<TestType>(name, **l); });
  };
  for (int i = 0; i != 3; ++i) hire();
  int killed = 0;
  std::uint64_t asked = 0;
  while (dead != items / 20) {
    if (asked == dead) {
      ++asked;
      dead_consumer.async_receive_dead(take_dead);
    }
    io.restart();
    io.run_for(std::chrono::milliseconds(1));
    for (auto w = workers.begin(); w != workers.end(); ++w) {
      if (!has_ended(*w)) continue;
      CHECK(w->wait() == 128 + SIGKILL);
      ++killed;
      workers.erase(w);
      hire();
      break;
    }
  }
  CHECK(producer.wait() == 0);
  await([&] { return inspect(name).unread == 0u; });
  tx.reset();
  for (child& w : workers) {
    const int status = w.wait();
    killed += status == 128 + SIGKILL;
    CHECK((status == 0 || status == 128 + SIGKILL));
  }
  CHECK(killed == 200);
  const poison_ledger& r = **l;
  std::uint64_t wrong = 0;
  for (std::uint64_t id = 0; id != items; ++id) {
    wrong += r.delivered[id] != (is_poison(id) ? deliveries : 1);
    wrong += r.done[id] != (is_poison(id) ? 0 : 1);
    wrong += r.dead[id] != (is_poison(id) ? 1 : 0);
  }
  CHECK(wrong == 0);
}

namespace {

constexpr std::uint64_t calls_made = 100;

struct of_questions {
  using channel = belfry::channel<call_ring<std::uint64_t, std::uint64_t, 16>>;
  using accepted = call<std::uint64_t, std::uint64_t>;
  static channel_options options() {
    channel_options o = of_jobs::options();
    o.retry = retry::another_server;
    return o;
  }
  static std::uint64_t request(const std::uint64_t& id) { return id; }
  static std::uint64_t id_of(const accepted& c) { return c.request(); }
  static bool answer(accepted& c, std::uint64_t id) { return c.reply(id); }
  static std::uint64_t number(std::uint64_t reply) { return reply; }
};
struct of_bytes_called {
  using channel = belfry::channel<byte_call_ring>;
  using accepted = byte_call;
  static channel_options options() {
    channel_options o = of_questions::options();
    o.slots = 16;
    o.message_bytes = 64;
    return o;
  }
  static std::span<const std::byte> request(const std::uint64_t& id) { return std::as_bytes(std::span(&id, 1)); }
  static std::uint64_t in(std::span<const std::byte> bytes) {
    std::uint64_t id = ~std::uint64_t{0};
    if (bytes.size() == sizeof id) std::memcpy(&id, bytes.data(), sizeof id);
    return id;
  }
  static std::uint64_t id_of(const accepted& c) { return in(c.request()); }
  static bool answer(accepted& c, std::uint64_t id) { return c.reply(request(id)); }
  static std::uint64_t number(const message& reply) { return in(reply.bytes()); }
};

template <class Kit>
void serve_until_poisoned(const std::string& name, poison_ledger& l) {
  net::io_context io;
  typename Kit::channel::server s(io, name, Kit::options());
  for (;;) {
    typename Kit::accepted c;
    EXPECT_EQ(s.accept(c), error_code());
    const std::uint64_t id = Kit::id_of(c);
    EXPECT(id < calls_made);
    EXPECT_EQ(c.deliveries(), l.delivered[id].fetch_add(1) + 1u);
    if (is_poison(id)) ::kill(::getpid(), SIGKILL);
    l.done[id].fetch_add(1);
    EXPECT(Kit::answer(c, id + 1));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("a poison call ends after max_deliveries, its client is told, and the other calls pass by it", "[poison]",
                   of_questions, of_bytes_called) {
  const watchdog dog;
  const std::string name = unique_name("poison-call");
  const nothing_left check(name);
  const auto l = std::make_unique<shared<poison_ledger>>();
  net::io_context io;
  typename TestType::channel::client c(io, name, TestType::options());
  std::array<std::uint64_t, calls_made> ids{};
  std::array<error_code, calls_made> ends{};
  std::array<std::uint64_t, calls_made> replies{};
  std::uint64_t ended = 0;
  for (std::uint64_t id = 0; id != calls_made; ++id) {
    ids[id] = id;
    c.async_call(TestType::request(ids[id]), [&, id](error_code ec, typename TestType::channel::client::reply_type reply) {
      ends[id] = ec;
      if (!ec) replies[id] = TestType::number(reply);
      ++ended;
    });
  }
  std::deque<child> servers;
  const auto hire = [&] {
    servers.emplace_back([&] { serve_until_poisoned<TestType>(name, **l); });
  };
  for (int i = 0; i != 2; ++i) hire();
  std::uint64_t killed = 0;
  while (ended != calls_made) {
    io.restart();
    io.run_for(std::chrono::milliseconds(1));
    for (auto s = servers.begin(); s != servers.end(); ++s) {
      if (!has_ended(*s)) continue;
      CHECK(s->wait() == 128 + SIGKILL);
      ++killed;
      servers.erase(s);
      hire();
      break;
    }
  }
  std::uint64_t wrong = 0;
  std::uint64_t poison = 0;
  for (std::uint64_t id = 0; id != calls_made; ++id) {
    const bool bad = is_poison(id);
    poison += bad;
    wrong += ends[id] != (bad ? error_code(errc::maybe_executed) : error_code());
    wrong += replies[id] != (bad ? 0 : id + 1);
    wrong += (**l).delivered[id] != (bad ? deliveries : 1);
    wrong += (**l).done[id] != (bad ? 0 : 1);
  }
  CHECK(wrong == 0);
  CHECK(poison * deliveries - killed <= 2);  // the last ones may not have been replaced
  CHECK(c.size() == 0);
  for (child& s : servers) s.kill();
}
