// The programs at both ends of a bridge that carries calls.
//
//     nats-caller serve RING NAME HOW [LEDGER]     HOW: answer, refuse, or hold: until the call is cancelled
//     nats-caller ask RING NAME NUMBER MS [OPTION]  one call, with a deadline (0: none); says how it has ended
//     nats-caller storm NAME LEDGER                 calls until its standard input ends; the ledger agrees with each outcome
//     nats-caller other NAME                        makes a channel of another type, and stays
//
// RING: calls, or pages, with requests and replies of any size. OPTION: impatient, which waits for no server; again, whose
// call may be delivered again; large, which asks for a reply of 5000 bytes. A server says "ready", and what it accepts.
// A ledger is a block with a byte for each number: how often it was executed.
#include <belfry/belfry.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/steady_timer.hpp>
#else
#include <asio/steady_timer.hpp>
#endif

namespace {

using namespace std::chrono_literals;
namespace net = belfry::net;

struct question {
  std::uint64_t number;
  std::uint64_t twice;
};
BOOST_DESCRIBE_STRUCT(question, (), (number, twice))
struct answer {
  std::uint64_t number;
  std::int64_t minus;
  std::uint32_t deliveries;
};
BOOST_DESCRIBE_STRUCT(answer, (), (number, minus, deliveries))

using calls = belfry::channel<belfry::call_ring<question, answer, 16>>;
using pages = belfry::channel<belfry::byte_call_ring>;

net::io_context io;
constexpr belfry::detail::net_as_tuple_t<net::use_awaitable_t<>> as_result{net::use_awaitable};

[[noreturn]] void fail(const std::string& why) {
  std::cerr << "nats-caller: " << why << '\n';
  std::_Exit(1);
}

std::vector<std::byte> bytes_of(std::uint64_t n, std::size_t size) {
  std::vector<std::byte> bytes(size, static_cast<std::byte>(n));
  std::memcpy(bytes.data(), &n, sizeof n);
  return bytes;
}
std::uint64_t number_in(std::span<const std::byte> bytes) {
  std::uint64_t n = 0;
  if (bytes.size() < sizeof n) fail("a message of " + std::to_string(bytes.size()) + " bytes");
  std::memcpy(&n, bytes.data(), sizeof n);
  return n;
}

// The same for both rings.
question make_request(calls::client*, std::uint64_t n, bool) { return {n, 2 * n}; }
std::vector<std::byte> make_request(pages::client*, std::uint64_t n, bool large) {
  return bytes_of(n, large ? 5000 : 8 + n % 50);
}
void check(std::uint64_t n, const answer& a) {
  if (a.number != n || a.minus != -static_cast<std::int64_t>(n)) fail("a reply to another call");
}
void check(std::uint64_t n, const belfry::message& m) {
  if (number_in(m.bytes()) != n || (m.size() != 10 + n % 70 && m.size() != 5000)) fail("a reply to another call");
}
std::uint64_t number_of(const belfry::call<question, answer>& c) {
  if (c.request().twice != 2 * c.request().number) fail("a damaged request");
  return c.request().number;
}
std::uint64_t number_of(const belfry::byte_call& c) {
  const std::uint64_t n = number_in(c.request());
  if (c.request().size() != 8 + n % 50 && c.request().size() != 5000) fail("a damaged request");
  return n;
}
void reply_to(belfry::call<question, answer>& c, std::uint64_t n) {
  c.reply({n, -static_cast<std::int64_t>(n), c.deliveries()});
}
void reply_to(belfry::byte_call& c, std::uint64_t n) {
  c.reply(net::buffer(bytes_of(n, c.request().size() == 5000 ? 5000 : 10 + n % 70)));
}

/// How often each number was executed.
class ledger {
 public:
  ledger() = default;
  explicit ledger(const std::string& name) {
    belfry::error_code ec;
    block_ = belfry::shared_memory::create(name, size, 0600, ec);
    if (ec) block_ = belfry::shared_memory::open(name);
  }
  void executed(std::uint64_t n) {
    if (block_.size() != 0) at(n).fetch_add(1);
  }
  unsigned times(std::uint64_t n) { return at(n).load(); }
  static constexpr std::size_t size = 1 << 22;

