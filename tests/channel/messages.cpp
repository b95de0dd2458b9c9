// Messages in place: what a consumer of a byte_ring holds.
#include "support/rings.hpp"

using namespace belfry;
using namespace belfry::test;

using frames = channel<byte_ring>;

TEST_CASE("a message is read in place and released by its destructor", "[messages]") {
  linked<of_bytes> c("place");
  c.tx.try_send(as_message("hello"));
  c.tx.try_send({});
  auto m = c.rx.try_receive();
  REQUIRE(m);
  CHECK(*m);
  CHECK(m->size() == 5);
  CHECK(text_of(*m) == "hello");
  CHECK(reinterpret_cast<std::uintptr_t>(m->bytes().data()) % 8 == 0);
  auto empty = c.rx.try_receive();
  REQUIRE(empty);
  CHECK(*empty);  // there is a message, although it is empty
  CHECK(empty->size() == 0);

  message moved(std::move(*m));
  CHECK_FALSE(*m);
  CHECK(text_of(moved) == "hello");
  moved.release();
  CHECK_FALSE(moved);
  CHECK(moved.bytes().empty());
  moved.release();
  moved = std::move(*empty);
  CHECK(moved);
  auto& same = moved;
  moved = std::move(same);
  CHECK(moved);
  CHECK(c.tx.size() == 8);
  moved = message();
  CHECK(c.tx.size() == 0);
}

TEST_CASE("assigning to a message releases the old one", "[messages]") {
  linked<of_bytes> c("assign");
  for (const char* text : {"a", "b", "c"}) c.tx.try_send(as_message(text));
  message held;
  for (const char* text : {"a", "b", "c"}) {
    held = std::move(*c.rx.try_receive());
    CHECK(text_of(held) == text);
    CHECK(c.tx.size() == 16u * static_cast<unsigned>('c' - *text + 1));
  }
}

TEST_CASE("any number of messages may be held, and released in any order", "[messages]") {
  linked<of_bytes> c("several");
  std::vector<message> held;
  for (std::uint64_t n = 0; n != 6; ++n) c.tx.try_send(c.values.make(n));
  while (auto m = c.rx.try_receive()) held.push_back(std::move(*m));
  REQUIRE(held.size() == 6);
  for (const std::size_t i : {3u, 5u, 1u}) held[i].release();
  CHECK(c.tx.size() == 96);
  for (const std::size_t i : {0u, 2u, 4u}) CHECK(number(held[i]) == i);
  held[0].release();
  CHECK(c.tx.size() == 64);
  held[2].release();
  CHECK(c.tx.size() == 32);
  held[4].release();
  CHECK(c.tx.size() == 0);
}

TEST_CASE("a held message keeps its room, and the producer waits for it", "[messages]") {
  linked<of_bytes> c("room");
  const std::string half(of_bytes::largest / 2 - 4, 'h');
  c.tx.try_send(as_message(half));
  c.tx.try_send(as_message(half));
  auto first = c.rx.try_receive();
  auto second = c.rx.try_receive();
  told sent;
  c.tx.async_send(net::buffer(half), sent.handler());
  settle(c.io);
  CHECK(sent.calls == 0);
  second.reset();  // not the oldest
  settle(c.io);
  CHECK(sent.calls == 0);
  first.reset();
  REQUIRE(run(c.io));
  CHECK(sent.calls == 1);
  CHECK(text_of(*c.rx.try_receive()) == half);
}

TEST_CASE("a message released while its consumer sleeps makes room at once", "[messages]") {
  linked<of_bytes> c("asleep");
  const std::string small(500, 's');
  const std::string large(of_bytes::largest - 388, 'l');
  c.tx.try_send(as_message(small));
  auto held = c.rx.try_receive();
  told received;
  told sent;
  c.rx.async_receive(received.receiver());
  c.tx.async_send(net::buffer(large), sent.handler());
  settle(c.io);
  CHECK(sent.calls == 0);
  held.reset();
  REQUIRE(run(c.io));
  CHECK(sent.calls == 1);
  CHECK(received.calls == 1);
}

TEST_CASE("messages outlive their consumer, and its successor receives them again", "[messages]") {
  const std::string name = unique_name("outlive");
  net::io_context io;
  frames::producer tx(io, name, of_bytes::options());
  std::vector<message> held;
  {
    frames::consumer rx(io, name);
    for (const char* text : {"one", "two", "three"}) tx.try_send(as_message(text));
    while (auto m = rx.try_receive()) held.push_back(std::move(*m));
    held[0].release();
  }
  REQUIRE(held.size() == 3);
  CHECK(text_of(held[1]) == "two");
  CHECK(text_of(held[2]) == "three");
  held[1].release();  // too late: the consumer is closed
  frames::consumer next(io, name);
  CHECK(text_of(*next.try_receive()) == "two");
  held[2] = std::move(*next.try_receive());
  CHECK(text_of(held[2]) == "three");
  next.close();
  CHECK(text_of(held[2]) == "three");
  tx.close();
  CHECK(text_of(held[2]) == "three");
  held.clear();
  frames::unlink(name);
}

TEST_CASE("messages outlive the context and the endpoints", "[messages]") {
  const std::string name = unique_name("all");
  std::optional<message> held;
  {
    net::io_context io;
    frames::producer tx(io, name, of_bytes::options());
    tx.try_send(as_message("still here"));
    frames::consumer rx(io, name);
    rx.async_receive([&](error_code, message m) { held = std::move(m); });
    REQUIRE(run(io));
  }
  CHECK(text_of(*held) == "still here");
  frames::unlink(name);
}

TEST_CASE("a message whose handler never ran is released", "[messages]") {
  linked<of_bytes> c("unwanted");
  c.tx.try_send(as_message("x"));
  c.rx.async_receive(net::detached);
  REQUIRE(run(c.io));
  CHECK(c.tx.size() == 0);
}

TEST_CASE("a message that is too large is refused, whatever the room", "[messages]") {
  linked<of_bytes> c("large");
  CHECK(c.tx.max_message() == of_bytes::largest);
  const std::string largest(of_bytes::largest, 'x');
  const std::string larger(of_bytes::largest + 1, 'x');
  CHECK_FALSE(c.tx.try_send(as_message(larger)));
  told t;
  c.tx.async_send(net::buffer(larger), t.handler());
  REQUIRE(run(c.io));
  CHECK(t.ec == errc::message_too_large);
  CHECK(c.tx.try_send(as_message(largest)));
  c.tx.async_send(net::buffer(larger), t.handler());
  REQUIRE(run(c.io));
  CHECK(t.calls == 2);
  CHECK(c.rx.try_receive()->size() == of_bytes::largest);
}
