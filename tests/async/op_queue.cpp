// What a queue of operations decides, without a ring, a segment or an executor.
#include <belfry/detail/async/op_queue.hpp>

#include "support/test.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <system_error>
#include <vector>

using namespace belfry;
using namespace belfry::detail;
using namespace std::chrono_literals;
using step = op_queue::step;

namespace {

constexpr op_queue::clock::time_point at(std::chrono::nanoseconds t) {
  return op_queue::clock::time_point(std::chrono::hours(1) + t);
}

const std::error_code some_error = std::make_error_code(std::errc::io_error);

struct fake final : operation {
  fake() { id = ++last_id; }

  outcome try_once() noexcept override { return outcome::would_block; }
  bool ready() noexcept override {
    ++looks;
    return holds;
  }
  bool is_begun() const noexcept override { return begun; }
  void give_up() noexcept override { ++given_up; }
  bool is_expired() noexcept override { return expired; }
  void complete() override { ++completed; }
  void destroy() noexcept override { destroyed = true; }
  void post(std::shared_ptr<endpoint>) override { ++posts; }
  bool at_home() const noexcept override { return !elsewhere; }
  const void* context() const noexcept override { return where; }

  /// Its handler is called in another context.
  fake& in(const void* other) {
    where = other;
    elsewhere = true;
    return *this;
  }

  static inline std::uint64_t last_id = 0;
  static inline const int home = 0;
  const void* where = &home;
  bool holds = false;
  bool begun = false;
  bool expired = false;
  int given_up = 0;
  int looks = 0;
  int completed = 0;
  int posts = 0;
  bool destroyed = false;
};

struct condition {
  condition() { op.is_condition = true; }
  fake op;
};

/// A queue, and what was due after the last event. It is destroyed before its operations.
struct queue {
  explicit queue(std::chrono::nanoseconds spin = 0ns) : q(spin) {}
  /// The end of an event. Whether it has posted just these operations.
  bool posts(std::vector<fake*> expected) {
    op_queue::due due = q.take_due();
    finished = due.finished;
    for (fake* f : all) f->posts = 0;
    due.posts.send(nullptr);
    for (fake* f : all) {
      const bool wanted = std::find(expected.begin(), expected.end(), f) != expected.end();
      if ((f->posts != 0) != wanted) return false;
    }
    return true;
  }
  bool posts_nothing() { return posts({}); }

  step submit(fake& f, bool looked = false) {
    all.push_back(&f);
    return q.submitted(f, looked);
  }
  step submit(condition& c) { return submit(c.op); }

  /// Until the endpoint waits for the operation.
  void sleep(fake& f) {
    REQUIRE(submit(f) == step::park);
    REQUIRE(park() == step::arm);
    REQUIRE(q.armed({}) == step::rest);
    REQUIRE(posts_nothing());
    REQUIRE(q.is_waiting());
  }
  /// Until it is on its way to its executor.
  void schedule(fake& f) {
    f.holds = true;
    REQUIRE(submit(f) == step::rest);
    REQUIRE(posts({&f}));
    f.holds = false;
  }
  /// Until it is to be attempted.
  void drive(fake& f) {
    REQUIRE(q.arrived(f) == step::drive);
    REQUIRE(q.driven() == step::attempt);
    REQUIRE(q.current() == &f);
  }
  step park() { return q.parked(!q.look_again(), {}, false); }

  bool idle() const { return q.is_idle(); }
  bool waiting() const { return q.is_waiting(); }
  bool scheduled() const { return !idle() && !waiting(); }

  op_queue q;
  operation* finished = nullptr;
  std::vector<fake*> all;
};

}  // namespace

// ---- phase by event ---------------------------------------------------------------------------------------

TEST_CASE("idle: a transfer that is ready is posted, another one goes to sleep", "[op_queue]") {
  fake f;
  queue q;
  CHECK(q.idle());

  SECTION("ready") {
    f.holds = true;
    CHECK(q.submit(f) == step::rest);
    CHECK(q.posts({&f}));
    CHECK(q.scheduled());
  }
  SECTION("not ready") {
    CHECK(q.submit(f) == step::park);
    CHECK(q.q.current() == &f);
    CHECK(q.park() == step::arm);
    CHECK(f.looks == 2);
    CHECK(q.q.armed({}) == step::rest);
    CHECK(q.posts_nothing());
    CHECK(q.waiting());
  }
  SECTION("just tried: it is looked at once, not twice") {
    CHECK(q.submit(f, true) == step::park);
    CHECK(f.looks == 0);
    CHECK(q.park() == step::arm);
    CHECK(f.looks == 1);
  }
  SECTION("ready once parked: posted, since an initiating function takes nothing") {
    CHECK(q.submit(f) == step::park);
    f.holds = true;
    CHECK(q.park() == step::rest);
    CHECK(q.posts({&f}));
    CHECK(q.scheduled());
  }
  SECTION("notified before it was parked: posted") {
    CHECK(q.submit(f) == step::park);
    CHECK_FALSE(q.q.look_again());
    CHECK(q.q.parked(true, {}, true) == step::rest);
    CHECK(q.posts({&f}));
  }
  SECTION("cannot sleep: posted, and told of the error when it is driven") {
    CHECK(q.submit(f) == step::park);
    CHECK_FALSE(q.q.look_again());
    CHECK(q.q.parked(false, some_error, false) == step::rest);
    CHECK(q.posts({&f}));
    CHECK_FALSE(f.over);
  }
  SECTION("cannot wait: ends with the error") {
    CHECK(q.submit(f) == step::park);
    CHECK(q.park() == step::arm);
    CHECK(q.q.armed(some_error) == step::hand_off);
    CHECK(q.posts({&f}));
    CHECK(f.over);
    CHECK(f.result == some_error);
    CHECK(q.idle());
  }
}

