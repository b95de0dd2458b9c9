// A fork without exec, in the middle of a join: the child must neither make its parent look alive nor keep
// the roster locked.
#include "open_files.hpp"
#include "segment_file.hpp"
#include "support/member.hpp"
#include "traffic.hpp"

#include <sys/wait.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// A child that does nothing, and outlives its parent. It has given up its parent's handles when this returns: a
/// child does so as soon as it runs.
pid_t fork_idle() {
  const event runs;
  const pid_t pid = ::fork();
  EXPECT(pid != -1);
  if (pid == 0) {
    runs.set();
    for (;;) ::pause();
  }
  runs.wait();
  return pid;
}

}  // namespace

TEST_CASE("a child forked while its parent joined does not make the parent look alive", "[fork-joining]") {
  const watchdog dog;
  const std::string name = unique_name("joining");
  const nothing_left check(name);
  const shared<std::atomic<pid_t>> grandchild;
  const event joined;
  child consumer([&] {
    receiver<values> rx(name);
    joined.set();
    rx.expect(errc::peer_died);
    rx.expect(errc::closed);
  });
  joined.wait();
  child producer([&] {
    detail::failure f;
    detail::segment s = detail::segment::create_or_open(name, values::ring_type::traits, {}, f);
    detail::roster r(s, layout::role::producer);
    // While the roster's lock and the slot's lock are held: another thread may fork at this moment.
    EXPECT(r.join(f, [&](std::size_t) { grandchild->store(fork_idle()); }) == detail::roster::joined::yes);
    joined.set();
    for (;;) ::pause();
  });
  joined.wait();
  producer.kill();
  child next([&] { const sender<values> tx(name); });  // the slot is free
  CHECK(next.wait() == 0);
  CHECK(consumer.wait() == 0);
  CHECK(::kill(grandchild->load(), SIGKILL) == 0);
}

TEST_CASE("no child inherits the handles with which another thread is joining", "[fork-joining]") {
  const watchdog dog;
  const std::string name = unique_name("threads");
  const nothing_left check(name);
  child parent([&] {
    const channel_handles h = values::make_handles();
    std::atomic<bool> over{false};
    std::thread joiner([&] {
      net::io_context io;
      while (!over) {
        const values::consumer by_name(io, name);
        const values::consumer by_handles(io, h);
      }
    });
    int status = 0;
    for (int i = 0; i != often(300) && status == 0; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) ::_exit(any_open([&](std::string_view file) { return file.find(name) != file.npos; }) ? 1 : 0);
      EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    }
    over = true;
    joiner.join();
    EXPECT_EQ(status, 0);
  });
  CHECK(parent.wait() == 0);
}
