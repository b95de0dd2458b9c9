// Producers that are killed while they send, and consumers that are killed while they receive.
#pragma once

#include "stepping.hpp"
#include "survivors.hpp"

#include <belfry/inspect.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#if defined(__x86_64__)

namespace belfry::test {

// ---- a producer is killed ---------------------------------------------------------------------------------

enum class sending { one, many, awaited, claim, commit, park };
inline const char* name_of(sending how) {
  return std::array{"try_send",         "try_send_n", "async_send",
                    "claim and commit", "commit",     "send with a timeout"}
      [static_cast<std::size_t>(how)];
}

template <class Channel>
class killed_producer {
 public:
  killed_producer(const std::string& name, sending how, peer consumer)
      : s_(name), how_(how), peer_(consumer) {
    s_.add(role::consumer, peer_);
    for (std::uint64_t i = 0; i != batch; ++i) out_.emplace_back(nth(prepared + i));
    for (const auto& o : out_) all_.push_back(o.get());
  }

  void prepare() {
    tx_.join(s_);
    for (std::uint64_t i = 0; i != prepared; ++i)
      EXPECT(tx_->try_send(outgoing<Channel>(nth(i)).get()));
    if constexpr (in_place<Channel>) {
      if (how_ == sending::commit) claim_ = tx_->try_claim(all_[0].size());
    }
    if (how_ == sending::park) {
      std::uint64_t i = prepared;
      while (tx_->try_send(outgoing<Channel>(nth(i)).get())) ++i;
      sent_->store(i);
      out_.emplace_back(nth(i));
      all_.assign(1, out_.back().get());
    }
  }
  void rest() {
    if (peer_ == peer::asleep) settle(s_.io);
  }
  void act() {
    switch (how_) {
      case sending::one: tx_->try_send(all_[0]); break;
      case sending::many: tx_->try_send_n(all_); break;
      case sending::awaited:
        tx_->async_send(all_[0], [](error_code) {});
        tx_.io().run();
        break;
      case sending::claim:
        if constexpr (in_place<Channel>) claim_ = tx_->try_claim(all_[0].size());
        [[fallthrough]];
      case sending::commit:
        if constexpr (in_place<Channel>) {
          std::memcpy(claim_.bytes().data(), all_[0].data(), all_[0].size());
          claim_.commit();
        }
        break;
      case sending::park: tx_->send(all_[0], std::chrono::microseconds(100)); break;
    }
  }

  unsigned follow() {
    // Otherwise its successor joins before the death is noticed.
    const bool told_first = peer_ == peer::asleep || only_newest<Channel>;
    if (told_first) {
      s_.rx->listen();
      run_until(s_.io, [&] { return s_.rx->deaths() == 1; });
    }
    const std::vector<item> before(s_.rx->got());
    s_.go_on();
    EXPECT_EQ(s_.rx->deaths(), 1u);
    EXPECT_EQ(s_.rx->ends(), 1u);

    const std::uint64_t complete = how_ == sending::park ? sent_->load() : prepared;
    if (only_newest<Channel>) {
      s_.expect_got(s_.items(0, complete + batch));
      EXPECT(!before.empty() && before.back().seq + 1 >= complete);
      return static_cast<unsigned>(before.back().seq + 1 - complete);
    }
    const std::uint64_t came = items_of_run_1(s_.rx->got());
    EXPECT(came >= complete);
    s_.expect_got(s_.items(0, came));
    return static_cast<unsigned>(came - complete);
  }
  unsigned complete() const {
    return how_ == sending::park ? 0 : how_ == sending::many ? batch : 1;
  }

 private:
  using sendable = typename Channel::producer::value_type;

  survivors<Channel> s_;
  sending how_;
  peer peer_;
  std::vector<outgoing<Channel>> out_;
  std::vector<sendable> all_;
  shared<std::atomic<std::uint64_t>> sent_;
  doomed<typename Channel::producer> tx_;
  claim claim_;
};

// ---- a consumer is killed ---------------------------------------------------------------------------------

enum class receiving { one, many, held, park, lease_ack, lease_requeue };
inline const char* name_of(receiving how) {
  return std::array{"try_receive",       "try_receive_n",
                    "try_receive, held", "receive with a timeout",
                    "lease and ack",     "lease and requeue"}[static_cast<std::size_t>(how)];
}

template <class Channel>
class killed_consumer {
 public:
  killed_consumer(const std::string& name, receiving how, peer producer)
      : s_(name), how_(how), peer_(producer) {
    s_.add(role::producer, peer_);
  }

