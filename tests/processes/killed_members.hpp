// Participants that are killed while they join, leave, or reap a dead one.
#pragma once

#include "stepping.hpp"
#include "survivors.hpp"

#include <string>

#include <unistd.h>

#if defined(__x86_64__)

namespace belfry::test {

/// A participant joins a channel, perhaps to take a dead one's slot.
template <class Channel, role Role>
class killed_joining {
 public:
  killed_joining(const std::string& name, peer other, bool in_place_of_a_dead_one)
      : s_(name), peer_(other), dead_(in_place_of_a_dead_one) {
    s_.add(opposite(Role), peer_);
    if (!dead_) return;
    const event joined;
    child dead([&] {
      doomed<endpoint> e;
      e.join(s_);
      if constexpr (leases<Channel> && Role == role::consumer) {
        new lease<value>(e->try_receive_lease());  // so that it is delivered again
      }
      joined.set();
      ::pause();
    });
    joined.wait();
    settle(s_.io);
    dead.kill();
  }

  void prepare() { victim_.make_context(); }
  void rest() {}
  void act() { victim_.join_here(s_.name, options<Channel>()); }
  unsigned follow() {
    const std::uint64_t sent = s_.tx ? s_.tx->next() : 0;
    s_.go_on();
    s_.expect_got(s_.items(0, sent));
    // It is told of the earlier death, and of the victim's, if the victim had joined.
    const unsigned told = Role == role::producer ? s_.rx->deaths() : s_.tx->deaths();
    EXPECT(told <= (dead_ ? 2u : 1u));
    EXPECT(s_.tx->ends() == 0);
    EXPECT_EQ(s_.rx->ends(), 1u);
    return 0;
  }

 private:
  using endpoint = std::conditional_t<Role == role::producer, typename Channel::producer,
                                      typename Channel::consumer>;

  survivors<Channel> s_;
  peer peer_;
  bool dead_;
  doomed<endpoint> victim_;
};

template <class Channel, role Role>
class killed_leaving {
 public:
  /// `unread`: a producer has sent a value.
  killed_leaving(const std::string& name, peer other, bool unread)
      : s_(name), peer_(other), unread_(unread) {
    s_.add(opposite(Role), peer_);
  }

  void prepare() {
    victim_.join(s_);
    if constexpr (Role == role::producer) {
      for (std::uint64_t i = 0; unread_ && i != prepared; ++i) {
        EXPECT(victim_->try_send(outgoing<Channel>(nth(i)).get()));
      }
    }
  }
  void rest() { settle(s_.io); }
  void act() { victim_->close(); }
  unsigned follow() {
    unsigned left = 0;
    const bool told = peer_ == peer::asleep && (Role == role::producer || fills_alone<Channel>);
    if (told) {
      run_until(s_.io, [&] { return news() != 0; });
      left = ends();
    }
    const std::uint64_t sent = Role == role::producer ? (unread_ ? prepared : 0)
                               : s_.tx                ? s_.tx->next()
                                                      : 0;
    s_.go_on();
    s_.expect_got(s_.items(0, sent));
    if (Role == role::producer) EXPECT(s_.rx->has({2, 1}));
    // Our own producer has left as well.
    const unsigned all = Role == role::producer ? s_.rx->deaths() + s_.rx->ends() - 1
                                                : s_.tx->deaths() + s_.tx->ends();
    EXPECT(told ? all == 1 : all <= 1);
    return left;
  }

 private:
  using endpoint = std::conditional_t<Role == role::producer, typename Channel::producer,
                                      typename Channel::consumer>;

  unsigned ends() const { return Role == role::producer ? s_.rx->ends() : s_.tx->ends(); }
  unsigned news() const {
    return ends() + (Role == role::producer ? s_.rx->deaths() : s_.tx->deaths());
  }

  survivors<Channel> s_;
  peer peer_;
  bool unread_;
  doomed<endpoint> victim_;
};

/// A participant joins, or leaves, and none joins after it: when its peer has left nothing is left.
template <class Channel, role Role>
class killed_guest {
 public:
  killed_guest(const std::string& name, bool leaving) : s_(name), leaving_(leaving) {
    Role == role::producer ? s_.add_consumer() : s_.add_producer();
    if (s_.rx) s_.rx->listen();
    settle(s_.io);
  }

  void prepare() { leaving_ ? victim_.join(s_) : victim_.make_context(); }
  void rest() { settle(s_.io); }
  void act() { leaving_ ? victim_->close() : victim_.join_here(s_.name, options<Channel>()); }
  unsigned follow() {
    settle(s_.io);
    if (s_.rx) EXPECT(s_.rx->deaths() + s_.rx->ends() <= 1);
    Role == role::producer ? s_.rx->rx().close() : s_.tx->tx().close();
    return 0;
  }

 private:
  using endpoint = std::conditional_t<Role == role::producer, typename Channel::producer,
                                      typename Channel::consumer>;

  survivors<Channel> s_;
  bool leaving_;
  doomed<endpoint> victim_;
};

/// A consumer finds a dead producer, and is killed while it reaps it.
template <class Channel>
class killed_reaping {
 public:
  explicit killed_reaping(const std::string& name) : s_(name) {
    const event joined;
    dead_ = child([&] {
      doomed<typename Channel::producer> e;
      e.join(s_);
      for (std::uint64_t i = 0; i != prepared; ++i)
        EXPECT(e->try_send(outgoing<Channel>(nth(i)).get()));
      joined.set();
      ::pause();
    });
    joined.wait();
  }

  void prepare() { victim_.join(s_); }
  void rest() { dead_.kill(); }
  void act() {
    victim_->async_wait_peer([](error_code) {});
  }
  unsigned follow() {
    s_.add_consumer();  // before the producer learns of it
    s_.go_on();
    s_.expect_got(s_.items(0, prepared));
    EXPECT(s_.rx->deaths() <= 1);
    return 1 - s_.rx->deaths();  // the successor is told of it only if it was not counted before
  }

 private:
  survivors<Channel> s_;
  child dead_;
  doomed<typename Channel::consumer> victim_;
};

}  // namespace belfry::test

#endif
