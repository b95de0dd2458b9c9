// What a participant does while another one holds the roster's lock, and what it leaves to others; the names
// of segments and bells.
#include "support/member.hpp"

#include <atomic>
#include <fstream>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using detail::ring_memory;
using detail::ring_traits;
using joined = detail::roster::joined;
using layout::slot_end;
using layout::slot_state;

namespace {

/// Holds the roster's lock, as another participant does.
class held_roster {
 public:
  explicit held_roster(const std::string& name)
      : fd_(::open(("/dev/shm/" + name).c_str(), O_RDWR | O_CLOEXEC)) {
    REQUIRE(set(F_WRLCK));
  }
  ~held_roster() { ::close(fd_); }

 private:
  bool set(short type) {
    struct ::flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = layout::roster_lock;
    lock.l_len = 1;
    return ::fcntl(fd_, F_OFD_SETLK, &lock) == 0;
  }
  int fd_;
};

bool has_a_name(const detail::segment& s) {
  struct stat status {};
  return ::fstat(s.block().get(), &status) == 0 && status.st_nlink != 0;
}

/// What a participant does at that moment.
std::function<void()> meanwhile;

}  // namespace

TEST_CASE("leaving succeeds while another holds the roster's lock; the slot is freed later", "[roster]") {
  const test::watchdog dog;
  const std::string name = unique_name("going");
  member tx(name, producer_role);
  member rx(name, consumer_role);
  tx.join();
  rx.join();
  rx->bell().drain();
  {
    const held_roster lock(name);
    tx.leave();
    CHECK(rx.control(0).state == slot_state::going);
    CHECK(rx.control(0).end == slot_end::left);
    CHECK(rx->peek_event() == errc::closed);
    CHECK(rx->peer_came());
    CHECK(is_ready(rx->bell().handle()));
  }
  member next(name, producer_role);
  REQUIRE(next.join() == joined::yes);
  CHECK(next.control(0).deaths == 0);
  CHECK(next.segment().header().count.leaves == 1);
  next.leave();
  rx.leave();
  CHECK(files_of(name) == 0);
}

TEST_CASE("the last participant frees the slot of one that left meanwhile", "[roster]") {
  const test::watchdog dog;
  const std::string name = unique_name("both");
  using jobs = channel<work_ring<tick, 64>>;
  static const ring_traits& original = jobs::ring_type::traits;
  ring_traits traits = original;
  traits.recover = [](const ring_memory& memory, std::size_t slot) {  // called with the roster locked
    original.recover(memory, slot);
    if (meanwhile) std::exchange(meanwhile, nullptr)();
  };
  member first(name, consumer_role, {}, traits);
  member second(name, producer_role, {}, original);
  REQUIRE(first.join() == joined::yes);
  REQUIRE(second.join() == joined::yes);
  const event joined_too;
  child third([&] {
    member m(name, consumer_role, {}, original);
    EXPECT(m.join() == joined::yes);
    joined_too.set();
    for (;;) ::pause();
  });
  joined_too.wait();
  third.kill();
  meanwhile = [&] { second.leave(); };
  first.leave();
  CHECK_FALSE(meanwhile);
  CHECK(files_of(name) == 0);
}

TEST_CASE("a death noticed while another holds the roster's lock is reaped later", "[roster]") {
  const test::watchdog dog;
  const std::string name = unique_name("later");
  member rx(name, consumer_role);
  rx.join();
  victim tx(name, producer_role);
  std::vector<detail::roster::watch_change> changes;
  REQUIRE_FALSE(rx->watch_peers(changes));
  REQUIRE(changes.size() == 1);
  tx.kill();
  detail::unique_handle timer;
  {
    const held_roster lock(name);
    rx->watched_died(0);
    rx->reap();
    CHECK_FALSE(rx->peek_event());
    CHECK(rx->peer_came());  // and has gone again
    changes.clear();
    REQUIRE_FALSE(rx->watch_peers(changes));
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].slot == 1);  // its own: a reason to look again
    timer = std::move(changes[0].handle);
    while (!is_ready(timer.get())) ::usleep(100);
    rx->watched_died(1);
    changes.clear();
    REQUIRE_FALSE(rx->watch_peers(changes));
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].slot == 1);
    timer = std::move(changes[0].handle);
  }
  while (!is_ready(timer.get())) ::usleep(100);
  rx->watched_died(1);
  CHECK(rx->peek_event() == errc::peer_died);
  changes.clear();
  REQUIRE_FALSE(rx->watch_peers(changes));
  for (const auto& change : changes) CHECK_FALSE(change.handle);
}

