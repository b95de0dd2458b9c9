// Requests and replies of any size, in place.
#include "support/calls.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include <sys/mman.h>
#include <sys/stat.h>

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;

namespace {

using pages = channel<byte_call_ring>;

channel_options few() {
  channel_options o;
  o.slots = 2;
  o.message_bytes = 1000;
  return o;
}

struct paged {
  explicit paged(std::string_view what, const channel_options& o = few())
      : name(unique_name(what)), c(meet::client(io, name, o)), s(meet::server(io, name, o)) {}
  ~paged() {
    c.close();
    s.close();
    settle(io);
    meet::forget(name);
  }

  using meet = meet_for_calls<pages>;
  net::io_context io;
  std::string name;
  pages::client c;
  pages::server s;
};

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct paged_outcome {
  int calls = 0;
  error_code ec = errc::protocol_error;
  message reply;

  auto handler() {
    return [this](const error_code& e, message m) {
      ++calls;
      ec = e;
      reply = std::move(m);
    };
  }
};

}  // namespace

TEST_CASE("requests and replies have any size", "[byte_calls]") {
  paged p("sizes");
  CHECK(p.c.max_message() == 1008);  // whole multiples of 16
  CHECK(p.c.capacity() == 2);
  for (const std::size_t size : {0u, 1u, 15u, 64u, 999u, 1008u}) {
    const std::string request(size, 'q');
    paged_outcome o;
    p.c.async_call(net::buffer(request), o.handler());
    byte_call c = p.s.try_accept();
    REQUIRE(c);
    CHECK(c.max_reply() == 1008);
    CHECK(reinterpret_cast<std::uintptr_t>(c.request().data()) % 16 == 0);
    CHECK(text(c.request()) == request);
    CHECK(c.reply(net::buffer(std::string(1008 - size, 'a'))));
    CHECK(c.request().empty());
    settle(p.io);
    REQUIRE(o.calls == 1);
    CHECK_FALSE(o.ec);
    REQUIRE(o.reply);
    CHECK(text(o.reply.bytes()) == std::string(1008 - size, 'a'));
  }
  CHECK(p.c.size() == 0);
}

TEST_CASE("a request is written in place, and so is a reply", "[byte_calls]") {
  paged p("in-place");
  paged_outcome o;
  call_claim claim = p.c.try_claim(100);
  REQUIRE(claim);
  CHECK(claim.size() == 100);
  std::memcpy(claim.bytes().data(), "question", 8);
  claim.shrink(8);
  CHECK(claim.size() == 8);
  claim.shrink(50);
  CHECK(claim.size() == 8);
  CHECK_FALSE(p.s.try_accept());
  p.c.async_call(std::move(claim), o.handler());
  CHECK_FALSE(claim);
  byte_call c = p.s.try_accept();
  REQUIRE(c);
  CHECK(text(c.request()) == "question");
  const std::span<std::byte> room = c.claim_reply(200);
  REQUIRE(room.size() == 200);
  std::memcpy(room.data(), "answer", 6);
  CHECK(c.claim_reply(2000).empty());
  CHECK_FALSE(c.commit(2000));
  CHECK(c);
  CHECK(c.commit(6));
  CHECK_FALSE(c.commit(6));
  settle(p.io);
  CHECK(text(o.reply.bytes()) == "answer");
}

TEST_CASE("what is too large is refused", "[byte_calls]") {
  paged p("too-large");
  const std::string request(1009, 'q');
  paged_outcome o;
  p.c.async_call(net::buffer(request), o.handler());
  settle(p.io);
  CHECK(o.ec == errc::message_too_large);
  CHECK_FALSE(p.c.try_claim(1009));
  message reply;
  CHECK(p.c.call(std::as_bytes(std::span(request)), reply) == errc::message_too_large);
  p.c.async_call(net::buffer("x", 1), o.handler());
  byte_call c = p.s.try_accept();
  CHECK_FALSE(c.reply(net::buffer(request)));
  CHECK(c.reply(net::buffer("y", 1)));
  settle(p.io);
  CHECK(text(o.reply.bytes()) == "y");
  call_claim none;
  p.c.async_call(std::move(none), o.handler());
  settle(p.io);
  CHECK(o.ec == std::errc::permission_denied);
  CHECK(p.c.call(call_claim(), reply) == std::errc::permission_denied);
}

TEST_CASE("claims and replies hold their places until they end", "[byte_calls]") {
  paged p("hold");
  std::optional<call_claim> first(p.c.try_claim(10));
  call_claim second = p.c.try_claim(10);
  REQUIRE(*first);
  REQUIRE(second);
  CHECK_FALSE(p.c.try_claim(10));
  int claims = 0;
  call_claim third;
  p.c.async_claim(5, [&](error_code ec, call_claim c) {
    CHECK_FALSE(ec);
    ++claims;
    third = std::move(c);
  });
  settle(p.io);
  CHECK(claims == 0);
  first.reset();
  settle(p.io);
  CHECK(claims == 1);
  CHECK(third.size() == 5);
  paged_outcome o, q;
  p.c.async_call(std::move(third), o.handler());
  p.c.async_call(std::move(second), q.handler());
  for (int i = 0; i != 2; ++i) CHECK(p.s.try_accept().reply(net::buffer("z", 1)));
  settle(p.io);
  REQUIRE(o.reply);
  REQUIRE(q.reply);
  CHECK_FALSE(p.c.try_claim(1));  // both replies are held
  o.reply.release();
  CHECK(p.c.try_claim(1));
  CHECK(text(q.reply.bytes()) == "z");
}

