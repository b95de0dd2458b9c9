// The programs at both ends of a bridge: producers of numbers, and consumers that check them.
//
//     nats-peer send RING NAME FIRST COUNT [MICROSECONDS]     numbers FIRST, FIRST + 1, …; pauses after each hundred
//     nats-peer load RING NAME          does what its standard input says, a line each, and tells how many it has sent:
//                                       `send COUNT`; `offer SECONDS`: 2000 attempts for each, and how many were refused
//     nats-peer check RING NAME COUNT                         every number from 0 on, once and in order
//     nats-peer work RING NAME COUNT                          every number at least once; again only as a redelivery
//     nats-peer large NAME [BYTES]                            the one message of `send large NAME 0 [BYTES]`
//     nats-peer newest NAME LAST                              growing numbers, until LAST
//     nats-peer other NAME                                    makes a channel of another type, and stays
//
// A COUNT of 0: a sender goes on until its standard input ends, and then says how many it has sent; `check` and `work` read
// how many there are from theirs. Consumers say "ready" when they have joined, and tell how far they are.
// RING: spsc, byte, work, tasks, news, video, latest; frames: spsc with values of 12000 bytes; big and bigtasks: byte and
// tasks with messages of up to 12000 bytes;
// large: one message of 5000 bytes, or as many as are given.
#include <belfry/belfry.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

using namespace std::chrono_literals;

struct item {
  std::uint64_t number;
  std::uint64_t twice;
};
BOOST_DESCRIBE_STRUCT(item, (), (number, twice))
struct frame {
  std::array<std::uint64_t, 1500> numbers;
};
BOOST_DESCRIBE_STRUCT(frame, (), (numbers))
struct other {
  double a;
  double b;
};
BOOST_DESCRIBE_STRUCT(other, (), (a, b))

using spsc = belfry::channel<belfry::spsc_ring<item, 512>>;
using frames = belfry::channel<belfry::spsc_ring<frame, 16>>;
using bytes = belfry::channel<belfry::byte_ring>;
using jobs = belfry::channel<belfry::work_ring<item, 512>>;
using tasks = belfry::channel<belfry::byte_work_ring>;
using video = belfry::channel<belfry::byte_broadcast_ring<belfry::overflow::block>>;
using news = belfry::channel<belfry::broadcast_ring<item, 1024, belfry::overflow::block>>;
using now = belfry::channel<belfry::latest<item>>;

belfry::net::io_context io;

/// The size of a message depends on its number.
bool big = false;
std::size_t size_of(std::uint64_t n) { return 8 + (big ? n * 7919 % 12000 : n % 50); }
std::vector<std::byte> message(std::uint64_t n) {
  std::vector<std::byte> m(size_of(n), static_cast<std::byte>(n));
  std::memcpy(m.data(), &n, sizeof n);
  return m;
}
std::uint64_t number_of(const belfry::message& m) {
  std::uint64_t n = 0;
  if (m.size() < sizeof n) return ~std::uint64_t{0};
  std::memcpy(&n, m.bytes().data(), sizeof n);
  if (m.size() != size_of(n)) return ~std::uint64_t{0};
  for (const std::byte b : m.bytes().subspan(sizeof n))
    if (b != static_cast<std::byte>(n)) return ~std::uint64_t{0};
  return n;
}
std::uint64_t number_of(const item& i) { return i.twice == 2 * i.number ? i.number : ~std::uint64_t{0}; }
std::uint64_t number_of(const frame& f) {
  const std::uint64_t n = f.numbers.front();
  return std::ranges::all_of(f.numbers, [n](std::uint64_t each) { return each == n; }) ? n : ~std::uint64_t{0};
}

bool may_go_on(const belfry::error_code& ec) {
  return ec == belfry::errc::closed || ec == belfry::errc::peer_died ||
         ec == belfry::net::error::make_error_code(belfry::net::error::timed_out);
}

[[noreturn]] void fail(const std::string& why) {
  std::cerr << "nats-peer: " << why << '\n';
  std::_Exit(1);
}

/// What standard input has told, or its end; only where a COUNT is 0.
std::atomic<std::uint64_t> told{~std::uint64_t{0}};
void listen() {
  std::thread([] {
    std::uint64_t n = 0;
    std::cin >> n;
    told = n;
  }).detach();
}
bool is_told() { return told != ~std::uint64_t{0}; }