TEST_CASE("a full roster says how many slots there are", "[roster]") {
  const std::string name = unique_name("full");
  const ring_traits& traits = channel<work_ring<tick, 64>>::ring_type::traits;
  std::vector<std::unique_ptr<member>> all;
  for (int i = 0; i != 32; ++i) {
    all.push_back(std::make_unique<member>(name, consumer_role, channel_options{}, traits));
    REQUIRE(all.back()->join() == joined::yes);
  }
  member one_more(name, consumer_role, {}, traits);
  CHECK(one_more.join() == joined::no);
  CHECK(one_more.failure().code == errc::roster_full);
  CHECK(one_more.failure().what == "a consumer of \"" + name + "\": all 32 places are taken");
}

TEST_CASE("a failed join leaves no segment behind without participants and values", "[roster]") {
  const std::string name = unique_name("failed");
  const std::string path = "/dev/shm/" + name + ".bell.1";
  std::ofstream(path) << "not a bell";
  {
    member rx(name, consumer_role);
    CHECK(rx.join() == joined::no);
  }
  CHECK(files_of(name) == 1);
  REQUIRE(std::remove(path.c_str()) == 0);
}

TEST_CASE("reaping a dead newcomer does not remove a namesake's bell", "[roster]") {
  const std::string name = unique_name("namesake");
  member rx(name, consumer_role);
  rx.join();
  REQUIRE(std::remove(("/dev/shm/" + name).c_str()) == 0);  // by hand
  rx.segment().slot(0).control = layout::slot_control{5, 0, slot_end::left, slot_state::joining};
  member other(name, producer_role);
  REQUIRE(other.join() == joined::yes);
  rx->reap();
  CHECK(files_of(name + ".bell.0") == 1);
}

TEST_CASE("unlinking a channel does not remove the bells of the next one of that name", "[roster]") {
  const test::watchdog dog;
  const std::string name = unique_name("unlinking");
  std::atomic<bool> over{false};
  std::thread unlinker([&] {
    while (!over) {
      detail::failure ignored;
      detail::segment::unlink(name, ignored);
    }
  });
  for (int i = 0; i != often(3000); ++i) {
    member rx(name, consumer_role);
    if (rx.join() != joined::yes) continue;
    // Either the bell exists, or the segment is being removed as well.
    while (files_of(name + ".bell.1") == 0 && has_a_name(rx.segment())) std::this_thread::yield();
  }
  over = true;
  unlinker.join();
  detail::failure ignored;
  detail::segment::unlink(name, ignored);
  CHECK(files_of(name) == 0);
}

TEST_CASE("names of bells and companions are refused for channels", "[roster]") {
  for (const char* ending : {".bell.0", ".bell.249", ".bell.7777", ".watch"}) {
    const std::string name = unique_name("ours") + ending;
    detail::failure f;
    detail::segment::create_or_open(name, of_values::channel::ring_type::traits, {}, f);
    CHECK(f.code == std::errc::invalid_argument);
    detail::failure g;
    CHECK_FALSE(detail::segment::unlink(name, g));
    CHECK(g.code == std::errc::invalid_argument);
  }
  for (const char* ending : {".bell", ".bell.", ".bell.x", ".bell.0x", ".watches"}) {
    member m(unique_name("not-ours") + ending, consumer_role);
    CHECK(m.join() == joined::yes);
  }
}