TEST_CASE("idle: other events find nothing to do", "[op_queue]") {
  queue q;
  CHECK(q.q.woken() == step::rest);
  CHECK(q.q.retried() == step::rest);
  CHECK(q.q.cancelled(17) == step::rest);
  CHECK(q.q.all_cancelled() == step::rest);
  CHECK(q.posts_nothing());
  CHECK(q.idle());
}

TEST_CASE("scheduled: the next operation waits for its turn", "[op_queue]") {
  fake first, second;
  queue q;
  q.schedule(first);
  second.holds = true;
  CHECK(q.submit(second) == step::rest);
  CHECK(q.posts_nothing());
  CHECK(q.scheduled());
  CHECK(q.q.woken() == step::rest);
  CHECK(q.q.retried() == step::rest);
  CHECK(q.posts_nothing());

  SECTION("the first succeeds: the second is posted, the first completes here") {
    q.drive(first);
    CHECK(q.q.tried(false) == step::finish);
    CHECK(q.posts({&second}));
    CHECK(q.finished == &first);
    CHECK(q.scheduled());
  }
  SECTION("the first is cancelled on its way: it completes when it arrives, the second is posted") {
    CHECK(q.q.cancelled(first.id) == step::rest);
    CHECK(q.posts({&second}));
    CHECK(first.over);
    CHECK(q.q.arrived(first) == step::finish);
    CHECK(q.posts_nothing());
    CHECK(q.finished == &first);
    CHECK(first.result == operation_aborted());
  }
  SECTION("the second is cancelled") {
    CHECK(q.q.cancelled(second.id) == step::rest);
    CHECK(q.posts({&second}));  // to complete
    CHECK(q.scheduled());
  }
  SECTION("the first is lost: the second is posted") {
    CHECK(q.q.lost(first) == step::rest);
    CHECK(q.posts({&second}));
    CHECK(first.over);
  }
  SECTION("all are cancelled: only the second is posted, to complete") {
    CHECK(q.q.all_cancelled() == step::hand_off);
    CHECK(q.posts({&second}));
    CHECK(q.idle());
  }
}

TEST_CASE("scheduled: the last operation is lost", "[op_queue]") {
  fake f;
  queue q;
  q.schedule(f);
  CHECK(q.q.lost(f) == step::hand_off);
  CHECK(q.idle());
  CHECK(q.q.lost(f) == step::rest);  // over
}

TEST_CASE("waiting: the first operation is driven where the bell is heard, or posted", "[op_queue]") {
  fake f;
  int elsewhere = 0;
  queue q;

  SECTION("its executor is the endpoint's") {
    q.sleep(f);
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::attempt);
    CHECK(q.q.current() == &f);
    CHECK(q.q.tried(false) == step::finish);
    CHECK(q.posts_nothing());
    CHECK(q.finished == &f);
    CHECK(q.idle());
  }
  SECTION("it is another one") {
    q.sleep(f.in(&elsewhere));
    CHECK(q.q.woken() == step::rest);
    CHECK(q.posts({&f}));
    CHECK(q.scheduled());
  }
}

TEST_CASE("waiting: a second transfer sleeps on behind the first", "[op_queue]") {
  fake first, second;
  queue q;
  q.sleep(first);
  second.holds = true;
  CHECK(q.submit(second) == step::rest);
  CHECK(q.posts_nothing());
  CHECK(q.waiting());

  SECTION("a place was freed: the first is posted") {
    CHECK(q.q.retried() == step::rest);
    CHECK(q.posts({&first}));
    CHECK(q.scheduled());
  }
  SECTION("the first is cancelled: the second may need less") {
    CHECK(q.q.cancelled(first.id) == step::rest);
    CHECK(q.posts({&first, &second}));
    CHECK(first.over);
    CHECK_FALSE(second.over);
    CHECK(q.scheduled());
  }
  SECTION("the second is cancelled: the first sleeps on") {
    CHECK(q.q.cancelled(second.id) == step::rest);
    CHECK(q.posts({&second}));
    CHECK(q.waiting());
  }
  SECTION("all are cancelled, in their order") {
    CHECK(q.q.all_cancelled() == step::hand_off);
    CHECK(q.posts({&first, &second}));
    CHECK(first.result == operation_aborted());
    CHECK(second.result == operation_aborted());
    CHECK(q.idle());
  }
}

TEST_CASE("waiting: the last transfer is cancelled, and a wake-up is handed off", "[op_queue]") {
  fake f;
  queue q;
  q.sleep(f);
  CHECK(q.q.cancelled(f.id) == step::hand_off);
  CHECK(q.posts({&f}));
  CHECK(q.idle());
}

