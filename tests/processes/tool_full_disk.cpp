// `belfry record` on a full disk: it says how much it has taken, and how much of that is in the file, which can be
// replayed; what it takes from other consumers is passed on all the same. Skipped where namespaces are not permitted.
#include "tool_peers.hpp"

#include "../../src/cli/recording.hpp"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

using namespace belfry;
using namespace belfry::test;

namespace {

using feed = channel<broadcast_ring<tick, 1024, overflow::block>>;
using direct = channel<spsc_ring<tick, 64>>;
using jobs = channel<work_ring<tick, 16>>;

constexpr int not_permitted = 77;

tick full_tick(std::uint64_t n) { return {n, 0.25 * static_cast<double>(n)}; }

/// A directory that is a disk of its own, of this many bytes.
class small_disk {
 public:
  explicit small_disk(std::size_t bytes) {
    const std::string options = "size=" + std::to_string(bytes);
    const bool done = ::unshare(CLONE_NEWNS) == 0 &&
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        ::mount("tmpfs", d_.file("").c_str(), "tmpfs", 0, options.c_str()) == 0;
    if (!done) {
      std::filesystem::remove_all(d_.file(""));
      ::_exit(not_permitted);
    }
  }
  small_disk(const small_disk&) = delete;
  small_disk& operator=(const small_disk&) = delete;
  ~small_disk() { ::umount2(d_.file("").c_str(), MNT_DETACH); }

