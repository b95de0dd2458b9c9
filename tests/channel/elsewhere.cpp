// Operations whose handlers have other executors: one whose executor does not run holds up no other. One
// whose executor has no memory, or whose allocator fails, does not affect the others.
#include "support/rings.hpp"

#include <array>
#include <memory>
#include <new>

using namespace belfry;
using namespace belfry::test;

namespace {

/// Forwards to a context, or refuses if told to.
struct moody_executor {
  net::io_context::executor_type inner;
  const bool* refuses;

  template <class Property>
  auto require(const Property& p) const
      -> std::enable_if_t<net::can_require_v<net::io_context::executor_type, Property>, moody_executor> {
    static_cast<void>(p);
    return *this;
  }
  net::execution_context& query(net::execution::context_t) const noexcept { return inner.context(); }
  static constexpr net::execution::blocking_t query(net::execution::blocking_t) noexcept {
    return net::execution::blocking.never;
  }
  template <class Function>
  void execute(Function&& f) const {
    if (*refuses) throw std::bad_alloc();
    net::post(inner, std::forward<Function>(f));
  }
  bool operator==(const moody_executor& other) const noexcept { return inner == other.inner; }
  bool operator!=(const moody_executor& other) const noexcept { return !(*this == other); }
};

/// Has memory for a limited number of allocations.
template <class T>
struct mean_allocator {
  using value_type = T;
  explicit mean_allocator(int& n) : left(&n) {}
  template <class U>
  mean_allocator(const mean_allocator<U>& other) : left(other.left) {}
  T* allocate(std::size_t n) {
    if ((*left)-- == 0) throw std::bad_alloc();
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) { std::allocator<T>().deallocate(p, n); }
  template <class U>
  bool operator==(const mean_allocator<U>& other) const {
    return left == other.left;
  }
  template <class U>
  bool operator!=(const mean_allocator<U>& other) const {
    return left != other.left;
  }
  int* left;
};

template <class Handler, class Executor>
auto bound(int& allocations, const Executor& ex, Handler h) {
  return net::bind_executor(ex, net::bind_allocator(mean_allocator<void>(allocations), std::move(h)));
}

/// Has no memory for what a signal would call.
struct mean_slot {
  bool is_connected() const noexcept { return true; }
  template <class Function>
  Function& assign(Function&&) {
    throw std::bad_alloc();
  }
  void clear() noexcept {}
  bool operator==(const mean_slot&) const noexcept { return true; }
  bool operator!=(const mean_slot&) const noexcept { return false; }
};

struct count_lives {
  explicit count_lives(int& n) : alive(&n) { ++*alive; }
  count_lives(const count_lives& other) : alive(other.alive) { ++*alive; }
  count_lives& operator=(const count_lives&) = delete;
  ~count_lives() { --*alive; }
  int* alive;
};

/// A handler with such a slot, in a context of its own.
struct mean_handler {
  using cancellation_slot_type = mean_slot;
  using executor_type = net::io_context::executor_type;
  cancellation_slot_type get_cancellation_slot() const noexcept { return {}; }
  executor_type get_executor() const noexcept { return ex; }
  void operator()(error_code) { FAIL("called"); }
  count_lives life;
  executor_type ex;
};

}  // namespace

TEMPLATE_TEST_CASE("an operation whose executor does not run holds up no other", "[elsewhere]", of_values,
                   of_bytes) {
  linked<TestType> c("stuck");
  net::io_context stuck;
  told first, second, third;
  const bool asleep = GENERATE(true, false);
  if (!asleep) c.tx.try_send(c.values.make(1));
  c.rx.async_receive(net::bind_executor(stuck.get_executor(), first.receiver()));
  c.rx.async_receive(second.receiver());
  if (asleep) {
    settle(c.io);
    c.tx.try_send(c.values.make(1));
  }
  CHECK(comes_true(c.io, [&] { return second.value == 1; }));
  c.rx.async_receive(third.receiver());
  settle(c.io);
  c.tx.try_send(c.values.make(2));
  CHECK(comes_true(c.io, [&] { return third.value == 2; }));
  CHECK(first.calls == 0);
  SECTION("and is served when it runs") {
    c.tx.try_send(c.values.make(3));
    CHECK(comes_true(c.io, [&] {
      settle(stuck);
      return first.calls == 1;
    }));
    CHECK(first.value == 3);
  }
  SECTION("and is destroyed with its endpoint") {
    c.rx.close();
    settle(stuck);
    CHECK(first.ec == net::error::operation_aborted);
  }
  CHECK(first.calls == 1);
}

