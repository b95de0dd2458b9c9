// Changes of a block and of its elements, awaited in one process.
#include "watched.hpp"

#include <belfry/shareable_list.hpp>

#include <algorithm>
#include <array>
#include <deque>

using namespace belfry;
using namespace belfry::test;

TEST_CASE("every notification makes a new version", "[watch]") {
  net::io_context io;
  block b("version");
  watch w(io, b.memory);
  watch other(io, b.memory);
  std::uint64_t v = w.version();
  CHECK(other.version() == v);
  for (int i = 0; i != 100; ++i) {
    watch& who = i % 2 == 0 ? w : other;
    if (i % 3 == 0) {
      who.notify(static_cast<std::size_t>(i));
    } else {
      who.notify();
    }
    CHECK(w.version() == v + 1);
    CHECK(other.version() == ++v);
  }
}

TEST_CASE("a watcher that missed ten changes is told once, with the newest version", "[watch]") {
  net::io_context io;
  block b("once");
  watch w(io, b.memory);
  watch writer(io, b.memory);
  const std::uint64_t seen = w.version();
  change c;
  w.async_changed(seen, c.handler());
  settle(io);
  CHECK(c.calls == 0);
  for (int i = 0; i != 10; ++i) writer.notify();
  REQUIRE(run(io));
  CHECK(c.calls == 1);
  CHECK_FALSE(c.ec);
  CHECK(c.version == writer.version());

  change next;
  w.async_changed(c.version, next.handler());
  settle(io);
  CHECK(next.calls == 0);
  writer.notify();
  REQUIRE(run(io));
  CHECK(next.calls == 1);
  CHECK(next.version == seen + 11);
}

TEST_CASE("an earlier change completes async_changed at once, but not within the call", "[watch]") {
  net::io_context io;
  block b("at-once");
  watch w(io, b.memory);
  const std::uint64_t seen = w.version();
  w.notify();
  change c;
  w.async_changed(seen, c.handler());
  change other;
  w.async_changed(seen + 1000, other.handler());  // versions are only compared for equality
  CHECK(c.calls == 0);
  REQUIRE(run(io));
  CHECK(c.calls == 1);
  CHECK(c.version == seen + 1);
  CHECK(other.calls == 1);
  CHECK(other.version == seen + 1);
}

TEST_CASE("a watch sees its own notifications", "[watch]") {
  net::io_context io;
  block b("own");
  watch w(io, b.memory);
  change c;
  w.async_changed(w.version(), c.handler());
  settle(io);
  w.notify();
  REQUIRE(run(io));
  CHECK(c.calls == 1);
}

TEST_CASE("a change of an element completes the waits for that element", "[watch]") {
  net::io_context io;
  block b("elements");
  watch w(io, b.memory);
  watch writer(io, b.memory);
  const std::uint64_t seen = w.version();
  change five, six, five_or_six, last, all;
  w.async_changed(seen, {5}, five.handler());
  w.async_changed(seen, {6}, six.handler());
  w.async_changed(seen, {5, 6}, five_or_six.handler());
  w.async_changed(seen, {1023}, last.handler());
  w.async_changed(seen, all.handler());
  settle(io);
  CHECK(five.calls + six.calls + five_or_six.calls + last.calls + all.calls == 0);

  writer.notify(5);
  CHECK(comes_true(io, [&] { return five.calls + five_or_six.calls + all.calls == 3; }));
  CHECK(five.calls == 1);
  CHECK(five.version == seen + 1);
  CHECK(five_or_six.calls == 1);
  CHECK(all.calls == 1);
  CHECK(six.calls == 0);
  CHECK(last.calls == 0);

  for (std::size_t i = 0; i != 1023; ++i) {
    if (i != 6) writer.notify(i);
  }
  settle(io);
  CHECK(six.calls == 0);
  CHECK(last.calls == 0);

  writer.notify(1023 + 1024);  // equal modulo 1024, so notified together
  CHECK(comes_true(io, [&] { return last.calls == 1; }));
  CHECK(six.calls == 0);

  writer.notify();  // the block as a whole
  CHECK(comes_true(io, [&] { return six.calls == 1; }));
  CHECK(six.version == writer.version());
  CHECK(run(io));
}

TEST_CASE("a watch tells which elements have changed", "[watch]") {
  net::io_context io;
  block b("which");
  watch w(io, b.memory);
  const auto changed = [&](std::uint64_t seen, std::size_t element) {
    return w.changed_since(seen, std::array{element});
  };
  const std::uint64_t before = w.version();
  w.notify(3);
  const std::uint64_t after = w.version();
  CHECK(changed(before, 3));
  CHECK_FALSE(changed(before, 4));
  CHECK(changed(before, 3 + watch::exact_elements));
  CHECK_FALSE(w.changed_since(before, {}));
  CHECK_FALSE(changed(after, 3));
  w.notify();
  CHECK(changed(after, 4));
  CHECK(w.changed_since(after, {}));
  watch moved = std::move(w);
  CHECK_FALSE(w.changed_since(before, {}));
  CHECK(moved.changed_since(before, {}));
}

