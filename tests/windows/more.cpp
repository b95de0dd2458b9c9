// What else holds between processes of Windows: lifetimes, refusals, leases, calls, foreign loops, many peers.
#include "platform/windows/system.hpp"
#include "started.hpp"
#include "support/catch.hpp"

#include <belfry/belfry.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

using namespace std::chrono_literals;
using numbers = channel<spsc_ring<std::uint64_t, 64>>;
using jobs = channel<work_ring<std::uint64_t, 64>>;
using news = channel<broadcast_ring<std::uint64_t, 64, overflow::overwrite>>;
using quotes = channel<call_ring<std::uint64_t, std::uint64_t, 16>>;

void send_and_leave(const std::string& name) {
  net::io_context io;
  numbers::producer tx(io, name);
  for (std::uint64_t n = 1; n <= 5; ++n) EXPECT(tx.try_send(n));
}

void hold_a_lease(const std::string& name) {
  net::io_context io;
  jobs::consumer rx(io, name);
  net::co_spawn(
      io,
      [&]() -> net::awaitable<void> {
        auto lease = co_await rx.async_receive_lease(net::use_awaitable);
        EXPECT(lease.value() == 42);
        event(name + "-leased").set();
        sleep_forever();
      },
      [](std::exception_ptr e) {
        if (e) std::rethrow_exception(e);
      });
  io.run();
}

void work_until_killed(const std::string& name) {
  net::io_context io;
  jobs::consumer rx(io, name);
  event(name + "-joined").set();
  for (;;) {
    std::uint64_t n = 0;
    if (const error_code ec = rx.receive(n, 60s); ec && ec != errc::closed && ec != errc::peer_died)
      throw net_system_error(ec);
  }
}

net::awaitable<void> answer(quotes::server& s, std::string name) {
  for (;;) {
    auto c = co_await s.async_accept(net::use_awaitable);
    if (c.request() == 13) {
      event(name + "-taken").set();
      sleep_forever();
    }
    c.reply(2 * c.request());
  }
}

void join_as_producer(const std::string& name) {
  net::io_context io;
  jobs::producer tx(io, name);
  event(name + "-joined").set();
  sleep_forever();
}

void serve(const std::string& name) {
  net::io_context io;
  quotes::server s(io, name);
  std::exception_ptr failed;
  net::co_spawn(io, answer(s, name), [&](std::exception_ptr e) { failed = e; });
  io.run();
  if (failed) std::rethrow_exception(failed);
}

void hear(const std::string& name) {
  net::io_context io;
  news::consumer rx(io, name);
  event(name + "-joined").set();
  std::uint64_t n = 0;
  while (true) {
    const error_code ec = rx.receive(n, 60s);
    if (ec == errc::lagged) continue;
    EXPECT(!ec);
    if (n == 99) return;
  }
}

void echo(const std::string& name) {
  net::io_context io;
  numbers::consumer rx(io, name + "-there");
  numbers::producer tx(io, name + "-back");
  for (std::uint64_t n = 0; !rx.receive(n, 60s) && n != 0;) tx.send(n);
}

void echo_awaiting(const std::string& name) {
  net::io_context io;
  numbers::consumer rx(io, name + "-there");
  numbers::producer tx(io, name + "-back");
  net::co_spawn(
      io,
      [&]() -> net::awaitable<void> {
        for (;;) {
          const std::uint64_t n = co_await rx.async_receive(net::use_awaitable);
          if (n == 0) co_return;
          co_await tx.async_send(n, net::use_awaitable);
        }
      },
      net::detached);
  io.run();
}

std::uint64_t processor_time() {
  FILETIME created{}, ended{}, kernel{}, user{};
  EXPECT(::GetProcessTimes(::GetCurrentProcess(), &created, &ended, &kernel, &user) != 0);
  const auto in_100_ns = [](const FILETIME& t) { return std::uint64_t{t.dwHighDateTime} << 32 | t.dwLowDateTime; };
  return in_100_ns(kernel) + in_100_ns(user);
}

