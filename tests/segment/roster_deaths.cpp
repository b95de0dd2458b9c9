#include "support/member.hpp"

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using joined = detail::roster::joined;
using layout::slot_end;
using layout::slot_state;
using changes = std::vector<detail::roster::watch_change>;

TEST_CASE("a death is counted once, reported once, and frees the slot", "[roster]") {
  const std::string name = unique_name("death");
  member rx(name, consumer_role);
  rx.join();
  victim tx(name, producer_role, [](member& m) { m->park().park(); });
  CHECK(is_marked(rx, producer_role, 0));
  tx.kill();
  CHECK_FALSE(rx->peek_event());  // not noticed yet

  rx->reap();
  const auto slot = rx.control(0);
  CHECK(slot.state == slot_state::free);
  CHECK(slot.end == slot_end::died);
  CHECK(slot.generation == 1);
  CHECK(slot.deaths == 1);
  CHECK(rx.segment().header().count.deaths == 1);
  CHECK_FALSE(is_marked(rx, producer_role, 0));
  CHECK(files_of(name + ".bell") == 1);

  rx->reap();
  CHECK(rx.control(0).deaths == 1);
  CHECK(rx.segment().header().count.deaths == 1);

  CHECK(rx->peek_event() == errc::peer_died);
  CHECK(rx->peek_event() == errc::peer_died);
  rx->take_event();
  CHECK_FALSE(rx->peek_event());
  rx->take_event();
  CHECK_FALSE(rx->peek_event());
}

TEST_CASE("every death is reported, even several before the consumer looked", "[roster]") {
  const std::string name = unique_name("deaths");
  member rx(name, consumer_role);
  rx.join();
  for (int i = 0; i != 3; ++i) {
    victim tx(name, producer_role);  // reaps the previous one
    CHECK(rx.control(0).generation == static_cast<std::uint32_t>(i + 1));
    tx.kill();
  }
  rx->reap();
  CHECK(rx.control(0).deaths == 3);
  for (int i = 0; i != 3; ++i) {
    CHECK(rx->peek_event() == errc::peer_died);
    rx->take_event();
  }
  CHECK_FALSE(rx->peek_event());
}

TEST_CASE("deaths are reported before the clean end of a later producer", "[roster]") {
  const std::string name = unique_name("order");
  member rx(name, consumer_role);
  rx.join();
  victim(name, producer_role).kill();
  {
    member tx(name, producer_role);
    tx.join();
  }
  CHECK(rx->peek_event() == errc::peer_died);
  rx->take_event();
  CHECK(rx->peek_event() == errc::closed);
}

TEST_CASE("the count of deaths may overflow", "[roster]") {
  const std::string name = unique_name("overflow");
  member rx(name, consumer_role);
  auto slot = rx.control(0);
  slot.deaths = 0xffff;
  rx.segment().slot(0).control = slot;
  rx.join();
  CHECK_FALSE(rx->peek_event());
  victim(name, producer_role).kill();
  rx->reap();
  CHECK(rx.control(0).deaths == 0);
  CHECK(rx->peek_event() == errc::peer_died);
  rx->take_event();
  CHECK_FALSE(rx->peek_event());
}

TEST_CASE("a newcomer is told of a death not yet noticed, and of no earlier one", "[roster]") {
  const std::string name = unique_name("news");
  victim(name, producer_role, [](member& m) {
    of_values::channel::ring_type::writer(m.segment().ring(), m->slot()).push({1, 0});  // so that the segment stays
  }).kill();
  {
    member rx(name, consumer_role);
    REQUIRE(rx.join() == joined::yes);
    CHECK(rx.control(0).state == slot_state::free);
    CHECK(rx->peek_event() == errc::peer_died);
  }
  member rx(name, consumer_role);
  rx.join();
  CHECK_FALSE(rx->peek_event());
  rx.leave();
  of_values::channel::unlink(name);
}

TEST_CASE("a participant that dies while joining does not count as dead; its slot is freed", "[roster]") {
  const std::string name = unique_name("joining");
  member rx(name, consumer_role);
  rx.join();
  rx.segment().slot(0).control = layout::slot_control{5, 0, slot_end::left, slot_state::joining};
  rx->reap();
  CHECK(rx.control(0).state == slot_state::free);
  CHECK(rx.control(0).generation == 5);
  CHECK(rx.control(0).deaths == 0);
  CHECK(rx.segment().header().count.deaths == 0);
}

TEST_CASE("a dead participant's slot is free for the next one", "[roster]") {
  const std::string name = unique_name("successor");
  victim(name, consumer_role).kill();
  CHECK(files_of(name) == 2);
  member second(name, consumer_role);
  CHECK(second.join() == joined::yes);
  CHECK(second.control(1).generation == 2);
  CHECK(second.control(1).deaths == 1);
  second.leave();
  CHECK(files_of(name) == 0);
}

TEST_CASE("the last participant reaps before it checks whether it is alone", "[roster]") {
  const std::string name = unique_name("last");
  member rx(name, consumer_role);
  rx.join();
  victim(name, producer_role).kill();
  rx.leave();
  CHECK(files_of(name) == 0);
}

