// Messages written in place.
#include "support/rings.hpp"

using namespace belfry;
using namespace belfry::test;

using frames = channel<byte_ring>;

namespace {

void write(const claim& room, std::string_view text) {
  REQUIRE(room.size() >= text.size());
  std::memcpy(room.bytes().data(), text.data(), text.size());
}

}  // namespace

TEST_CASE("a commit sends the claim, or its beginning", "[claims]") {
  linked<of_bytes> c("commit");
  {
    claim room = c.tx.try_claim(5);
    REQUIRE(room);
    CHECK(room.size() == 5);
    write(room, "hello");
    CHECK_FALSE(c.rx.try_receive());
    room.commit();
    CHECK_FALSE(room);
    CHECK(room.bytes().empty());
    room.commit();  // only the first commit counts
  }
  CHECK(text_of(*c.rx.try_receive()) == "hello");
  claim room = c.tx.try_claim(100);
  write(room, "short");
  room.commit(5);
  CHECK(text_of(*c.rx.try_receive()) == "short");
  room = c.tx.try_claim(3);
  write(room, "abc");
  room.commit(1000);  // not more than was claimed
  CHECK(text_of(*c.rx.try_receive()) == "abc");
  room = c.tx.try_claim(3);
  room.commit(0);
  CHECK(c.rx.try_receive()->size() == 0);
  CHECK_FALSE(c.rx.try_receive());
}

TEST_CASE("a claim destroyed without a commit has sent nothing", "[claims]") {
  linked<of_bytes> c("drop");
  {
    const claim room = c.tx.try_claim(5);
    write(room, "never");
  }
  claim room = c.tx.try_claim(5);
  room = claim();
  CHECK(c.tx.size() == 0);
  c.tx.try_send(as_message("after"));
  CHECK(text_of(*c.rx.try_receive()) == "after");
  CHECK_FALSE(c.rx.try_receive());
}

TEST_CASE("only one claim at a time, and no other send meanwhile", "[claims]") {
  linked<of_bytes> c("one");
  claim room = c.tx.try_claim(5);
  CHECK_FALSE(c.tx.try_claim(1));
  CHECK_FALSE(c.tx.try_send(as_message("x")));
  const std::array<std::span<const std::byte>, 1> batch{as_message("x")};
  CHECK(c.tx.try_send_n(batch) == 0);
  CHECK(c.tx.send(as_message("x"), std::chrono::milliseconds(1)) == net::error::timed_out);
  claim moved(std::move(room));
  CHECK_FALSE(room);
  CHECK(moved);
  CHECK_FALSE(c.tx.try_claim(1));
  moved.commit();
  CHECK(c.tx.try_claim(1));
}

TEST_CASE("operations initiated while a claim is open continue after it", "[claims]") {
  linked<of_bytes> c("goes-on");
  const bool asleep = GENERATE(true, false);
  const bool committed = GENERATE(true, false);
  claim room = c.tx.try_claim(8);
  told sent;
  told batch;
  told waited;
  const std::array<std::span<const std::byte>, 2> two{as_message("b"), as_message("c")};
  c.tx.async_send(as_message("a"), sent.handler());
  c.tx.async_send_n(two, batch.counter());
  c.tx.async_wait(waited.handler());
  claim next;
  c.tx.async_claim(4, [&](error_code ec, claim second) {
    CHECK_FALSE(ec);
    next = std::move(second);
  });
  if (asleep) settle(c.io);
  CHECK(sent.calls == 0);
  if (committed) {
    write(room, "first");
    room.commit(5);
  } else {
    room = claim();
  }
  REQUIRE(run(c.io));
  CHECK(sent.calls == 1);
  CHECK(batch.count == 2);
  CHECK(waited.calls == 1);
  REQUIRE(next);
  write(next, "last");
  next.commit();
  std::string all;
  while (auto m = c.rx.try_receive()) all += text_of(*m) + ' ';
  CHECK(all == std::string(committed ? "first " : "") + "a b c last ");
}

TEST_CASE("async_claim waits for room", "[claims]") {
  linked<of_bytes> c("room");
  const std::size_t sent = fill(c.tx, c.values);
  claim room;
  error_code result = errc::protocol_error;
  c.tx.async_claim(1000, [&](error_code ec, claim r) {
    result = ec;
    room = std::move(r);
  });
  settle(c.io);
  CHECK_FALSE(room);
  CHECK(drain(c.rx).size() == sent);
  REQUIRE(run(c.io));
  CHECK_FALSE(result);
  CHECK(room.size() == 1000);
  room.commit();
  CHECK(c.rx.try_receive()->size() == 1000);
}

TEST_CASE("async_claim fails like a send", "[claims]") {
  linked<of_bytes> c("fails");
  error_code result;
  const auto claiming = [&](std::size_t bytes) {
    c.tx.async_claim(bytes, [&](error_code ec, claim room) {
      result = ec;
      CHECK_FALSE(room);
    });
    REQUIRE(run(c.io));
    return result;
  };
  CHECK(claiming(of_bytes::largest + 1) == errc::message_too_large);
  fill(c.tx, c.values);
  c.rx.close();
  CHECK(claiming(1) == errc::closed);
  c.tx.close();
  CHECK(claiming(1) == errc::closed);
  CHECK_FALSE(c.tx.try_claim(1));
}

TEST_CASE("a coroutine writes in place", "[claims]") {
  linked<of_bytes> c("coroutine");
  constexpr std::uint64_t total = 5000;
  net::co_spawn(
      c.io,
      [&]() -> net::awaitable<void> {
        for (std::uint64_t n = 0; n != total; ++n) {
          claim room = co_await c.tx.async_claim(8 + n % 100, net::use_awaitable);
          std::memcpy(room.bytes().data(), &n, sizeof n);
          if (n % 7 == 3) continue;  // drops the claim
          room.commit(8);
        }
        c.tx.close();
      },
      net::detached);
  std::uint64_t expected = 0;
  run_coroutine(c.io, [&]() -> net::awaitable<void> {
    for (;; ++expected) {
      if (expected % 7 == 3) ++expected;
      const auto [ec, m] = co_await c.rx.async_receive(use_tuple);
      if (ec) break;
      CHECK(number(m) == expected);
    }
  });
  CHECK(expected == total);
}

TEST_CASE("a claim that outlives its producer sends nothing", "[claims]") {
  const std::string name = unique_name("outlive");
  net::io_context io;
  frames::consumer rx(io, name, of_bytes::options());
  claim orphan;
  {
    frames::producer tx(io, name);
    orphan = tx.try_claim(16);
    REQUIRE(orphan);
  }
  frames::producer next(io, name);
  const std::string text(100, 'B');
  CHECK(next.try_send(as_message(text)));
  write(orphan, "AAAA");  // its memory still exists, but may belong to another claim by now
  orphan.commit();
  CHECK(rx.try_receive()->size() == 100);
  CHECK(next.try_send(as_message(text)));
  CHECK(text_of(*rx.try_receive()) == text);
  CHECK_FALSE(rx.try_receive());

  claim dropped = next.try_claim(8);
  next.close();
  dropped = claim();
  CHECK_FALSE(rx.try_receive());
}

TEST_CASE("a producer is destroyed while a claim is open and operations wait for it", "[claims]") {
  linked<of_bytes> c("pending");
  claim room = c.tx.try_claim(8);
  told t;
  c.tx.async_send(as_message("x"), t.handler());
  settle(c.io);
  c.tx.close();
  room.commit();
  REQUIRE(run(c.io));
  CHECK(t.ec == net::error::operation_aborted);
  CHECK_FALSE(c.rx.try_receive());
}