TEST_CASE("waiting for conditions: a transfer is posted, to be looked at", "[op_queue]") {
  condition c;
  fake f;
  queue q;
  q.sleep(c.op);
  CHECK(q.q.retried() == step::rest);
  CHECK(q.waiting());
  CHECK(q.submit(f) == step::rest);
  CHECK(q.posts({&f}));
  CHECK(q.scheduled());
}

// ---- contexts -----------------------------------------------------------------------------------------------

TEST_CASE("the first operation of every context is posted, as one of them may not run", "[op_queue]") {
  int one = 0, other = 0;
  fake a, b, c, d;
  condition e;
  queue q;
  q.schedule(a);
  CHECK(q.submit(b.in(&one)) == step::rest);
  CHECK(q.posts({&b}));
  CHECK(q.submit(c.in(&one)) == step::rest);
  CHECK(q.posts_nothing());
  CHECK(q.submit(d.in(&other)) == step::rest);
  CHECK(q.posts({&d}));
  e.op.in(&other);
  CHECK(q.submit(e) == step::rest);
  CHECK(q.posts_nothing());

  q.drive(b);  // before the one that came first
  CHECK(q.q.tried(false) == step::finish);
  CHECK(q.posts({&c}));
  CHECK(q.finished == &b);
}

TEST_CASE("more contexts than are remembered: still only the first operation of each", "[op_queue]") {
  std::array<fake, 24> ops;
  std::array<int, 12> contexts{};
  fake first;
  queue q;
  q.schedule(first);
  for (std::size_t i = 0; i != ops.size(); ++i) {
    CHECK(q.submit(ops[i].in(&contexts[i / 2])) == step::rest);
    if (i % 2 == 0) {
      CHECK(q.posts({&ops[i]}));
    } else {
      CHECK(q.posts_nothing());
    }
  }
}

// ---- conditions ---------------------------------------------------------------------------------------------

TEST_CASE("a condition that holds already is posted to complete", "[op_queue]") {
  condition c;
  queue q;
  c.op.holds = true;
  CHECK(q.submit(c) == step::rest);
  CHECK(q.posts({&c.op}));
  CHECK(c.op.over);
  CHECK(q.idle());
  CHECK(q.q.arrived(c.op) == step::finish);
  CHECK(q.posts_nothing());
  CHECK(q.finished == &c.op);
  CHECK(c.op.result == std::error_code());
}

TEST_CASE("conditions alone: the endpoint sleeps, and looks at all of them", "[op_queue]") {
  condition first, second, third;
  queue q;
  CHECK(q.submit(first) == step::park);
  CHECK(q.q.current() == nullptr);
  CHECK(q.park() == step::arm);
  CHECK(q.q.armed({}) == step::rest);
  CHECK(q.posts_nothing());
  CHECK(q.submit(second) == step::rest);  // the same bell
  CHECK(q.submit(third) == step::rest);
  CHECK(q.waiting());

  SECTION("none holds: back to sleep") {
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::park);
    CHECK(q.park() == step::arm);
    CHECK(q.q.armed({}) == step::rest);
    CHECK(q.posts_nothing());
    CHECK(q.waiting());
  }
  SECTION("the first holds: the others go back to sleep, and it completes here") {
    first.op.holds = true;
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::park);
    CHECK(q.park() == step::arm);
    CHECK(q.q.armed({}) == step::rest);
    CHECK(q.posts_nothing());
    CHECK(q.finished == &first.op);
    CHECK(q.waiting());
  }
  SECTION("others hold: they are posted to complete") {
    second.op.holds = third.op.holds = true;
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::park);
    CHECK(q.posts({&second.op, &third.op}));
    CHECK(second.op.over);
  }
  SECTION("one holds only once parked") {
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::park);
    first.op.holds = true;
    CHECK(q.park() == step::arm);
    CHECK(q.q.armed({}) == step::rest);
    CHECK(q.posts_nothing());
    CHECK(q.finished == &first.op);
  }
  SECTION("the last one holds") {
    first.op.holds = second.op.holds = third.op.holds = true;
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::rest);
    CHECK(q.posts({&second.op, &third.op}));
    CHECK(q.finished == &first.op);
    CHECK(q.idle());
  }
  SECTION("the last one holds only once parked") {
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::park);
    first.op.holds = second.op.holds = third.op.holds = true;
    CHECK(q.park() == step::rest);
    CHECK(q.posts({&second.op, &third.op}));
    CHECK(q.finished == &first.op);
    CHECK(q.idle());
  }
  SECTION("the first is cancelled") {
    CHECK(q.q.cancelled(first.op.id) == step::hand_off);
    CHECK(q.posts({&first.op, &second.op}));
    CHECK(q.scheduled());
  }
  SECTION("another one is cancelled") {
    CHECK(q.q.cancelled(third.op.id) == step::rest);
    CHECK(q.posts({&third.op}));
    CHECK(q.waiting());
  }
  SECTION("they cannot sleep any more: all end with the error") {
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::park);
    CHECK_FALSE(q.q.look_again());
    CHECK(q.q.parked(false, some_error, false) == step::rest);
    CHECK(q.posts({&second.op, &third.op}));
    CHECK(q.finished == &first.op);
    for (const condition* c : {&first, &second, &third}) CHECK(c->op.result == some_error);
    CHECK(q.idle());
  }
}

