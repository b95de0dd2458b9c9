// A handler is called on its associated executor, its allocator provides the memory of a pending operation,
// and it is never called within the initiating function.
#include "support/rings.hpp"

#include <list>
#include <memory>

using namespace belfry;
using namespace belfry::test;

namespace {

/// Forwards to another executor, and counts what is executed.
template <class Inner>
struct counting_executor {
  Inner inner;
  int* executed;

  template <class Property>
  auto require(const Property& p) const -> counting_executor<std::decay_t<decltype(net::require(std::declval<const Inner&>(), p))>> {
    return {net::require(inner, p), executed};
  }
  template <class Property>
  auto prefer(const Property& p) const -> counting_executor<std::decay_t<decltype(net::prefer(std::declval<const Inner&>(), p))>> {
    return {net::prefer(inner, p), executed};
  }
  template <class Property>
  auto query(const Property& p) const noexcept -> decltype(net::query(std::declval<const Inner&>(), p)) {
    return net::query(inner, p);
  }
  template <class Function>
  void execute(Function&& f) const {
    ++*executed;
    net::any_io_executor(inner).execute(std::forward<Function>(f));  // its own is private in some versions
  }
  bool operator==(const counting_executor& other) const noexcept {
    return inner == other.inner && executed == other.executed;
  }
  bool operator!=(const counting_executor& other) const noexcept { return !(*this == other); }
};

struct budget {
  std::size_t allocations = 0;
  std::ptrdiff_t bytes = 0;
};

template <class T>
struct counting_allocator {
  using value_type = T;
  explicit counting_allocator(budget& b) : spent(&b) {}
  template <class U>
  counting_allocator(const counting_allocator<U>& other) : spent(other.spent) {}
  T* allocate(std::size_t n) {
    ++spent->allocations;
    spent->bytes += static_cast<std::ptrdiff_t>(n * sizeof(T));
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) {
    spent->bytes -= static_cast<std::ptrdiff_t>(n * sizeof(T));
    std::allocator<T>().deallocate(p, n);
  }
  template <class U>
  bool operator==(const counting_allocator<U>& other) const {
    return spent == other.spent;
  }
  budget* spent;
};

}  // namespace

TEMPLATE_TEST_CASE("a handler is called on its associated executor", "[associations]", of_values, of_bytes) {
  linked<TestType> c("executor");
  net::io_context elsewhere;
  const auto ex = elsewhere.get_executor();
  int calls = 0;
  const auto there = [&](auto&&...) {
    ++calls;
    CHECK(ex.running_in_this_thread());
    CHECK_FALSE(c.io.get_executor().running_in_this_thread());
  };
  const auto run_both = [&] {
    for (int i = 0; i != 10; ++i) {
      settle(c.io);
      settle(elsewhere);
    }
  };
  SECTION("ready at once") {
    fill(c.tx, c.values);
    c.rx.async_receive(net::bind_executor(ex, there));
    c.rx.async_wait(net::bind_executor(ex, there));
    c.rx.async_wait_peer(net::bind_executor(ex, there));
  }
  SECTION("after a sleep") {
    c.rx.async_receive(net::bind_executor(ex, there));
    c.rx.async_wait(net::bind_executor(ex, there));
    c.rx.async_receive(net::bind_executor(ex, there));
    run_both();
    CHECK(calls == 0);
    fill(c.tx, c.values);
  }
  SECTION("aborted") {
    c.rx.async_receive(net::bind_executor(ex, there));
    c.rx.async_wait(net::bind_executor(ex, there));
    c.rx.async_receive(net::bind_executor(ex, there));
    c.rx.cancel();
  }
  SECTION("refused") {
    c.rx.close();
    c.rx.async_receive(net::bind_executor(ex, there));
    c.rx.async_wait(net::bind_executor(ex, there));
    c.rx.async_wait_peer(net::bind_executor(ex, there));
  }
  CHECK(calls == 0);
  run_both();
  CHECK(calls == 3);
}

TEMPLATE_TEST_CASE("every step uses the associated executor", "[associations]", of_values, of_bytes) {
  linked<TestType> c("counted");
  int executed = 0;
  const counting_executor<net::io_context::executor_type> ex{c.io.get_executor(), &executed};
  told t;
  c.rx.async_receive(net::bind_executor(ex, t.receiver()));
  settle(c.io);
  const int before = executed;
  c.tx.try_send(c.values.make(1));
  REQUIRE(run(c.io));
  CHECK(t.value == 1);
  CHECK(executed > before);

  executed = 0;
  c.rx.async_receive(net::bind_executor(ex, t.receiver()));
  settle(c.io);
  c.rx.cancel();
  REQUIRE(run(c.io));
  CHECK(t.ec == net::error::operation_aborted);
  CHECK(executed == 1);
}

