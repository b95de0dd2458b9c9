// A participant that dies while it holds the roster's lock holds no other up. One that holds it only holds up
// joining and leaving. What a process that died half-way has left in the roster is repaired.
#include "segment_file.hpp"
#include "traffic.hpp"

#include <sys/syscall.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// A process that holds the roster's lock until it is killed.
child lock_roster(const std::string& name, const event& locked) {
  return child([&] {
    const segment_file file(name);
    struct ::flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = layout::roster_lock;
    lock.l_len = 1;
    EXPECT_EQ(::fcntl(file.descriptor(), F_OFD_SETLKW, &lock), 0);
    locked.set();
    for (;;) ::pause();
  });
}

/// Whether the process waits for a lock.
bool waits_for_lock(const child& c) {
  std::ifstream in("/proc/" + std::to_string(c.pid()) + "/syscall");
  long number = -1;
  return in >> number && number == SYS_fcntl;
}

/// Puts a slot into a state in which a process killed half-way leaves it.
void leave_half_way(const segment_file& file, layout::role r, layout::slot_state state) {
  layout::slot_control control = file.slot(r).control.load();
  if (state != layout::slot_state::joining) ++control.generation;
  control.state = state;
  if (state == layout::slot_state::joining) file.slot(r).bell.store(0);
  file.slot(r).control.store(control);
}

}  // namespace