TEST_CASE("a condition waits for no transfer", "[op_queue]") {
  fake f;
  condition c;
  queue q;
  q.sleep(f);
  CHECK(q.submit(c) == step::rest);
  CHECK(q.waiting());

  SECTION("it holds when the transfer is driven") {
    c.op.holds = true;
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::attempt);
    CHECK(q.q.current() == &f);
    CHECK(q.q.tried(true) == step::look);
    CHECK(q.q.looked(false) == step::park);
    CHECK(q.park() == step::arm);
    CHECK(q.q.armed({}) == step::rest);
    CHECK(q.posts({&c.op}));
    CHECK(c.op.over);
    CHECK(q.waiting());
  }
  SECTION("it holds when the transfer has parked") {
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::attempt);
    CHECK(q.q.tried(true) == step::look);
    CHECK(q.q.looked(false) == step::park);
    c.op.holds = true;
    CHECK(q.park() == step::arm);
    CHECK(q.posts({&c.op}));
  }
  SECTION("the transfer succeeds: the condition is posted, to park") {
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::attempt);
    CHECK(q.q.tried(false) == step::finish);
    CHECK(q.posts({&c.op}));
    CHECK_FALSE(c.op.over);
    CHECK(q.q.arrived(c.op) == step::drive);
    CHECK_FALSE(q.q.has_transfers());
    CHECK(q.q.driven() == step::park);
  }
  SECTION("the transfer is cancelled: a wake-up is handed off, the condition is posted") {
    CHECK(q.q.cancelled(f.id) == step::hand_off);
    CHECK(q.posts({&f, &c.op}));
  }
}

TEST_CASE("a condition that arrives while a transfer is pending leaves the sleep to it", "[op_queue]") {
  condition c;
  fake f;
  queue q;
  q.sleep(c.op);
  CHECK(q.q.woken() == step::drive);
  CHECK(q.q.driven() == step::park);
  CHECK(q.q.parked(true, {}, true) == step::rest);  // posted once more
  CHECK(q.posts({&c.op}));
  CHECK(q.submit(f) == step::rest);
  CHECK(q.posts({&f}));
  CHECK(q.q.arrived(c.op) == step::drive);
  CHECK(q.q.driven() == step::rest);
  CHECK(q.posts_nothing());  // the transfer is on its way
  CHECK(q.scheduled());
}

// ---- the end --------------------------------------------------------------------------------------------------

TEST_CASE("the context is destroyed: what is posted belongs to its post, the rest is handed out", "[op_queue]") {
  fake posted, here;
  condition c;
  queue q;
  q.schedule(posted);
  CHECK(q.submit(here) == step::rest);
  CHECK(q.submit(c) == step::rest);
  CHECK(q.posts_nothing());
  {
    const operation_list list = q.q.shut_down();
    CHECK(q.idle());
    for (const fake* f : {&posted, &here, &c.op}) CHECK(f->over);
  }
  CHECK_FALSE(posted.destroyed);
  CHECK(here.destroyed);
  CHECK(c.op.destroyed);
}

// ---- the steps of a request -----------------------------------------------------------------------------------

namespace {

/// A request that is tried in its own thread, as a blocking call does.
struct waiting_thread {
  explicit waiting_thread(std::chrono::nanoseconds spin = 0ns) : q(spin) {}

  step begin() { return q.began(wanted); }
  step park(bool ready) {
    wanted.holds = ready;
    return q.parked(!q.look_again(), {}, false);
  }

  op_queue q;
  fake wanted;
};

}  // namespace

TEST_CASE("a request begins with an attempt, and ends with one that succeeds", "[op_queue]") {
  waiting_thread c;
  CHECK(c.begin() == step::attempt);
  CHECK(c.q.tried(false) == step::finish);
  CHECK(c.q.result() == std::error_code());
  CHECK(c.begin() == step::attempt);
  CHECK(c.q.tried(false, some_error) == step::finish);
  CHECK(c.q.result() == some_error);
  CHECK(c.q.is_idle());
}

TEST_CASE("an empty ring without an event: it sleeps", "[op_queue]") {
  waiting_thread c;
  for (int i = 0; i != 3; ++i) {  // it may be woken for nothing
    CHECK(c.begin() == step::attempt);
    CHECK(c.q.tried(true) == step::look);
    CHECK(c.q.looked(false) == step::park);
    CHECK(c.park(false) == step::arm);
  }
}

TEST_CASE("ready once parked: it is attempted, awake", "[op_queue]") {
  waiting_thread c;
  c.begin();
  c.q.tried(true);
  REQUIRE(c.q.looked(false) == step::park);
  CHECK(c.park(true) == step::attempt);
  CHECK(c.q.tried(false) == step::finish);
}

TEST_CASE("a request that cannot sleep ends with the error", "[op_queue]") {
  waiting_thread c;
  c.begin();
  c.q.tried(true);
  REQUIRE(c.q.looked(false) == step::park);
  CHECK(c.q.parked(false, some_error, false) == step::finish);
  CHECK(c.q.result() == some_error);
}

