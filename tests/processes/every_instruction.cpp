// kill -9 after any single instruction of every operation: the survivors continue, miss nothing that was
// sent, receive nothing twice that was received, are told of the death once, and nothing is left behind.
#include "stepping.hpp"
#include "survivors.hpp"

#if defined(__x86_64__)

using namespace belfry;
using namespace belfry::test;

namespace {

// ---- a producer is killed ---------------------------------------------------------------------------------

enum class sending { one, many, awaited, claim, commit, park };
const char* name_of(sending how) {
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
const char* name_of(receiving how) {
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
      if (leases<Channel>)
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

// ---- joining, leaving, reaping ----------------------------------------------------------------------------

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

// ---- changes and transactions of a block --------------------------------------------------

struct named_block {
  explicit named_block(const std::string& n) : name(n), memory(shared_memory::create(name, 64)) {}
  ~named_block() { shared_memory::unlink(name); }
  std::string name;
  shared_memory memory;
};

/// Notified of the change, or of the death of the process that was about to notify.
class killed_notifying {
 public:
  killed_notifying(const std::string& name, bool element, peer watcher)
      : block_(name),
        element_(element),
        asleep_(watcher == peer::asleep),
        watch_(io_, block_.memory),
        first_(watch_.version()) {
    if (asleep_) listen();
    settle(io_);
  }

  void prepare() {
    own_ = new net::io_context;
    victim_ = new watch(*own_, *new shared_memory(shared_memory::open(block_.name)));
  }
  void rest() { settle(io_); }
  void act() { element_ ? victim_->notify(3) : victim_->notify(); }
  unsigned follow() {
    if (!asleep_) listen();
    settle(io_);
    const bool told = told_ != 0;
    watch next(io_, block_.memory);
    settle(io_);
    EXPECT_EQ(told_ != 0, told);
    EXPECT_EQ(watch_.version() != first_, told);
    EXPECT(told_ <= (asleep_ ? 1u : 2u));  // of a change, and then that its writer died during it
    const unsigned before = told_;
    next.notify(3);
    run_until(io_, [&] { return told_ != before; });
    settle(io_);
    EXPECT_EQ(told_, before + 1);
    return told;
  }

 private:
  void listen() {
    const std::array<std::size_t, 1> element{3};
    const auto note = [this](error_code ec, std::uint64_t version) {
      EXPECT_EQ(ec, error_code());
      ++told_;
      seen_ = version;
      listen();
    };
    element_ ? watch_.async_changed(seen_, element, note) : watch_.async_changed(seen_, note);
  }

  named_block block_;
  bool element_;
  bool asleep_;
  net::io_context io_;
  unsigned told_ = 0;
  watch watch_;
  std::uint64_t first_;
  std::uint64_t seen_ = first_;
  net::io_context* own_ = nullptr;
  watch* victim_ = nullptr;
};

enum class txn_step { begin, begin_awaited, end };
const char* name_of(txn_step step) {
  return std::array{"a transaction begins", "an awaited transaction begins",
                    "a transaction ends"}[static_cast<std::size_t>(step)];
}

/// The next holder of a transaction is told if the victim had begun, and not ended, one.
class killed_transaction {
 public:
  killed_transaction(const std::string& name, txn_step step, peer next)
      : block_(name), step_(step), next_(next) {
    if (next_ == peer::asleep) watch_.emplace(io_, block_.memory);
  }

  void prepare() {
    own_ = new shared_memory(shared_memory::open(block_.name));
    own_io_ = new net::io_context;
    own_watch_ = new watch(*own_io_, *own_);
    if (step_ == txn_step::end) held_ = own_->txn();
  }
  void rest() {
    if (watch_ && step_ == txn_step::end) begin();
    settle(io_);
    EXPECT_EQ(begun_, 0u);
  }
  void act() {
    switch (step_) {
      case txn_step::begin: held_ = own_->txn(); break;
      case txn_step::begin_awaited:
        own_watch_->async_txn([this](error_code, transaction t) { held_ = std::move(t); });
        own_io_->run();
        break;
      case txn_step::end: held_.end(); break;
    }
  }
  unsigned follow() {
    if (watch_) {
      if (step_ != txn_step::end) begin();
      run_until(io_, [this] { return begun_ == 1; });
    } else {
      next_one();
    }
    next_one();
    next_one();
    EXPECT(told_ <= 1);
    return step_ == txn_step::end ? 1 - told_ : told_;
  }

 private:
  void note(error_code ec) {
    ++begun_;
    if (ec == errc::owner_died) {
      EXPECT_EQ(begun_, 1u);
      ++told_;
    } else {
      EXPECT_EQ(ec, error_code());
    }
  }
  void begin() {
    watch_->async_txn([this](error_code ec, transaction) { note(ec); });
  }
  void next_one() {
    error_code ec;
    const transaction t = block_.memory.txn(std::chrono::seconds(10), ec);
    EXPECT(t);
    note(ec);
  }

  named_block block_;
  txn_step step_;
  peer next_;
  net::io_context io_;
  std::optional<watch> watch_;
  unsigned begun_ = 0;
  unsigned told_ = 0;
  shared_memory* own_ = nullptr;
  net::io_context* own_io_ = nullptr;
  watch* own_watch_ = nullptr;
  transaction held_;
};

// ---- all of it ----------------------------------------------------------------------------

enum class extent { brief, usual, all };

std::string with(peer p) { return std::string(", ") + name_of(p); }

template <class Channel>
void kill_senders(const std::string& ring) {
  using victim = killed_producer<Channel>;
  for (const peer p : {peer::awake, peer::asleep}) {
    for (const sending how :
         {sending::one, sending::many, sending::awaited, sending::claim, sending::commit}) {
      if (how >= sending::claim && !in_place<Channel>) continue;
      kill_everywhere<victim>(ring + ": " + name_of(how) + with(p), how, p);
    }
  }
  if (never_full<Channel>) return;
  kill_everywhere<victim>(ring + ": " + name_of(sending::park), sending::park, peer::awake);
}

template <class Channel>
void kill_receivers(const std::string& ring) {
  using victim = killed_consumer<Channel>;
  for (const peer p : {peer::awake, peer::asleep}) {
    if (p == peer::asleep && never_full<Channel>) break;  // a producer that never waits for room
    for (const receiving how : {receiving::one, receiving::many, receiving::held,
                                receiving::lease_ack, receiving::lease_requeue}) {
      if (how == receiving::held && !in_place<Channel>) continue;
      if (how >= receiving::lease_ack && !leases<Channel>) continue;
      kill_everywhere<victim>(ring + ": " + name_of(how) + with(p), how, p);
    }
  }
  kill_everywhere<victim>(ring + ": " + name_of(receiving::park), receiving::park, peer::awake);
  if constexpr (leases<Channel>) {
    for (const receiving how : {receiving::one, receiving::lease_ack, receiving::lease_requeue}) {
      kill_everywhere<killed_competing<Channel>>(ring + ": " + name_of(how) + ", woken", how);
    }
  }
}

template <class Channel>
void kill_members(const std::string& ring, extent e) {
  const auto joins = [&](peer p, bool dead) {
    const std::string end = with(p) + (dead ? ", after a death" : "");
    kill_everywhere<killed_joining<Channel, role::producer>>(ring + ": a producer joins" + end, p,
                                                             dead);
    kill_everywhere<killed_joining<Channel, role::consumer>>(ring + ": a consumer joins" + end, p,
                                                             dead);
  };
  joins(peer::asleep, true);
  if (e != extent::brief) joins(peer::none, false), joins(peer::asleep, false);
  if (e == extent::all)
    joins(peer::none, true), joins(peer::awake, false), joins(peer::awake, true);

  for (const peer p : {peer::none, peer::awake, peer::asleep}) {
    if (e == extent::brief && p == peer::awake) continue;
    kill_everywhere<killed_leaving<Channel, role::producer>>(ring + ": a producer leaves" + with(p),
                                                             p, true);
    kill_everywhere<killed_leaving<Channel, role::consumer>>(ring + ": a consumer leaves" + with(p),
                                                             p, false);
  }
  kill_everywhere<killed_leaving<Channel, role::producer>>(
      ring + ": a producer leaves, alone and drained", peer::none, false);
  for (const bool leaving : {false, true}) {
    if (e == extent::brief) break;
    const std::string does = std::string(leaving ? " leaves" : " joins") + ", and none after it";
    kill_everywhere<killed_guest<Channel, role::producer>>(ring + ": a producer" + does, leaving);
    kill_everywhere<killed_guest<Channel, role::consumer>>(ring + ": a consumer" + does, leaving);
  }
  kill_everywhere<killed_reaping<Channel>>(ring + ": a consumer reaps a producer");
}

void report(const std::string& what) {
  std::printf("%6zu kills in all: %s\n", kills_in_all, what.c_str());
}

/// The roster is the same for every ring, so all of it is only tried with one.
template <class Channel>
void kill_all(const std::string& ring, extent e) {
  const watchdog dog(std::chrono::hours(2));
  kill_senders<Channel>(ring);
  kill_receivers<Channel>(ring);
  kill_members<Channel>(ring, e);
  report(ring);
}

void kill_watchers() {
  const watchdog dog(std::chrono::hours(2));
  for (const peer p : {peer::awake, peer::asleep}) {
    kill_everywhere<killed_notifying>("watch: notify" + with(p), false, p);
    kill_everywhere<killed_notifying>("watch: notify an element" + with(p), true, p);
  }
  for (const peer p : {peer::none, peer::asleep}) {
    for (const txn_step step : {txn_step::begin, txn_step::begin_awaited, txn_step::end}) {
      kill_everywhere<killed_transaction>(std::string("watch: ") + name_of(step) + with(p), step,
                                          p);
    }
  }
  report("watch");
}

}  // namespace

TEST_CASE("spsc_ring: killed after any instruction", "[every-instruction-spsc]") {
  kill_all<values>("spsc_ring", extent::usual);
}
TEST_CASE("byte_ring: killed after any instruction", "[every-instruction-byte]") {
  kill_all<frames>("byte_ring", extent::brief);
}
TEST_CASE("latest: killed after any instruction", "[every-instruction-latest]") {
  kill_all<newest>("latest", extent::brief);
}
TEST_CASE("work_ring: killed after any instruction", "[every-instruction-work]") {
  kill_all<jobs>("work_ring", extent::brief);
}
TEST_CASE("broadcast_ring: killed after any instruction", "[every-instruction-broadcast]") {
  kill_all<news>("broadcast_ring<block>", extent::brief);
  kill_all<flashes>("broadcast_ring<overwrite>", extent::brief);
}
TEST_CASE("watch: killed after any instruction", "[every-instruction-watch]") {
  kill_watchers();
}

// After every instruction: each takes a quarter of an hour or more.
TEST_CASE("spsc_ring: killed after every instruction", "[.][every-instruction-spsc-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<values>("spsc_ring", extent::all);
}
TEST_CASE("byte_ring: killed after every instruction", "[.][every-instruction-byte-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<frames>("byte_ring", extent::brief);
}
TEST_CASE("latest: killed after every instruction", "[.][every-instruction-latest-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<newest>("latest", extent::brief);
}
TEST_CASE("work_ring: killed after every instruction", "[.][every-instruction-work-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<jobs>("work_ring", extent::brief);
}
TEST_CASE("broadcast_ring: killed after every instruction", "[.][every-instruction-broadcast-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<news>("broadcast_ring<block>", extent::brief);
  kill_all<flashes>("broadcast_ring<overwrite>", extent::brief);
}
TEST_CASE("watch: killed after every instruction", "[.][every-instruction-watch-long]") {
  kill_sample = ~std::size_t{0};
  kill_watchers();
}

#endif
