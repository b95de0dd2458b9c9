// Calls between processes that are killed: each ends once, with an outcome that is true.
#include "support/calls.hpp"
#include "traffic.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;

namespace {

using meet_here = meet_for_calls<questions>;

/// A server that accepts a call, says so, and works on it until it is killed.
void accept_and_stay(const std::string& name, const event& taken) {
  net::io_context io;
  auto s = meet_here::server(io, name);
  question_call c;
  EXPECT_EQ(s.accept(c), error_code());
  taken.set();
  for (;;) ::pause();
}

/// Answers one call.
void answer_one(const std::string& name, unsigned deliveries) {
  net::io_context io;
  auto s = meet_here::server(io, name);
  question_call c;
  EXPECT_EQ(s.accept(c), error_code());
  EXPECT_EQ(c.deliveries(), deliveries);
  EXPECT(c.reply({c.request().n + 1, 0}));
}

/// A client in this process, that waits in one of the ways.
class caller {
 public:
  caller(const std::string& name, how way, const channel_options& o = {}) : way_(way), c_(meet_here::client(io_, name, o)) {}

  error_code call(question q, answer& reply, std::chrono::nanoseconds timeout = detail::for_ever) {
    if (way_ == how::blocking) return c_.call(q, reply, timeout);
    const auto deadline = timeout == detail::for_ever ? std::chrono::steady_clock::time_point::max() : in(timeout);
    if (way_ == how::awaited) {
      error_code result;
      c_.async_call(q, deadline, [&](error_code ec, answer a) {
        result = ec;
        reply = a;
      });
      io_.restart();
      io_.run();
      return result;
    }
    for (;;) {
      auto made = c_.try_call(q, deadline);
      c_.native_handle();
      while (made && !made.done()) EXPECT_EQ(poll_for(c_), error_code());
      if (made) return made.take(reply);
      EXPECT_EQ(poll_for(c_), error_code());
    }
  }
  questions::client& c() { return c_; }
  net::io_context& io() { return io_; }

 private:
  how way_;
  net::io_context io_;
  questions::client c_;
};

}  // namespace

TEST_CASE("a server is killed while it has a call: the call may have been executed", "[call-death]") {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("killed");
    const nothing_left check(name);
    const event taken;
    const event told;
    child server([&] { accept_and_stay(name, taken); });
    child client([&] {
      caller c(name, way);
      answer a;
      EXPECT_EQ(c.call({1, 0}, a), error_code(errc::maybe_executed));
      told.set();
      EXPECT_EQ(c.call({2, 0}, a), error_code());
      EXPECT_EQ(a.n, std::uint64_t{3});
    });
    taken.wait();
    server.kill_unreaped();  // a zombie is dead
    told.wait();
    child next([&] { answer_one(name, 1); });
    CHECK(client.wait() == 0);
    CHECK(next.wait() == 0);
  }
}

TEST_CASE("a killed server's call goes to another server, if its client says so", "[call-death]") {
  const watchdog dog;
  const bool other_is_there = GENERATE(true, false);
  const std::string name = unique_name("again");
  const nothing_left check(name);
  const event taken;
  const event joined;
  child client([&] {
    channel_options o;
    o.retry = retry::another_server;
    caller c(name, how::awaited, o);
    answer a;
    EXPECT_EQ(c.call({1, 0}, a), error_code());
    EXPECT_EQ(a.n, std::uint64_t{2});
  });
  child server([&] { accept_and_stay(name, taken); });
  taken.wait();
  child other;
  if (other_is_there) {
    other = child([&] {
      net::io_context io;
      auto s = meet_here::server(io, name);
      joined.set();
      question_call c;
      EXPECT_EQ(s.accept(c), error_code());
      EXPECT_EQ(c.deliveries(), 2u);
      EXPECT(c.reply({c.request().n + 1, 0}));
    });
    joined.wait();
  }
  server.kill();
  if (!other_is_there) other = child([&] { answer_one(name, 2); });
  CHECK(client.wait() == 0);
  CHECK(other.wait() == 0);
}

