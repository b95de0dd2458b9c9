// kill -9 after any single instruction of what a client or a server does with a call: the survivors continue, the outcome
// of the call is true, its place is free, and nothing is left behind.
#include "stepping.hpp"
#include "support/calls.hpp"

#include <memory>
#include <optional>
#include <string>

#if defined(__x86_64__)

using namespace belfry;
using namespace belfry::test;

namespace {

/// A client and a server that survive. Both are pending or asleep as the scene needs it.
class survivors_of_a_call {
 public:
  explicit survivors_of_a_call(const std::string& name, const channel_options& o = {})
      : name_(name), c_(io_, name, o), s_(io_, name) {}

  /// The dead one is known, and a call from client to server passes; nothing else is in the ring.
  void go_on() {
    std::optional<answer> reply;
    c_.async_call({77, 0}, [&](error_code ec, answer a) {
      EXPECT_EQ(ec, error_code());
      reply = a;
    });
    for (int i = 0; i != 100'000 && (!reply || c_.size() != 0); ++i) {
      if (question_call c = s_.try_accept()) c.reply({c.request().n + 1, 0});
      // Asleep in between, so that the death is noticed.
      if (io_.stopped()) io_.restart();
      if (!waits_) {
        waits_ = true;
        s_.async_wait([this](error_code) { waits_ = false; });
      }
      io_.run_one_for(std::chrono::milliseconds(5));
    }
    EXPECT(reply);
    EXPECT_EQ(reply->n, std::uint64_t{78});
    EXPECT_EQ(c_.size(), std::size_t{0});
  }
  ~survivors_of_a_call() {
    s_.cancel();
    io_.restart();
    io_.poll();
  }

 protected:
  void run_until(const bool& done) {
    io_.restart();
    while (!done) io_.run_one_for(std::chrono::milliseconds(100));
  }

  std::string name_;
  net::io_context io_;
  questions::client c_;
  questions::server s_;
  bool waits_ = false;
};

// ---- clients ------------------------------------------------------------------------------------------------

enum class calling { make, take_reply, withdraw, abandon, close };
const char* name_of(calling how) {
  return std::array{"a call is made", "a reply is taken", "a call is withdrawn", "a call is abandoned",
                    "a client closes"}[static_cast<std::size_t>(how)];
}

class killed_client : survivors_of_a_call {
 public:
  killed_client(const std::string& name, calling how) : survivors_of_a_call(name), how_(how) {
    if (how_ == calling::make) s_.async_accept([this](error_code ec, question_call c) { note(ec, std::move(c)); });
    settle(io_);
  }
  void prepare() {
    own_io_ = new net::io_context;
    own_ = new questions::client(*own_io_, name_);
    if (how_ != calling::make) call_ = new pending_call(own_->try_call({1, 0}));
  }
  void rest() {
    settle(io_);
    if (how_ == calling::take_reply) EXPECT(s_.try_accept().reply({2, 0}));
    if (how_ == calling::abandon || how_ == calling::close) {
      held_ = s_.try_accept();
      EXPECT(held_);
      held_.async_wait_cancelled([this](error_code ec) {
        EXPECT_EQ(ec, error_code());
        told_ = true;
      });
    }
    settle(io_);
  }
  void act() {
    switch (how_) {
      case calling::make: own_->async_call({1, 0}, [](error_code, answer) {}); break;
      case calling::take_reply: {
        answer a;
        call_->take(a);
        break;
      }
      case calling::withdraw:
      case calling::abandon: *call_ = pending_call<questions::ring_type>(); break;
      case calling::close: own_->close(); break;
    }
  }
  unsigned follow() {
    if (held_) {
      run_until(told_);  // whether it was cancelled, or its client has died
      EXPECT(held_.cancelled());
      EXPECT(!held_.reply({0, 0}));
    }
    if (how_ == calling::make) {
      s_.cancel();
      settle(io_);
      if (late_) late_.reply({0, 0});
    }
    go_on();
    return 0;
  }

 private:
  void note(error_code ec, question_call c) {
    if (ec == net::error::operation_aborted) return;
    EXPECT_EQ(ec, error_code());
    EXPECT_EQ(c.request().n, std::uint64_t{1});
    late_ = std::move(c);
  }