TEST_CASE("a change of an element before the version seen does not count", "[watch]") {
  net::io_context io;
  block b("before");
  watch w(io, b.memory);
  watch writer(io, b.memory);
  const std::uint64_t before = w.version();
  writer.notify(3);
  const std::uint64_t seen = w.version();
  writer.notify(4);
  change old, again;
  w.async_changed(before, {3}, old.handler());
  w.async_changed(seen, {3}, again.handler());
  CHECK(comes_true(io, [&] { return old.calls == 1; }));
  CHECK(again.calls == 0);
  writer.notify(3);
  REQUIRE(run(io));
  CHECK(again.calls == 1);
}

TEST_CASE("for a watcher that has seen a version of an earlier companion all elements have changed",
          "[watch]") {
  net::io_context io;
  block b("anew");
  std::uint64_t seen = 0;
  {
    watch first(io, b.memory);
    for (int i = 0; i != 10; ++i) first.notify(3);
    seen = first.version();
  }
  REQUIRE(files_of(b.companion()) == 0);
  watch w(io, b.memory);
  change at_once;
  w.async_changed(seen, {3}, at_once.handler());
  REQUIRE(run(io));
  CHECK(at_once.calls == 1);
  CHECK(at_once.version == w.version());

  // Even if there have been more notifications, of another element, than in the earlier companion.
  for (int i = 0; i != 20; ++i) w.notify(4);
  change later, none;
  w.async_changed(seen, {3}, later.handler());
  w.async_changed(at_once.version, {3}, none.handler());
  CHECK(comes_true(io, [&] { return later.calls == 1; }));
  CHECK(none.calls == 0);
}

TEST_CASE("several waits on one watch complete independently", "[watch]") {
  net::io_context io;
  block b("several");
  watch w(io, b.memory);
  watch writer(io, b.memory);
  const std::uint64_t seen = w.version();
  std::deque<change> waiting(40);
  for (std::size_t i = 0; i != waiting.size(); ++i) {
    const std::array<std::size_t, 1> element{i};
    w.async_changed(seen, element, waiting[i].handler());
  }
  settle(io);
  for (const std::size_t step : {7u, 3u, 11u, 1u}) {
    for (std::size_t i = step; i < waiting.size(); i += 13) {
      REQUIRE(waiting[i].calls == 0);
      writer.notify(i);
      CHECK(comes_true(io, [&] { return waiting[i].calls == 1; }));
    }
  }
  const auto done = std::count_if(waiting.begin(), waiting.end(), [](auto& c) { return c.calls == 1; });
  CHECK(done == 3 + 3 + 3 + 3);
  writer.notify();
  REQUIRE(run(io));
  for (const change& c : waiting) CHECK(c.calls == 1);
}

TEST_CASE("a wait for a change can be cancelled", "[watch]") {
  for (const auto type : types) {
    net::io_context io;
    block b("cancel");
    watch w(io, b.memory);
    net::cancellation_signal signal;
    change cancelled, other;
    w.async_changed(w.version(), bound(signal, cancelled.handler()));
    w.async_changed(w.version(), other.handler());
    settle(io);
    signal.emit(type);
    CHECK(cancelled.calls == 0);
    settle(io);
    CHECK(cancelled.calls == 1);
    CHECK(cancelled.ec == net::error::operation_aborted);
    CHECK(other.calls == 0);
    w.notify();
    REQUIRE(run(io));
    CHECK(other.calls == 1);
    CHECK_FALSE(other.ec);
  }
}

TEST_CASE("a list can be watched element by element", "[watch]") {
  net::io_context io;
  shareable_list limits({1, 2, 3, "four"});
  const unlink_on_destroy owner(limits.shm());
  watch w(io, limits.shm());
  bool notified = false;
  run_coroutine(io, [&]() -> net::awaitable<void> {
    net::post(io, [&] {
      limits[3] = "100";
      notified = true;
      watch(io, limits.shm()).notify(3);  // destroyed at once
    });
    const std::array<std::size_t, 1> third{3};
    auto [ec, version] = co_await w.async_changed(w.version(), third, use_tuple);
    CHECK_FALSE(ec);
    CHECK(version == w.version());
    CHECK(notified);
    CHECK(limits.at(3) == shareable_list::value("100"));
  });
}