/// Awaits a value, and tells what that has taken.
void await_idle(const std::string& name) {
  net::io_context io;
  numbers::consumer rx(io, name);
  std::uint64_t got = 0;
  error_code failed;
  rx.async_receive([&](const error_code& ec, std::uint64_t n) {
    failed = ec;
    got = n;
  });
  io.run_for(500ms);  // until everything is asleep
  const std::uint64_t before = processor_time();
  event(name + "-asleep").set();
  io.restart();
  io.run();
  const std::uint64_t taken = processor_time() - before;
  EXPECT(!failed && got == 7);
  EXPECT(taken <= 500'000);  // 50 ms; the clock has ticks of 10 or 16 ms
}

void echo_by_events(const std::string& name) {
  HANDLE there = ::OpenEventA(SYNCHRONIZE, FALSE, ("Local\\" + name + "-there").c_str());
  HANDLE back = ::OpenEventA(EVENT_MODIFY_STATE, FALSE, ("Local\\" + name + "-back").c_str());
  HANDLE never = ::CreateEventW(nullptr, FALSE, FALSE, nullptr);
  const HANDLE both[]{there, never};
  event(name + "-ready").set();
  while (::WaitForMultipleObjects(2, both, FALSE, 5000) == WAIT_OBJECT_0) ::SetEvent(back);
}

const body all[]{
    {"send-and-leave", send_and_leave},     {"hold-a-lease", hold_a_lease},   {"work-until-killed", work_until_killed},
    {"join-as-producer", join_as_producer}, {"serve", serve},                 {"hear", hear},
    {"echo", echo},                         {"echo-awaiting", echo_awaiting}, {"echo-by-events", echo_by_events},
    {"await-idle", await_idle},
};

/// The middle of some round trips, in microseconds.
template <class Function>
double median_of(Function round_trip) {
  std::vector<double> times;
  for (int i = 0; i != 300; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    round_trip();
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  }
  std::ranges::nth_element(times, times.begin() + 150);
  return times[150];
}

/// The files that this test has left, or that have lost their names: their last user, who keeps them mapped, has gone.
std::size_t files_left() {
  collect_garbage();
  return files_of(names_of_this_process()) + stray_files("gone-") + stray_files("new-");
}

}  // namespace

TEST_CASE("a channel lives until it is drained, with no process alive", "[more]") {
  const std::string name = unique_name("drained");
  CHECK(started("send-and-leave", name).wait() == 0);
  CHECK(files_of(name) == 1);
  {
    net::io_context io;
    numbers::consumer rx(io, name);
    for (std::uint64_t n = 1; n <= 5; ++n) CHECK(rx.try_receive() == n);
    std::uint64_t n = 0;
    CHECK(rx.receive(n, 60s) == errc::closed);
    rx.close();
    CHECK(files_of(name) == 0);
  }
  CHECK(files_left() == 0);
}

TEST_CASE("names: case and devices are not folded, and a long name is refused", "[more]") {
  net::io_context io;
  const std::string name = unique_name("name");
  numbers::producer small(io, name + "-a");
  numbers::producer large(io, name + "-A");
  numbers::producer device(io, "nul");
  numbers::producer odd(io, name + "-%:?*");
  CHECK(small.try_send(1));
  CHECK(large.try_send(2));
  numbers::consumer rx(io, name + "-A");
  CHECK(rx.try_receive() == std::uint64_t{2});
  std::set<std::string> seen;
  for (const segment_entry& e : list_segments()) seen.insert(e.name);
  CHECK(seen.contains(name + "-a"));
  CHECK(seen.contains(name + "-A"));
  CHECK(seen.contains("nul"));
  CHECK(seen.contains(name + "-%:?*"));
  error_code ec;
  numbers::producer refused(io, std::string(120, 'A'), channel_options{}, ec);
  CHECK(ec == std::errc::filename_too_long);
  small.close();
  numbers::unlink(name + "-a", ec);
}

TEST_CASE("a second consumer is refused, and so is another type", "[more]") {
  net::io_context io;
  const std::string name = unique_name("refused");
  numbers::consumer rx(io, name);
  error_code ec;
  numbers::consumer second(io, name, channel_options{}, ec);
  CHECK(ec == errc::role_taken);
  channel<spsc_ring<double, 64>>::producer other(io, name, channel_options{}, ec);
  CHECK(ec == errc::incompatible);
  const channel_info info = inspect(name);
  CHECK(info.alive() == 1);
  CHECK(info.kind == "spsc_ring");
  CHECK(info.participants.front().pid == ::GetCurrentProcessId());
}