TEMPLATE_TEST_CASE("however many contexts do not run, an operation in a context that runs is served", "[elsewhere]",
                   of_values, of_bytes) {
  linked<TestType> c("all-stuck");
  std::array<net::io_context, 20> stuck;
  told others, mine;
  for (net::io_context& context : stuck)
    for (int i = 0; i != 2; ++i)
      c.rx.async_receive(net::bind_executor(context.get_executor(), others.receiver()));
  c.rx.async_receive(mine.receiver());
  settle(c.io);
  c.tx.try_send(c.values.make(1));
  CHECK(comes_true(c.io, [&] { return mine.value == 1; }));
  CHECK(others.calls == 0);
  c.rx.close();
  for (net::io_context& context : stuck) settle(context);
  CHECK(others.calls == 40);
}

TEMPLATE_TEST_CASE("an operation cancelled before its executor ran holds up no other", "[elsewhere]",
                   of_values, of_bytes) {
  linked<TestType> c("stuck-cancelled");
  net::io_context stuck;
  net::cancellation_signal signal;
  told first, second, peer;
  const bool asleep = GENERATE(true, false);
  if (!asleep) c.tx.try_send(c.values.make(1));
  c.rx.async_receive(net::bind_cancellation_slot(
      signal.slot(), net::bind_executor(stuck.get_executor(), first.receiver())));
  if (asleep) {
    settle(c.io);
    c.tx.try_send(c.values.make(1));
    settle(c.io);  // it has been dispatched
  }
  // A second operation behind it, on the same context or on one that runs.
  const bool same = GENERATE(true, false);
  const auto ex = same ? stuck.get_executor() : c.io.get_executor();
  c.rx.async_receive(net::bind_executor(ex, second.receiver()));
  signal.emit(net::cancellation_type::all);
  CHECK(first.calls == 0);
  CHECK(comes_true(c.io, [&] {
    if (same) settle(stuck);
    return second.value == 1;
  }));
  // Nothing is pending any more, whatever happens to the first operation.
  CHECK(c.rx.receive(*std::make_unique<typename TestType::channel::consumer::value_type>(),
                     std::chrono::nanoseconds(0)) == net::error::timed_out);
  settle(stuck);
  CHECK(first.calls == 1);
  CHECK(first.ec == net::error::operation_aborted);
}

TEMPLATE_TEST_CASE("conditions do not wait for each other's executors", "[elsewhere]", of_values, of_bytes) {
  const std::string name = unique_name("stuck-peer");
  using meeting_place = meet<typename TestType::channel>;
  net::io_context io, stuck;
  auto rx = meeting_place::consumer(io, name, TestType::options());
  told first, second;
  rx.async_wait_peer(net::bind_executor(stuck.get_executor(), first.handler()));
  rx.async_wait_peer(second.handler());
  settle(io);
  auto tx = meeting_place::producer(io, name, TestType::options());
  CHECK(comes_true(io, [&] { return second.calls == 1; }));
  CHECK(comes_true(stuck, [&] {
    settle(io);
    return first.calls == 1;
  }));
  tx.close();
  rx.close();
  meeting_place::forget(name);
}

TEMPLATE_TEST_CASE("an operation whose context is destroyed holds up no other",
                   "[elsewhere]", of_values, of_bytes) {
  linked<TestType> c("context-gone");
  int alive = 0;
  told second;
  {
    net::io_context gone;
    c.tx.try_send(c.values.make(1));
    c.rx.async_receive(net::bind_executor(gone.get_executor(), [l = count_lives(alive)](auto&&...) {}));
    c.rx.async_receive(net::bind_executor(gone.get_executor(), [l = count_lives(alive)](auto&&...) {}));
    CHECK(alive == 2);
    c.rx.cancel();
    c.rx.async_receive(net::bind_executor(gone.get_executor(), [l = count_lives(alive)](auto&&...) {}));
    CHECK(alive == 3);
  }
  CHECK(alive == 0);
  c.rx.async_receive(second.receiver());
  REQUIRE(run(c.io));
  CHECK(second.value == 1);
}

