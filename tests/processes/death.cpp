// A death wakes sleepers by an event, not by a timer, in every way of waiting.
#include "sandbox.hpp"
#include "segment_file.hpp"
#include "traffic.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// How often this process has gone to sleep.
long sleeps() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw;
}

/// A producer that sends one item and stays.
template <class Channel>
void send_and_stay(const std::string& name, item what, const event& sent) {
  sender<Channel> tx(name);
  EXPECT_EQ(tx.send(what), error_code());
  sent.set();
  for (;;) ::pause();
}

/// Fills the ring; returns how many items fitted.
template <class Channel>
std::uint64_t fill(sender<Channel>& tx) {
  std::uint64_t seq = 0;
  while (tx.tx().try_send(outgoing<Channel>({1, seq}).get())) ++seq;
  return seq;
}

}  // namespace

TEMPLATE_TEST_CASE("the death of an idle producer is reported once to a sleeping consumer", "[death]",
                   values, frames) {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("idle");
    const nothing_left check(name);
    const event sent;
    const event told;

    child consumer([&] {
      receiver<TestType> rx(name, way);
      rx.expect({1, 0});
      rx.expect(errc::peer_died);
      told.set();
      rx.expect({2, 0});  // waits for the next producer
      rx.expect(errc::peer_died);
      told.set();
      rx.expect({3, 0});
      rx.expect(errc::closed);
    });
    for (std::uint64_t run = 1; run <= 2; ++run) {
      child producer([&] { send_and_stay<TestType>(name, {run, 0}, sent); });
      sent.wait();
      await_sleep(name, layout::role::consumer, consumer);
      producer.kill_unreaped();  // a zombie is dead
      told.wait();
      await_sleep(name, layout::role::consumer, consumer);
    }
    child last([&] {
      sender<TestType> tx(name);
      EXPECT_EQ(tx.send({3, 0}), error_code());
    });
    CHECK(last.wait() == 0);
    CHECK(consumer.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("everything sent is received before a death noticed while awake", "[death]", values,
                   frames) {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("awake");
    const nothing_left check(name);
    const event joined;
    const event sent;
    const event died;
    child consumer([&] {
      receiver<TestType> rx(name, way);
      joined.set();
      died.wait();
      for (std::uint64_t seq = 0; seq != 3; ++seq) rx.expect({1, seq});
      rx.expect(errc::peer_died);
      EXPECT(!rx.rx().try_receive());
    });
    joined.wait();
    child producer([&] {
      sender<TestType> tx(name);
      for (std::uint64_t seq = 0; seq != 3; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
      sent.set();
      for (;;) ::pause();
    });
    sent.wait();
    producer.kill();
    died.set();
    CHECK(consumer.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("the death of its consumer is reported once to a producer that waits for room", "[death]",
                   values, frames) {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("room");
    const nothing_left check(name);
    const event joined;
    const event told;
    const shared<std::uint64_t> count;

    child consumer([&] {
      receiver<TestType> rx(name);
      joined.set();
      for (;;) ::pause();
    });
    joined.wait();
    child producer([&] {
      sender<TestType> tx(name, way);
      *count = fill(tx);
      EXPECT_EQ(tx.send({1, *count}), error_code(errc::peer_died));
      told.set();
      for (std::uint64_t seq = *count; seq != *count + 100; ++seq) {
        EXPECT_EQ(tx.send({1, seq}), error_code());  // waits for the next consumer
      }
    });
    await_sleep(name, layout::role::producer, producer);
    consumer.kill_unreaped();
    told.wait();
    await_sleep(name, layout::role::producer, producer);
    child next([&] {
      receiver<TestType> rx(name);
      for (std::uint64_t seq = 0; seq != *count + 100; ++seq) rx.expect({1, seq});
      rx.expect(errc::closed);
    });
    CHECK(next.wait() == 0);
    CHECK(producer.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("every operation that waits for room gets the error at a death",
                   "[death]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("operations");
  const nothing_left check(name);
  const event joined;
  child consumer([&] {
    receiver<TestType> rx(name);
    joined.set();
    for (;;) ::pause();
  });
  joined.wait();
  child producer([&] {
    sender<TestType> tx(name);
    const outgoing<TestType> out({1, fill(tx)});
    const std::vector rest(3, out.get());
    constexpr std::size_t all = std::is_same_v<TestType, frames> ? 4 : 3;
    std::size_t told = 0;
    // They wait in a queue, and there is one death: the first operation gets the error, and then the next is
    // the first.
    const auto expect_death = [&](error_code ec) {
      EXPECT_EQ(ec, told == 0 ? error_code(errc::peer_died) : error_code(net::error::operation_aborted));
      if (++told == 1) tx.tx().cancel();
    };
    tx.tx().async_wait(expect_death);
    tx.tx().async_send(out.get(), expect_death);
    tx.tx().async_send_n(rest, [&](error_code ec, std::size_t sent) {
      EXPECT_EQ(sent, std::size_t{0});
      expect_death(ec);
    });
    if constexpr (std::is_same_v<TestType, frames>) {
      tx.tx().async_claim(500, [&](error_code ec, claim c) {
        EXPECT(!c);
        expect_death(ec);
      });
    }
    tx.io().run();
    EXPECT_EQ(told, all);
  });
  await_sleep(name, layout::role::producer, producer);
  consumer.kill_unreaped();
  CHECK(producer.wait() == 0);
  consumer.kill();
  TestType::unlink(name);
}

TEMPLATE_TEST_CASE("a process that waits for a death neither polls nor uses a timer",
                   "[death]", values, frames) {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("quiet");
    const nothing_left check(name);
    const event sent;
    const shared<long> slept;
    child consumer([&] {
      receiver<TestType> rx(name, way);
      rx.expect({1, 0});
      const long before = sleeps();
      rx.expect(errc::peer_died);
      *slept = sleeps() - before;
    });
    child producer([&] { send_and_stay<TestType>(name, {1, 0}, sent); });
    sent.wait();
    await_sleep(name, layout::role::consumer, consumer);
    ::usleep(300'000);  // long enough for a timer to show
    producer.kill_unreaped();
    CHECK(consumer.wait() == 0);
    CHECK(*slept <= 10);  // once, plus what the scheduler and a sanitizer may add
  }
}

TEMPLATE_TEST_CASE("the death of a process with several channels is reported on each",
                   "[death]", values, frames) {
  constexpr std::size_t count = 8;
  const watchdog dog;
  const std::string name = unique_name("many");
  const nothing_left check(name);
  const event sent;
  const auto channel_name = [&](std::size_t i) { return name + '-' + std::to_string(i); };
  child consumer([&] {
    net::io_context io;
    std::vector<typename TestType::consumer> all;
    std::size_t told = 0;
    for (std::size_t i = 0; i != count; ++i) {
      all.emplace_back(io, channel_name(i), options<TestType>());
    }
    for (auto& rx : all) {
      rx.async_receive([&](error_code ec, typename TestType::consumer::value_type v) {
        EXPECT_EQ(ec, error_code());
        EXPECT_EQ(read(v).run, std::uint64_t{1});
        rx.async_receive([&](error_code ec, typename TestType::consumer::value_type) {
          EXPECT_EQ(ec, error_code(errc::peer_died));
          ++told;
        });
      });
    }
    io.run();
    EXPECT_EQ(told, count);
  });
  child producer([&] {
    net::io_context io;
    std::vector<typename TestType::producer> all;
    for (std::size_t i = 0; i != count; ++i) {
      all.emplace_back(io, channel_name(i), options<TestType>());
      EXPECT(all.back().try_send(outgoing<TestType>({1, i}).get()));
    }
    sent.set();
    for (;;) ::pause();
  });
  sent.wait();
  for (std::size_t i = 0; i != count; ++i) {
    await_sleep(channel_name(i), layout::role::consumer, consumer);
  }
  producer.kill_unreaped();
  CHECK(consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("when both are killed at once a new pair continues", "[death]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("both");
  const nothing_left check(name);
  for (int i = 0; i != (sanitized ? 20 : 100); ++i) {
    const event sent;
    const event received;
    child producer([&] {
      sender<TestType> tx(name);
      for (std::uint64_t seq = 0; seq != 4; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
      sent.set();
      for (;;) ::pause();
    });
    child consumer([&] {
      receiver<TestType> rx(name);
      rx.expect({1, 0});
      rx.expect({1, 1});
      received.set();
      for (;;) ::pause();
    });
    sent.wait();
    received.wait();
    ::kill(producer.pid(), SIGKILL);
    consumer.kill_unreaped();
    producer.kill_unreaped();
    if (i % 3 == 0) producer.kill();
    if (i % 3 == 1) consumer.kill();
    const auto produce_again = [&] {
      sender<TestType> tx(name);
      EXPECT_EQ(tx.send({2, 0}), error_code());
    };
    const auto consume_again = [&] {
      receiver<TestType> rx(name);
      for (std::uint64_t seq = 2; seq != 4; ++seq) rx.expect({1, seq});
      std::vector<item> got;
      int told = 0;
      for (auto r = rx.receive(); r.error != errc::closed; r = rx.receive()) {
        if (r.error == errc::peer_died) ++told;
        if (!r.error) got.push_back(r.what);
      }
      EXPECT(told <= 1);  // none if the new producer has noticed it already
      EXPECT(got == std::vector{item{2, 0}});
    };
    child first(i % 2 == 0 ? std::function<void()>(produce_again) : consume_again);
    child second(i % 2 != 0 ? std::function<void()>(produce_again) : consume_again);
    REQUIRE(first.wait() == 0);
    REQUIRE(second.wait() == 0);
    REQUIRE(files_of(name) == 0);
  }
}

namespace {

/// From now on no reactor, and no wait set, takes a handle that is opened later: the kernel has no memory for one more.
void refuse_new_watches() {
  const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(next);
  refuse_larger(SYS_epoll_ctl, 2, static_cast<std::uint32_t>(next - 1), ENOMEM);
}

}  // namespace

TEST_CASE("an operation that cannot notice the death of a peer fails, and does not sleep through it", "[death]") {
  const watchdog dog;
  const std::string name = unique_name("unwatched");
  const nothing_left check(name);
  const event may_come;
  child producer([&] {
    may_come.wait();
    sender<values> tx(name);
    for (;;) ::pause();
  });
  child consumer([&] {
    net::io_context io;
    values::consumer rx(io, name);
    refuse_new_watches();
    may_come.set();
    await([&] { return rx.has_peer(); });
    error_code told;
    rx.async_receive([&](error_code ec, auto&&) { told = ec; });
    const bool ended = run(io);
    EXPECT(ended);
    EXPECT_EQ(told.value(), ENOMEM);
  });
  CHECK(consumer.wait() == 0);
  producer.kill();
  values::unlink(name);  // no participant was left to see this death
}

TEST_CASE("a foreign loop that cannot notice the death of a peer is told so before each sleep", "[death]") {
  const watchdog dog;
  const std::string name = unique_name("loop");
  const nothing_left check(name);
  const event may_come;
  child producer([&] {
    may_come.wait();
    sender<values> tx(name);
    for (;;) ::pause();
  });
  child consumer([&] {
    net::io_context io;
    values::consumer rx(io, name);
    rx.native_handle();
    refuse_new_watches();
    may_come.set();
    await([&] { return rx.has_peer(); });
    for (int i = 0; i != 2; ++i) {
      EXPECT(!rx.prepare_wait());
      EXPECT_EQ(rx.finish_wait().value(), ENOMEM);
    }
  });
  CHECK(consumer.wait() == 0);
  producer.kill();
  values::unlink(name);  // no participant was left to see this death
}