TEST_CASE("an unlinked channel continues, and its name is free at once", "[more]") {
  const std::string name = unique_name("unlinked");
  {
    net::io_context io;
    numbers::producer tx(io, name);
    numbers::consumer rx(io, name);
    numbers::unlink(name);
    CHECK(files_of(name) == 0);
    numbers::consumer another(io, name);  // of a new channel
    CHECK(tx.try_send(1));
    CHECK_FALSE(another.try_receive());
    std::uint64_t n = 0;
    CHECK(rx.receive(n, 60s) == error_code());
    CHECK(n == 1);
    tx.close();
    CHECK(rx.receive(n, 60s) == errc::closed);
    rx.close();
    another.close();
    CHECK(files_of(name) == 0);
  }
  CHECK(files_left() == 0);
}

TEST_CASE("what a killed consumer holds is delivered again", "[more]") {
  net::io_context io;
  const std::string name = unique_name("lease");
  const event leased(name + "-leased");
  jobs::producer tx(io, name);
  started consumer("hold-a-lease", name);
  CHECK(tx.try_send(42));
  leased.wait();
  jobs::consumer rx(io, name);
  std::uint64_t got = 0;
  rx.async_receive([&](const error_code& ec, std::uint64_t n) {
    CHECK(ec == error_code());
    got = n;
  });
  for (int i = 0; i != 20; ++i) io.poll();
  REQUIRE(got == 0);
  consumer.kill();
  io.restart();
  io.run();
  CHECK(got == 42);
}

TEST_CASE("calls: replies from another process, and a killed server", "[more]") {
  net::io_context io;
  const std::string name = unique_name("calls");
  const event taken(name + "-taken");
  quotes::client c(io, name);
  started server("serve", name);
  std::uint64_t sum = 0;
  error_code killed;
  net::co_spawn(
      io,
      [&]() -> net::awaitable<void> {
        for (std::uint64_t n = 20; n != 120; ++n) sum += co_await c.async_call(n, net::use_awaitable);
      },
      net::detached);
  io.run();
  CHECK(sum == 13900);
  io.restart();
  c.async_call(13, [&](const error_code& ec, std::uint64_t) { killed = ec; });
  io.poll();
  taken.wait();
  server.kill();
  io.restart();
  io.run();
  CHECK(killed == errc::maybe_executed);
}