TEST_CASE("an event is reported only after one more attempt", "[op_queue]") {
  waiting_thread c;
  c.begin();
  REQUIRE(c.q.tried(true) == step::look);
  CHECK(c.q.looked(true) == step::attempt);

  SECTION("which finds the ring empty") {
    CHECK(c.q.tried(true) == step::report);
    CHECK(c.q.reported(some_error) == step::finish);
    CHECK(c.q.result() == some_error);
  }
  SECTION("which finds what was sent just before the event") {
    CHECK(c.q.tried(false) == step::finish);
    // The next request knows nothing of the event: it looks again.
    CHECK(c.begin() == step::attempt);
    CHECK(c.q.tried(true) == step::look);
  }
  SECTION("which finds the ring empty, and then the event has gone") {
    CHECK(c.q.tried(true) == step::report);
    CHECK(c.q.reported({}) == step::attempt);
    CHECK(c.q.tried(true) == step::look);
    CHECK(c.q.looked(false) == step::park);
  }
}

TEST_CASE("an event that was seen when parked is looked for again", "[op_queue]") {
  waiting_thread c;
  c.begin();
  c.q.tried(true);
  c.q.looked(false);
  REQUIRE(c.park(true) == step::attempt);
  CHECK(c.q.tried(true) == step::look);
  CHECK(c.q.looked(true) == step::attempt);
  CHECK(c.q.tried(true) == step::report);
}

TEST_CASE("without spin it never lingers, and needs no time", "[op_queue]") {
  waiting_thread c;
  CHECK_FALSE(c.q.needs_time());
  c.begin();
  c.q.tried(false);
  c.begin();
  c.q.tried(true);
  CHECK(c.q.looked(false, at(0ns)) == step::park);
}

TEST_CASE("with spin it lingers, from the first time that the ring was empty after a success", "[op_queue]") {
  waiting_thread c(50us);
  CHECK(c.q.needs_time());
  c.begin();
  REQUIRE(c.q.tried(false) == step::finish);

  c.begin();
  REQUIRE(c.q.tried(true) == step::look);
  CHECK(c.q.looked(false, at(10us)) == step::linger);
  CHECK(c.q.lingered(false, at(30us)) == step::yield);
  CHECK(c.q.lingered(false, at(59us)) == step::yield);

  SECTION("the time is over") {
    CHECK(c.q.lingered(false, at(60us)) == step::park);
    CHECK(c.park(false) == step::arm);
  }
  SECTION("something came") {
    CHECK(c.q.lingered(true, at(59us)) == step::attempt);
    CHECK(c.q.tried(false) == step::finish);
    // The time begins anew.
    c.begin();
    c.q.tried(true);
    CHECK(c.q.looked(false, at(1s)) == step::linger);
    CHECK(c.q.lingered(false, at(1s + 49us)) == step::yield);
    CHECK(c.q.lingered(false, at(1s + 50us)) == step::park);
  }
  SECTION("something came, and has gone") {
    CHECK(c.q.lingered(true, at(59us)) == step::attempt);
    CHECK(c.q.tried(true) == step::look);
    CHECK(c.q.looked(false, at(61us)) == step::park);
  }
  SECTION("an event ends it at once") {
    CHECK(c.q.lingered(true, at(21us)) == step::attempt);
    CHECK(c.q.tried(true) == step::look);
    CHECK(c.q.looked(true, at(21us)) == step::attempt);
    CHECK(c.q.tried(true) == step::report);
  }
}

TEST_CASE("with spin an operation that yields is posted again", "[op_queue]") {
  fake f;
  queue q(50us);
  CHECK(q.submit(f) == step::rest);  // it is attempted, not put to sleep
  CHECK(q.posts({&f}));
  q.q.succeeded();
  q.drive(f);
  CHECK(q.q.tried(true) == step::look);
  CHECK(q.q.looked(false, at(0us)) == step::linger);
  CHECK(q.q.lingered(false, at(1us)) == step::yield);
  CHECK(q.q.yielded() == step::rest);
  CHECK(q.posts({&f}));
  CHECK(q.scheduled());
  q.drive(f);
  CHECK(q.q.tried(true) == step::look);
  CHECK(q.q.looked(false, at(50us)) == step::park);
}

TEST_CASE("with spin it sleeps at once before the first success", "[op_queue]") {
  waiting_thread c(50us);
  c.begin();
  c.q.tried(true);
  CHECK(c.q.looked(false, at(0us)) == step::park);
  c.park(true);
  c.q.tried(true);
  CHECK(c.q.looked(false, at(1us)) == step::park);
}

TEST_CASE("one success is lingered for once, however often it sleeps after it", "[op_queue]") {
  waiting_thread c(50us);
  c.begin();
  c.q.tried(false);
  c.begin();
  c.q.tried(true);
  REQUIRE(c.q.looked(false, at(0us)) == step::linger);
  REQUIRE(c.q.lingered(false, at(50us)) == step::park);
  c.park(false);
  c.begin();
  c.q.tried(true);
  CHECK(c.q.looked(false, at(51us)) == step::park);
}