TEMPLATE_TEST_CASE("handlers bound to a strand run in it", "[associations]", of_values, of_bytes) {
  linked<TestType> c("strand");
  const auto strand = net::make_strand(c.io);
  int calls = 0;
  const auto inside = [&](auto&&...) {
    ++calls;
    CHECK(strand.running_in_this_thread());
  };
  c.rx.async_receive(net::bind_executor(strand, inside));
  c.rx.async_receive(net::bind_executor(strand, inside));
  settle(c.io);
  c.tx.async_send(c.values.make(1), net::bind_executor(strand, inside));
  c.tx.async_send(c.values.make(2), net::bind_executor(strand, inside));
  REQUIRE(run(c.io));
  CHECK(calls == 4);
}

TEMPLATE_TEST_CASE("an endpoint made with a strand calls its handlers there", "[associations]", of_values,
                   of_bytes) {
  linked<TestType> c("made");
  const auto strand = net::make_strand(c.io);
  c.rx = typename TestType::channel::consumer(strand, c.name + "-2", TestType::options());
  typename TestType::channel::producer tx(c.io, c.name + "-2");
  bool called = false;
  c.rx.async_receive([&](error_code, auto) {
    called = true;
    CHECK(strand.running_in_this_thread());
  });
  settle(c.io);
  tx.try_send(c.values.make(1));
  REQUIRE(run(c.io));
  CHECK(called);
}

TEMPLATE_TEST_CASE("an operation uses its handler's allocator", "[associations]", of_values, of_bytes) {
  linked<TestType> c("memory");
  budget b;
  told t;
  const auto bound = [&](auto handler) {
    return net::bind_allocator(counting_allocator<int>(b), std::move(handler));
  };
  SECTION("completed") {
    c.rx.async_receive(bound([&, h = t.receiver()](error_code ec, auto v) {
      CHECK(b.bytes == 0);  // deallocated before the handler is called
      h(ec, std::move(v));
    }));
    CHECK(b.allocations > 0);
    CHECK(b.bytes > 0);
    settle(c.io);
    c.tx.try_send(c.values.make(1));
  }
  SECTION("ready at once") {
    c.tx.try_send(c.values.make(1));
    c.rx.async_receive(bound(t.receiver()));
  }
  SECTION("aborted") {
    c.rx.async_receive(bound(t.receiver()));
    settle(c.io);
    c.rx.cancel();
  }
  SECTION("refused") {
    c.rx.close();
    c.rx.async_receive(bound(t.receiver()));
  }
  REQUIRE(run(c.io));
  CHECK(t.calls == 1);
  CHECK(b.allocations > 0);
  CHECK(b.bytes == 0);
}

TEMPLATE_TEST_CASE("the memory of an operation is returned when its context is destroyed",
                   "[associations]", of_values, of_bytes) {
  budget b;
  {
    linked<TestType> c("gone");
    c.rx.async_receive(net::bind_allocator(counting_allocator<int>(b), [](auto&&...) {}));
    c.rx.async_wait_peer(net::bind_allocator(counting_allocator<int>(b), [](auto&&...) {}));
    CHECK(b.bytes > 0);
  }
  CHECK(b.bytes == 0);
}

TEMPLATE_TEST_CASE("nothing completes within the initiating function",
                   "[associations]", of_values, of_bytes) {
  linked<TestType> c("inline");
  bool initiating = false;
  int calls = 0;
  const auto later = [&](auto&&...) {
    ++calls;
    CHECK_FALSE(initiating);
  };
  const auto initiate_all = [&] {
    initiating = true;
    c.rx.async_receive(later);
    c.rx.async_wait(later);
    c.rx.async_wait_peer(later);
    c.tx.async_send(c.values.make(1), later);
    c.tx.async_wait(later);
    c.tx.async_wait_peer(later);
    initiating = false;
  };
  SECTION("of endpoints that are ready") {
    for (std::uint64_t n = 0; n != 8; ++n) c.tx.try_send(c.values.make(n));
  }
  SECTION("of closed endpoints") {
    c.rx.close();
    c.tx.close();
  }
  initiate_all();
  CHECK(calls == 0);
  REQUIRE(run(c.io));
  CHECK(calls == 6);
  net::post(c.io, initiate_all);  // within a handler of the context
  REQUIRE(run(c.io));
  CHECK(calls == 12);
  c.tx.async_wait([&](error_code) { initiate_all(); });  // within a handler of such an operation
  REQUIRE(run(c.io));
  CHECK(calls == 18);
}

TEMPLATE_TEST_CASE("a coroutine is not resumed within the function that it calls",
                   "[associations]", of_values, of_bytes) {
  // An operation awaited by the coroutine itself may complete as soon as it has suspended. But an operation
  // that it initiates for another one must not complete while it still runs.
  linked<TestType> c("suspended");
  fill(c.tx, c.values);
  bool busy = false;
  std::uint64_t expected = 0;
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    for (int i = 0; i != 20; ++i) {
      const auto v = co_await c.rx.async_receive(net::use_awaitable);
      CHECK_FALSE(busy);
      CHECK(number(v) == expected++);
      busy = true;
      c.rx.async_receive([&](error_code, auto w) {
        CHECK_FALSE(busy);
        CHECK(number(w) == expected++);
      });
      busy = false;
    }
  });
  CHECK(expected == 40);
}