  void prepare() {
    rx_.join(s_);
    if (only_newest<Channel>) {
      if (how_ == receiving::park) EXPECT(rx_->try_receive());
    } else if (how_ == receiving::park) {
      while (rx_->try_receive()) taken_->fetch_add(1);
    } else {
      for (; taken_->load() != prepared; taken_->fetch_add(1)) EXPECT(rx_->try_receive());
    }
    many_ = std::vector<value_type>(peer_ == peer::asleep ? enough : batch);
  }
  void rest() {
    settle(s_.io);
    if (peer_ == peer::asleep && !never_full<Channel>) s_.tx->fill();
  }
  void act() {
    switch (how_) {
      case receiving::one: rx_->try_receive(); break;
      case receiving::many:
        rx_->try_receive_n(many_);
        if constexpr (in_place<Channel>) {
          for (value_type& v : many_) v = {};
        }
        break;
      case receiving::held: {
        [[maybe_unused]] const auto held = rx_->try_receive();
        mark_end();
        break;
      }
      case receiving::park: rx_->receive(many_[0], std::chrono::microseconds(100)); break;
      case receiving::lease_ack:
        if constexpr (leases<Channel>) rx_->try_receive_lease().ack();
        break;
      case receiving::lease_requeue:
        if constexpr (leases<Channel>) rx_->try_receive_lease().requeue();
        if constexpr (in_place<Channel>) rx_->try_receive()->requeue();
        break;
    }
  }

  unsigned follow() {
    if constexpr (only_newest<Channel>) {
      s_.go_on();
      EXPECT_EQ(s_.tx->deaths() + s_.tx->ends(), 0u);
      s_.expect_got(s_.items(0, s_.tx->next()));
      return 0;
    } else if constexpr (to_everybody<Channel>) {
      run_until(s_.io, [&] { return s_.tx->idle(); });  // the dead consumer no longer holds the producer back
      s_.go_on();
      EXPECT(s_.tx->deaths() <= 1 && s_.tx->ends() == 0);
      // A successor begins at the oldest value that the victim may have needed.
      const std::uint64_t rest = items_of_run_1(s_.rx->got());
      EXPECT(s_.rx->got() == s_.items(s_.tx->next() - rest, s_.tx->next()));
      EXPECT(s_.tx->next() - rest <= taken_->load() + (how_ == receiving::many ? enough : 1));
      return 0;
    } else {
      run_until(s_.io, [&] {
        s_.tx->fill();  // perhaps what the victim has released
        return s_.tx->deaths() == 1;
      });
      s_.go_on();
      EXPECT_EQ(s_.tx->deaths(), 1u);
      EXPECT_EQ(s_.tx->ends(), 0u);
      EXPECT_EQ(s_.rx->deaths(), 0u);
      EXPECT_EQ(s_.rx->ends(), 1u);
      std::vector<item> got = s_.rx->got();
      if (delivers_again<Channel>)
        std::ranges::sort(got, s_.before);  // items delivered again may come late
      const std::uint64_t rest = items_of_run_1(got);
      EXPECT(got == s_.items(s_.tx->next() - rest, s_.tx->next()));
      const std::uint64_t first = s_.tx->next() - rest;
      EXPECT(first >= taken_->load());
      return static_cast<unsigned>(first - taken_->load());
    }
  }
  std::optional<unsigned> complete() const {
    if (only_newest<Channel> || to_everybody<Channel>) return 0;
    if (in_place<Channel> && how_ == receiving::many) return {};  // as many as there was room for
    switch (how_) {
      case receiving::one:
      case receiving::lease_ack: return 1;
      case receiving::many: return peer_ == peer::asleep ? enough : batch;
      case receiving::held:
      case receiving::park:
      case receiving::lease_requeue: break;
    }
    return 0;
  }

 private:
  using value_type = typename Channel::consumer::value_type;
  /// So many that a producer waiting for room is notified.
  static constexpr std::size_t enough = 20;
  /// So that a held item is not returned.
  [[gnu::noinline]] static void mark_end() { mark(); }

  survivors<Channel> s_;
  receiving how_;
  peer peer_;
  doomed<typename Channel::consumer> rx_;
  shared<std::atomic<std::uint64_t>> taken_;
  std::vector<value_type> many_;
};

// ---- a consumer is killed that makes an item dead, or takes a dead one --------------------------------------

enum class dead_receiving { reject, last_requeue, dead_ack, dead_requeue };
inline const char* name_of(dead_receiving how) {
  return std::array{"reject", "requeue for the last time", "take a dead item, and ack",
                    "take a dead item, and requeue"}[static_cast<std::size_t>(how)];
}

/// Item 0 is the one; a consumer in this process sleeps until there is a dead item.
template <class Channel>
class killed_dead_consumer {
 public:
  killed_dead_consumer(const std::string& name, dead_receiving how)
      : how_(how), name_(name), tx_(io_, name, options()), rx_(io_, name, options()) {
    for (std::uint64_t i = 0; i != 3; ++i) EXPECT(tx_.try_send(outgoing<Channel>(nth(i)).get()));
  }

