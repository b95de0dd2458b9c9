// Values of megabytes never are on the stack: every call in a thread whose stack is smaller than a value.
#include "support/rings.hpp"

#include <pthread.h>

#include <array>
#include <exception>
#include <functional>
#include <memory>

using namespace belfry;
using namespace belfry::test;

namespace {

struct picture {
  std::array<std::uint64_t, (4 << 20) / 8> pixels;
};
static_assert(sizeof(picture) == 4 << 20);

void paint(picture& p, std::uint64_t n) {
  for (std::size_t i = 0; i < p.pixels.size(); i += 512) p.pixels[i] = n + i;
  p.pixels.back() = n;
}
std::uint64_t number_on(const picture& p) {
  const std::uint64_t n = p.pixels.back();
  for (std::size_t i = 0; i + 512 < p.pixels.size(); i += 512) {
    if (p.pixels[i] != n + i) return ~std::uint64_t{0};
  }
  return n;
}

// Clang's address sanitizer moves temporaries from a coroutine's frame to the stack, also those of the test itself.
constexpr std::size_t stack_bytes = sanitized ? 64 << 20 : 256 << 10;

/// Runs it in a thread with a small stack; rethrows its exception.
void on_a_small_stack(const std::function<void()>& f) {
  struct call {
    const std::function<void()>& f;
    std::exception_ptr error;
  } c{f, {}};
  pthread_attr_t attributes;
  REQUIRE(::pthread_attr_init(&attributes) == 0);
  REQUIRE(::pthread_attr_setstacksize(&attributes, stack_bytes) == 0);
  pthread_t thread;
  REQUIRE(::pthread_create(
              &thread, &attributes,
              [](void* at) -> void* {
                auto& it = *static_cast<call*>(at);
                try {
                  it.f();
                } catch (...) {
                  it.error = std::current_exception();
                }
                return nullptr;
              },
              &c) == 0);
  ::pthread_join(thread, nullptr);
  ::pthread_attr_destroy(&attributes);
  if (c.error) std::rethrow_exception(c.error);
}

/// One picture in the ring at a time.
template <class Ring>
struct gallery {
  using channel = belfry::channel<Ring>;
  static channel_options options() {
    channel_options o;
    o.start = start::oldest;
    return o;
  }
};

using every_gallery =
    std::tuple<gallery<latest<picture>>, gallery<broadcast_ring<picture, 1, overflow::block>>,
               gallery<broadcast_ring<picture, 1, overflow::overwrite>>, gallery<spsc_ring<picture, 1>>,
               gallery<work_ring<picture, 1>>>;

template <class Kit>
struct exhibition : linked<Kit> {
  exhibition() : linked<Kit>("large"), in(std::make_unique<picture>()), out(std::make_unique<picture>()) {}

  const picture& next() {
    paint(*in, ++n);
    return *in;
  }
  std::uint64_t n = 0;
  std::unique_ptr<picture> in;
  std::unique_ptr<picture> out;
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("large values: immediate and blocking calls", "[large_values]", every_gallery) {
  exhibition<TestType> c;
  on_a_small_stack([&] {
    CHECK_FALSE(c.rx.try_receive(*c.out));
    CHECK(c.tx.try_send(c.next()));
    CHECK(c.rx.try_receive(*c.out));
    CHECK(number_on(*c.out) == 1);
    CHECK(c.tx.send(c.next()) == error_code());
    CHECK(c.rx.receive(*c.out) == error_code());
    CHECK(number_on(*c.out) == 2);
    CHECK(c.rx.receive(*c.out, std::chrono::milliseconds(1)) == net::error::timed_out);
    CHECK(c.tx.try_send_n(std::span(&c.next(), 1)) == 1);
    CHECK(c.rx.try_receive_n(std::span(c.out.get(), 1)) == 1);
    CHECK(number_on(*c.out) == 3);
  });
}

TEMPLATE_LIST_TEST_CASE("large values: operations with handlers", "[large_values]", every_gallery) {
  exhibition<TestType> c;
  on_a_small_stack([&] {
    told t;
    std::uint64_t got = 0;
    const auto receiver = [&](error_code ec, const picture& p) {
      t.note(ec);
      if (!ec) got = number_on(p);
    };
    c.rx.async_receive(receiver);  // waits
    settle(c.io);
    c.tx.async_send(c.next(), t.handler());
    REQUIRE(run(c.io));
    CHECK(t.calls == 2);
    CHECK(got == 1);
    c.io.restart();
    c.tx.async_send_n(std::span(&c.next(), 1), t.counter());
    REQUIRE(run(c.io));
    c.io.restart();
    c.rx.async_receive(*c.out, t.handler());  // there is one
    REQUIRE(run(c.io));
    CHECK(t.calls == 4);
    CHECK(t.ec == error_code());
    CHECK(number_on(*c.out) == 2);
    c.rx.async_receive(receiver);
    c.rx.async_receive(*c.out, t.handler());
    settle(c.io);
    c.rx.cancel();
    REQUIRE(run(c.io));
    CHECK(t.calls == 6);
    CHECK(t.ec == net::error::operation_aborted);
  });
}

TEMPLATE_LIST_TEST_CASE("large values: coroutines, at once and after waiting", "[large_values]", every_gallery) {
  exhibition<TestType> c;
  on_a_small_stack([&] {
    run_coroutine(c.io, [&]() -> net::awaitable<void> {
      for (int round = 0; round != 3; ++round) {
        co_await c.tx.async_send(c.next(), net::use_awaitable);
        const picture p = co_await c.rx.async_receive(net::use_awaitable);
        CHECK(number_on(p) == c.n);
        co_await c.tx.async_send(c.next(), net::use_awaitable);
        co_await c.rx.async_receive(*c.out, net::use_awaitable);
        CHECK(number_on(*c.out) == c.n);
      }
    });
    run_coroutine(c.io, [&]() -> net::awaitable<void> {
      for (int round = 0; round != 3; ++round) {
        net::post(c.io, [&] { c.tx.try_send(c.next()); });
        const picture p = co_await c.rx.async_receive(net::use_awaitable);
        CHECK(number_on(p) == c.n);
        net::post(c.io, [&] { c.tx.try_send(c.next()); });
        co_await c.rx.async_receive(*c.out, net::use_awaitable);
        CHECK(number_on(*c.out) == c.n);
      }
    });
  });
}

TEST_CASE("large values: leases", "[large_values]") {
  exhibition<gallery<work_ring<picture, 1>>> c;
  on_a_small_stack([&] {
    CHECK(c.tx.try_send(c.next()));
    lease<picture> held = c.rx.try_receive_lease();
    REQUIRE(held);
    lease<picture> moved = std::move(held);
    CHECK(number_on(moved.value()) == 1);
    CHECK(moved.requeue());
    told t;
    c.rx.async_receive_lease([&](error_code ec, lease<picture> l) {
      t.note(ec);
      CHECK(number_on(l.value()) == 1);
      CHECK(l.deliveries() == 2);
      CHECK(l.ack());
    });
    REQUIRE(run(c.io));
    CHECK(t.calls == 1);
    CHECK_FALSE(c.rx.try_receive_lease());
  });
}
