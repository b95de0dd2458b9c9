// Participants of a byte_broadcast_ring that overwrites, killed while others hold all its places, or all but one.
#pragma once

#include "stepping.hpp"
#include "survivors.hpp"

#include <array>
#include <optional>
#include <string>
#include <vector>

#if defined(__x86_64__)

namespace belfry::test {

enum class holding { send_past, receive, newest, release, release_last };
inline const char* name_of(holding how) {
  return std::array{"try_send, past places that are held", "try_receive, beside places that are held",
                    "try_receive_newest, beside places that are held", "release, beside places that are held",
                    "release, with a producer asleep"}[static_cast<std::size_t>(how)];
}

/// `holder_`, in this process, holds all places but one. `watcher_` misses nothing, and holds nothing.
template <class Channel>
class killed_beside_holders {
 public:
  killed_beside_holders(const std::string& name, holding how)
      : s_(name), how_(how), holder_(s_.io, name, options<Channel>()), watcher_(s_.io, name, options<Channel>()) {
    if (how_ == holding::send_past) return;
    s_.add_producer();
    s_.tx->send(places);
    hold();
  }

  void prepare() {
    if (how_ == holding::send_past) {
      tx_.join(s_);
      for (std::uint64_t i = 0; i != places; ++i) EXPECT(tx_->try_send(outgoing<Channel>(nth(i)).get()));
      return;
    }
    rx_.join(s_);
    if (how_ == holding::newest) return;
    for (std::uint64_t i = 0; i != places - 1; ++i) EXPECT(rx_->try_receive());
    if (how_ != holding::receive) last_ = std::move(*rx_->try_receive());
  }
  void rest() {
    if (how_ == holding::send_past) hold();
    if (how_ != holding::release_last) return;
    s_.tx->push(nth(places));
    settle(s_.io);
    EXPECT(!s_.tx->idle());  // every place is held
  }
  void act() {
    switch (how_) {
      case holding::send_past: tx_->try_send(outgoing<Channel>(nth(places)).get()); break;
      case holding::receive: rx_->try_receive(); break;
      case holding::newest: rx_->try_receive_newest(); break;
      case holding::release:
      case holding::release_last: last_.release(); break;
    }
  }
  unsigned follow() {
    unsigned sent = 0;
    if (how_ == holding::send_past) {
      while (const auto m = watcher_.try_receive()) {
        EXPECT(read(*m) == nth(places));
        ++sent;
      }
      s_.add_producer();
      s_.tx->push({2, 0});
    } else if (how_ != holding::release_last) {
      s_.tx->push(nth(places));
    }
    run_until(s_.io, [&] { return s_.tx->idle(); });
    const auto m = watcher_.try_receive();
    EXPECT(m);
    EXPECT(read(*m) == (how_ == holding::send_past ? item{2, 0} : nth(places)));
    EXPECT_EQ(watcher_.total_lost(), 0u);
    for (std::uint64_t i = 0; i != held_.size(); ++i) EXPECT(read(held_[i]) == nth(i));
    EXPECT(s_.tx->deaths() <= 1);
    return sent;
  }
  unsigned complete() const { return how_ == holding::send_past ? 1 : 0; }

 private:
  static constexpr std::uint64_t places = 16;

  void hold() {
    for (std::uint64_t i = 0; i != places - 1; ++i) held_.push_back(std::move(*holder_.try_receive()));
    for (std::uint64_t i = 0; i != places; ++i) EXPECT(read(*watcher_.try_receive()) == nth(i));
  }

  survivors<Channel> s_;
  holding how_;
  typename Channel::consumer holder_;
  typename Channel::consumer watcher_;
  std::vector<message> held_;
  doomed<typename Channel::producer> tx_;
  doomed<typename Channel::consumer> rx_;
  message last_;
};

}  // namespace belfry::test

#endif
