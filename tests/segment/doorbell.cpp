#include <belfry/detail/segment/doorbell.hpp>

#include "support/member.hpp"

#include <fstream>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using detail::doorbell;
using detail::failure;
using detail::ringer;
using detail::segment;

namespace {

/// A segment without participants, named or not.
struct house {
  explicit house(bool named) : name(named ? unique_name("bell") : "") {
    failure f;
    if (named) {
      s = segment::create_or_open(name, of_values::channel::ring_type::traits, {}, f);
    } else {
      handles = segment::create_anonymous(of_values::channel::ring_type::traits, {}, f);
      s = segment::attach(handles, of_values::channel::ring_type::traits, {}, f);
    }
    REQUIRE_FALSE(f);
  }
  ~house() {
    failure ignored;
    if (!name.empty()) segment::unlink(name, ignored);
  }
  doorbell make(std::size_t slot) {
    failure f;
    doorbell bell = doorbell::make(s, slot, f);
    REQUIRE_FALSE(f);
    s.slot(slot).bell = bell.id();
    return bell;
  }
  ringer::state open(std::size_t slot, ringer& out) {
    std::error_code error;
    return ringer::open(s, slot, 1, out, error);
  }
  std::string path(std::size_t slot) const { return "/dev/shm/" + detail::bell_name(name, slot); }

  std::string name;
  detail::segment_handles handles;
  segment s;
};

volatile sig_atomic_t sigpipes = 0;

}  // namespace

TEST_CASE("a bell is ready from its notification until it is drained", "[doorbell]") {
  house h(GENERATE(true, false));
  doorbell bell = h.make(1);
  CHECK_FALSE(is_ready(bell.handle()));
  ringer r;
  CHECK_FALSE(r.serves(1));
  REQUIRE(h.open(1, r) == ringer::state::reachable);
  CHECK(r.serves(1));
  CHECK_FALSE(r.serves(2));

  CHECK(r.ring());
  CHECK(is_ready(bell.handle()));
  bell.drain();
  CHECK_FALSE(is_ready(bell.handle()));
  bell.drain();  // with nothing to drain it must not block

  for (int i = 0; i != 1000; ++i) r.ring();
  bell.drain();
  CHECK_FALSE(is_ready(bell.handle()));
  bell.close();
}

TEST_CASE("a bell that is not drained can be notified any number of times", "[doorbell]") {
  house h(GENERATE(true, false));
  doorbell bell = h.make(0);
  ringer r;
  REQUIRE(h.open(0, r) == ringer::state::reachable);
  bool heard = true;
  for (int i = 0; i != 70000; ++i) heard = r.ring() && heard;
  CHECK(heard);
  bell.drain();
  CHECK_FALSE(is_ready(bell.handle()));
  bell.close();
}

TEST_CASE("a new owner does not receive the old owner's notifications", "[doorbell]") {
  house h(GENERATE(true, false));
  doorbell old = h.make(0);
  ringer r;
  REQUIRE(h.open(0, r) == ringer::state::reachable);
  r.ring();
  old.close();
  doorbell next = h.make(0);
  CHECK_FALSE(is_ready(next.handle()));
  next.close();
}

TEST_CASE("the states of a bell: deserted, unreachable, reachable", "[doorbell]") {
  house h(true);
  ringer r;
  CHECK(h.open(0, r) == ringer::state::unreachable);  // no such file

  doorbell bell = h.make(0);
  CHECK(h.open(0, r) == ringer::state::reachable);
  bell.close();
  CHECK(h.open(0, r) == ringer::state::deserted);  // its file exists, but has no reader
  CHECK_FALSE(r.serves(1));

  bell = h.make(0);
  h.s.slot(0).bell = bell.id() + 1;  // the roster means another bell
  CHECK(h.open(0, r) == ringer::state::unreachable);
  bell.close();
  CHECK(h.open(0, r) == ringer::state::unreachable);

  ::unlink(h.path(0).c_str());
  CHECK(h.open(0, r) == ringer::state::unreachable);
  std::ofstream(h.path(0)) << "not a bell";
  CHECK(h.open(0, r) == ringer::state::unreachable);
  std::ifstream content(h.path(0));
  CHECK(std::string(std::istreambuf_iterator<char>(content), {}) == "not a bell");
}

