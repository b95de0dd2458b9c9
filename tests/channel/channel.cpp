#include "support/rings.hpp"

#include <concepts>
#include <string_view>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

// With a context, as with an executor.
static_assert(std::constructible_from<of_values::channel::producer, net::io_context&, std::string_view>);
static_assert(!std::constructible_from<of_values::channel::producer, net::io_context&>);
static_assert(!std::constructible_from<of_values::channel::producer, net::io_context&, int>);
static_assert(!std::constructible_from<watch, net::io_context&>);
static_assert(!std::constructible_from<manager_server, net::io_context&, std::string_view>);

TEMPLATE_TEST_CASE("messages are received in the order of sending", "[channel]", of_values, of_bytes) {
  linked<TestType> c("order");
  CHECK_FALSE(c.rx.try_receive());
  for (std::uint64_t n = 0; n != 10; ++n) REQUIRE(c.tx.try_send(c.values.make(n)));
  CHECK(drain(c.rx) == std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK_FALSE(c.rx.try_receive());
}

TEMPLATE_TEST_CASE("a full ring refuses, and takes more after a receive", "[channel]", of_values,
                   of_bytes) {
  linked<TestType> c("full");
  CHECK(fill(c.tx, c.values) == TestType::room);
  CHECK_FALSE(c.tx.try_send(c.values.make(0)));
  CHECK(number(*c.rx.try_receive()) == 0);
  CHECK(c.tx.try_send(c.values.make(TestType::room)));
  CHECK_FALSE(c.tx.try_send(c.values.make(0)));
  const auto received = drain(c.rx);
  CHECK(received.size() == TestType::room);
  CHECK(received.back() == TestType::room);
}

TEST_CASE("an endpoint's properties", "[channel]") {
  linked<of_values> v("properties");
  CHECK(v.tx.is_open());
  CHECK(v.rx.is_open());
  const bool named = way_to_meet() == meeting::by_name;
  CHECK(v.tx.name() == (named ? v.name : ""));
  CHECK(v.rx.name() == v.tx.name());
  CHECK(v.tx.capacity() == 64);
  CHECK(v.rx.capacity() == 64);
  CHECK(v.tx.get_executor() == v.io.get_executor());
  CHECK(v.rx.get_executor() == v.io.get_executor());
  v.tx.try_send({1, 0});
  v.tx.try_send({2, 0});
  CHECK(v.tx.size() == 2);
  CHECK(v.rx.size() == 2);
  v.rx.try_receive();
  CHECK(v.tx.size() == 1);
  CHECK(v.rx.size() == 1);

  linked<of_bytes> b("properties");
  CHECK(b.tx.capacity() == 4096);
  CHECK(b.tx.max_message() == 4088);
  b.tx.try_send(as_message("123"));
  CHECK(b.tx.size() == 16);
  CHECK(b.rx.size() == 16);
  const auto held = b.rx.try_receive();
  CHECK(b.tx.size() == 16);  // messages still held keep their room
  CHECK(b.rx.size() == 0);
}

TEMPLATE_TEST_CASE("either side may join first, and messages wait for the consumer", "[channel]", of_values,
                   of_bytes) {
  const std::string name = unique_name("first");
  net::io_context io;
  TestType values;
  {
    typename TestType::channel::producer tx(io, name, TestType::options());
    tx.try_send(values.make(7));
  }
  CHECK(files_of(name) == 1);  // the segment; no bell
  {
    typename TestType::channel::consumer rx(io, name);
    CHECK(number(*rx.try_receive()) == 7);
  }
  CHECK(files_of(name) == 0);
  {
    typename TestType::channel::consumer rx(io, name, TestType::options());
    typename TestType::channel::producer tx(io, name);
    tx.try_send(values.make(8));
    CHECK(number(*rx.try_receive()) == 8);
  }
  CHECK(files_of(name) == 0);
}

TEMPLATE_TEST_CASE("a second producer or consumer is refused", "[channel]", of_values, of_bytes) {
  linked<TestType> c("taken");
  using channel = typename TestType::channel;
  const std::string whose = way_to_meet() == meeting::by_name ? '"' + c.name + '"' : "the channel";
  CHECK_THROWS_WITH(c.another_producer(), contains("a producer of " + whose));
  try {
    typename channel::consumer second = c.another_consumer();
    FAIL("a second one could join");
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::role_taken);
  }
  error_code ec;
  typename channel::consumer second = c.another_consumer(ec);
  CHECK(ec == errc::role_taken);
  c.rx.close();
  typename channel::consumer third = c.another_consumer(ec);
  CHECK_FALSE(ec);
  CHECK(ec == error_code());
}