TEST_CASE("after a fruitless spin it sleeps at once, until messages come often enough", "[op_queue]") {
  waiting_thread c(50us);
  const auto sleeps_at = [&c](std::chrono::nanoseconds t) {
    c.begin();
    c.q.tried(true);
    const bool at_once = c.q.looked(false, at(t)) == step::park;
    if (!at_once) CHECK(c.q.lingered(false, at(t + 50us)) == step::park);
    CHECK(c.park(false) == step::arm);
    c.begin();
    CHECK(c.q.tried(false) == step::finish);
    return at_once;
  };
  c.begin();
  c.q.tried(false);
  REQUIRE_FALSE(sleeps_at(0us));
  CHECK(sleeps_at(100us));
  CHECK(sleeps_at(200us));

  SECTION("one that came soon after the last") {
    CHECK_FALSE(sleeps_at(249us));
    CHECK(sleeps_at(350us));
  }
  SECTION("one that was there without a sleep") {
    c.begin();
    CHECK(c.q.tried(false) == step::finish);
    CHECK_FALSE(sleeps_at(400us));
  }
}

// ---- random events ------------------------------------------------------------------------------------------

namespace {

/// A ring of items, a bell, and contexts that run their posts in any order or lose them: what surrounds a queue.
class world {
 public:
  explicit world(std::uint32_t seed, std::chrono::nanoseconds spin) : random_(seed), q_(spin) {}
  ~world() { q_.shut_down(); }

  void run(int events) {
    for (int i = 0; i != events; ++i) {
      switch (random_() % 12) {
        case 0:
        case 1: submit(false); break;
        case 2: submit(true); break;
        case 3: add_items(random_() % 3); break;
        case 4: change(); break;
        case 5: handle([&] { return q_.cancelled(any_id()); }); break;
        case 6:
          if (random_() % 8 == 0) handle([&] { return q_.all_cancelled(); });
          break;
        case 7:
          if (random_() % 4 == 0) lose();
          break;
        case 8: handle([&] { return q_.retried(); }); break;
        default: go_on(); break;
      }
    }
    // Everything that is pending ends once there are enough items and every condition holds.
    add_items(1'000'000);
    change();
    always_ = true;
    failing_ = false;
    while (go_on()) {
    }
    CHECK(q_.is_idle());
    for (const auto& op : ops_) CHECK(op->ends == 1);
  }

 private:
  struct member final : operation {
    explicit member(world& w) : all(w) {}
    outcome try_once() noexcept override {
      if (all.items_ == 0) return outcome::would_block;
      --all.items_;
      return outcome::done;
    }
    bool ready() noexcept override {
      return is_condition ? all.always_ || all.changes_ != seen : all.items_ != 0;
    }
    void complete() override { ++ends; }
    void destroy() noexcept override {}
    void post(std::shared_ptr<endpoint>) override {
      CHECK(posted);
      CHECK(std::find(all.posted_.begin(), all.posted_.end(), this) == all.posted_.end());
      all.posted_.push_back(this);
    }
    bool at_home() const noexcept override { return !elsewhere; }
    const void* context() const noexcept override { return where; }

    world& all;
    const void* where = nullptr;
    unsigned seen = 0;
    int ends = 0;
  };

  void submit(bool condition) {
    ops_.push_back(std::make_unique<member>(*this));
    member& op = *ops_.back();
    op.id = ops_.size();
    op.is_condition = condition;
    op.seen = changes_ - (random_() % 4 == 0 ? 1 : 0);  // some hold already
    const unsigned context = random_() % 4;
    op.where = &contexts_[context];
    op.elsewhere = context != 0;
    const bool looked = items_ == 0 && random_() % 2 == 0;
    handle([&] { return q_.submitted(op, looked); });
  }

  void add_items(unsigned n) {
    items_ += n;
    if (n != 0) notify();
  }
  void change() {
    ++changes_;
    notify();
  }
  void notify() {
    if (asleep_) rung_ = true;
  }

  std::uint64_t any_id() { return ops_.empty() ? 0 : 1 + random_() % ops_.size(); }

  member* take_posted() {
    if (posted_.empty()) return nullptr;
    const std::size_t which = random_() % posted_.size();
    member* const op = posted_[which];
    posted_.erase(posted_.begin() + static_cast<std::ptrdiff_t>(which));
    return op;
  }

  /// Runs a post, or lets the bell be heard. False: there is neither.
  bool go_on() {
    if (rung_ && (posted_.empty() || random_() % 2 == 0)) {
      rung_ = false;
      handle([&] { return q_.woken(); });
      return true;
    }
    member* const op = take_posted();
    if (op == nullptr) return false;
    handle([&] { return q_.arrived(*op); });
    return true;
  }

  void lose() {
    member* const op = take_posted();
    if (op == nullptr) return;
    handle([&] { return q_.lost(*op); });
    ++op->ends;
  }

  template <class Event>
  void handle(Event event) {
    carry_out(event());
    op_queue::due due = q_.take_due();
    if (!q_.is_waiting()) asleep_ = false;
    due.posts.send(nullptr);
    if (due.finished != nullptr) due.finished->complete();
    check();
  }