  std::string file(const std::string& name) const { return d_.file(name); }
  std::size_t files() const { return d_.files(); }
  /// Leaves this many bytes free.
  void fill_but(std::size_t bytes) const {
    const descriptor f(::open(file("filler").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(::ftruncate(f.get(), 0), 0);
    struct statvfs space {};
    EXPECT_EQ(::statvfs(file("").c_str(), &space), 0);
    EXPECT(space.f_bfree * space.f_frsize >= bytes);
    EXPECT_EQ(::posix_fallocate(f.get(), 0, static_cast<off_t>(space.f_bfree * space.f_frsize - bytes)), 0);
  }

 private:
  const scratch_directory d_;
};

/// Runs `body` in a child, which may mount.
void in_child(const std::function<void()>& body) {
  child c(body);
  const int status = c.wait();
  if (status == not_permitted) skip("no mount namespace is permitted");
  CHECK(status == 0);
}

/// Checks that the tool fails because of the disk, and returns how many messages it says it has taken, has written, and
/// has passed on.
struct account {
  std::uint64_t taken = 0;
  std::uint64_t kept = 0;
  std::uint64_t passed_on = 0;
};
account account_of(running_tool& record) {
  EXPECT_EQ(record.wait(), 1);
  const std::string said = record.errors();
  EXPECT_EQ(count_lines(said), std::size_t{1});
  EXPECT(said.find("full") != said.npos || said.find("No space left") != said.npos);
  const auto number_after = [&](const std::string& words) {
    const std::size_t at = said.find(words);
    return at == said.npos ? ~std::uint64_t{0} : std::strtoull(said.c_str() + at + words.size(), nullptr, 10);
  };
  return {number_after("; of "), number_after("\", "), number_after(", and ")};
}

/// The file has this many messages: 0, 1, 2 and so on.
void expect_recorded(const std::string& path, std::uint64_t count) {
  cli::recording_reader in(path);
  std::uint64_t n = 0;
  while (const auto m = in.next()) {
    tick t{};
    EXPECT_EQ(m->bytes.size(), sizeof t);
    std::memcpy(&t, m->bytes.data(), sizeof t);
    EXPECT_EQ(t.seq, n);
    ++n;
  }
  EXPECT_EQ(n, count);
}

}  // namespace

TEST_CASE("belfry record on a full disk says what is in the file, and belfry replay sends that", "[tool-full-disk]") {
  const watchdog limit;
  const std::string name = unique_name("full");
  const nothing_left check(name);
  in_child([&] {
    const small_disk disk(1 << 20);
    net::io_context io;
    account a;
    {
      feed::producer tx(io, name);
      running_tool record({"record", name, disk.file("a")});
      await_asleep(name, record);
      // Until it has left; then the ring keeps what it has room for.
      for (std::uint64_t n = 0; n % 256 != 0 || inspect(name).alive(participant_role::consumer) == 1; ++n)
        tx.send(full_tick(n));
      a = account_of(record);
      EXPECT(a.kept > 0);
      EXPECT(a.taken > a.kept);
      EXPECT_EQ(inspect(name).received.messages, a.taken);
    }
    error_code gone;  // if nothing was left unread
    feed::unlink(name, gone);
    expect_recorded(disk.file("a"), a.kept);
    feed::consumer rx(io, name);
    running_tool replay({"replay", disk.file("a"), name, "--speed", "0"});
    for (std::uint64_t n = 0; n != a.kept; ++n) {
      tick t{};
      EXPECT_EQ(rx.receive(t), error_code());
      EXPECT_EQ(t.seq, n);
      EXPECT(t.price == full_tick(n).price);
    }
    EXPECT_EQ(replay.wait(), 0);
    EXPECT_EQ(replay.errors(), std::string());
  });
}

TEST_CASE("belfry record --tee on a full disk passes on all that it takes", "[tool-full-disk]") {
  const watchdog limit;
  const std::string name = unique_name("tee");
  const nothing_left check(name);
  in_child([&] {
    const small_disk disk(256 << 10);
    net::io_context io;
    direct::producer tx(io, name);
    direct::consumer rx(io, name + "-other");
    running_tool record({"record", name, disk.file("a"), "--tee", name + "-other"});
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    for (bool ended = false; !ended;) {
      while (tx.try_send(full_tick(sent))) ++sent;
      tick t{};
      const error_code ec = rx.receive(t);
      ended = ec == errc::closed && received != 0;
      if (ec) continue;
      EXPECT_EQ(t.seq, received);
      ++received;
    }
    const account a = account_of(record);
    EXPECT_EQ(a.taken, received);
    EXPECT_EQ(a.passed_on, received);
    EXPECT(a.kept < a.taken);
    expect_recorded(disk.file("a"), a.kept);
    direct::consumer rest(io, name);
    for (; received != sent; ++received) EXPECT_EQ(rest.try_receive()->seq, received);
    EXPECT(!rest.try_receive());
  });
}

TEST_CASE("belfry record notices a full disk also when nothing follows", "[tool-full-disk]") {
  const watchdog limit;
  const std::string name = unique_name("late");
  const nothing_left check(name);
  in_child([&] {
    const small_disk disk(256 << 10);
    net::io_context io;
    feed::producer tx(io, name);
    running_tool record({"record", name, disk.file("a")});
    await_asleep(name, record);
    disk.fill_but(0);
    EXPECT(tx.try_send(full_tick(0)));
    const account a = account_of(record);
    EXPECT_EQ(a.taken, std::uint64_t{1});
    EXPECT_EQ(a.kept, std::uint64_t{0});
    expect_recorded(disk.file("a"), 0);
  });
}

TEST_CASE("belfry record --tee passes on a message that it has taken, though the disk is full", "[tool-full-disk]") {
  const watchdog limit;
  const std::string name = unique_name("waits");
  const nothing_left check(name);
  in_child([&] {
    const small_disk disk(256 << 10);
    net::io_context io;
    jobs::producer tx(io, name);
    jobs::consumer rx(io, name + "-other");
    jobs::producer another(io, name + "-other");
    running_tool record({"record", name, disk.file("a"), "--tee", name + "-other"});
    await_asleep(name, record);  // it has seen room
    disk.fill_but(0);
    for (std::uint64_t n = 0; n != 16; ++n) EXPECT(another.try_send(full_tick(100 + n)));
    EXPECT(tx.try_send(full_tick(0)));
    await_asleep(name + "-other", record);
    // Meanwhile it tries to write to the file. Nothing tells the test so; after a shorter pause, it would check less.
    ::usleep(300'000);
    for (std::uint64_t n = 0; n != 16; ++n) EXPECT_EQ(rx.try_receive()->seq, 100 + n);
    tick t{};
    EXPECT_EQ(rx.receive(t), error_code());
    EXPECT_EQ(t.seq, std::uint64_t{0});
    const account a = account_of(record);
    EXPECT_EQ(a.taken, std::uint64_t{1});
    EXPECT_EQ(a.kept, std::uint64_t{0});
    EXPECT_EQ(a.passed_on, std::uint64_t{1});
  });
}

TEST_CASE("belfry record that has no room for its file leaves none", "[tool-full-disk]") {
  const watchdog limit;
  const std::string name = unique_name("begins");
  const nothing_left check(name);
  in_child([&] {
    const small_disk disk(256 << 10);
    net::io_context io;
    feed::producer tx(io, name);
    std::size_t refused = 0;
    for (std::size_t pages = 0;; ++pages) {
      disk.fill_but(pages * 4096);
      running_tool record({"record", name, disk.file("a")});
      await([&] { return is_asleep(name, record) || record.errors().ends_with('\n'); });
      if (record.errors().empty()) record.interrupt();
      const int status = record.wait();
      if (status == 0) break;
      EXPECT_EQ(status, 1);
      ++refused;
      EXPECT_EQ(count_lines(record.errors()), std::size_t{1});
      EXPECT(record.errors().find(disk.file("a")) != std::string::npos);
      EXPECT_EQ(disk.files(), std::size_t{1});
    }
    EXPECT(refused > 5);
    expect_recorded(disk.file("a"), 0);
  });
}