TEMPLATE_TEST_CASE("an operation allocates once from its handler's allocator",
                   "[elsewhere]", of_values, of_bytes) {
  linked<TestType> c("once");
  const net::strand<net::io_context::executor_type> strand = net::make_strand(c.io.get_executor());
  told t;
  int one = 1;
  SECTION("ready at once") {
    c.tx.try_send(c.values.make(1));
    c.rx.async_receive(bound(one, c.io.get_executor(), t.receiver()));
    REQUIRE(run(c.io));
    CHECK(t.value == 1);
  }
  SECTION("after a sleep, in a strand") {
    c.rx.async_receive(bound(one, strand, t.receiver()));
    settle(c.io);
    c.tx.try_send(c.values.make(1));
    REQUIRE(run(c.io));
    CHECK(t.value == 1);
  }
  SECTION("several in a strand, one directly after the other") {
    int many = 5;
    for (int i = 0; i != 5; ++i) c.rx.async_receive(bound(many, strand, t.receiver()));
    settle(c.io);
    for (std::uint64_t n = 0; n != 5; ++n) c.tx.try_send(c.values.make(n));
    REQUIRE(run(c.io));
    CHECK(t.calls == 5);
    CHECK(t.value == 4);
  }
  SECTION("cancelled, closed, refused") {
    int many = 4;
    c.rx.async_receive(bound(many, strand, t.receiver()));
    c.rx.async_wait_peer(bound(many, strand, t.handler()));
    settle(c.io);
    c.rx.cancel();
    c.rx.async_receive(bound(many, strand, t.receiver()));
    c.rx.close();
    c.rx.async_receive(bound(many, strand, t.receiver()));
    REQUIRE(run(c.io));
    CHECK(t.calls == 4);
    CHECK(t.ec == errc::closed);
  }
}

TEMPLATE_TEST_CASE("an initiation without memory leaves nothing behind", "[elsewhere]", of_values,
                   of_bytes) {
  linked<TestType> c("no-memory");
  int alive = 0;
  told t;
  bool refuses = true;
  const moody_executor ex{c.io.get_executor(), &refuses};
  c.tx.try_send(c.values.make(1));
  int none = 0;
  CHECK_THROWS_AS(c.rx.async_receive(bound(none, c.io.get_executor(), [l = count_lives(alive)](auto&&...) {})),
                  std::bad_alloc);
  CHECK_THROWS_AS(c.rx.async_receive(net::bind_executor(ex, [l = count_lives(alive)](auto&&...) {})),
                  std::bad_alloc);
  CHECK(alive == 0);
  c.rx.async_receive(t.receiver());
  REQUIRE(run(c.io));
  CHECK(t.value == 1);
}

TEMPLATE_TEST_CASE("an executor without memory affects only its own operations",
                   "[elsewhere]", of_values, of_bytes) {
  linked<TestType> c("no-memory-later");
  int alive = 0;
  told t;
  bool refuses = false;
  const moody_executor ex{c.io.get_executor(), &refuses};
  c.rx.async_receive(net::bind_executor(ex, [l = count_lives(alive)](auto&&...) {}));
  c.rx.async_receive(t.receiver());
  settle(c.io);
  refuses = true;
  SECTION("when it is woken: run() throws, as for any such handler") {
    c.tx.try_send(c.values.make(1));
    CHECK_THROWS_AS(run(c.io), std::bad_alloc);
    CHECK(alive == 0);
    REQUIRE(run(c.io));
    CHECK(t.value == 1);
  }
  SECTION("cancel") {
    c.rx.cancel();
    CHECK(alive == 0);
    REQUIRE(run(c.io));
    CHECK(t.ec == net::error::operation_aborted);
  }
  SECTION("close") {
    c.rx.close();
    CHECK(alive == 0);
    REQUIRE(run(c.io));
    CHECK(t.ec == net::error::operation_aborted);
  }
  CHECK(t.calls == 1);
}

TEST_CASE("an operation dispatched after close() neither takes a value nor notifies", "[elsewhere]") {
  using errands = channel<work_ring<tick, 16>>;
  const std::string name = unique_name("after-close");
  net::io_context io, own, stuck;
  auto tx = meet<errands>::producer(io, name);
  auto rx = meet<errands>::consumer(own, name);
  auto other = meet<errands>::consumer(stuck, name);  // asleep, and not run
  told t, o;
  other.async_receive(o.receiver());
  net::io_context elsewhere;
  settle(stuck);
  rx.async_receive(net::bind_executor(elsewhere.get_executor(), t.receiver()));
  rx.async_wait_peer(net::bind_executor(elsewhere.get_executor(), [](error_code) {}));
  for (int i = 0; i != 3; ++i) {  // until it has seen the other one
    settle(own);
    settle(elsewhere);
  }
  tx.try_send({7, 0});  // wakes the first
  settle(own);          // it has been dispatched
  rx.close();
  settle(elsewhere);
  CHECK(t.ec == net::error::operation_aborted);
  CHECK(comes_true(stuck, [&] { return o.value == 7; }));
  tx.close();
  other.close();
  meet<errands>::forget(name);
}

TEMPLATE_TEST_CASE("an operation whose cancellation slot has no memory is not started, and destroyed", "[elsewhere]",
                   of_values, of_bytes) {
  linked<TestType> c("slot");
  net::io_context other;
  int alive = 0;
  CHECK_THROWS_AS(c.rx.async_wait(mean_handler{count_lives(alive), other.get_executor()}), std::bad_alloc);
  CHECK(alive == 0);
  CHECK(run(other, std::chrono::seconds(5)));
}