  void carry_out(step next) {
    using namespace std::chrono_literals;
    for (;;) {
      now_ += 100ns;
      switch (next) {
        case step::rest:
        case step::hand_off:
        case step::finish: return;
        case step::drive:
          asleep_ = false;
          next = q_.driven();
          break;
        case step::attempt:
          next = q_.tried(q_.current()->try_once() == outcome::would_block);
          break;
        case step::look: next = q_.looked(sometimes(), at(now_)); break;
        case step::report: next = q_.reported(sometimes() ? some_error : std::error_code()); break;
        case step::linger: next = q_.lingered(q_.current()->ready(), at(now_)); break;
        case step::yield: next = q_.yielded(); break;
        case step::park: {
          rung_ = false;
          const bool refused = sometimes();
          asleep_ = !q_.look_again() && !refused;
          next = q_.parked(asleep_, refused ? some_error : std::error_code(), sometimes());
          break;
        }
        case step::arm: next = q_.armed(sometimes() ? some_error : std::error_code()); break;
      }
    }
  }
  bool sometimes() { return failing_ && random_() % 16 == 0; }

  void check() {
    const auto pending = std::count_if(ops_.begin(), ops_.end(), [](const auto& op) { return !op->over; });
    const bool on_its_way =
        std::any_of(posted_.begin(), posted_.end(), [](const member* op) { return !op->over; });
    REQUIRE(q_.is_idle() == (pending == 0));
    REQUIRE(q_.is_waiting() == asleep_);
    REQUIRE((q_.is_idle() || q_.is_waiting() || on_its_way));  // else it would never go on
    for (const auto& op : ops_) {
      REQUIRE(op->ends <= 1);
      REQUIRE((op->ends == 0 || op->over));
      // No wake-up is lost.
      if (q_.is_waiting() && !op->over && op->is_condition && op->ready()) REQUIRE(rung_);
    }
    if (q_.is_waiting() && q_.has_transfers() && items_ != 0) REQUIRE(rung_);
  }

  std::minstd_rand random_;
  std::vector<std::unique_ptr<member>> ops_;
  std::vector<member*> posted_;
  std::array<int, 4> contexts_{};
  unsigned items_ = 0;
  unsigned changes_ = 0;
  bool always_ = false;
  bool failing_ = true;
  bool asleep_ = false;
  bool rung_ = false;
  std::chrono::nanoseconds now_{0};
  op_queue q_;
};

}  // namespace

TEST_CASE("whatever happens, every operation ends once, and none is forgotten", "[op_queue]") {
  for (std::uint32_t seed = 1; seed != 400; ++seed) {
    CAPTURE(seed);
    world(seed, seed % 2 == 0 ? 0ns : 500ns).run(120);
  }
}

TEST_CASE("an operation that is driven out of turn does not put a ready one to sleep", "[op_queue]") {
  static const int elsewhere = 0;
  fake small;
  fake large;
  large.in(&elsewhere);
  queue q;
  q.sleep(small);
  CHECK(q.submit(large) == step::rest);
  CHECK(q.q.retried() == step::rest);
  CHECK(q.posts({&small, &large}));
  q.drive(small);
  CHECK(q.q.tried(true) == step::look);
  CHECK(q.q.looked(false) == step::park);
  CHECK(q.park() == step::arm);
  CHECK(q.q.armed({}) == step::rest);
  CHECK(q.posts_nothing());

  q.drive(large);      // the participant is awake for a moment, so a peer that frees room does not notify it
  small.holds = true;  // there is room for this one
  CHECK(q.q.tried(true) == step::look);
  CHECK(q.q.looked(false) == step::park);
  CHECK(q.park() != step::arm);
}

// ---- calls ----------------------------------------------------------------------------------------------------

TEST_CASE("a call that has begun is a condition, and not attempted again", "[op_queue]") {
  fake call;
  queue q;
  q.schedule(call);
  q.drive(call);
  call.begun = true;
  CHECK(q.q.tried(true) == step::look);
  CHECK(q.q.looked(false) == step::park);
  CHECK(call.is_condition);
  CHECK(q.q.current() == nullptr);
  CHECK_FALSE(q.q.has_transfers());

  SECTION("the endpoint sleeps for it") {
    CHECK(q.park() == step::arm);
    CHECK(q.q.armed({}) == step::rest);
    CHECK(q.posts_nothing());
    CHECK(q.waiting());
    call.holds = true;
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::rest);
    CHECK(q.posts_nothing());
    CHECK(q.finished == &call);
    CHECK_FALSE(call.result);
    CHECK(q.idle());
  }
  SECTION("its reply came before the endpoint slept: it completes here") {
    call.holds = true;
    CHECK(q.park() == step::rest);
    CHECK(q.posts_nothing());
    CHECK(q.finished == &call);
    CHECK(q.idle());
  }
  SECTION("the endpoint cannot sleep: it ends with the error") {
    CHECK_FALSE(q.q.look_again());
    q.q.parked(false, some_error, false);
    CHECK(q.posts_nothing());
    CHECK(q.finished == &call);
    CHECK(call.result == some_error);
  }
}

TEST_CASE("a call that has begun holds up no other, and does not linger then", "[op_queue]") {
  const auto spin = GENERATE(0us, 10us);
  fake call, next;
  queue q(spin);
  q.schedule(call);
  next.holds = true;
  q.submit(next);
  CHECK(q.posts_nothing());
  q.drive(call);
  q.q.succeeded();
  call.begun = true;
  CHECK(q.q.tried(true) == step::look);
  CHECK(q.q.looked(false, at(0us)) == step::rest);
  CHECK(q.posts({&next}));
  CHECK(q.scheduled());
  CHECK(call.is_condition);
  q.drive(next);
  CHECK(q.q.tried(false) == step::finish);
  CHECK(q.posts({&call}));
}