template <class Producer, class Make>
int send(Producer tx, std::uint64_t first, std::uint64_t count, int pause, Make make) {
  if (count == 0) listen();
  std::uint64_t n = first;
  for (; count == 0 ? !is_told() : n != first + count; ++n) {
    const auto value = make(n);
    for (;;) {
      const belfry::error_code ec = tx.send(value, 1s);
      if (!ec) break;
      if (!may_go_on(ec)) fail("send: " + ec.message());
      std::this_thread::sleep_for(5ms);
    }
    if (pause != 0 && n % 100 == 99) std::this_thread::sleep_for(std::chrono::microseconds(pause));
  }
  if (count == 0) std::cout << n << '\n';
  return 0;
}

/// A load whose seconds are short: `offer` tries, and does not wait.
template <class Producer, class Make>
int load(Producer tx, Make make) {
  std::uint64_t n = 0;
  std::string what;
  for (std::uint64_t count = 0; std::cin >> what >> count;) {
    std::uint64_t refused = 0;
    if (what == "send") {
      for (const std::uint64_t end = n + count; n != end;) {
        const belfry::error_code ec = tx.send(make(n), 1s);
        if (!ec) ++n;
        if (ec && !may_go_on(ec)) fail("send: " + ec.message());
        if (ec) std::this_thread::sleep_for(5ms);
      }
    } else {
      for (; count != 0; --count) {
        for (int i = 0; i != 2000; ++i) {
          const bool in_ring = tx.try_send(make(n));
          ++(in_ring ? n : refused);
        }
        std::this_thread::sleep_for(5ms);
      }
    }
    std::cout << n << ' ' << refused << std::endl;
  }
  return 0;
}

template <class Consumer, class Seen, class Over>
void receive(Consumer& rx, Seen seen, Over over) {
  typename Consumer::value_type value{};
  for (;;) {
    const belfry::error_code ec = rx.receive(value, 1s);
    if (!ec && !seen(value)) return;
    if (ec && over()) return;
    if (ec && !may_go_on(ec)) fail("receive: " + ec.message());
    if (ec) std::this_thread::sleep_for(5ms);
  }
}

void ready() { std::cout << "ready" << std::endl; }
void tell(std::uint64_t come) {
  if (come % 500 == 0) std::cout << come << std::endl;
}

template <class Consumer>
int check(Consumer rx, std::uint64_t count) {
  ready();
  if (count == 0) listen();
  std::uint64_t next = 0;
  receive(rx, [&](const auto& value) {
    const std::uint64_t n = number_of(value);
    if (n != next) fail("number " + std::to_string(n) + " came instead of " + std::to_string(next));
    tell(++next);
    return next != (count == 0 ? told.load() : count);
  }, [&] { return next == told; });
  // Nothing may follow.
  typename Consumer::value_type more{};
  if (const belfry::error_code ec = rx.receive(more, 500ms); !ec) fail("number " + std::to_string(number_of(more)) + " came again");
  return 0;
}

auto next_item(jobs::consumer& rx) { return rx.try_receive_lease(); }
auto next_item(tasks::consumer& rx) { return rx.try_receive().value_or(belfry::message()); }
std::uint64_t number_of(const belfry::lease<item>& l) { return number_of(l.value()); }
void done_with(belfry::lease<item>& l) { l.ack(); }
void done_with(belfry::message& m) { m.release(); }

template <class Consumer>
int work(Consumer rx, std::uint64_t count) {
  ready();
  if (count == 0) listen();
  std::vector<bool> seen;
  std::uint64_t come = 0;
  std::uint64_t again = 0;
  auto last = std::chrono::steady_clock::now();
  while (come != (count == 0 ? told.load() : count) || std::chrono::steady_clock::now() - last < 500ms) {
    auto l = next_item(rx);
    if (!l) {
      std::this_thread::sleep_for(1ms);
      continue;
    }
    last = std::chrono::steady_clock::now();
    const std::uint64_t n = number_of(l);
    if (n > 100'000'000) fail("number " + std::to_string(n));
    if (n >= seen.size()) seen.resize(n + 1000);
    if (seen[n] && l.deliveries() < 2) fail("number " + std::to_string(n) + " came again, and is not marked");
    if (seen[n]) ++again;
    if (!seen[n]) tell(++come);
    seen[n] = true;
    done_with(l);
  }
  std::cout << again << " again\n";
  return 0;
}

