// The items that the tests send: numbered, with contents that can be checked, the same through both rings and
// every way of waiting.
#pragma once

#include "support/meeting.hpp"
#include "support/process.hpp"
#include "support/test.hpp"
#include "support/through_any.hpp"

#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include <poll.h>

namespace belfry::test {

/// `run` says which of several producers sent it.
struct item {
  std::uint64_t run = 0;
  std::uint64_t seq = 0;
  bool operator==(const item&) const = default;
};

constexpr std::uint64_t scramble(item i) noexcept {
  return (i.run * 0x9e3779b97f4a7c15 ^ i.seq) * 0xbf58476d1ce4e5b9 + 1;
}

// ---- through a spsc_ring ------------------------------------------------------------------------

struct value {
  item what;
  std::uint64_t check = 0;
};
using values = channel<spsc_ring<value, 64>>;

class outgoing_value {
 public:
  explicit outgoing_value(item i) : value_{i, scramble(i)} {}
  const value& get() const noexcept { return value_; }

 private:
  value value_;
};

inline item read(const value& v) {
  EXPECT_EQ(v.check, scramble(v.what));
  return v.what;
}

// ---- through a byte_ring: messages of many lengths, an empty rest included ------------------------

using frames = channel<byte_ring>;

class outgoing_frame {
 public:
  explicit outgoing_frame(item i) : bytes_(sizeof i + scramble(i) % 600), span_(bytes_) {
    std::memcpy(bytes_.data(), &i, sizeof i);
    for (std::size_t at = sizeof i; at < bytes_.size(); ++at) bytes_[at] = pattern(i, at);
  }
  const std::span<const std::byte>& get() const noexcept { return span_; }

  static std::byte pattern(item i, std::size_t at) noexcept {
    return static_cast<std::byte>(scramble(i) + at);
  }

 private:
  std::vector<std::byte> bytes_;
  std::span<const std::byte> span_;
};

template <class Message>
  requires std::same_as<Message, message> || std::same_as<Message, copied_message>
item read(const Message& m) {
  item i;
  EXPECT(m.size() >= sizeof i);
  std::memcpy(&i, m.bytes().data(), sizeof i);
  EXPECT_EQ(m.size(), sizeof i + scramble(i) % 600);
  for (std::size_t at = sizeof i; at < m.size(); ++at) {
    EXPECT(m.bytes()[at] == outgoing_frame::pattern(i, at));
  }
  return i;
}

// ---- what depends on the ring ---------------------------------------------------------------------

template <class Channel>
struct traffic;

template <>
struct traffic<values> {
  using outgoing = outgoing_value;
  static channel_options options() { return {}; }
};

template <>
struct traffic<frames> {
  using outgoing = outgoing_frame;
  static channel_options options() {
    channel_options o;
    o.capacity = 4096;  // a page: about a dozen messages
    return o;
  }
};

template <class Channel>
using outgoing = typename traffic<Channel>::outgoing;
template <class Channel>
channel_options options() {
  return traffic<Channel>::options();
}

/// Lets a process live for a random time, often so short that it does not get far.
template <class Random>
void a_while(Random& random, unsigned longest_log2 = 12) {
  const unsigned longest = 1u << std::uniform_int_distribution<unsigned>(0, longest_log2)(random);
  ::usleep(std::uniform_int_distribution<unsigned>(0, longest)(random));
}

// ---- ways of waiting -----------------------------------------------------------------------------

enum class how { awaited, blocking, polled };
inline constexpr std::array every_way{how::awaited, how::blocking, how::polled};

inline const char* name_of(how way) {
  constexpr std::array names{"awaited", "blocking", "polled"};
  return names[static_cast<std::size_t>(way)];
}

/// Sleeps in a foreign event loop until there is a reason to look.
template <class Endpoint>
error_code poll_for(Endpoint& e) {
  pollfd ready{e.native_handle(), POLLIN, 0};
  EXPECT(ready.fd >= 0);
  if (e.prepare_wait()) {
    while (::poll(&ready, 1, -1) == -1) EXPECT(errno == EINTR);
  }
  return e.finish_wait();
}

/// An endpoint in a child process, with its own context.
template <class Channel>
class sender {
 public:
  using producer = typename Channel::producer;

  explicit sender(std::string_view name, how way = how::awaited,
                  const channel_options& o = options<Channel>())
      : way_(way), tx_(meet<Channel>::producer(io_, std::string(name), o)) {}
  explicit sender(const channel_handles& handles, how way = how::awaited) : way_(way), tx_(io_, handles) {}

  error_code send(item i) {
    const outgoing<Channel> out(i);
    if (way_ == how::blocking) return tx_.send(out.get());
    error_code result;
    if (way_ == how::awaited) {
      tx_.async_send(out.get(), [&](error_code ec) { result = ec; });
      io_.restart();
      io_.run();
      return result;
    }
    while (!tx_.try_send(out.get())) {
      if (const error_code event = poll_for(tx_)) return event;
    }
    return {};
  }
  /// Repeats it while it fails because the other side has gone, until the item is in the ring.
  void insist(item i) {
    for (;;) {
      const error_code ec = send(i);
      if (!ec) return;
      if (ec == errc::closed) {
        wait_peer();
      } else {
        EXPECT_EQ(ec, error_code(errc::peer_died));
      }
    }
  }
  void wait_peer() {
    error_code result;
    tx_.async_wait_peer([&](error_code ec) { result = ec; });
    io_.restart();
    io_.run();
    EXPECT_EQ(result, error_code());
  }

  producer& tx() noexcept { return tx_; }
  net::io_context& io() noexcept { return io_; }

 private:
  how way_;
  net::io_context io_;
  producer tx_;
};

template <class Channel>
class receiver {
 public:
  using consumer = typename Channel::consumer;
  struct result {
    error_code error;
    item what;
  };

  explicit receiver(std::string_view name, how way = how::awaited,
                    const channel_options& o = options<Channel>())
      : way_(way), rx_(meet<Channel>::consumer(io_, std::string(name), o)) {}
  explicit receiver(const channel_handles& handles, how way = how::awaited)
      : way_(way), rx_(io_, handles) {}

  error_code receive(typename consumer::value_type& v) {
    if (way_ == how::blocking) return rx_.receive(v);
    error_code result;
    if (way_ == how::awaited) {
      rx_.async_receive([&](error_code ec, typename consumer::value_type got) {
        result = ec;
        v = std::move(got);
      });
      io_.restart();
      io_.run();
      return result;
    }
    std::optional<typename consumer::value_type> got;
    while (!(got = rx_.try_receive())) {
      // What follows the event is for the next call.
      if (const error_code event = poll_for(rx_)) return event;
    }
    v = std::move(*got);
    return {};
  }
  /// A message is released when this returns.
  result receive() {
    typename consumer::value_type v{};
    result r{receive(v), {}};
    if (!r.error) r.what = read(v);
    return r;
  }
  void expect(item i) {
    const result r = receive();
    EXPECT_EQ(r.error, error_code());
    EXPECT_EQ(r.what.run, i.run);
    EXPECT_EQ(r.what.seq, i.seq);
  }
  void wait_peer() {
    error_code result;
    rx_.async_wait_peer([&](error_code ec) { result = ec; });
    io_.restart();
    io_.run();
    EXPECT_EQ(result, error_code());
  }
  void expect(errc e) { EXPECT_EQ(receive().error, error_code(e)); }

  consumer& rx() noexcept { return rx_; }
  net::io_context& io() noexcept { return io_; }

 private:
  how way_;
  net::io_context io_;
  consumer rx_;
};

}  // namespace belfry::test