TEST_CASE("a client is killed: its server is told, and its place is free", "[call-death]") {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("client");
    const nothing_left check(name);
    const event taken;
    const event told;
    child server([&] {
      net::io_context io;
      auto s = meet_here::server(io, name);
      question_call c;
      EXPECT_EQ(s.accept(c), error_code());
      taken.set();
      if (way == how::awaited) {
        error_code ec = errc::protocol_error;
        c.async_wait_cancelled([&](error_code e) { ec = e; });
        io.run();
        EXPECT_EQ(ec, error_code());
      } else if (way == how::polled) {
        while (!c.cancelled()) EXPECT_EQ(poll_for(s), error_code());
      } else {
        // A thread that blocks looks now and then.
        question_call none;
        while (!c.cancelled()) EXPECT_EQ(s.accept(none, 1ms), error_code(net::error::timed_out));
      }
      EXPECT(!c.reply({1, 0}));
      EXPECT_EQ(s.size(), std::size_t{0});
      told.set();
      EXPECT_EQ(s.accept(c), error_code());
      EXPECT(c.reply({7, 0}));
    });
    child client([&] {
      caller c(name, how::blocking);
      answer a;
      c.call({1, 0}, a);
    });
    taken.wait();
    client.kill();
    told.wait();  // or a server that looks by accepting takes the next call
    child next([&] {
      caller c(name, way);
      answer a;
      EXPECT_EQ(c.call({2, 0}, a), error_code());
      EXPECT_EQ(a.n, std::uint64_t{7});
    });
    CHECK(next.wait() == 0);
    CHECK(server.wait() == 0);
  }
}

TEST_CASE("calls that no server has end with their killed client", "[call-death]") {
  const watchdog dog;
  const std::string name = unique_name("untaken");
  const nothing_left check(name);
  const event made;
  net::io_context io;
  auto s = meet_here::server(io, name);
  {
    child client([&] {
      net::io_context io;
      auto c = meet_here::client(io, name);
      for (std::uint64_t i = 0; i != 4; ++i) c.async_call({i, 0}, [](error_code, answer) {});
      made.set();
      for (;;) ::pause();
    });
    made.wait();
    CHECK(s.size() == 4);
    client.kill();
  }
  question_call c;
  await([&] {
    CHECK(s.accept(c, 1ms) != error_code());
    return s.size() == 0;
  });
}

TEST_CASE("both sides of a call are killed: nothing is left, and the others go on", "[call-death]") {
  const watchdog dog;
  for (const bool again : {false, true}) {
    const std::string name = unique_name("both");
    const nothing_left check(name);
    const event taken;
    net::io_context io;
    auto observer = meet_here::server(io, name);
    child server([&] { accept_and_stay(name, taken); });
    child client([&] {
      channel_options o;
      if (again) o.retry = retry::another_server;
      caller c(name, how::blocking, o);
      answer a;
      c.call({1, 0}, a);
    });
    taken.wait();
    ::kill(server.pid(), SIGKILL);
    ::kill(client.pid(), SIGKILL);
    server.kill();
    client.kill();
    question_call c;
    await([&] {
      observer.accept(c, 1ms);
      c = question_call();
      return observer.size() == 0;
    });
    child last([&] {
      caller c(name, how::awaited);
      answer a;
      EXPECT_EQ(c.call({2, 0}, a), error_code());
    });
    REQUIRE(observer.accept(c, 60s) == error_code());
    CHECK(c.request().n == 2);
    CHECK(c.reply({0, 0}));
    CHECK(last.wait() == 0);
  }
}