  calling how_;
  net::io_context* own_io_ = nullptr;
  questions::client* own_ = nullptr;
  pending_call<questions::ring_type>* call_ = nullptr;
  question_call held_, late_;
  bool told_ = false;
};

// ---- servers ------------------------------------------------------------------------------------------------

enum class serving { take, reply, fail, drop, close };
const char* name_of(serving how) {
  return std::array{"a call is taken", "a reply is given", "a call is refused", "a call is dropped",
                    "a server closes"}[static_cast<std::size_t>(how)];
}

class killed_server : survivors_of_a_call {
 public:
  /// `most`: of the deliveries of a call; 0: no limit.
  killed_server(const std::string& name, serving how, retry what, std::uint32_t most)
      : survivors_of_a_call(name, options(what, most)), how_(how), again_(what == retry::another_server && most != 1) {
    c_.async_call({1, 0}, [this](error_code ec, answer a) {
      ended_ = true;
      ec_ = ec;
      reply_ = a;
    });
    settle(io_);
  }

  void prepare() {
    own_io_ = new net::io_context;
    own_ = new questions::server(*own_io_, name_);
    if (how_ != serving::take) call_ = new question_call(own_->try_accept());
  }
  void rest() { settle(io_); }
  void act() {
    switch (how_) {
      case serving::take: call_ = new question_call(own_->try_accept()); break;
      case serving::reply: call_->reply({2, 0}); break;
      case serving::fail: call_->fail(errc::closed); break;
      case serving::drop: *call_ = question_call(); break;
      case serving::close: own_->close(); break;
    }
  }
  unsigned follow() {
    unsigned deliveries = 0;
    while (!ended_) {
      if (question_call c = s_.try_accept()) {
        deliveries = c.deliveries();
        c.reply({3, 0});
      }
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(2));
    }
    unsigned happened = 0;
    if (!ec_ && reply_.n == 3) {
      EXPECT(deliveries == 1 || (deliveries == 2 && again_));
      happened = how_ == serving::take ? deliveries - 1 : 0;
    } else if (ec_ == errc::maybe_executed) {
      EXPECT(!again_);
      happened = how_ == serving::take ? 1 : 0;
    } else if (how_ == serving::reply) {
      EXPECT_EQ(ec_, error_code());
      EXPECT_EQ(reply_.n, std::uint64_t{2});
      happened = 1;
    } else {
      EXPECT(how_ == serving::fail);
      EXPECT_EQ(ec_, error_code(errc::refused));
      EXPECT_EQ(c_.refusal(), error_code(errc::closed));
      happened = 1;
    }
    go_on();
    return happened;
  }

 private:
  static channel_options options(retry what, std::uint32_t most) {
    channel_options o;
    o.retry = what;
    o.max_deliveries = most;
    return o;
  }

  serving how_;
  bool again_;
  net::io_context* own_io_ = nullptr;
  questions::server* own_ = nullptr;
  question_call* call_ = nullptr;
  bool ended_ = false;
  error_code ec_;
  answer reply_;
};

void kill_callers() {
  for (const calling how : {calling::make, calling::take_reply, calling::withdraw, calling::abandon, calling::close}) {
    kill_everywhere<killed_client>(name_of(how), how);
  }
}

void kill_servers() {
  for (const serving how : {serving::take, serving::reply, serving::fail, serving::drop, serving::close}) {
    for (const retry what : {retry::never, retry::another_server}) {
      kill_everywhere<killed_server>(std::string(name_of(how)) + (what == retry::never ? "" : ", delivered again"), how,
                                     what, 0u);
    }
  }
  for (const serving how : {serving::take, serving::drop}) {
    kill_everywhere<killed_server>(std::string(name_of(how)) + ", for the last time", how, retry::another_server, 1u);
  }
}

}  // namespace

TEST_CASE("a client or a server is killed at instructions of what it does with a call", "[every-instruction-call]") {
  const watchdog dog(std::chrono::seconds(300));
  kill_callers();
  kill_servers();
  report("calls");
}

TEST_CASE("a client or a server is killed at every instruction of what it does with a call", "[.][every-instruction-call-long]") {
  const watchdog dog(std::chrono::seconds(7200));
  kill_sample = ~std::size_t{0};
  kill_callers();
  kill_servers();
  report("calls");
}

#endif
