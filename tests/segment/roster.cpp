#include "support/member.hpp"

#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using detail::park_word;
using joined = detail::roster::joined;
using layout::slot_end;
using layout::slot_state;

TEST_CASE("joining takes a slot of the role and makes its bell", "[roster]") {
  const std::string name = unique_name("join");
  member tx(name, producer_role);
  CHECK_FALSE(tx->is_member());
  REQUIRE(tx.join() == joined::yes);
  CHECK(tx->is_member());

  const auto slot = tx.control(0);
  CHECK(slot.state == slot_state::live);
  CHECK(slot.end == slot_end::none);
  CHECK(slot.generation == 1);
  CHECK(slot.deaths == 0);
  CHECK(tx.segment().slot(0).pid == static_cast<std::uint32_t>(::getpid()));
  CHECK(tx.control(1).state == slot_state::free);
  CHECK(tx.segment().header().count.joins == 1);

  struct stat bell {};
  REQUIRE(::stat(("/dev/shm/" + name + ".bell.0").c_str(), &bell) == 0);
  CHECK(S_ISFIFO(bell.st_mode));
  CHECK(tx.segment().slot(0).bell == bell.st_ino);
  CHECK(tx->bell().id() == bell.st_ino);

  member rx(name, consumer_role);
  REQUIRE(rx.join() == joined::yes);
  CHECK(rx.control(1).state == slot_state::live);
  CHECK(files_of(name) == 3);
  CHECK(tx->peer_came());
  CHECK(rx->peer_came());
}

TEST_CASE("a second participant of a role is refused while the first lives", "[roster]") {
  const std::string name = unique_name("taken");
  member first(name, consumer_role);
  REQUIRE(first.join() == joined::yes);
  {
    member second(name, consumer_role);
    CHECK(second.join() == joined::no);
    CHECK(second.failure().code == errc::role_taken);
    CHECK(second.failure().what == "a consumer of \"" + name + '"');
    CHECK_FALSE(second->is_member());
  }
  CHECK(first.control(1).state == slot_state::live);
  first.leave();
  CHECK(files_of(name) == 0);
}

TEST_CASE("leaving frees the slot; the last participant removes the segment", "[roster]") {
  const std::string name = unique_name("leave");
  member tx(name, producer_role);
  member rx(name, consumer_role);
  tx.join();
  rx.join();

  tx.leave();
  CHECK(rx.control(0).state == slot_state::free);
  CHECK(rx.control(0).end == slot_end::left);
  CHECK(rx.control(0).generation == 1);
  CHECK(rx.control(0).deaths == 0);
  CHECK(rx.segment().header().count.leaves == 1);
  CHECK(files_of(name + ".bell") == 1);
  rx.leave();
  CHECK(files_of(name) == 0);
}

TEST_CASE("a segment with unread values stays until they are received", "[roster]") {
  const std::string name = unique_name("drained");
  {
    member tx(name, producer_role);
    tx.join();
    of_values::channel::ring_type::writer(tx.segment().ring(), tx->slot()).push({7, 0});
  }
  CHECK(files_of(name) == 1);
  {
    member rx(name, consumer_role);
    rx.join();
  }
  CHECK(files_of(name) == 1);
  {
    member rx(name, consumer_role);
    rx.join();
    tick t{};
    of_values::channel::ring_type::reader reader(rx.segment().ring(), rx->slot(), start::oldest);
    CHECK(reader.pop(t) == detail::attempt::done);
    CHECK(t.seq == 7);
  }
  CHECK(files_of(name) == 0);
}

TEST_CASE("a persistent segment stays", "[roster]") {
  const std::string name = unique_name("persistent");
  channel_options options;
  options.lifetime = lifetime::persistent;
  {
    member tx(name, producer_role, options);
    tx.join();
    CHECK(tx.segment().persistent());
  }
  CHECK(files_of(name) == 1);
  {
    member rx(name, consumer_role);  // the creator's choice counts
    CHECK(rx.segment().persistent());
    rx.join();
  }
  CHECK(files_of(name) == 1);
  of_values::channel::unlink(name);
}

TEST_CASE("a participant that is just joining does not repeat the end of the one before it", "[roster]") {
  const std::string name = unique_name("repeat");
  member rx(name, consumer_role);
  REQUIRE(rx.join() == member::joined::yes);
  {
    member tx(name, producer_role);
    REQUIRE(tx.join() == member::joined::yes);
  }
  CHECK(rx->untold_event() == errc::closed);
  rx->take_event();
  CHECK_FALSE(rx->untold_event());
  {
    member tx(name, producer_role);
    detail::failure f;
    REQUIRE(tx->join(f, [&](std::size_t) { CHECK_FALSE(rx->untold_event()); }) == member::joined::yes);
    CHECK_FALSE(rx->untold_event());
  }
}

TEST_CASE("to a producer a consumer of the past is nothing, also while the next one joins", "[roster]") {
  const std::string name = unique_name("past");
  channel_options kept;
  kept.lifetime = lifetime::persistent;
  {
    member rx(name, consumer_role, kept);
    REQUIRE(rx.join() == member::joined::yes);
  }
  member tx(name, producer_role, kept);
  REQUIRE(tx.join() == member::joined::yes);
  CHECK_FALSE(tx->peek_event());
  member next(name, consumer_role, kept);
  detail::failure f;
  CHECK(next->join(f, [&](std::size_t) { CHECK_FALSE(tx->peek_event()); }) == member::joined::yes);
  detail::segment::unlink(name, f);
  CHECK_FALSE(f);
}

