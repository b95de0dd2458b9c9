// kill -9 after any single instruction of a notification or a transaction of a block.
#include "stepping.hpp"
#include "survivors.hpp"

#include <belfry/watch.hpp>

#include <array>
#include <chrono>
#include <optional>
#include <string>

#if defined(__x86_64__)

using namespace belfry;
using namespace belfry::test;

namespace {

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
    const transaction t = block_.memory.txn(std::chrono::seconds(60), ec);
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

TEST_CASE("watch: killed after any instruction", "[every-instruction-watch]") {
  kill_watchers();
}

// After every instruction: takes a quarter of an hour or more.
TEST_CASE("watch: killed after every instruction", "[.][every-instruction-watch-long]") {
  kill_sample = ~std::size_t{0};
  kill_watchers();
}

#endif