TEMPLATE_TEST_CASE("sending and receiving do not need the roster's lock", "[roster-lock]", values,
                   frames) {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("held");
    const nothing_left check(name);
    const event met;
    const event held;
    const event locked;
    const event done;
    const event unlocked;
    child consumer([&] {
      receiver<TestType> rx(name, way);
      for (std::uint64_t seq = 0; seq != 500; ++seq) {
        rx.expect({1, seq});
        if (seq == 0) met.set();
      }
      done.set();
      unlocked.wait();
    });
    child producer([&] {
      sender<TestType> tx(name, way);
      EXPECT_EQ(tx.send({1, 0}), error_code());
      locked.wait();
      for (std::uint64_t seq = 1; seq != 500; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
      unlocked.wait();
    });
    met.wait();
    child holder = lock_roster(name, held);
    held.wait();
    holder.stop();
    locked.set();
    done.wait();
    holder.kill();
    unlocked.set(2);
    CHECK(producer.wait() == 0);
    CHECK(consumer.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("a process killed while it holds the roster's lock does not stop the others",
                   "[roster-lock]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("killed");
  const nothing_left check(name);
  for (int i = 0; i != 20; ++i) {
    const event joined;
    const event locked;
    child consumer([&] {
      receiver<TestType> rx(name);
      joined.set();
      for (;;) {
        const auto r = rx.receive();
        if (r.error == errc::peer_died) continue;
        EXPECT_EQ(r.error, error_code());
        EXPECT(r.what == item{1, 0});
        return;  // leaves at the same time as the other
      }
    });
    joined.wait();
    child holder = lock_roster(name, locked);
    locked.wait();
    if (i % 2 == 0) holder.stop();
    child producer([&] {
      sender<TestType> tx(name);
      EXPECT_EQ(tx.send({1, 0}), error_code());
    });
    await([&] { return waits_for_lock(producer); });
    if (i % 3 == 0) holder.kill_unreaped();
    if (i % 3 != 0) holder.kill();
    REQUIRE(producer.wait() == 0);
    REQUIRE(consumer.wait() == 0);
    REQUIRE(files_of(name) == 0);
  }
}

TEMPLATE_TEST_CASE("a participant killed while it holds the roster's lock is reaped", "[roster-lock]",
                   values, frames) {
  const watchdog dog;
  const std::string name = unique_name("participant");
  const nothing_left check(name);
  const event met;
  const event locked;
  const event told;
  child consumer([&] {
    receiver<TestType> rx(name);
    rx.expect({1, 0});
    met.set();
    rx.expect(errc::peer_died);
    told.set();
    rx.expect({2, 0});
    rx.expect(errc::closed);
  });
  child producer([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({1, 0}), error_code());
    met.wait();
    child never = lock_roster(name, locked);
    for (;;) ::pause();
  });
  locked.wait();
  await_sleep(name, layout::role::consumer, consumer);
  producer.kill_unreaped();  // and its child, which dies with it
  told.wait();
  child next([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({2, 0}), error_code());
  });
  CHECK(next.wait() == 0);
  CHECK(consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("a slot whose owner was killed while joining is freed without a report",
                   "[roster-lock]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("joining");
  const nothing_left check(name);
  const auto bell = [&](layout::role r) {
    return path_of(detail::bell_name(name, static_cast<std::size_t>(r)));
  };
  child first([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({1, 0}), error_code());
  });
  REQUIRE(first.wait() == 0);
  {
    const segment_file file(name);
    leave_half_way(file, layout::role::producer, layout::slot_state::joining);
    leave_half_way(file, layout::role::consumer, layout::slot_state::joining);
    REQUIRE(::mkfifo(bell(layout::role::consumer).c_str(), 0600) == 0);
    REQUIRE(::mkfifo(bell(layout::role::producer).c_str(), 0600) == 0);
  }
  child consumer([&] {
    receiver<TestType> rx(name);
    rx.expect({1, 0});
    rx.expect(errc::closed);  // not of the one that did not finish joining
  });
  CHECK(consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("an owner killed while leaving counts as dead", "[roster-lock]", values,
                   frames) {
  const watchdog dog;
  const std::string name = unique_name("leaving");
  const nothing_left check(name);
  child first([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({1, 0}), error_code());
  });
  REQUIRE(first.wait() == 0);
  {
    const segment_file file(name);  // its bell is removed, its slot not freed yet
    leave_half_way(file, layout::role::producer, layout::slot_state::live);
  }
  child consumer([&] {
    receiver<TestType> rx(name);
    rx.expect({1, 0});
    rx.expect(errc::peer_died);
    EXPECT(!rx.rx().try_receive());
  });
  CHECK(consumer.wait() == 0);
}

namespace {

/// Runs this context until a number of timers have expired.
void poll_often(net::io_context& io, int times) {
  net::steady_timer timer(io);
  for (int i = 0; i != times; ++i) {
    bool rung = false;
    timer.expires_after(std::chrono::milliseconds(2));
    timer.async_wait([&](error_code) { rung = true; });
    while (!rung) {
      io.restart();
      io.run_one();
    }
  }
}

}  // namespace

TEST_CASE("a death while a stopped process holds the roster's lock stops no event loop",
          "[roster-lock]") {
  const watchdog dog;
  const std::string name = unique_name("stopped");
  const nothing_left check(name);
  using jobs = channel<work_ring<value, 64>>;
  const event met;
  const event locked;
  const event died;
  const event through;
  const event freed;
  child consumer([&] {
    net::io_context io;
    jobs::consumer rx(io, name);
    met.set();
    std::uint64_t got = 0;
    bool told = false;
    std::function<void()> next = [&] {
      rx.async_receive([&](error_code ec, value) {
        EXPECT(!ec || ec == errc::peer_died || ec == errc::closed);
        told |= ec == errc::peer_died;
        got += !ec;
        if (!told) next();
      });
    };
    next();
    while (got == 0) poll_often(io, 1);  // asleep from here on, and watching
    met.set();
    died.wait();
    poll_often(io, 20);
    while (got != 101) poll_often(io, 1);  // messages still arrive
    EXPECT(!told);                   // it cannot be counted yet
    through.set();
    freed.wait();
    while (!told) poll_often(io, 1);
  });
  met.wait();
  child doomed([&] {
    net::io_context io;
    jobs::producer tx(io, name);
    met.set();
    for (;;) ::pause();
  });
  met.wait();
  child producer([&] {
    net::io_context io;
    jobs::producer tx(io, name);
    EXPECT(tx.try_send(outgoing<values>({1, 0}).get()));
    met.set();
    died.wait();
    for (std::uint64_t i = 0; i != 100; ++i) EXPECT_EQ(tx.send(outgoing<values>({1, i}).get()), error_code());
    freed.wait();
  });
  met.wait(), met.wait();
  child holder = lock_roster(name, locked);
  locked.wait();
  holder.stop();
  doomed.kill();
  died.set(2);
  through.wait();
  holder.kill();  // it was not a participant: only the kernel sees its end
  freed.set(2);
  CHECK(consumer.wait() == 0);
  CHECK(producer.wait() == 0);
}

TEMPLATE_TEST_CASE("leaving needs no roster lock, and does not count as a death",
                   "[roster-lock]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("leave");
  const nothing_left check(name);
  const event met;
  const event locked;
  const event held;
  child consumer([&] {
    receiver<TestType> rx(name);
    met.set();
    held.wait();
    rx.expect({1, 0});
    rx.expect(errc::closed);
  });
  met.wait();
  child producer([&] {
    sender<TestType> tx(name);
    met.set();
    held.wait();
    EXPECT_EQ(tx.send({1, 0}), error_code());
  });
  met.wait();
  child holder = lock_roster(name, locked);
  locked.wait();
  holder.stop();
  held.set(2);
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
  {
    const segment_file file(name);
    CHECK(file.slot(layout::role::producer).control.load().state == layout::slot_state::going);
    holder.kill();
    CHECK(sender<TestType>(name).tx().is_open());  // finds the slots free, and is the last participant
    CHECK(file.header().count.deaths.load() == 0);
    CHECK(file.header().count.leaves.load() == 3);
  }
  CHECK(files_of(name) == 0);
}
