#include <belfry/detail/async/wait_fsm.hpp>

#include "support/test.hpp"

using belfry::detail::wait_fsm;
using step = wait_fsm::step;
using namespace std::chrono_literals;

namespace {

constexpr wait_fsm::clock::time_point at(std::chrono::nanoseconds t) {
  return wait_fsm::clock::time_point(std::chrono::hours(1) + t);
}

}  // namespace

TEST_CASE("an operation begins with an attempt, and ends with one that succeeds", "[wait_fsm]") {
  wait_fsm fsm(0ns);
  CHECK(fsm.begin() == step::attempt);
  CHECK(fsm.attempted(true) == step::finish);
}

TEST_CASE("an empty ring without an event is slept upon", "[wait_fsm]") {
  wait_fsm fsm(0ns);
  CHECK(fsm.begin() == step::attempt);
  CHECK(fsm.attempted(false) == step::look);
  CHECK(fsm.looked(false) == step::park);
  CHECK(fsm.parked(false) == step::sleep);
  CHECK(fsm.rung() == step::unpark);
  CHECK(fsm.unparked() == step::attempt);
  CHECK(fsm.attempted(true) == step::finish);
}

TEST_CASE("what is there at the second look is taken awake", "[wait_fsm]") {
  wait_fsm fsm(0ns);
  fsm.begin();
  fsm.attempted(false);
  REQUIRE(fsm.looked(false) == step::park);
  CHECK(fsm.parked(true) == step::unpark);
  CHECK(fsm.unparked() == step::attempt);
  CHECK(fsm.attempted(true) == step::finish);
}

TEST_CASE("a bell that was rung for nothing leads back to sleep", "[wait_fsm]") {
  wait_fsm fsm(0ns);
  fsm.begin();
  for (int i = 0; i != 3; ++i) {
    CHECK(fsm.attempted(false) == step::look);
    CHECK(fsm.looked(false) == step::park);
    CHECK(fsm.parked(false) == step::sleep);
    CHECK(fsm.rung() == step::unpark);
    CHECK(fsm.unparked() == step::attempt);
  }
}

TEST_CASE("an event is reported only after one more attempt at the ring", "[wait_fsm]") {
  wait_fsm fsm(0ns);
  fsm.begin();
  REQUIRE(fsm.attempted(false) == step::look);

  SECTION("which finds it empty") {
    CHECK(fsm.looked(true) == step::attempt);
    CHECK(fsm.attempted(false) == step::report);
  }
  SECTION("which finds what was sent just before the event") {
    CHECK(fsm.looked(true) == step::attempt);
    CHECK(fsm.attempted(true) == step::finish);
    // The next operation knows nothing of the event yet: it has to look again.
    CHECK(fsm.begin() == step::attempt);
    CHECK(fsm.attempted(false) == step::look);
  }
}

TEST_CASE("an event seen while parked is looked at anew after waking up", "[wait_fsm]") {
  wait_fsm fsm(0ns);
  fsm.begin();
  fsm.attempted(false);
  fsm.looked(false);
  REQUIRE(fsm.parked(true) == step::unpark);
  CHECK(fsm.unparked() == step::attempt);
  CHECK(fsm.attempted(false) == step::look);
  CHECK(fsm.looked(true) == step::attempt);
  CHECK(fsm.attempted(false) == step::report);
}

TEST_CASE("an event that has vanished before it was reported starts everything over", "[wait_fsm]") {
  wait_fsm fsm(0ns);
  fsm.begin();
  fsm.attempted(false);
  fsm.looked(true);
  REQUIRE(fsm.attempted(false) == step::report);
  CHECK(fsm.begin() == step::attempt);  // what the driver does when there is nothing to report
  CHECK(fsm.attempted(false) == step::look);
  CHECK(fsm.looked(false) == step::park);
}

TEST_CASE("without spin nobody lingers or asks for the time", "[wait_fsm]") {
  wait_fsm fsm(0ns);
  CHECK_FALSE(fsm.needs_time());
  fsm.begin();
  fsm.attempted(true);
  fsm.begin();
  fsm.attempted(false);
  CHECK(fsm.looked(false, at(0ns)) == step::park);
}

