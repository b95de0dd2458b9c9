// How a participant sleeps, in a thread and in a foreign loop: the event count, without Asio.
#include <belfry/detail/segment/participant.hpp>

#include "support/member.hpp"

#include <chrono>
#include <map>
#include <thread>

using namespace belfry;
using namespace belfry::test;
using namespace std::chrono_literals;
using detail::failure;
using detail::participant;

namespace {

using value_ring = of_values::channel::ring_type;
constexpr auto no_deadline = participant::clock::time_point::max();
const auto sees_nothing = [] { return false; };

/// What an observer was asked to wait for.
struct recording_observer final : participant::observer {
  std::error_code watch(std::size_t slot, native_handle_type death) noexcept override {
    handles[slot] = death;
    return error;
  }
  void unwatch(std::size_t slot) noexcept override { strange += handles.erase(slot) == 0; }

  std::map<std::size_t, native_handle_type> handles;
  std::error_code error;
  int strange = 0;  // slots that were unwatched and had not been watched
};

struct sleeping_pair {
  sleeping_pair() {
    failure f;
    for (participant* p : {&tx, &rx}) {
      p->open(name, {}, f);
      REQUIRE_FALSE(f);
    }
  }

  /// Whether the consumer has the mark of a sleeper.
  bool is_asleep() const {
    return rx.segment().header().parked[static_cast<std::size_t>(consumer_role)].slots[1] != 0;
  }

  const std::string name = unique_name("participant");
  const nothing_left check{name};
  recording_observer seen;
  participant tx{value_ring::traits, producer_role};
  participant rx{value_ring::traits, consumer_role, &seen};
};

/// Waits in this thread, as a blocking call does.
bool sleep_in_thread(participant& p, participant::clock::time_point deadline) {
  participant::sleep s = p.begin_sleep();
  const bool in_time = s.wait(deadline);
  p.end_sleep(s);
  p.cancel_sleep();
  return in_time;
}

}  // namespace

TEST_CASE("a notification ends a sleep, once", "[participant]") {
  const watchdog dog;
  sleeping_pair c;
  REQUIRE(c.rx.prepare_sleep(false, sees_nothing));
  CHECK_FALSE(c.rx.woken());
  c.tx.peers().notify();
  CHECK(sleep_in_thread(c.rx, no_deadline));
  CHECK(c.rx.woken());
  CHECK(c.rx.take_wake_up());
  CHECK_FALSE(c.rx.take_wake_up());
  REQUIRE(c.rx.prepare_sleep(false, sees_nothing));  // drains the bell first
  CHECK_FALSE(sleep_in_thread(c.rx, participant::clock::now()));
  CHECK_FALSE(c.rx.woken());
  CHECK_FALSE(c.rx.error());
}

TEST_CASE("what the last look sees leaves a participant awake", "[participant]") {
  sleeping_pair c;
  CHECK_FALSE(c.rx.prepare_sleep(false, [] { return true; }));
  CHECK_FALSE(c.is_asleep());
  c.tx.peers().notify();  // writes to no bell
  REQUIRE(c.rx.prepare_sleep(false, sees_nothing));
  CHECK(c.is_asleep());
  CHECK_FALSE(sleep_in_thread(c.rx, participant::clock::now()));
  CHECK_FALSE(c.is_asleep());
}

TEST_CASE("a notification between the mark and the sleep is not lost", "[participant]") {
  const watchdog dog;
  sleeping_pair c;
  REQUIRE(c.rx.prepare_sleep(false, [&] {
    c.tx.peers().notify();
    return false;
  }));
  CHECK(sleep_in_thread(c.rx, no_deadline));
}

TEST_CASE("a sleeping participant is woken by a death, and told of it", "[participant]") {
  const watchdog dog;
  const std::string name = unique_name("mourner");
  const nothing_left check(name);
  recording_observer seen;
  participant rx(value_ring::traits, consumer_role, &seen);
  failure f;
  rx.open(name, {}, f);
  REQUIRE_FALSE(f);
  victim v(name, producer_role);
  REQUIRE(rx.prepare_sleep(false, sees_nothing));
  CHECK(seen.handles.size() == 1);
  const bool in_thread = GENERATE(true, false);
  v.kill();
  if (in_thread) {
    while (!rx.peers().peek_event()) {
      if (rx.prepare_sleep(false, [&] { return static_cast<bool>(rx.peers().peek_event()); }))
        CHECK(sleep_in_thread(rx, no_deadline));
    }
  } else {
    while (!is_ready(seen.handles.begin()->second)) std::this_thread::sleep_for(1ms);
    rx.heard_death(seen.handles.begin()->first);
    CHECK(rx.woken());
    rx.handle_deaths();
    rx.cancel_sleep();
  }
  CHECK(rx.peers().peek_event() == errc::peer_died);
  CHECK(seen.handles.empty());
}

TEST_CASE("a death that was only supposed is watched on", "[participant]") {
  sleeping_pair c;
  REQUIRE(c.rx.prepare_sleep(false, sees_nothing));
  REQUIRE(c.seen.handles.size() == 1);
  c.rx.heard_death(c.seen.handles.begin()->first);
  c.rx.handle_deaths();
  CHECK(c.seen.handles.size() == 1);
  CHECK_FALSE(c.rx.peers().peek_event());
  c.rx.cancel_sleep();
}

TEST_CASE("without hearing of a death there is no sleep", "[participant]") {
  sleeping_pair c;
  c.seen.error = std::make_error_code(std::errc::not_enough_memory);
  CHECK_FALSE(c.rx.prepare_sleep(false, sees_nothing));
  CHECK_FALSE(c.is_asleep());
  CHECK(c.rx.take_error() == std::errc::not_enough_memory);
  CHECK_FALSE(c.rx.error());
}

TEST_CASE("one handle for a foreign loop is ready while there is a reason to wake up", "[participant]") {
  sleeping_pair c;
  failure f;
  const native_handle_type handle = c.rx.wait_handle(f);
  REQUIRE_FALSE(f);
  CHECK(c.rx.wait_handle(f) == handle);
  REQUIRE(c.rx.prepare_sleep(true, sees_nothing));
  CHECK_FALSE(is_ready(handle));
  c.tx.peers().notify();
  CHECK(is_ready(handle));
  c.rx.end_foreign_sleep();
  CHECK_FALSE(is_ready(handle));
  CHECK(c.rx.woken());
}

TEST_CASE("a participant that could not join watches nothing, and leaves nothing", "[participant]") {
  sleeping_pair c;
  recording_observer seen;
  participant second(value_ring::traits, consumer_role, &seen);
  failure f;
  second.open(c.name, {}, f);
  CHECK(f.code == errc::role_taken);
  CHECK_FALSE(second.is_open());
  second.stop_watching();
  CHECK(seen.strange == 0);
  second.leave();
  CHECK(c.rx.is_open());
}