TEST_CASE("a foreign loop waits with WaitForMultipleObjects", "[more]") {
  net::io_context io;
  const std::string name = unique_name("loop");
  numbers::consumer rx(io, name);
  const HANDLE handle = rx.native_handle();
  started producer("send-and-leave", name);
  std::uint64_t sum = 0;
  for (error_code ec; !ec;) {
    while (const auto n = rx.try_receive()) sum += *n;
    if (rx.prepare_wait()) REQUIRE(::WaitForMultipleObjects(1, &handle, FALSE, 60'000) == WAIT_OBJECT_0);
    ec = rx.finish_wait();
    if (ec) CHECK(ec == errc::closed);
  }
  CHECK(sum == 15);
}

TEST_CASE("a foreign loop is told of two deaths at once", "[more]") {
  net::io_context io;
  const std::string name = unique_name("loop");
  const event joined(name + "-joined");
  jobs::consumer rx(io, name);
  const HANDLE handle = rx.native_handle();
  started one("join-as-producer", name);
  started two("join-as-producer", name);
  for (int n = 0; n != 2; ++n) joined.wait();
  REQUIRE(rx.prepare_wait());
  one.kill();
  two.kill();
  REQUIRE(::WaitForMultipleObjects(1, &handle, FALSE, 600'000) == WAIT_OBJECT_0);
  for (int told = 0;;) {
    if (const error_code ec = rx.finish_wait()) {
      CHECK(ec == errc::peer_died);
      if (++told == 2) break;
    }
    if (rx.prepare_wait()) REQUIRE(::WaitForMultipleObjects(1, &handle, FALSE, 600'000) == WAIT_OBJECT_0);
  }
}

TEST_CASE("a thread waits for more peers than one call of Windows takes", "[more]") {
  net::io_context io;
  const std::string name = unique_name("many");
  channel_options o;
  o.participants = 101;
  news::producer tx(io, name, o);
  std::vector<std::unique_ptr<news::consumer>> crowd;
  for (int i = 0; i != 80; ++i) crowd.push_back(std::make_unique<news::consumer>(io, name, o));
  const event joined(name + "-joined");
  started other("hear", name);
  joined.wait();
  // One of many sleeps in a thread, and is woken by its bell; what another process does still arrives.
  bool sent = false;
  std::thread sender([&] {
    std::this_thread::sleep_for(50ms);
    sent = tx.try_send(99);
  });
  std::uint64_t n = 0;
  CHECK(crowd.back()->receive(n, 60s) == error_code());
  CHECK(n == 99);
  sender.join();
  CHECK(sent);
  CHECK(other.wait() == 0);
}

TEST_CASE("kill storm: consumers are terminated at random, and every item is taken or still there", "[storm]") {
  const std::string name = unique_name("storm");
  {
    net::io_context io;
    jobs::producer tx(io, name);
    const event joined(name + "-joined");
    std::minstd_rand random(1);
    std::uint64_t sent = 0;
    constexpr int rounds = 40;
    std::vector<started> consumers(3);
    for (int round = 0; round != rounds; ++round) {
      started& c = consumers[static_cast<std::size_t>(round) % consumers.size()];
      c.kill();
      c = started("work-until-killed", name);
      joined.wait();
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(random() % 60);
      while (std::chrono::steady_clock::now() < until) {
        const error_code ec = tx.send(sent, 20ms);
        if (!ec) ++sent;
        REQUIRE((!ec || ec == errc::peer_died || ec == errc::closed || ec == net::error::timed_out));
      }
    }
    for (started& c : consumers) c.kill();
    // Of the participants only the producer is left; all deaths are counted, and what was not taken can be received.
    jobs::consumer rx(io, name);
    const channel_info info = inspect(name);
    CHECK(info.alive() == 2);
    CHECK(info.deaths == rounds);
    while (rx.try_receive()) {
    }
    const channel_info after = inspect(name);
    CHECK(after.sent.messages == sent);
    CHECK(after.unread == std::uint64_t{0});
    // An item that a consumer has taken and not counted before it was killed: one for each at most.
    CHECK(after.received.messages <= sent);
    CHECK(after.received.messages + rounds >= sent);
    tx.close();
    rx.close();
  }
  CHECK(files_left() == 0);
}

TEST_CASE("a consumer that waits takes no processor time", "[idle]") {
  net::io_context io;
  const std::string name = unique_name("idle");
  const event asleep(name + "-asleep");
  numbers::producer tx(io, name);
  started consumer("await-idle", name);
  asleep.wait();
  std::this_thread::sleep_for(10s);
  CHECK(tx.try_send(7));
  CHECK(consumer.wait() == 0);
}

TEST_CASE("round trips, both ends asleep", "[figures]") {
  const std::string name = unique_name("rtt");
  double events = 0;
  {
    HANDLE there = ::CreateEventA(nullptr, FALSE, FALSE, ("Local\\" + name + "-there").c_str());
    HANDLE back = ::CreateEventA(nullptr, FALSE, FALSE, ("Local\\" + name + "-back").c_str());
    HANDLE never = ::CreateEventW(nullptr, FALSE, FALSE, nullptr);
    const HANDLE both[]{back, never};
    const event ready(name + "-ready");
    started other("echo-by-events", name);
    ready.wait();
    events = median_of([&] {
      ::SetEvent(there);
      ::WaitForMultipleObjects(2, both, FALSE, 5000);
    });
    other.kill();
    for (HANDLE h : {there, back, never}) ::CloseHandle(h);
  }
  net::io_context io;
  double blocking = 0;
  double awaiting = 0;
  {
    numbers::producer tx(io, name + "-there");
    numbers::consumer rx(io, name + "-back");
    started other("echo", name);
    blocking = median_of([&] {
      std::uint64_t n = 0;
      CHECK(tx.send(1, 60s) == error_code());
      CHECK(rx.receive(n, 60s) == error_code());
    });
    tx.send(0, 60s);
    CHECK(other.wait() == 0);
  }
  {
    const std::string second = name + "-2";
    numbers::producer tx(io, second + "-there");
    numbers::consumer rx(io, second + "-back");
    started other("echo-awaiting", second);
    net::co_spawn(
        io,
        [&]() -> net::awaitable<void> {
          std::vector<double> times;
          for (int i = 0; i != 300; ++i) {
            const auto begin = std::chrono::steady_clock::now();
            co_await tx.async_send(1, net::use_awaitable);
            co_await rx.async_receive(net::use_awaitable);
            times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
          }
          std::ranges::nth_element(times, times.begin() + 150);
          awaiting = times[150];
          co_await tx.async_send(0, net::use_awaitable);
        },
        net::detached);
    io.run();
    CHECK(other.wait() == 0);
  }
  std::printf("round trip in us: events %.0f, blocking %.0f, co_await %.0f\n", events, blocking, awaiting);
  CHECK(awaiting > 0);
}