TEST_CASE("with spin the ring is watched for a while, from the first time it was empty after a success",
          "[wait_fsm]") {
  wait_fsm fsm(50us);
  CHECK(fsm.needs_time());
  fsm.begin();
  REQUIRE(fsm.attempted(true) == step::finish);

  fsm.begin();
  REQUIRE(fsm.attempted(false) == step::look);
  CHECK(fsm.looked(false, at(10us)) == step::linger);
  CHECK(fsm.lingered(false, at(30us)) == step::linger);
  CHECK(fsm.lingered(false, at(59us)) == step::linger);

  SECTION("the window is over") {
    CHECK(fsm.lingered(false, at(60us)) == step::park);
    CHECK(fsm.parked(false) == step::sleep);
    CHECK(fsm.rung() == step::unpark);
    CHECK(fsm.unparked() == step::attempt);
  }
  SECTION("something came") {
    CHECK(fsm.lingered(true, at(59us)) == step::attempt);
    CHECK(fsm.attempted(true) == step::finish);
    // The window begins anew.
    fsm.begin();
    fsm.attempted(false);
    CHECK(fsm.looked(false, at(1s)) == step::linger);
    CHECK(fsm.lingered(false, at(1s + 49us)) == step::linger);
    CHECK(fsm.lingered(false, at(1s + 50us)) == step::park);
  }
  SECTION("something came, and was gone") {
    CHECK(fsm.lingered(true, at(59us)) == step::attempt);
    CHECK(fsm.attempted(false) == step::look);
    CHECK(fsm.looked(false, at(61us)) == step::park);
  }
  SECTION("an event ends it at once") {
    CHECK(fsm.lingered(true, at(21us)) == step::attempt);
    CHECK(fsm.attempted(false) == step::look);
    CHECK(fsm.looked(true, at(21us)) == step::attempt);
    CHECK(fsm.attempted(false) == step::report);
  }
}

TEST_CASE("with spin, who has not got anything yet goes to sleep at once", "[wait_fsm]") {
  wait_fsm fsm(50us);
  fsm.begin();
  fsm.attempted(false);
  CHECK(fsm.looked(false, at(0us)) == step::park);
  fsm.parked(true);
  fsm.unparked();
  fsm.attempted(false);
  CHECK(fsm.looked(false, at(1us)) == step::park);
}

TEST_CASE("one success opens one window, however often one goes to sleep after it", "[wait_fsm]") {
  wait_fsm fsm(50us);
  fsm.begin();
  fsm.attempted(true);
  fsm.begin();
  fsm.attempted(false);
  REQUIRE(fsm.looked(false, at(0us)) == step::linger);
  REQUIRE(fsm.lingered(false, at(50us)) == step::park);
  fsm.parked(false);
  fsm.rung();
  fsm.unparked();
  fsm.attempted(false);
  CHECK(fsm.looked(false, at(51us)) == step::park);
}

TEST_CASE("who has lingered in vain sleeps at once, until things come often enough", "[wait_fsm]") {
  wait_fsm fsm(50us);
  const auto sleeps_at = [&fsm](std::chrono::nanoseconds t) {
    fsm.begin();
    fsm.attempted(false);
    const bool at_once = fsm.looked(false, at(t)) == step::park;
    if (!at_once) CHECK(fsm.lingered(false, at(t + 50us)) == step::park);
    CHECK(fsm.parked(false) == step::sleep);
    fsm.rung();
    fsm.unparked();
    CHECK(fsm.attempted(true) == step::finish);
    return at_once;
  };
  fsm.begin();
  fsm.attempted(true);
  REQUIRE_FALSE(sleeps_at(0us));
  CHECK(sleeps_at(100us));
  CHECK(sleeps_at(200us));

  SECTION("one that came soon after the last") {
    CHECK_FALSE(sleeps_at(249us));
    CHECK(sleeps_at(350us));
  }
  SECTION("one that was there without a sleep") {
    fsm.begin();
    CHECK(fsm.attempted(true) == step::finish);
    CHECK_FALSE(sleeps_at(400us));
  }
}