TEST_CASE("the last server is killed before it has a call: there is no server", "[call-death]") {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("last");
    const nothing_left check(name);
    const event joined;
    child server([&] {
      net::io_context io;
      auto s = meet_here::server(io, name);
      joined.set();
      for (;;) ::pause();
    });
    joined.wait();
    child client([&] {
      channel_options o;
      o.wait_for_server = false;
      caller c(name, way, o);
      joined.set();
      answer a;
      EXPECT_EQ(c.call({1, 0}, a), error_code(errc::no_server));
    });
    joined.wait();
    ::usleep(2000);
    server.kill();
    CHECK(client.wait() == 0);
  }
}

TEST_CASE("a process that waits for a reply or a deadline sleeps", "[call-death]") {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("sleeps");
    const nothing_left check(name);
    child client([&] {
      caller c(name, way);
      answer a;
      const auto sleeps = [] {
        rusage usage{};
        ::getrusage(RUSAGE_SELF, &usage);
        return usage.ru_nvcsw;
      };
      const long before = sleeps();
      EXPECT_EQ(c.call({1, 0}, a, 200ms), error_code(errc::not_started));
      EXPECT(sleeps() - before < 20);
    });
    CHECK(client.wait() == 0);
  }
}

TEST_CASE("what killed clients and servers have left is garbage", "[call-death]") {
  if (way_to_meet() != meeting::by_name) return;
  const watchdog dog;
  const std::string name = unique_name("garbage");
  const nothing_left check(name);
  const event taken;
  {
    child server([&] { accept_and_stay(name, taken); });
    child client([&] {
      caller c(name, how::blocking);
      answer a;
      c.call({1, 0}, a);
    });
    taken.wait();
    server.stop();  // so that neither tells of the other
    client.stop();
  }
  CHECK(inspect(name).unread == 1);
  garbage_options only;
  only.names = {name};
  const std::vector<garbage> found = collect_garbage(only);
  REQUIRE(found.size() == 1);
  CHECK(found[0].is == garbage::fate::removed);
}

// ---- storms -------------------------------------------------------------------------------------------------

namespace {

enum class end : std::uint8_t { none, answered, refused, lost, not_started, exceeded, no_server, aborted };

/// The record of all processes, in memory that they share.
struct call_ledger {
  static constexpr std::size_t most = 1 << 21;

  std::atomic<std::uint64_t> next{0};
  std::atomic<std::uint64_t> target{0};
  std::atomic<bool> enough{false};
  std::atomic<std::uint64_t> executions{0};
  std::uint32_t max_deliveries = 0;
  std::array<std::atomic<std::uint8_t>, most> executed;  // how often a server has begun with it
  std::array<std::atomic<end>, most> ended;
  std::array<std::atomic<std::uint8_t>, most> again;  // it may be executed twice
};

constexpr std::uint64_t reply_to(std::uint64_t id) { return scramble({id, 77}); }

using stormy = channel<call_ring<question, answer, 16>>;

/// Several calls at a time; each end is recorded, and checked.
class storm_client {
 public:
  storm_client(const std::string& name, call_ledger& l, unsigned seed)
      : l_(l),
        random_(seed),
        again_(random_() % 2 == 0),
        waits_(random_() % 4 != 0),
        c_(meet_for_calls<stormy>::client(io_, name, options())) {}

  void run(bool blocking) {
    if (blocking) {
      while (const auto id = begin()) {
        answer a;
        const auto timeout = random_() % 8 == 0 ? std::chrono::nanoseconds(random_() % 2'000'000) : detail::for_ever;
        const error_code ec = c_.call({*id, 0}, a, timeout);
        note(*id, ec, a);
      }
      return;
    }
    for (int i = 0; i != 6; ++i) more();
    io_.run();
  }