TEST_CASE("a notifier that finds a bell deserted reaps its owner", "[roster]") {
  const std::string name = unique_name("deserted");
  member tx(name, producer_role);
  tx.join();
  victim(name, consumer_role, [](member& m) { m->park().park(); }).kill();
  tx->notify();
  CHECK(tx.control(1).state == slot_state::free);
  CHECK(tx.control(1).end == slot_end::died);
  CHECK(tx->peek_event() == errc::peer_died);
}

TEST_CASE("a live peer is watched, and its death shows at the handle", "[roster]") {
  const std::string name = unique_name("watch");
  member rx(name, consumer_role);
  rx.join();
  changes none;
  CHECK_FALSE(rx->watch_peers(none));
  CHECK(none.empty());
  const auto watch = [&] {
    changes c;
    CHECK_FALSE(rx->watch_peers(c));
    REQUIRE(c.size() == 1);
    CHECK(c[0].slot == 0);
    CHECK_FALSE(rx->watch_peers(none));
    CHECK(none.empty());  // it is still the same peer
    return std::move(c[0].handle);
  };

  SECTION("the peer dies") {
    victim tx(name, producer_role);
    const auto handle = watch();
    REQUIRE(handle);
    CHECK_FALSE(is_ready(handle.get()));
    tx.kill();
    CHECK(is_ready(handle.get()));
    rx->watched_died(0);
    CHECK(rx.control(0).state == slot_state::free);
    CHECK(rx->peek_event() == errc::peer_died);
    CHECK_FALSE(watch());  // there is no peer left
  }
  SECTION("its bell is closed, but not yet its lock: the kernel is still closing its files") {
    victim tx(name, producer_role, [](member& m) { m->bell().close(); });
    CHECK_FALSE(rx->watch_peers(none));
    CHECK((none.empty() || !none[0].handle));
    CHECK(rx.control(0).state == slot_state::free);
    CHECK(rx->peek_event() == errc::peer_died);
  }
  SECTION("the peer leaves: ready as well, but not a death") {
    member tx(name, producer_role);
    tx.join();
    const auto handle = watch();
    CHECK_FALSE(is_ready(handle.get()));
    tx.leave();
    CHECK(is_ready(handle.get()));
    rx->watched_died(0);
    CHECK(rx.control(0).deaths == 0);
    CHECK(rx->peek_event() == errc::closed);
  }
  SECTION("another peer has its slot: the old handle does not count as its death") {
    victim tx(name, producer_role);
    const auto handle = watch();
    tx.kill();
    member next(name, producer_role);
    REQUIRE(next.join() == joined::yes);
    CHECK(is_ready(handle.get()));
    rx->watched_died(0);
    CHECK(rx.control(0).state == slot_state::live);
    CHECK(rx.control(0).deaths == 1);
    const auto second = watch();
    REQUIRE(second);
    CHECK_FALSE(is_ready(second.get()));
  }
}

TEST_CASE("a peer that died before it was watched is reaped at once", "[roster]") {
  const std::string name = unique_name("late-watch");
  member rx(name, consumer_role);
  rx.join();
  victim(name, producer_role).kill();
  changes c;
  CHECK_FALSE(rx->watch_peers(c));
  CHECK((c.empty() || !c[0].handle));
  CHECK(rx.control(0).state == slot_state::free);
  CHECK(rx->peek_event() == errc::peer_died);
}

TEST_CASE("the peers that are there, and those that came and went", "[roster]") {
  const std::string name = unique_name("came");
  member rx(name, consumer_role);
  rx.join();
  CHECK_FALSE(rx->peer_came());

  SECTION("a producer that has left counts until that was reported") {
    member tx(name, producer_role);
    tx.join();
    CHECK(rx->peer_came());
    tx.leave();
    CHECK(rx->peer_came());
    CHECK(rx->peek_event() == errc::closed);
    rx->take_event();
    CHECK_FALSE(rx->peer_came());
    member next(name, producer_role);
    next.join();
    CHECK(rx->peer_came());
  }
  SECTION("a producer that died") {
    victim(name, producer_role).kill();
    rx->reap();
    CHECK(rx->peer_came());
    rx->take_event();
    CHECK_FALSE(rx->peer_came());
  }
  SECTION("a consumer that has left does not count") {
    member tx(name, producer_role);
    tx.join();
    CHECK(tx->peer_came());
    rx.leave();
    CHECK_FALSE(tx->peer_came());
  }
}

TEST_CASE("a participant of an unlinked segment continues alone", "[roster]") {
  const std::string name = unique_name("unlinked");
  member tx(name, producer_role);
  tx.join();
  of_values::channel::unlink(name);
  member other(name, producer_role);
  CHECK(other.join() == joined::yes);  // joins another segment of the same name
  CHECK(other.control(0).generation == 1);
  const std::size_t files = files_of(name);
  tx.leave();
  CHECK(files_of(name) == files);
  other.leave();
  CHECK(files_of(name) == 0);
}