TEST_CASE("claims, calls and replies may outlive their client and server", "[byte_calls]") {
  const std::string name = unique_name("outlive");
  net::io_context io;
  auto c = std::make_optional(paged::meet::client(io, name, few()));
  auto s = std::make_optional(paged::meet::server(io, name, few()));
  paged_outcome o;
  c->async_call(net::buffer("a", 1), o.handler());
  CHECK(s->try_accept().reply(net::buffer("b", 1)));
  settle(io);
  REQUIRE(o.reply);
  paged_outcome pending;
  call_claim claim = c->try_claim(10);
  c->async_call(std::move(claim), pending.handler());
  byte_call held = s->try_accept();
  REQUIRE(held);
  o.reply.release();
  claim = c->try_claim(10);
  REQUIRE(claim);
  c.reset();
  s.reset();
  settle(io);
  CHECK(pending.ec == net::error::operation_aborted);
  claim.bytes()[0] = std::byte{1};  // still mapped
  CHECK(held.request().size() == 10);
  CHECK(held.cancelled());
  CHECK_FALSE(held.reply(net::buffer("x", 1)));
  paged::meet::forget(name);
}

TEST_CASE("the sizes of a channel are those of its creator", "[byte_calls]") {
  if (way_to_meet() == meeting::by_handles) return;
  paged p("created");
  channel_options any;
  pages::client c = paged::meet::client(p.io, p.name, any);
  CHECK(c.capacity() == 2);
  CHECK(c.max_message() == 1008);
  error_code ec;
  channel_options other = few();
  other.slots = 3;
  paged::meet::client(p.io, p.name, other, ec);
  CHECK(ec == errc::incompatible);
  other = few();
  other.message_bytes = 500;
  paged::meet::server(p.io, p.name, other, ec);
  CHECK(ec == errc::incompatible);
  channel_options wrong;
  wrong.slots = std::size_t{1} << 40;
  paged::meet::server(p.io, unique_name("impossible"), wrong, ec);
  CHECK(ec == std::errc::invalid_argument);
}

TEST_CASE("a forged size is corruption, and nothing outside is read", "[byte_calls]") {
  const channel_handles h = pages::make_handles(few());
  net::io_context io;
  pages::client c(io, h);
  pages::server s(io, h);
  struct stat status {};
  const int file = detail::handles_of(h).block.get();
  REQUIRE(::fstat(file, &status) == 0);
  const auto bytes = static_cast<std::size_t>(status.st_size);
  auto* const segment = static_cast<std::byte*>(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  REQUIRE(segment != MAP_FAILED);
  const auto& id = *reinterpret_cast<const layout::identity*>(segment);
  const auto place = [&](std::size_t i) -> layout::call_place& {
    return *reinterpret_cast<layout::call_place*>(segment + id.ring_offset + id.places.first + i * id.places.stride);
  };
  paged_outcome o;
  SECTION("of a request") {
    c.async_call(net::buffer("abc", 3), o.handler());
    place(0).request_bytes = id.message_bytes + 1;
    error_code ec;
    s.async_accept([&](error_code e, byte_call) { ec = e; });
    settle(io);
    CHECK(ec == errc::corrupted);
    CHECK(o.ec == errc::refused);
    CHECK(c.refusal() == errc::corrupted);
  }
  SECTION("of a reply") {
    c.async_call(net::buffer("abc", 3), o.handler());
    CHECK(s.try_accept().reply(net::buffer("x", 1)));
    place(0).outcome = ~std::uint64_t{0};
    settle(io);
    CHECK(o.ec == errc::corrupted);
    CHECK_FALSE(o.reply);
  }
  ::munmap(segment, bytes);
}

TEST_CASE("coroutines and threads call with bytes", "[byte_calls]") {
  const watchdog dog;
  paged p("both");
  std::jthread server([&](const std::stop_token& stop) {
    for (byte_call c; !p.s.accept(c, stop);) {
      std::string reply = text(c.request());
      std::reverse(reply.begin(), reply.end());
      c.reply(net::buffer(reply));
    }
  });
  run_coroutine(p.io, [&]() -> net::awaitable<void> {
    for (int i = 0; i != 100; ++i) {
      const std::string number = std::to_string(1000 + i);
      const message m = co_await p.c.async_call(net::buffer(number), in(60s), net::use_awaitable);
      CHECK(text(m.bytes()) == std::string(number.rbegin(), number.rend()));
      call_claim claim = co_await p.c.async_claim(3, net::use_awaitable);
      std::memcpy(claim.bytes().data(), "xyz", 3);
      const message n = co_await p.c.async_call(std::move(claim), net::use_awaitable);
      CHECK(text(n.bytes()) == "zyx");
    }
  });
  message reply;
  CHECK_FALSE(p.c.call(std::as_bytes(std::span("ab", 2)), reply));
  CHECK(text(reply.bytes()) == "ba");
  call_claim claim = p.c.try_claim(2);
  std::memcpy(claim.bytes().data(), "cd", 2);
  CHECK_FALSE(p.c.call(std::move(claim), reply, 60s));
  CHECK(text(reply.bytes()) == "dc");
}