 private:
  channel_options options() const {
    channel_options o;
    if (again_) o.retry = retry::another_server;
    o.max_deliveries = l_.max_deliveries;
    o.wait_for_server = waits_;
    return o;
  }
  std::optional<std::uint64_t> begin() {
    const std::uint64_t id = l_.next.fetch_add(1);
    if (id >= l_.target.load()) return {};
    l_.again[id].store(again_);
    return id;
  }
  void more() {
    const auto id = begin();
    if (!id) return;
    auto& slot = signals_[*id];
    const auto deadline = random_() % 8 == 0 ? in(std::chrono::nanoseconds(random_() % 2'000'000))
                                             : std::chrono::steady_clock::time_point::max();
    slot = std::make_unique<net::cancellation_signal>();
    c_.async_call({*id, 0}, deadline, net::bind_cancellation_slot(slot->slot(), [this, id = *id](error_code ec, answer a) {
      note(id, ec, a);
      signals_.erase(id);
      more();
    }));
    if (random_() % 16 == 0) {
      net::post(io_, [this, n = *id] {
        if (const auto found = signals_.find(n); found != signals_.end()) found->second->emit(net::cancellation_type::terminal);
      });
    }
  }
  void note(std::uint64_t id, const error_code& ec, const answer& a) {
    end e = end::none;
    if (!ec) e = end::answered;
    if (ec == errc::refused) e = end::refused;
    if (ec == errc::maybe_executed) e = end::lost;
    if (ec == errc::not_started) e = end::not_started;
    if (ec == errc::deadline_exceeded) e = end::exceeded;
    if (ec == errc::no_server) e = end::no_server;
    if (ec == net::error::operation_aborted) e = end::aborted;
    if (e == end::none) EXPECT_EQ(ec, error_code());
    if (e == end::answered) EXPECT_EQ(a.n, reply_to(id));
    if (e == end::no_server) {
      EXPECT(!waits_);
      ::usleep(1000);  // one is on its way; it finds some calls left
    }
    EXPECT(l_.ended[id].exchange(e) == end::none);  // each call ends once
    const std::uint8_t executed = l_.executed[id].load();
    if (e == end::answered || e == end::refused) EXPECT(executed >= 1);
    if (e == end::not_started || e == end::no_server) EXPECT_EQ(executed, std::uint8_t{0});
    if (!again_) EXPECT(executed <= 1);
  }