TEST_CASE("a slot's generation and epoch continue from owner to owner", "[roster]") {
  const std::string name = unique_name("generation");
  member rx(name, consumer_role);
  rx.join();
  std::uint64_t last_word = 0;
  for (std::uint32_t generation = 1; generation != 5; ++generation) {
    member tx(name, producer_role);
    REQUIRE(tx.join() == joined::yes);
    CHECK(rx.control(0).generation == generation);
    const std::uint64_t word = rx.segment().slot(0).park;
    CHECK(detail::state_of(word) == layout::park_state::awake);
    CHECK(word > last_word);
    tx->park().park();
    last_word = rx.segment().slot(0).park;
    CHECK(detail::park_epoch(last_word) == detail::park_epoch(word) + 1);
  }
  CHECK_FALSE(is_marked(rx, producer_role, 0));
}

TEST_CASE("a consumer is told that its producer has left, even before the consumer joined", "[roster]") {
  const std::string name = unique_name("closed");
  channel_options options;
  options.lifetime = lifetime::persistent;
  member early(name, producer_role, options);
  early.join();
  early.leave();
  member rx(name, consumer_role);
  rx.join();
  CHECK(rx->peek_event() == errc::closed);
  rx->take_event();
  CHECK(rx->peek_event() == errc::closed);  // it stays closed

  member again(name, producer_role);
  again.join();
  CHECK_FALSE(rx->peek_event());  // until another producer joins
  again.leave();
  CHECK(rx->peek_event() == errc::closed);
  rx.leave();
  of_values::channel::unlink(name);
}

TEST_CASE("a producer is told of a consumer that leaves, but not of an earlier one", "[roster]") {
  const std::string name = unique_name("past");
  channel_options options;
  options.lifetime = lifetime::persistent;
  {
    member rx(name, consumer_role, options);
    rx.join();
  }
  member tx(name, producer_role);
  tx.join();
  CHECK_FALSE(tx->peek_event());
  {
    member rx(name, consumer_role);
    rx.join();
    CHECK_FALSE(tx->peek_event());
  }
  CHECK(tx->peek_event() == errc::closed);
  tx.leave();
  of_values::channel::unlink(name);
}

TEST_CASE("a newcomer that opened a segment without a name opens it again", "[roster]") {
  const std::string name = unique_name("gone");
  member tx(name, producer_role);
  tx.join();
  member late(name, consumer_role);  // has opened it
  tx.leave();                        // the last participant removes it
  CHECK(late.join() == joined::gone);
  CHECK_FALSE(late.failure());
  CHECK_FALSE(late->is_member());
}

TEST_CASE("what a dead owner left under the bell's name is replaced", "[roster]") {
  const std::string name = unique_name("stale");
  const std::string path = "/dev/shm/" + name + ".bell.1";
  member rx(name, consumer_role);
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  struct stat before {};
  REQUIRE(::stat(path.c_str(), &before) == 0);
  REQUIRE(rx.join() == joined::yes);
  CHECK(rx->bell().id() != before.st_ino);
  CHECK_FALSE(is_ready(rx->bell().handle()));
  rx.leave();
  CHECK(files_of(name) == 0);
}

TEST_CASE("a bell that cannot be made leaves the slot free", "[roster]") {
  const std::string name = unique_name("no-bell");
  const std::string path = "/dev/shm/" + name + ".bell.1";
  member rx(name, consumer_role);
  // Neither is a bell, so neither may be replaced.
  SECTION("because of a directory") { REQUIRE(::mkdir(path.c_str(), 0700) == 0); }
  SECTION("because of a file") { std::ofstream(path) << "x"; }
  CHECK(rx.join() == joined::no);
  CHECK(rx.failure().code == std::errc::file_exists);
  CHECK(rx.control(1).state == slot_state::free);
  REQUIRE(std::remove(path.c_str()) == 0);

  member again(name, consumer_role);
  CHECK(again.join() == joined::yes);
  CHECK(again.control(1).deaths == 0);
}

TEST_CASE("only a parked peer is notified, and it is marked", "[roster]") {
  const std::string name = unique_name("notify");
  member tx(name, producer_role);
  member rx(name, consumer_role);
  tx.join();
  rx.join();
  rx->bell().drain();

  CHECK_FALSE(is_marked(tx, consumer_role, 1));
  tx->notify();
  CHECK_FALSE(is_ready(rx->bell().handle()));
  CHECK(tx.segment().slot(0).rings == 0);

  rx->park().park();
  CHECK(is_marked(tx, consumer_role, 1));
  const std::uint64_t parked = tx.segment().slot(1).park;
  tx->notify();
  CHECK(is_ready(rx->bell().handle()));
  CHECK(tx.segment().slot(1).park ==
        park_word(detail::park_epoch(parked), layout::park_state::rung));
  CHECK(tx.segment().slot(0).rings == 1);

  rx->bell().drain();
  tx->notify();  // already notified: once per parking
  CHECK_FALSE(is_ready(rx->bell().handle()));
  CHECK(tx.segment().slot(0).rings == 1);

  rx->park().unpark();
  CHECK_FALSE(is_marked(tx, consumer_role, 1));
  rx->park().park();
  tx->notify();
  CHECK(is_ready(rx->bell().handle()));
  CHECK(tx.segment().slot(0).rings == 2);
  rx->park().unpark();
}

TEST_CASE("joining and leaving notify all participants", "[roster]") {
  const std::string name = unique_name("everyone");
  member rx(name, consumer_role);
  rx.join();
  CHECK_FALSE(is_ready(rx->bell().handle()));
  member tx(name, producer_role);
  tx.join();
  CHECK(is_ready(rx->bell().handle()));
  rx->bell().drain();
  tx.leave();
  CHECK(is_ready(rx->bell().handle()));
}