belfry::channel_options small_messages() {
  belfry::channel_options o;
  o.slots = 512;
  o.message_bytes = big ? 12032 : 64;
  return o;
}

item make_item(std::uint64_t n) { return {n, 2 * n}; }
frame make_frame(std::uint64_t n) {
  frame f;
  f.numbers.fill(n);
  return f;
}

int run(const std::vector<std::string>& a) {
  const auto number = [&](std::size_t i) { return i < a.size() ? std::stoull(a[i]) : 0; };
  belfry::channel_options o;
  o.capacity = 0;
  big = a.size() > 1 && a[1].starts_with("big");
  if (a.at(0) == "send") {
    const std::string& name = a.at(2);
    const int pause = static_cast<int>(number(5));
    if (a[1] == "spsc") return send(spsc::producer(io, name, o), number(3), number(4), pause, make_item);
    if (a[1] == "frames") return send(frames::producer(io, name, o), number(3), number(4), pause, make_frame);
    if (a[1] == "work") return send(jobs::producer(io, name, o), number(3), number(4), pause, make_item);
    if (a[1] == "news") return send(news::producer(io, name, o), number(3), number(4), pause, make_item);
    if (a[1] == "tasks" || a[1] == "bigtasks") {
      return send(tasks::producer(io, name, small_messages()), number(3), number(4), pause, message);
    }
    if (a[1] == "video") return send(video::producer(io, name, small_messages()), number(3), number(4), pause, message);
    if (a[1] == "latest") return send(now::producer(io, name, o), number(3), number(4), pause, make_item);
    o.capacity = big ? 256 << 10 : 64 << 10;
    if (a[1] == "large") {
      const std::size_t size = number(4) != 0 ? number(4) : 5000;
      o.capacity = std::max<std::size_t>(o.capacity, 2 * size);
      return send(bytes::producer(io, name, o), 0, 1, 0, [&](std::uint64_t) { return std::vector<std::byte>(size); });
    }
    return send(bytes::producer(io, name, o), number(3), number(4), pause, message);
  }
  if (a[0] == "load") {
    const std::string& name = a.at(2);
    if (a.at(1) == "spsc") return load(spsc::producer(io, name, o), make_item);
    if (a[1] == "work") return load(jobs::producer(io, name, o), make_item);
    if (a[1] == "tasks") return load(tasks::producer(io, name, small_messages()), message);
    o.capacity = 64 << 10;
    return load(bytes::producer(io, name, o), message);
  }
  if (a[0] == "check") {
    const std::string& name = a.at(2);
    if (a[1] == "spsc") return check(spsc::consumer(io, name, o), number(3));
    if (a[1] == "frames") return check(frames::consumer(io, name, o), number(3));
    if (a[1] == "news") return check(news::consumer(io, name, o), number(3));
    if (a[1] == "video") return check(video::consumer(io, name, small_messages()), number(3));
    return check(bytes::consumer(io, name, o), number(3));
  }
  if (a[0] == "work") {
    if (a.at(1) == "tasks") return work(tasks::consumer(io, a.at(2), small_messages()), number(3));
    return work(jobs::consumer(io, a.at(2), o), number(3));
  }
  if (a[0] == "large") {
    bytes::consumer rx(io, a.at(1), o);
    std::size_t size = 0;
    receive(rx, [&](const belfry::message& m) {
      size = m.size();
      return false;
    }, [] { return false; });
    return size == (number(2) != 0 ? number(2) : 5000) ? 0 : 1;
  }
  if (a[0] == "newest") {
    now::consumer rx(io, a.at(1), o);
    std::uint64_t last = 0;
    receive(rx, [&](const item& i) {
      if (number_of(i) < last) fail("an older one");
      last = number_of(i);
      return last != number(2);
    }, [] { return false; });
    return 0;
  }
  if (a[0] == "other") {
    belfry::channel<belfry::spsc_ring<other, 512>>::consumer rx(io, a.at(1), o);
    for (;;) ::pause();
  }
  return 2;
}

}  // namespace

int main(int argc, char** argv) try {
  return run({argv + 1, argv + argc});
} catch (const std::exception& e) {
  std::cerr << "nats-peer: " << e.what() << '\n';
  return 1;
}