  call_ledger& l_;
  std::mt19937 random_;
  bool again_;
  bool waits_;
  net::io_context io_;
  std::map<std::uint64_t, std::unique_ptr<net::cancellation_signal>> signals_;
  stormy::client c_;
};

void serve_in_storm(const std::string& name, call_ledger& l, unsigned seed) {
  net::io_context io;
  auto s = meet_for_calls<stormy>::server(io, name);
  std::mt19937 random(seed);
  std::vector<call<question, answer>> held;
  const bool blocking = seed % 2 == 0;
  while (!l.enough.load(std::memory_order_relaxed)) {
    call<question, answer> c;
    error_code ec;
    if (blocking) {
      ec = s.accept(c, 2ms);
    } else {
      net::steady_timer stop(io, 2ms);
      s.async_accept([&](error_code e, call<question, answer> got) {
        ec = e;
        c = std::move(got);
        stop.cancel();
      });
      stop.async_wait([&](error_code) { s.cancel(); });
      io.restart();
      io.run();
    }
    if (c) {
      EXPECT(c.request().n < call_ledger::most);
      l.executed[c.request().n].fetch_add(1);
      l.executions.fetch_add(1);
      held.push_back(std::move(c));
    } else {
      EXPECT(ec == net::error::timed_out || ec == net::error::operation_aborted);
    }
    // Now and then it has several, and answers them in any order.
    while (!held.empty() && (!c || held.size() > random() % 4)) {
      const std::size_t which = random() % held.size();
      call<question, answer> k = std::move(held[which]);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
      if (random() % 512 == 0) ::usleep(300);
      switch (random() % 32) {
        case 0: k.fail(errc::closed); break;
        case 1: break;  // dropped
        default: k.reply({reply_to(k.request().n), 0});
      }
    }
  }
}

/// It has ended by itself, with an error.
bool failed(const child& c) {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(c.pid()), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return false;
  return info.si_code != CLD_EXITED || info.si_status != 0;
}

void call_storm(std::uint64_t calls) {
  const std::string name = unique_name("call-storm");
  const nothing_left check(name);
  const auto l = std::make_unique<shared<call_ledger>>();
  (*l)->target.store(calls);
  std::mt19937 random(random_seed());
  if (random() % 2 == 0) (*l)->max_deliveries = 2;
  constexpr std::size_t clients = 3;
  constexpr std::size_t servers = 3;
  // Keeps the channel.
  net::io_context io;
  channel_options of_channel;
  of_channel.max_deliveries = (*l)->max_deliveries;
  auto keeper = meet_for_calls<stormy>::client(io, name, of_channel);
  const auto start = [&](std::size_t i) {
    const auto seed = static_cast<unsigned>(random());
    return std::make_unique<child>([&, i, seed] {
      if (i < clients) {
        storm_client(name, **l, seed).run(seed % 4 == 0);
      } else {
        serve_in_storm(name, **l, seed);
      }
    });
  };
  std::vector<std::unique_ptr<child>> all;
  for (std::size_t i = 0; i != clients + servers; ++i) all.push_back(start(i));
  int kills = 0;
  int failures = 0;
  for (; (*l)->next.load() < calls; ++kills) {
    a_while(random, 13);
    // However slow the machine is, servers live for some calls.
    const std::uint64_t until = (*l)->executions.load() + random() % 64;
    await([&] { return (*l)->executions.load() >= until || (*l)->next.load() >= calls; });
    const std::size_t victim = random() % all.size();
    if (failed(*all[victim])) ++failures;
    all[victim]->kill();
    all[victim] = start(victim);
  }
  CHECK(failures == 0);
  for (std::size_t i = 0; i != clients; ++i) CHECK(all[i]->wait() == 0);
  (*l)->enough.store(true);
  for (std::size_t i = clients; i != all.size(); ++i) CHECK(all[i]->wait() == 0);

  std::array<std::uint64_t, 8> how{};
  std::uint64_t lies = 0, twice = 0;
  for (std::uint64_t id = 0; id != calls; ++id) {
    const end e = (*l)->ended[id].load();
    const unsigned executed = (*l)->executed[id].load();
    ++how[static_cast<std::size_t>(e)];
    if (executed > 1 && (*l)->again[id] == 0) ++lies;
    if ((*l)->max_deliveries != 0 && executed > (*l)->max_deliveries) ++lies;
    if ((e == end::not_started || e == end::no_server) && executed != 0) ++lies;  // nor was it executed later
    if ((e == end::answered || e == end::refused) && executed == 0) ++lies;
    twice += executed > 1;
  }
  CHECK(lies == 0);
  CHECK(how[static_cast<std::size_t>(end::answered)] > calls / 10);  // a server that is started late answers few
  // A call whose client was killed has no end; it has at most six.
  CHECK(how[static_cast<std::size_t>(end::none)] <= static_cast<std::uint64_t>(kills) * 6);
  CHECK(keeper.size() == 0);
  WARN(kills << " kills; " << how[1] << " answered, " << how[2] << " refused, " << how[3] << " lost, " << how[4]
             << " not started, " << how[5] << " expired, " << how[6] << " without server, " << how[7] << " cancelled, "
             << how[0] << " of killed clients; " << twice << " executed more than once; at most "
             << (*l)->max_deliveries << " deliveries");
}

}  // namespace

TEST_CASE("a storm over calls: each ends once, with an outcome that is true", "[storm-calls]") {
  const watchdog dog;
  call_storm(sanitized ? 10'000 : 100'000);
}

TEST_CASE("a storm over a million calls", "[.][storm-calls-long]") {
  const watchdog dog(std::chrono::seconds(900));
  call_storm(1'000'000);
}
