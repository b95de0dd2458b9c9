// Which processes count as dead, and which do not: zombies, stopped processes, and children of a fork.
#include "segment_file.hpp"
#include "traffic.hpp"

#include <functional>
#include <thread>

#include <sys/wait.h>

using namespace belfry;
using namespace belfry::test;

TEMPLATE_TEST_CASE("a killed process counts as dead even if its parent has not reaped it",
                   "[liveness]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("zombie");
  const nothing_left check(name);
  const event sent;
  child producer([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({1, 0}), error_code());
    sent.set();
    for (;;) ::pause();
  });
  sent.wait();
  producer.kill_unreaped();
  child successor([&] {
    sender<TestType> tx(name);  // its role is free again
    EXPECT_EQ(tx.send({2, 0}), error_code());
  });
  CHECK(successor.wait() == 0);
  child consumer([&] {
    receiver<TestType> rx(name);
    rx.expect({1, 0});
    rx.expect({2, 0});
    rx.expect(errc::closed);
  });
  CHECK(consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("a stopped process is not dead", "[liveness]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("stopped");
  const nothing_left check(name);
  const event sent;
  const event waited;
  const event resumed;
  child producer([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({1, 0}), error_code());
    sent.set();
    resumed.wait();
    EXPECT_EQ(tx.send({1, 1}), error_code());
  });
  sent.wait();
  producer.stop();
  child rival([&] {
    net::io_context io;
    error_code ec;
    typename TestType::producer tx(io, name, options<TestType>(), ec);
    EXPECT_EQ(ec, error_code(errc::role_taken));
    EXPECT(!tx.is_open());
  });
  CHECK(rival.wait() == 0);
  child consumer([&] {
    receiver<TestType> rx(name);
    rx.expect({1, 0});
    typename TestType::consumer::value_type v{};
    EXPECT_EQ(rx.rx().receive(v, std::chrono::milliseconds(100)), error_code(net::error::timed_out));
    waited.set();
    rx.expect({1, 1});
    rx.expect(errc::closed);
  });
  waited.wait();
  resumed.set();
  producer.resume();
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("a fork without exec does not make its killed parent look alive", "[liveness]", values,
                   frames) {
  const watchdog dog;
  const bool asleep = GENERATE(true, false);
  INFO((asleep ? "noticed by a sleeper" : "noticed by a newcomer"));
  const std::string name = unique_name("fork");
  const nothing_left check(name);
  const event sent;
  const event told;
  const shared<std::atomic<pid_t>> grandchild;
  const auto consume = [&] {
    receiver<TestType> rx(name);
    rx.expect({1, 0});
    rx.expect(errc::peer_died);
    told.set();
    rx.expect({2, 0});
    rx.expect(errc::closed);
  };
  child consumer;
  if (asleep) consumer = child(consume);
  child producer([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({1, 0}), error_code());
    if (const pid_t pid = ::fork(); pid != 0) {
      grandchild->store(pid);
      sent.set();
    }
    ::alarm(60);
    for (;;) ::pause();  // both processes
  });
  sent.wait();
  if (asleep) await_sleep(name, layout::role::consumer, consumer);
  producer.kill();
  CHECK(::kill(grandchild->load(), 0) == 0);  // it is still alive
  if (!asleep) consumer = child(consume);
  told.wait();
  child next([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({2, 0}), error_code());
  });
  CHECK(next.wait() == 0);
  CHECK(consumer.wait() == 0);
  CHECK(::kill(grandchild->load(), SIGKILL) == 0);
}

