// Files that another user has made under the name of a channel.
#include "segment_file.hpp"
#include "traffic.hpp"
#include "users.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

channel_options with_mode(unsigned mode) {
  channel_options o;
  o.mode = mode;
  return o;
}

void expect_refused(const std::string& name, const channel_options& o, uid_t owner) {
  net::io_context io;
  error_code ec;
  const values::consumer rx(io, name, o, ec);
  EXPECT(ec == std::errc::permission_denied);
  EXPECT(!rx.is_open());
  try {
    values::consumer(io, name, o);
    EXPECT(!"refused");
  } catch (const std::system_error& e) {
    EXPECT(std::string(e.what()).find("user " + std::to_string(owner)) != std::string::npos);
    EXPECT(std::string(e.what()).find(name) != std::string::npos);
  }
}

void expect_joined(const std::string& name, const channel_options& o) {
  net::io_context io;
  const values::consumer rx(io, name, o);
}

/// A channel that this user has made and participates in, until told to leave.
class host {
 public:
  host(uid_t user, const std::vector<gid_t>& groups, const std::string& name, unsigned mode,
       gid_t group = static_cast<gid_t>(-1))
      : child_(as_user(user, groups, [=, this] {
          {
            net::io_context io;
            const values::producer tx(io, name, with_mode(mode));
            for (const std::string& file : {name, name + ".bell.0"})
              EXPECT_EQ(::chown(path_of(file).c_str(), static_cast<uid_t>(-1), group), 0);
            ready_.set();
            go_.wait();
          }
        })) {
    ready_.wait();
  }
  ~host() {
    go_.set();
    CHECK(child_.wait() == 0);
  }

 private:
  event ready_;
  event go_;
  child child_;
};

}  // namespace

TEST_CASE("a channel made by another user is refused by a process that asks for a private one", "[owners]") {
  const watchdog dog;
  only_as_root();
  const std::string name = unique_name("squat");
  const nothing_left check(name);
  const host squatter(mallory, {}, name, 0666);
  child victim = as_user(alice, {}, [&] {
    expect_refused(name, {}, mallory);
    expect_refused(name, with_mode(0700), mallory);
    expect_refused(name, with_mode(0660), mallory);  // mallory is not in our group
    expect_joined(name, with_mode(0666));
  });
  CHECK(victim.wait() == 0);
  expect_refused(name, {}, mallory);  // even root refuses it
  expect_joined(name, with_mode(0666));
}

TEST_CASE("the text names the owner even of a channel that may not be opened", "[owners]") {
  const watchdog dog;
  only_as_root();
  const std::string name = unique_name("closed");
  const nothing_left check(name);
  const host squatter(mallory, {}, name, 0600);
  child victim = as_user(alice, {}, [&] {
    expect_refused(name, {}, mallory);
    expect_refused(name, with_mode(0666), mallory);
  });
  CHECK(victim.wait() == 0);
}

TEST_CASE("a channel of one's group is joined if the mode lets in that group", "[owners]") {
  const watchdog dog;
  only_as_root();
  const std::string name = unique_name("group");
  const nothing_left check(name);
  const host first(mallory, {friends}, name, 0660, friends);
  child member = as_user(alice, {friends}, [&] {
    expect_joined(name, with_mode(0660));
    expect_refused(name, {}, mallory);
  });
  CHECK(member.wait() == 0);
}

TEST_CASE("root's channels are trusted, and the user's own whatever its mode", "[owners]") {
  const watchdog dog;
  only_as_root();
  const std::string name = unique_name("root");
  const nothing_left check(name);
  {
    const host root(0, {}, name, 0666);
    child user = as_user(alice, {}, [&] { expect_joined(name, {}); });
    CHECK(user.wait() == 0);
  }
  const host own(alice, {}, name, 0666);
  child user = as_user(alice, {}, [&] { expect_joined(name, {}); });
  CHECK(user.wait() == 0);
}

TEST_CASE("a companion made by a user other than the block's owner is refused", "[owners]") {
  const watchdog dog;
  only_as_root();
  const std::string name = unique_name("block");
  const nothing_left check(name);
  // The segment is a valid companion, except for its owner.
  child user = as_user(alice, {}, [&] {
    shared_memory block = shared_memory::create(name, 80);
    block.txn()[0] = 1;
    const std::vector<char> good = content_of(name + ".watch");
    block.close();
    EXPECT_EQ(files_of(name + ".watch"), std::size_t{0});
    write_file(name + ".good", good);
  });
  CHECK(user.wait() == 0);
  {
    std::vector<char> good = content_of(name + ".good");
    REQUIRE_FALSE(good.empty());
    child squatter = as_user(mallory, {}, [&] {
      write_file(name + ".watch", good);
      EXPECT_EQ(::chmod(path_of(name + ".watch").c_str(), 0666), 0);
    });
    CHECK(squatter.wait() == 0);
  }
  child victim = as_user(alice, {}, [&] {
    shared_memory block = shared_memory::open(name);
    error_code ec;
    static_cast<void>(block.txn(ec));
    EXPECT(ec == std::errc::permission_denied);
    net::io_context io;
    EXPECT(error_of([&] { watch(io, block); }) == std::errc::permission_denied);
  });
  CHECK(victim.wait() == 0);
  for (const char* const what : {"", ".good", ".watch"}) ::unlink(path_of(name + what).c_str());
}

// Readers could still lock the roster.
TEST_CASE("a channel that others may only read is not created", "[owners]") {
  const std::string name = unique_name("reader");
  const nothing_left check(name);
  for (const unsigned mode : {0644u, 0640u, 0664u, 0604u}) {
    net::io_context io;
    error_code ec;
    const values::producer tx(io, name, with_mode(mode), ec);
    CHECK(ec == std::errc::invalid_argument);
    CHECK(error_of([&] { values::consumer(io, name, with_mode(mode)); }) == std::errc::invalid_argument);
  }
}