TEST_CASE("every function of an endpoint can be called after a failed open", "[channel]") {
  net::io_context io;
  error_code ec;
  of_bytes::channel::producer tx(io, "not/a/name", ec);
  CHECK(ec == std::errc::invalid_argument);
  CHECK_FALSE(tx.is_open());
  CHECK(tx.size() == 0);
  CHECK(tx.capacity() == 0);
  CHECK(tx.max_message() == 0);
  CHECK(tx.name().empty());
  CHECK_FALSE(tx.try_send({}));
  CHECK_FALSE(tx.try_claim(1));
  CHECK(tx.try_send_n({}) == 0);
  CHECK(tx.native_handle(ec) == -1);
  CHECK(ec == errc::closed);
  CHECK_FALSE(tx.prepare_wait());
  CHECK(tx.finish_wait() == errc::closed);
  CHECK(tx.send({}) == errc::closed);
  told t;
  tx.async_send(std::span<const std::byte>(), t.handler());
  REQUIRE(run(io));
  CHECK(t.ec == errc::closed);
  tx.cancel();
  tx.close();

  of_values::channel::consumer rx(io, std::string(248, 'x'), ec);
  CHECK(ec == std::errc::filename_too_long);
  CHECK_FALSE(rx.try_receive());
  CHECK(rx.try_receive_n({}) == 0);
  tick out{};
  CHECK(rx.receive(out) == errc::closed);
}

TEMPLATE_TEST_CASE("after close every operation reports closed", "[channel]", of_values, of_bytes) {
  linked<TestType> c("closed");
  c.tx.try_send(c.values.make(1));
  const std::size_t before = open_descriptors();
  c.rx.native_handle();
  c.rx.close();
  c.rx.close();
  CHECK(open_descriptors() < before);
  CHECK_FALSE(c.rx.is_open());
  CHECK_FALSE(c.rx.try_receive());
  CHECK(c.rx.size() == 0);
  if (way_to_meet() == meeting::by_name) CHECK(c.rx.name() == c.name);
  CHECK(c.rx.finish_wait() == errc::closed);
  std::array<typename TestType::channel::consumer::value_type, 2> several;
  CHECK(c.rx.try_receive_n(several) == 0);
  CHECK(c.rx.receive(several[0]) == errc::closed);
  c.tx.close();
  CHECK_FALSE(c.tx.try_send(c.values.make(2)));
  CHECK(c.tx.send(c.values.make(2)) == errc::closed);
  CHECK(c.tx.capacity() != 0);
}

TEMPLATE_TEST_CASE("every message is received before closed", "[channel]", of_values, of_bytes) {
  linked<TestType> c("drain");
  for (std::uint64_t n = 0; n != 3; ++n) c.tx.try_send(c.values.make(n));
  c.tx.close();
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    for (std::uint64_t n = 0; n != 3; ++n) {
      const auto value = co_await c.rx.async_receive(net::use_awaitable);
      CHECK(number(value) == n);
    }
    for (int i = 0; i != 2; ++i) {  // it stays closed
      auto [ec, value] = co_await c.rx.async_receive(use_tuple);
      CHECK(ec == errc::closed);
    }
  });
}

TEMPLATE_TEST_CASE("endpoints can be moved; the one assigned to leaves its channel", "[channel]", of_values,
                   of_bytes) {
  linked<TestType> a("a");
  linked<TestType> b("b");
  typename TestType::channel::producer moved(std::move(a.tx));
  CHECK(moved.is_open());
  CHECK_FALSE(a.tx.is_open());  // NOLINT: what a moved-from endpoint says
  CHECK(moved.try_send(a.values.make(1)));
  CHECK(number(*a.rx.try_receive()) == 1);

  b.tx.try_send(b.values.make(2));
  moved = std::move(b.tx);
  if (way_to_meet() == meeting::by_name) CHECK(moved.name() == b.name);
  CHECK(moved.try_send(b.values.make(3)));
  CHECK(drain(b.rx) == std::vector<std::uint64_t>{2, 3});
  told t;
  a.rx.async_receive(t.receiver());
  REQUIRE(run(a.io));
  CHECK(t.ec == errc::closed);

  auto& same = moved;
  moved = std::move(same);
  CHECK(moved.is_open());
  a.tx = a.another_producer();  // it can be used again
  CHECK(a.tx.is_open());
  b.tx = std::move(moved);
}

