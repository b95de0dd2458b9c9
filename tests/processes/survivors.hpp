// The survivors when another process is killed or stopped in the middle of an operation: participants in this
// process that continue, and record what they receive and are told.
#pragma once

#include "support/rings.hpp"
#include "traffic.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace belfry::test {

using newest = channel<latest<value>>;
using jobs = channel<work_ring<value, 64>>;
using tasks = channel<byte_work_ring>;
using news = channel<broadcast_ring<value, 64, overflow::block>>;
using flashes = channel<broadcast_ring<value, 64, overflow::overwrite>>;
template <>
struct traffic<newest> : traffic<values> {};
template <>
struct traffic<jobs> : traffic<values> {};
template <>
struct traffic<tasks> : traffic<frames> {
  static channel_options options() {
    channel_options o;
    o.slots = 64;
    o.message_bytes = 640;
    return o;
  }
};
template <>
struct traffic<news> : traffic<values> {
  static channel_options options() {
    channel_options o;
    o.start = start::oldest;
    return o;
  }
};
template <>
struct traffic<flashes> : traffic<news> {};
using videos = channel<byte_broadcast_ring<overflow::block>>;
using live_videos = channel<byte_broadcast_ring<overflow::overwrite>>;
template <>
struct traffic<videos> : traffic<frames> {
  static channel_options options() {
    channel_options o;
    o.start = start::oldest;
    o.slots = 16;
    o.message_bytes = 640;
    return o;
  }
};
template <>
struct traffic<live_videos> : traffic<videos> {};
template <class Channel>
struct traffic<any_face<Channel>> : traffic<Channel> {};

// ---- the promises of each ring --------------------------------------------------------------------------

/// Only the newest value is received, by each consumer.
template <class Channel>
constexpr bool only_newest = std::is_same_v<Channel, newest>;
/// Each consumer receives everything, whatever the others have received.
template <class Channel>
constexpr bool to_everybody = std::is_same_v<Channel, news> || std::is_same_v<Channel, flashes> ||
    std::is_same_v<Channel, videos> || std::is_same_v<Channel, live_videos>;
template <class Channel>
constexpr bool only_newest<any_face<Channel>> = only_newest<Channel>;
template <class Channel>
constexpr bool to_everybody<any_face<Channel>> = to_everybody<Channel>;
/// There is always room, unless consumers hold all of it.
template <class Channel>
constexpr bool never_full = Channel::ring_type::traits.overwrites;
/// A producer sleeps for lack of room even without a consumer.
template <class Channel>
constexpr bool fills_alone = !never_full<Channel> && !to_everybody<Channel>;
template <class Channel>
constexpr bool in_place = detail::in_place_ring<typename Channel::ring_type>;
template <class Channel>
constexpr bool leases = detail::leasing_ring<typename Channel::ring_type>;
/// What a dead consumer held is delivered again, perhaps after later items.
template <class Channel>
constexpr bool delivers_again = detail::redelivering_ring<typename Channel::ring_type>;
template <class Channel>
constexpr bool delivers_again<any_face<Channel>> = delivers_again<Channel>;

using layout::role;
enum class peer { none, awake, asleep };
inline const char* name_of(peer p) {
  return std::array{"alone", "its peer awake", "its peer asleep"}[static_cast<std::size_t>(p)];
}
inline std::string with(peer p) { return std::string(", ") + name_of(p); }

/// The victim's items, or those it is to receive, are of run 1; a successor's are of run 2.
constexpr item nth(std::uint64_t seq) { return {1, seq}; }
constexpr std::uint64_t prepared = 2;  // items sent, or received, before the operation
constexpr std::uint64_t batch = 3;

// ---- the survivors, in this process ---------------------------------------------------------------------

template <class Done>
void run_until(net::io_context& io, Done done) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  io.restart();
  while (!done()) {
    EXPECT(std::chrono::steady_clock::now() < limit);  // it sleeps without end
    io.run_one_for(std::chrono::milliseconds(500));
    if (io.stopped()) io.restart();
  }
}

/// Sends what it is told to, and sleeps whenever there is no room.
template <class Channel>
class surviving_producer {
 public:
  surviving_producer(net::io_context& io, const std::string& name)
      : io_(io), tx_(io, name, options<Channel>()) {}

  void push(item what) {
    todo_.emplace_back(what);
    if (todo_.size() == 1) start();
  }
  /// The next items of run 1.
  void send(std::uint64_t count) {
    for (; count != 0; --count) push(nth(next_++));
    run_until(io_, [this] { return idle(); });
  }
  /// Until it waits for room.
  void fill() {
    while (idle()) {
      while (tx_.try_send(outgoing<Channel>(nth(next_)).get())) ++next_;
      push(nth(next_++));
      settle(io_);
    }
  }
  bool idle() const { return todo_.empty(); }

  typename Channel::producer& tx() { return tx_; }
  std::uint64_t next() const { return next_; }
  unsigned deaths() const { return deaths_; }
  unsigned ends() const { return ends_; }