TEST_CASE("a forged roster makes no notifier write to another file", "[doorbell]") {
  house h(true);
  doorbell bell = h.make(0);
  bell.close();
  ::unlink(h.path(0).c_str());
  const auto forge = [&](int fd) {
    struct stat status {};
    REQUIRE(::fstat(fd, &status) == 0);
    h.s.slot(0).pid = static_cast<std::uint32_t>(::getpid());
    h.s.slot(0).bell_handle = static_cast<std::uint32_t>(fd);
    h.s.slot(0).bell = status.st_ino;
    ringer r;
    CHECK(h.open(0, r) == ringer::state::unreachable);
    detail::unique_handle watch;
    std::error_code error;
    CHECK(watch_for_death(h.s, 0, 1, watch, error) == ringer::state::unreachable);
  };
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  forge(ends[1]);  // a private pipe
  CHECK_FALSE(is_ready(ends[0]));
  for (const int end : ends) ::close(end);

  const std::string other = h.path(0) + "-other";
  REQUIRE(::mkfifo(other.c_str(), 0600) == 0);
  const int fd = ::open(other.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  forge(fd);  // in the same directory, under another name
  REQUIRE(::unlink(other.c_str()) == 0);
  forge(fd);
  ::close(fd);
}

TEST_CASE("a bell that may not be opened is a failure, not a death", "[doorbell]") {
  house h(true);
  doorbell bell = h.make(0);
  REQUIRE(::chmod(h.path(0).c_str(), 0) == 0);
  child somebody([&] {
    if (::geteuid() == 0) EXPECT_EQ(::setresuid(65534, 65534, 65534), 0);  // root may open everything
    ringer r;
    std::error_code error;
    EXPECT(ringer::open(h.s, 0, 1, r, error) == ringer::state::failed);
    EXPECT_EQ(error, std::errc::permission_denied);
  });
  CHECK(somebody.wait() == 0);
  bell.close();
}

TEST_CASE("notifying a dead owner's bell raises no SIGPIPE and changes nothing in the process",
          "[doorbell]") {
  house h(true);
  doorbell bell = h.make(0);
  ringer r;
  REQUIRE(h.open(0, r) == ringer::state::reachable);
  bell.close();

  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) { sigpipes = sigpipes + 1; };
  REQUIRE(::sigaction(SIGPIPE, &action, &before) == 0);
  sigpipes = 0;
  sigset_t sigpipe;
  sigset_t mask;
  sigset_t pending;
  ::sigemptyset(&sigpipe);
  ::sigaddset(&sigpipe, SIGPIPE);

  CHECK_FALSE(r.ring());
  CHECK_FALSE(r.ring());
  CHECK(sigpipes == 0);
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  CHECK(::sigismember(&mask, SIGPIPE) == 0);
  ::sigpending(&pending);
  CHECK(::sigismember(&pending, SIGPIPE) == 0);

  // Blocked by the caller, none pending: none afterwards.
  ::pthread_sigmask(SIG_BLOCK, &sigpipe, nullptr);
  CHECK_FALSE(r.ring());
  ::sigpending(&pending);
  CHECK(::sigismember(&pending, SIGPIPE) == 0);
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  CHECK(::sigismember(&mask, SIGPIPE) == 1);

  // Blocked, and one of the caller's own pending: it stays pending.
  ::pthread_kill(::pthread_self(), SIGPIPE);
  CHECK_FALSE(r.ring());
  ::sigpending(&pending);
  CHECK(::sigismember(&pending, SIGPIPE) == 1);
  CHECK(sigpipes == 0);
  ::pthread_sigmask(SIG_UNBLOCK, &sigpipe, nullptr);
  CHECK(sigpipes == 1);

  struct sigaction now {};
  ::sigaction(SIGPIPE, &before, &now);
  CHECK(now.sa_handler == action.sa_handler);
}

TEST_CASE("the death of a bell's owner makes the watching handle ready", "[doorbell]") {
  house h(true);
  doorbell bell = h.make(1);
  detail::unique_handle watch;
  std::error_code error;
  REQUIRE(watch_for_death(h.s, 1, 1, watch, error) == ringer::state::reachable);
  REQUIRE(watch);
  CHECK_FALSE(is_ready(watch.get()));
  ringer r;
  REQUIRE(h.open(1, r) == ringer::state::reachable);
  r.ring();
  CHECK_FALSE(is_ready(watch.get()));
  bell.close();
  CHECK(is_ready(watch.get()));

  detail::unique_handle late;
  CHECK(watch_for_death(h.s, 1, 1, late, error) == ringer::state::deserted);
  CHECK_FALSE(late);
}

TEST_CASE("bells are close-on-exec and non-blocking", "[doorbell]") {
  house h(GENERATE(true, false));
  doorbell bell = h.make(0);
  CHECK((::fcntl(bell.handle(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(bell.handle(), F_GETFL) & O_NONBLOCK) != 0);
  bell.close();
}