TEMPLATE_TEST_CASE("a channel by handles works the same without a name", "[channel]", of_values, of_bytes) {
  net::io_context io;
  TestType values;
  channel_handles handles = TestType::channel::make_handles(TestType::options());
  REQUIRE(handles);
  typename TestType::channel::producer tx(io, handles);
  typename TestType::channel::consumer rx(io, handles);
  CHECK(tx.name().empty());
  error_code ec;
  typename TestType::channel::producer second(io, handles, ec);
  CHECK(ec == errc::role_taken);
  handles = {};
  CHECK_FALSE(handles);

  told received;
  rx.async_receive(received.receiver());
  settle(io);
  CHECK(received.calls == 0);
  tx.try_send(values.make(5));
  REQUIRE(run(io));
  CHECK(received.value == 5);
  tx.close();
  rx.async_receive(received.receiver());
  REQUIRE(run(io));
  CHECK(received.ec == errc::closed);
}

TEST_CASE("a channel leaves no other traces than in /dev/shm", "[channel]") {
  const std::string name = unique_name("traces");
  const std::size_t before = open_descriptors();
  {
    net::io_context io;
    { of_values::channel::producer first(io, name); }
    const std::size_t context = open_descriptors();  // its reactor included
    of_values::channel::producer tx(io, name);
    of_values::channel::consumer rx(io, name);
    CHECK(files_of(name) == 3);
    told t;
    rx.async_receive(t.receiver());
    settle(io);
    tx.try_send({1, 0});
    REQUIRE(run(io));
    CHECK(t.calls == 1);
    tx.close();
    rx.close();
    CHECK(open_descriptors() == context);
    CHECK(files_of(name) == 0);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a ring with forged indices is corrupted for all participants", "[messages]") {
  if (way_to_meet() != meeting::by_name) return;  // there is no file to overwrite
  linked<of_bytes> c("corrupted");
  const shared_memory raw = shared_memory::open(c.name);
  // At the ring's offset, see layout.hpp: the tail; 64 bytes further, the head.
  std::byte* const bytes = const_cast<std::byte*>(std::as_const(raw).buf().data());
  const std::uint64_t offset = reinterpret_cast<const layout::identity*>(bytes)->ring_offset;
  auto* const tail = reinterpret_cast<std::uint64_t*>(bytes + offset);
  told t;
  std::array<message, 2> out;
  *tail = 4;
  CHECK_FALSE(c.rx.try_receive());
  CHECK(c.rx.try_receive_n(out) == 0);
  c.rx.async_receive(t.receiver());
  REQUIRE(run(c.io));
  CHECK(t.ec == errc::corrupted);
  c.rx.async_wait(t.handler());
  REQUIRE(run(c.io));
  CHECK(t.ec == errc::corrupted);
  c.rx.async_receive_n(out, t.counter());
  REQUIRE(run(c.io));
  CHECK(t.ec == errc::corrupted);
  message m;
  CHECK(c.rx.receive(m) == errc::corrupted);
  CHECK_FALSE(c.rx.prepare_wait());
  CHECK(c.rx.finish_wait() == errc::corrupted);

  tail[8] = 12345;
  const std::string largest(of_bytes::largest, 'x');
  c.tx.async_send(net::buffer(largest), t.handler());
  c.tx.async_send(net::buffer(largest), t.handler());
  REQUIRE(run(c.io));
  CHECK(t.ec == errc::corrupted);
  CHECK(c.tx.send(as_message(largest)) == errc::corrupted);
  c.tx.async_wait(t.handler());
  REQUIRE(run(c.io));
  CHECK(t.ec == errc::corrupted);
  CHECK_FALSE(c.tx.try_claim(1));
}