 private:
  std::atomic_ref<std::uint8_t> at(std::uint64_t n) {
    if (n >= size) fail("the ledger is too small");
    return std::atomic_ref(reinterpret_cast<std::uint8_t*>(block_.buf().data())[n]);
  }
  belfry::shared_memory block_;
};

template <class Call>
net::awaitable<void> hold(Call c) {
  const std::uint64_t n = number_of(c);
  co_await c.async_wait_cancelled(net::use_awaitable);
  std::cout << "cancelled " << n << std::endl;
}

template <class Server>
net::awaitable<void> serve(Server s, std::string how, ledger done) {
  std::cout << "ready" << std::endl;
  for (std::uint64_t count = 0;; ++count) {
    auto c = co_await s.async_accept(net::use_awaitable);
    const std::uint64_t n = number_of(c);
    if (how != "answer" || count % 500 == 0) std::cout << "accepted " << n << std::endl;
    done.executed(n);
    if (how == "hold") {
      net::co_spawn(io, hold(std::move(c)), net::detached);
    } else if (how == "refuse") {
      c.fail(std::make_error_code(std::errc::no_space_on_device));
    } else {
      reply_to(c, n);
    }
  }
}

std::string name_of(const belfry::error_code& ec) {
  if (!ec) return "answered";
  if (ec == belfry::errc::not_started) return "not_started";
  if (ec == belfry::errc::deadline_exceeded) return "deadline_exceeded";
  if (ec == belfry::errc::maybe_executed) return "maybe_executed";
  if (ec == belfry::errc::refused) return "refused";
  if (ec == belfry::errc::no_server) return "no_server";
  if (ec == belfry::errc::overloaded) return "overloaded";
  return ec.message();
}

template <class Client>
net::awaitable<void> ask(Client c, std::uint64_t n, std::uint64_t ms, bool large) {
  using clock = std::chrono::steady_clock;
  const auto deadline = ms == 0 ? clock::time_point::max() : clock::now() + std::chrono::milliseconds(ms);
  const auto request = make_request(&c, n, large);
  std::cout << "asks" << std::endl;
  auto [ec, reply] = co_await c.async_call(request, deadline, as_result);
  if (!ec) check(n, reply);
  std::cout << name_of(ec);
  if (ec == belfry::errc::refused) std::cout << ": " << c.refusal().message();
  std::cout << std::endl;
}

// ---- a storm

struct storm_state {
  std::vector<signed char> outcomes;  // by number: 1: answered, 0: not executed, -1: not known
  std::map<std::string, std::uint64_t> counts;
  std::uint64_t next = 0;
  int running = 0;
  std::atomic<bool> over{false};
};

net::awaitable<void> storm(calls::client& c, storm_state& all) {
  while (!all.over) {
    const std::uint64_t n = all.next++;
    all.outcomes.resize(all.next, -1);
    // A third has no deadline, a third a short one.
    auto deadline = std::chrono::steady_clock::time_point::max();
    if (n % 3 == 1) deadline = std::chrono::steady_clock::now() + 20ms;
    if (n % 3 == 2) deadline = std::chrono::steady_clock::now() + 10s;
    auto [ec, reply] = co_await c.async_call(make_request(&c, n, false), deadline, as_result);
    if (!ec) check(n, reply);
    ++all.counts[name_of(ec)];
    if (!ec) all.outcomes[n] = 1;
    if (ec == belfry::errc::not_started || ec == belfry::errc::no_server) all.outcomes[n] = 0;
    if (!ec && all.counts["answered"] % 200 == 0) std::cout << all.counts["answered"] << std::endl;
    if (ec) {
      net::steady_timer pause(io, 5ms);
      co_await pause.async_wait(net::use_awaitable);
    }
  }
  --all.running;
}

int run_storm(const std::string& name, const std::string& ledger_name) {
  ledger done(ledger_name);
  storm_state all;
  std::thread([&all] {
    std::string line;
    while (std::getline(std::cin, line)) {}
    all.over = true;
  }).detach();
  calls::client c(io, name);
  for (; all.running != 8; ++all.running) net::co_spawn(io, storm(c, all), net::detached);
  io.run();
  std::this_thread::sleep_for(2s);  // what is still on its way
  for (std::uint64_t n = 0; n != all.next; ++n) {
    const unsigned times = done.times(n);
    if (times > 1) fail("call " + std::to_string(n) + " was executed " + std::to_string(times) + " times");
    if (all.outcomes[n] == 1 && times == 0) fail("call " + std::to_string(n) + " was answered, and not executed");
    if (all.outcomes[n] == 0 && times != 0) fail("call " + std::to_string(n) + " was executed, and its client told otherwise");
  }
  for (const auto& [what, count] : all.counts) std::cout << count << ' ' << what << ", ";
  std::cout << std::endl;
  return 0;
}

int run(const std::vector<std::string>& a) {
  const std::string option = a.size() > 5 ? a[5] : "";
  belfry::channel_options o;
  o.wait_for_server = option != "impatient";
  o.retry = option == "again" ? belfry::retry::another_server : belfry::retry::never;
  belfry::channel_options of_pages = o;
  of_pages.slots = 16;
  of_pages.message_bytes = 8192;
  if (a.at(0) == "serve") {
    ledger done = a.size() > 4 ? ledger(a[4]) : ledger();
    if (a.at(1) == "pages") {
      net::co_spawn(io, serve(pages::server(io, a.at(2), of_pages), a.at(3), std::move(done)), net::detached);
    } else {
      net::co_spawn(io, serve(calls::server(io, a.at(2), o), a.at(3), std::move(done)), net::detached);
    }
    io.run();
    return 0;
  }
  if (a[0] == "ask") {
    const std::uint64_t n = std::stoull(a.at(3));
    const std::uint64_t ms = std::stoull(a.at(4));
    if (a.at(1) == "pages") {
      net::co_spawn(io, ask(pages::client(io, a.at(2), of_pages), n, ms, option == "large"), net::detached);
    } else {
      net::co_spawn(io, ask(calls::client(io, a.at(2), o), n, ms, false), net::detached);
    }
    io.run();
    return 0;
  }
  if (a[0] == "storm") return run_storm(a.at(1), a.at(2));
  if (a[0] == "other") {
    belfry::channel<belfry::call_ring<answer, answer, 16>>::server s(io, a.at(1), o);
    std::cout << "ready" << std::endl;
    for (;;) ::pause();
  }
  return 2;
}

}  // namespace

int main(int argc, char** argv) try {
  return run({argv + 1, argv + argc});
} catch (const std::exception& e) {
  std::cerr << "nats-caller: " << e.what() << '\n';
  return 1;
}