 private:
  void start() {
    tx_.async_send(todo_.front().get(), [this](error_code ec) {
      if (ec == errc::closed) {
        ++ends_;
        tx_.async_wait_peer([this](error_code) { start(); });
        return;
      }
      if (ec == errc::peer_died) {
        ++deaths_;
      } else {
        EXPECT_EQ(ec, error_code());
        todo_.pop_front();
      }
      if (!todo_.empty()) start();
    });
  }

  net::io_context& io_;
  typename Channel::producer tx_;
  std::deque<outgoing<Channel>> todo_;
  std::uint64_t next_ = 0;
  unsigned deaths_ = 0;
  unsigned ends_ = 0;
};

/// Receives everything from the moment it is told to listen, and sleeps in between.
template <class Channel>
class surviving_consumer {
 public:
  surviving_consumer(net::io_context& io, const std::string& name)
      : io_(io), rx_(io, name, options<Channel>()) {}

  void listen() {
    if (!std::exchange(listening_, true)) start();
  }
  typename Channel::consumer& rx() { return rx_; }
  const std::vector<item>& got() const { return got_; }
  bool has(item what) const { return !got_.empty() && got_.back() == what; }
  unsigned deaths() const { return deaths_; }
  unsigned ends() const { return ends_; }
  /// All participants have left.
  bool deserted() const { return deserted_; }

 private:
  void start() {
    deserted_ = false;
    rx_.async_receive([this](error_code ec, typename Channel::consumer::value_type v) {
      if (ec == net::error::operation_aborted) return;
      if (ec == errc::closed) {
        ++ends_;
        deserted_ = true;
        rx_.async_wait_peer([this](error_code e) {
          if (!e) start();
        });
        return;
      }
      if (ec == errc::peer_died) {
        ++deaths_;
      } else {
        EXPECT_EQ(ec, error_code());
        got_.push_back(read(v));
      }
      v = {};
      start();
    });
  }

  net::io_context& io_;
  typename Channel::consumer rx_;
  bool listening_ = false;
  bool deserted_ = false;
  std::vector<item> got_;
  unsigned deaths_ = 0;
  unsigned ends_ = 0;
};

template <class Channel>
struct survivors {
  explicit survivors(std::string n) : name(std::move(n)) {}
  void add_producer() { tx.emplace(io, name); }
  void add_consumer() { rx.emplace(io, name); }

  /// Before the operation: a participant of this role that is busy, or sleeps for lack of work.
  void add(role r, peer how) {
    if (how == peer::none) return;
    if (r == role::consumer) {
      add_consumer();
      if (how == peer::asleep) rx->listen();
    } else {
      add_producer();
      if (how == peer::asleep && fills_alone<Channel>) return tx->fill();
      tx->send(prepared + batch);
    }
    settle(io);
  }
  /// A participant of either role can join at once; what is sent is received.
  void go_on() {
    if (!tx) add_producer();
    if (!rx) add_consumer();
    rx->listen();
    tx->push({2, 0});
    tx->push({2, 1});
    run_until(io, [this] { return tx->idle(); });
    tx->tx().close();
    run_until(io, [this] { return rx->deserted() && rx->has({2, 1}); });
    rx->rx().close();
  }
  /// Sent in total: this many by earlier producers; and by go_on().
  std::vector<item> items(std::uint64_t from, std::uint64_t to) const {
    std::vector<item> all;
    for (; from < to; ++from) all.push_back(nth(from));
    all.push_back({2, 0});
    all.push_back({2, 1});
    return all;
  }
  /// All of these were received; a latest may have skipped some of them.
  void expect_got(const std::vector<item>& all) const {
    if (!only_newest<Channel>) {
      EXPECT(rx->got() == all);
      return;
    }
    EXPECT(std::ranges::includes(all, rx->got(), before));
    EXPECT(std::ranges::adjacent_find(rx->got(), std::not_fn(before)) == rx->got().end());
  }
  static bool before(item a, item b) { return std::pair(a.run, a.seq) < std::pair(b.run, b.seq); }

  net::io_context io;
  std::string name;
  std::optional<surviving_producer<Channel>> tx;
  std::optional<surviving_consumer<Channel>> rx;
};

/// A participant in its own process, whose destructors do nothing, because it is killed.
template <class Endpoint>
class doomed {
 public:
  template <class Channel>
  void join(const survivors<Channel>& s) {
    io_ = new net::io_context;
    at_ = new Endpoint(*io_, s.name, options<Channel>());
  }
  /// In two steps: the context first.
  void make_context() { io_ = new net::io_context; }
  void join_here(const std::string& name, const channel_options& o) {
    at_ = new Endpoint(*io_, name, o);
  }

  Endpoint* operator->() const { return at_; }
  net::io_context& io() const { return *io_; }

 private:
  net::io_context* io_ = nullptr;
  Endpoint* at_ = nullptr;
};

/// What a killed participant has sent, and what is left to it: the number of the first item that it has not
/// reached, judging from what others have received.
inline std::uint64_t items_of_run_1(const std::vector<item>& got) {
  return static_cast<std::uint64_t>(std::ranges::count_if(got, [](item i) { return i.run == 1; }));
}

}  // namespace belfry::test