  void prepare() {
    io_of_victim_ = new net::io_context;
    victim_ = new typename Channel::consumer(*io_of_victim_, name_, options());
    if (how_ >= dead_receiving::dead_ack) EXPECT(take(*victim_).reject());
  }
  void rest() {
    if (how_ < dead_receiving::dead_ack) wait();
  }
  void act() {
    switch (how_) {
      case dead_receiving::reject: take(*victim_).reject(); break;
      case dead_receiving::last_requeue: take(*victim_).requeue(); break;
      case dead_receiving::dead_ack: end(victim_->try_receive_dead()); break;
      case dead_receiving::dead_requeue: victim_->try_receive_dead().requeue(); break;
    }
  }
  /// 1: the item is dead, or was taken as a dead one for good.
  unsigned follow() {
    if (how_ >= dead_receiving::dead_ack) wait();
    // The death is noticed, and with it what the victim held is dead or ready: it was delivered once, which is once too
    // often, unless the victim had not begun.
    run_until(io_, [&] { return inspect(name_).deaths == 1; });
    std::vector<item> live;
    run_until(io_, [&] {
      while (auto held = take(rx_)) {
        live.push_back(item_of(held));
        end(std::move(held));
      }
      return live.size() + (dead_ ? 1 : 0) >= 3 || (how_ == dead_receiving::dead_ack && live.size() == 2 && !inspect_dead());
    });
    settle(io_);
    rx_.cancel();
    settle(io_);
    EXPECT(std::ranges::count(live, nth(1)) == 1 && std::ranges::count(live, nth(2)) == 1);
    EXPECT(std::ranges::count(live, nth(0)) + (dead_ ? 1 : 0) <= 1);
    if (how_ < dead_receiving::dead_ack) EXPECT(live.size() + (dead_ ? 1 : 0) == 3);
    if (how_ == dead_receiving::dead_requeue) EXPECT(dead_ && live.size() == 2);
    if (dead_) EXPECT(item_of(*dead_) == nth(0));
    const bool was_dead = dead_.has_value();
    if (dead_) end(std::move(*dead_));
    tx_.close();
    rx_.close();
    if (how_ == dead_receiving::dead_ack) return was_dead ? 0 : 1;
    return how_ == dead_receiving::dead_requeue ? 0 : was_dead ? 1 : 0;
  }
  unsigned complete() const { return how_ == dead_receiving::dead_requeue ? 0 : 1; }

 private:
  using held = decltype(std::declval<typename Channel::consumer&>().try_receive_dead());

  static channel_options options() {
    channel_options o = test::options<Channel>();
    o.max_deliveries = 1;
    return o;
  }
  static held take(typename Channel::consumer& rx) {
    if constexpr (in_place<Channel>) {
      auto m = rx.try_receive();
      return m ? std::move(*m) : held();
    } else {
      return rx.try_receive_lease();
    }
  }
  static void end(held h) {
    if constexpr (in_place<Channel>) {
      h.release();
    } else {
      h.ack();
    }
  }
  static item item_of(const held& h) {
    if constexpr (in_place<Channel>) {
      return read(h);
    } else {
      return read(h.value());
    }
  }
  bool inspect_dead() const { return inspect(name_).dead != std::optional<std::uint64_t>(0); }
  void wait() {
    rx_.async_receive_dead([this](error_code ec, held h) {
      if (!ec) dead_ = std::move(h);
    });
    settle(io_);
  }

  dead_receiving how_;
  std::string name_;
  net::io_context io_;
  typename Channel::producer tx_;
  typename Channel::consumer rx_;
  std::optional<held> dead_;
  net::io_context* io_of_victim_ = nullptr;
  typename Channel::consumer* victim_ = nullptr;
};

/// Several consumers sleep. One is woken for an item, and killed then: another one must be woken for the
/// item.
template <class Channel>
class killed_competing {
 public:
  killed_competing(const std::string& name, receiving how) : s_(name), how_(how) {
    s_.add_producer();
  }

  void prepare() {
    victim_.join(s_);
    if (how_ == receiving::one) {
      victim_->async_receive([](error_code, value) {});
    } else {
      victim_->async_receive_lease([this](error_code, lease<value> l) {
        how_ == receiving::lease_ack ? l.ack() : l.requeue();
      });
    }
    settle(victim_.io());
  }
  void rest() {
    s_.add_consumer();  // behind the victim: woken only if the victim is not
    s_.rx->listen();
    settle(s_.io);
    EXPECT(s_.tx->tx().try_send(outgoing<Channel>(nth(0)).get()));
    settle(s_.io);
    EXPECT(s_.rx->got().empty());
  }
  void act() { victim_.io().run(); }
  unsigned follow() {
    settle(s_.io);  // all wake-ups have happened
    const std::uint64_t came = items_of_run_1(s_.rx->got());
    EXPECT(came <= 1);
    s_.go_on();
    s_.expect_got(s_.items(0, came));
    return how_ == receiving::lease_requeue ? 0 : static_cast<unsigned>(1 - came);
  }

 private:
  survivors<Channel> s_;
  receiving how_;
  doomed<typename Channel::consumer> victim_;
};

}  // namespace belfry::test

#endif
