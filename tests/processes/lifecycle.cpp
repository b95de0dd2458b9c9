// Joining and leaving in every order, and what is left afterwards.
#include "segment_file.hpp"
#include "traffic.hpp"

using namespace belfry;
using namespace belfry::test;

TEMPLATE_TEST_CASE("a producer may have left before its consumer joins", "[lifecycle]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("early");
  const nothing_left check(name);
  for (const how way : every_way) {
    INFO(name_of(way));
    child producer([&] {
      sender<TestType> tx(name, way);
      for (std::uint64_t seq = 0; seq != 5; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
    });
    REQUIRE(producer.wait() == 0);
    CHECK(files_of(name) == 1);  // the segment; no bell
    child consumer([&] {
      receiver<TestType> rx(name, way);
      for (std::uint64_t seq = 0; seq != 5; ++seq) rx.expect({1, seq});
      rx.expect(errc::closed);
      if (way != how::polled) rx.expect(errc::closed);  // a foreign loop is told once
    });
    REQUIRE(consumer.wait() == 0);
    REQUIRE(files_of(name) == 0);
  }
}

TEMPLATE_TEST_CASE("a consumer may sleep before its producer joins", "[lifecycle]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("late");
  const nothing_left check(name);
  for (const how way : every_way) {
    INFO(name_of(way));
    child consumer([&] {
      receiver<TestType> rx(name, way);
      for (std::uint64_t seq = 0; seq != 300; ++seq) rx.expect({1, seq});  // more than fit at once
      rx.expect(errc::closed);
    });
    await_sleep(name, layout::role::consumer, consumer);
    child producer([&] {
      sender<TestType> tx(name, way);
      for (std::uint64_t seq = 0; seq != 300; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
    });
    CHECK(producer.wait() == 0);
    REQUIRE(consumer.wait() == 0);
    REQUIRE(files_of(name) == 0);
  }
}

TEMPLATE_TEST_CASE("a producer of many messages may join first and wait for room", "[lifecycle]", values,
                   frames) {
  const watchdog dog;
  const std::string name = unique_name("full");
  const nothing_left check(name);
  for (const how way : every_way) {
    INFO(name_of(way));
    child producer([&] {
      sender<TestType> tx(name, way);
      for (std::uint64_t seq = 0; seq != 300; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
    });
    await_sleep(name, layout::role::producer, producer);
    child consumer([&] {
      receiver<TestType> rx(name, way);
      for (std::uint64_t seq = 0; seq != 300; ++seq) rx.expect({1, seq});
      rx.expect(errc::closed);
    });
    CHECK(producer.wait() == 0);
    REQUIRE(consumer.wait() == 0);
    REQUIRE(files_of(name) == 0);
  }
}

TEMPLATE_TEST_CASE("a drained segment stays while it has unread messages", "[lifecycle]", values,
                   frames) {
  const watchdog dog;
  const std::string name = unique_name("unread");
  const nothing_left check(name);
  child producer([&] {
    sender<TestType> tx(name);
    for (std::uint64_t seq = 0; seq != 4; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
  });
  REQUIRE(producer.wait() == 0);
  for (std::uint64_t seq = 0; seq != 4; ++seq) {
    REQUIRE(files_of(name) == 1);
    child consumer([&] {
      receiver<TestType> rx(name);
      rx.expect({1, seq});
    });
    REQUIRE(consumer.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("a persistent segment stays until it is unlinked", "[lifecycle]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("persistent");
  const nothing_left check(name);
  channel_options persistent = options<TestType>();
  persistent.lifetime = lifetime::persistent;

  child producer([&] {
    sender<TestType> tx(name, how::awaited, persistent);
    EXPECT_EQ(tx.send({1, 0}), error_code());
  });
  REQUIRE(producer.wait() == 0);
  child consumer([&] {
    receiver<TestType> rx(name);  // the creator's choice counts
    rx.expect({1, 0});
    rx.expect(errc::closed);
  });
  REQUIRE(consumer.wait() == 0);
  CHECK(files_of(name) == 1);

  child again([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({2, 0}), error_code());
  });
  REQUIRE(again.wait() == 0);
  CHECK(files_of(name) == 1);
  TestType::unlink(name);  // whatever is left in it
  CHECK(files_of(name) == 0);

  error_code ec;
  TestType::unlink(name, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  child afresh([&] {
    {
      net::io_context io;
      typename TestType::consumer rx(io, name, options<TestType>());
      EXPECT(!rx.try_receive());
    }
    EXPECT_EQ(files_of(name), std::size_t{0});
  });
  CHECK(afresh.wait() == 0);
}

TEMPLATE_TEST_CASE("endpoints join and leave while the other side stays", "[lifecycle]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("rejoin");
  const nothing_left check(name);
  const event next;

  SECTION("the producer joins again") {
    const event received;
    child consumer([&] {
      receiver<TestType> rx(name);
      for (std::uint64_t run = 0; run != 20; ++run) {
        rx.wait_peer();
        for (std::uint64_t seq = 0; seq != 3; ++seq) rx.expect({run, seq});
        received.set();
        rx.expect(errc::closed);
        next.set();
      }
    });
    for (std::uint64_t run = 0; run != 20; ++run) {
      child producer([&] {
        sender<TestType> tx(name);
        for (std::uint64_t seq = 0; seq != 3; ++seq) EXPECT_EQ(tx.send({run, seq}), error_code());
        received.wait();
      });
      REQUIRE(producer.wait() == 0);
      next.wait();
    }
    REQUIRE(consumer.wait() == 0);
  }
  SECTION("the consumer joins again") {
    constexpr std::uint64_t count = 400;
    child producer([&] {
      sender<TestType> tx(name);
      for (std::uint64_t seq = 0; seq != count; ++seq) tx.insist({0, seq});
    });
    for (std::uint64_t seq = 0; seq != count; seq += 20) {
      child consumer([&] {
        receiver<TestType> rx(name);
        for (std::uint64_t i = 0; i != 20; ++i) rx.expect({0, seq + i});
        if (seq + 20 == count) rx.expect(errc::closed);
      });
      REQUIRE(consumer.wait() == 0);
    }
    REQUIRE(producer.wait() == 0);
  }
  SECTION("one process is first the producer, then the consumer") {
    child both([&] {
      for (std::uint64_t run = 0; run != 20; ++run) {
        {
          sender<TestType> tx(name);
          EXPECT_EQ(tx.send({run, 0}), error_code());
        }
        receiver<TestType> rx(name);
        rx.expect({run, 0});
        rx.expect(errc::closed);
      }
    });
    REQUIRE(both.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("a wait for the peer ends when it joins", "[lifecycle]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("peer");
  const nothing_left check(name);
  child producer([&] {
    sender<TestType> tx(name);
    tx.wait_peer();
    EXPECT_EQ(tx.send({1, 0}), error_code());
  });
  await_sleep(name, layout::role::producer, producer);
  child consumer([&] {
    receiver<TestType> rx(name);
    rx.expect({1, 0});
    rx.expect(errc::closed);
  });
  CHECK(consumer.wait() == 0);
  CHECK(producer.wait() == 0);
}

TEMPLATE_TEST_CASE("a wait for the peer sees one that has left again", "[lifecycle]", values,
                   frames) {
  const watchdog dog;
  const std::string name = unique_name("visitor");
  const nothing_left check(name);
  child consumer([&] {
    receiver<TestType> rx(name);
    rx.wait_peer();
    rx.expect({1, 0});
    rx.expect(errc::closed);
    rx.wait_peer();
    rx.expect({2, 0});
    rx.expect(errc::closed);
  });
  for (std::uint64_t run = 1; run <= 2; ++run) {
    await_sleep(name, layout::role::consumer, consumer);
    consumer.stop();  // slow to wake up
    child producer([&] {
      sender<TestType> tx(name);
      EXPECT_EQ(tx.send({run, 0}), error_code());
    });
    CHECK(producer.wait() == 0);
    consumer.resume();
  }
  CHECK(consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("participants of an unlinked channel continue", "[lifecycle]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("unlinked");
  const nothing_left check(name);
  const event met;
  const event unlinked;
  const event old_gone;

  child producer([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({1, 0}), error_code());
    unlinked.wait();
    for (std::uint64_t seq = 1; seq != 200; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
  });
  child consumer([&] {
    receiver<TestType> rx(name);
    rx.expect({1, 0});
    met.set();
    for (std::uint64_t seq = 1; seq != 200; ++seq) rx.expect({1, seq});
    rx.expect(errc::closed);
  });
  met.wait();
  await_sleep(name, layout::role::consumer, consumer);
  TestType::unlink(name);
  REQUIRE(files_of(name) == 0);

  // Another channel of this name is independent of the first.
  child second_consumer([&] {
    receiver<TestType> rx(name);
    rx.expect({2, 0});
    rx.expect(errc::closed);
  });
  await_sleep(name, layout::role::consumer, second_consumer);
  unlinked.set();
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
  child second_producer([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({2, 0}), error_code());
  });
  CHECK(second_producer.wait() == 0);
  CHECK(second_consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("participants of an unlinked channel wake each other, and notice each other's death",
                   "[unlinked]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("after");
  const nothing_left check(name);
  const bool another = GENERATE(false, true);  // whether another channel gets the name
  const event joined;
  const event unlinked;
  const event full;
  const event received;
  child consumer([&] {
    receiver<TestType> rx(name);
    joined.set();
    full.wait();
    for (std::uint64_t seq = 0; seq != 200; ++seq) rx.expect({1, seq});
    received.set();
    rx.expect(errc::peer_died);
  });
  joined.wait();
  child producer([&] {
    sender<TestType> tx(name);
    joined.set();
    unlinked.wait();
    // As long as the bells had names, neither has slept or woken the other.
    for (std::uint64_t seq = 0; seq != 200; ++seq) {
      const outgoing<TestType> out({1, seq});
      if (!tx.tx().try_send(out.get())) {
        full.set();
        EXPECT_EQ(tx.send({1, seq}), error_code());
      }
    }
    for (;;) ::pause();
  });
  joined.wait();
  TestType::unlink(name);
  child others;
  if (another) {
    others = child([&] {
      sender<TestType> tx(name);
      receiver<TestType> rx(name);
      joined.set();
      for (;;) ::pause();
    });
    joined.wait();
  }
  unlinked.set();
  received.wait();
  producer.kill();
  CHECK(consumer.wait() == 0);
  if (another) {
    others.kill();
    TestType::unlink(name);
  }
}