TEMPLATE_TEST_CASE("a fork that destroys its copies does not affect its parent",
                   "[liveness]", values, frames) {
  const watchdog dog;
  const bool told_asio = GENERATE(true, false);
  const how way = GENERATE(how::awaited, how::blocking, how::polled);
  INFO(name_of(way) << ", notify_fork " << told_asio);
  const std::string name = unique_name("copies");
  const nothing_left check(name);
  const event ready;
  const event go;
  const event sent;
  // Forks when its consumer sleeps; the child destroys what it has inherited.
  const auto fork_and_drop = [&](auto& endpoint, auto& other) {
    if (told_asio) endpoint->io().notify_fork(net::execution_context::fork_prepare);
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (told_asio) endpoint->io().notify_fork(net::execution_context::fork_child);
      if (endpoint->rx().is_open() || endpoint->rx().try_receive()) ::_exit(1);
      endpoint.reset();
      other.reset();
      std::fflush(nullptr);
      ::_exit(0);
    }
    if (told_asio) endpoint->io().notify_fork(net::execution_context::fork_parent);
    int status = -1;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  };
  child consumer([&] {
    std::optional<receiver<TestType>> rx(std::in_place, name, way);
    std::optional<receiver<TestType>> other(std::in_place, name + "-2", way);
    rx->expect({1, 0});  // it has slept: everything that a wait needs is set up
    fork_and_drop(rx, other);
    ready.set();
    rx->expect({1, 1});
    rx->expect(errc::peer_died);  // which it still notices
    ready.set();
    rx->expect({2, 0});
    rx->expect(errc::closed);
  });
  await_sleep(name, layout::role::consumer, consumer);
  child producer([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({1, 0}), error_code());
    go.wait();
    EXPECT_EQ(tx.send({1, 1}), error_code());
    sent.set();
    for (;;) ::pause();
  });
  ready.wait();
  CHECK(files_of(name) == 5);  // two segments and three bells
  await_sleep(name, layout::role::consumer, consumer);
  go.set();
  sent.wait();
  await_sleep(name, layout::role::consumer, consumer);
  producer.kill_unreaped();
  ready.wait();
  child rival([&] {
    net::io_context io;
    error_code ec;
    typename TestType::consumer rx(io, name, options<TestType>(), ec);
    EXPECT_EQ(ec, error_code(errc::role_taken));
  });
  CHECK(rival.wait() == 0);
  child next([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({2, 0}), error_code());
  });
  CHECK(next.wait() == 0);
  CHECK(consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("a forked child may join as a participant of its own", "[liveness]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("own");
  const nothing_left check(name);
  child parent([&] {
    sender<TestType> tx(name);
    const pid_t pid = ::fork();
    if (pid == 0) {
      {
        receiver<TestType> rx(name);  // a new endpoint on a new context
        rx.expect({1, 0});
        rx.expect(errc::closed);
      }
      ::_exit(0);
    }
    EXPECT_EQ(tx.send({1, 0}), error_code());
    tx.tx().close();
    int status = -1;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  });
  CHECK(parent.wait() == 0);
}

TEMPLATE_TEST_CASE("a fork that destroys its copies waits for no thread of its parent", "[liveness]", values,
                   frames) {
  const watchdog dog;
  const std::string name = unique_name("threads");
  const nothing_left check(name);
  child parent([&] {
    std::atomic<bool> stop{false};
    receiver<TestType> rx(name);
    sender<TestType> tx(name);
    const std::function<void()> next = [&] {
      rx.rx().async_receive([&](error_code ec, auto v) {
        { [[maybe_unused]] const auto released = std::move(v); }
        if (!ec && !stop) next();
      });
    };
    next();
    std::jthread driver([&] { rx.io().run(); });
    std::jthread source([&] {
      for (std::uint64_t seq = 0; !stop; ++seq) tx.tx().try_send(outgoing<TestType>({1, seq}).get());
    });
    for (int i = 0; i != 200; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        ::alarm(120);
        rx.rx().close();
        tx.tx().close();
        ::_exit(0);
      }
      int status = -1;
      EXPECT_EQ(::waitpid(pid, &status, 0), pid);
      EXPECT_EQ(status, 0);
    }
    stop = true;
    source.join();
    tx.tx().close();  // ends the last receive
    driver.join();
  });
  CHECK(parent.wait() == 0);
  error_code not_there;  // it exists if something was left unread
  TestType::unlink(name, not_there);
}
