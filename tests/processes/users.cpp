// Participants of different users. Only as root.
#include "segment_file.hpp"
#include "traffic.hpp"

#include <grp.h>

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr gid_t shared_group = 47110;
constexpr uid_t first_user = 47111;
constexpr uid_t second_user = 47112;

/// Becomes another user, with this group as its primary one.
void become(uid_t user, gid_t primary, std::vector<gid_t> others = {}) {
  EXPECT_EQ(::setgroups(others.size(), others.data()), 0);
  EXPECT_EQ(::setresgid(primary, primary, primary), 0);
  EXPECT_EQ(::setresuid(user, user, user), 0);
}

void need_root() {
  if (::geteuid() != 0) skip("only root can become another user");
}

struct stat status_of(const std::string& name) {
  struct stat status {};
  EXPECT_EQ(::stat(path_of(name).c_str(), &status), 0);
  return status;
}

}  // namespace

TEMPLATE_TEST_CASE("users of one group wake each other", "[users]", values, frames) {
  need_root();
  const watchdog dog;
  const std::string name = unique_name("group");
  const nothing_left check(name);
  channel_options o = options<TestType>();
  o.mode = 0660;
  const event created;
  const event done;
  child producer([&] {
    become(first_user, shared_group);
    sender<TestType> tx(name, how::awaited, o);
    created.set();
    tx.wait_peer();
    await([&] { return segment_file(name).asleep(layout::role::consumer); });
    EXPECT_EQ(tx.send({1, 0}), error_code());
    for (std::uint64_t seq = 1; seq != 300; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
    done.wait();  // the directory is sticky: only its owner can remove the segment
  });
  created.wait();
  child consumer([&] {
    become(second_user, second_user, {shared_group});
    receiver<TestType> rx(name, how::awaited, o);
    const auto bell = status_of(detail::bell_name(name, 1));
    EXPECT_EQ(bell.st_gid, shared_group);
    EXPECT_EQ(bell.st_mode & 0777u, 0660u);
    for (std::uint64_t seq = 0; seq != 300; ++seq) rx.expect({1, seq});
  });
  CHECK(consumer.wait() == 0);
  done.set();
  CHECK(producer.wait() == 0);
}

TEST_CASE("root can participate in a user's channel, and its notifications arrive", "[users]") {
  need_root();
  const watchdog dog;
  const std::string name = unique_name("root");
  const nothing_left check(name);
  const event created;
  child producer([&] {
    become(first_user, first_user);
    sender<values> tx(name);
    created.set();
    tx.wait_peer();
    await([&] { return segment_file(name).asleep(layout::role::consumer); });
    EXPECT_EQ(tx.send({1, 0}), error_code());
  });
  created.wait();
  channel_options o;
  o.mode = 0666;  // root may join another user's channel
  receiver<values> rx(name, how::awaited, o);
  CHECK(status_of(detail::bell_name(name, 1)).st_uid == first_user);
  rx.expect({1, 0});
  rx.expect(errc::closed);
  CHECK(producer.wait() == 0);
}

TEST_CASE("a bell left by a dead process of another user blocks one slot, not all", "[users]") {
  need_root();
  const watchdog dog;
  const std::string name = unique_name("sticky");
  const nothing_left check(name);
  using jobs = channel<work_ring<value, 64>>;
  channel_options o;
  o.mode = 0666;
  const event joined;
  child producer([&] {
    become(first_user, first_user);
    net::io_context io;
    jobs::producer tx(io, name, o);
    joined.set();
    for (;;) ::pause();
  });
  joined.wait();
  child first([&] {
    become(first_user, first_user);
    net::io_context io;
    jobs::consumer rx(io, name, o);
    joined.set();
    for (;;) ::pause();
  });
  joined.wait();
  first.kill();
  child next([&] {
    become(second_user, second_user);
    net::io_context io;
    jobs::consumer rx(io, name, o);
    jobs::consumer another(io, name, o);
    EXPECT(segment_file(name).slot(32).control.load().state == layout::slot_state::free);
    EXPECT(segment_file(name).slot(33).control.load().state == layout::slot_state::live);
    EXPECT(segment_file(name).slot(34).control.load().state == layout::slot_state::live);
  });
  CHECK(next.wait() == 0);
  producer.kill();
  error_code ignored;
  jobs::unlink(name, ignored);
  std::remove(path_of(detail::bell_name(name, 0)).c_str());
  std::remove(path_of(detail::bell_name(name, 32)).c_str());
}