TEST_CASE("a call lingers for its reply if no transfer waits behind it", "[op_queue]") {
  fake call;
  queue q(10us);
  q.schedule(call);
  q.drive(call);
  q.q.succeeded();
  call.begun = true;
  CHECK(q.q.tried(true) == step::look);
  CHECK(q.q.looked(false, at(0us)) == step::linger);
  SECTION("in vain") {
    CHECK(q.q.lingered(false, at(5us)) == step::yield);
    CHECK(q.q.yielded() == step::rest);
    CHECK(q.posts({&call}));
    q.drive(call);
    CHECK(q.q.tried(true) == step::look);
    CHECK(q.q.looked(false, at(20us)) == step::park);
    CHECK(call.is_condition);
  }
  SECTION("the reply comes meanwhile") {
    CHECK(q.q.lingered(true) == step::attempt);
    CHECK(q.q.tried(false) == step::finish);
    CHECK(q.posts_nothing());
    CHECK(q.finished == &call);
  }
}

TEST_CASE("a transfer whose time is up ends wherever it is in the queue", "[op_queue]") {
  fake first, second, third;
  second.timed = third.timed = true;
  queue q;
  q.sleep(first);
  q.submit(second);
  q.submit(third);
  CHECK(q.posts_nothing());
  second.expired = true;
  SECTION("when the first one is driven") {
    CHECK(q.q.woken() == step::drive);
    CHECK(q.q.driven() == step::attempt);
    CHECK(q.q.current() == &first);
    CHECK(q.posts({&second}));
    CHECK(second.over);
    CHECK_FALSE(second.result);
    CHECK_FALSE(third.over);
  }
  SECTION("when the endpoint goes to sleep") {
    CHECK(q.q.woken() == step::drive);
    second.expired = false;
    CHECK(q.q.driven() == step::attempt);
    CHECK(q.q.tried(true) == step::look);
    CHECK(q.q.looked(false) == step::park);
    second.expired = true;
    CHECK(q.park() == step::arm);
    CHECK(q.posts({&second}));
  }
  SECTION("the driven one") {
    first.timed = first.expired = true;
    CHECK(q.q.woken() == step::drive);
    q.q.driven();
    CHECK(q.posts({&second, &third}));  // to complete, and to be driven
    CHECK(q.finished == &first);
    CHECK(q.scheduled());
  }
}

TEST_CASE("an operation that is cancelled gives up what it has begun", "[op_queue]") {
  fake transfer;
  condition call;
  queue q;
  q.sleep(transfer);
  q.submit(call);
  SECTION("one") {
    q.q.cancelled(call.op.id);
    CHECK(call.op.given_up == 1);
    CHECK(transfer.given_up == 0);
    CHECK(q.posts({&call.op}));
  }
  SECTION("all") {
    q.q.all_cancelled();
    CHECK(call.op.given_up == 1);
    CHECK(transfer.given_up == 1);
    CHECK(q.posts({&transfer, &call.op}));
    CHECK(call.op.result == operation_aborted());
  }
  SECTION("not if it is over") {
    call.op.holds = true;
    CHECK(q.q.changed() == step::rest);
    q.q.cancelled(call.op.id);
    CHECK(call.op.given_up == 0);
    CHECK_FALSE(call.op.result);
  }
}

TEST_CASE("conditions are looked at again without a notification", "[op_queue]") {
  condition a, b;
  queue q;
  CHECK(q.q.changed() == step::rest);
  CHECK(q.submit(a) == step::park);
  CHECK(q.park() == step::arm);
  CHECK(q.q.armed({}) == step::rest);
  q.submit(b);
  CHECK(q.posts_nothing());
  SECTION("none holds") {
    CHECK(q.q.changed() == step::rest);
    CHECK(q.posts_nothing());
    CHECK(q.waiting());
  }
  SECTION("the second holds: the endpoint sleeps on") {
    b.op.holds = true;
    CHECK(q.q.changed() == step::rest);
    CHECK(q.posts({&b.op}));
    CHECK(q.waiting());
  }
  SECTION("the first holds: the other one is driven") {
    a.op.holds = true;
    CHECK(q.q.changed() == step::hand_off);
    CHECK(q.posts({&a.op, &b.op}));
    CHECK(q.scheduled());
  }
  SECTION("all hold") {
    a.op.holds = b.op.holds = true;
    CHECK(q.q.changed() == step::hand_off);
    CHECK(q.posts({&a.op, &b.op}));
    CHECK(q.idle());
  }
}

TEST_CASE("an operation that never was in the queue ends with its error", "[op_queue]") {
  fake f;
  queue q;
  q.all.push_back(&f);
  CHECK(q.q.refused(f, some_error) == step::rest);
  CHECK(q.posts({&f}));
  CHECK(q.idle());
  CHECK(q.q.arrived(f) == step::finish);
  CHECK(f.result == some_error);
}
