// Tests that need their own /dev/shm or pids: full shared memory, handles that leave no name, peers in
// different PID namespaces. Skipped where namespaces are not permitted.
#include "segment_file.hpp"
#include "traffic.hpp"

#include <optional>
#include <system_error>

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr int not_permitted = 77;

/// Runs `body` in a child with an empty /dev/shm of this many bytes.
int with_shared_memory_of(std::size_t bytes, const std::function<void()>& body) {
  child c([&] {
    const std::string options = "size=" + std::to_string(bytes);
    const bool done = ::unshare(CLONE_NEWNS) == 0 &&
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        ::mount("tmpfs", "/dev/shm", "tmpfs", 0, options.c_str()) == 0;
    if (!done) ::_exit(not_permitted);
    body();
  });
  const int status = c.wait();
  if (status == not_permitted) skip("no mount namespace is permitted");
  return status;
}

constexpr std::size_t pages(std::size_t n) { return n * 4096; }

/// A process that takes the space, and then does not run for a while, keeps it from the others for longer than they try.
template <class End>
void join_when_there_is_room(std::optional<End>& end, const channel_options& o) {
  while (!end) {
    try {
      end.emplace("full", how::awaited, o);
    } catch (const std::system_error& e) {
      EXPECT(e.code() == std::errc::no_space_on_device);
    }
  }
}

void nothing_there() { EXPECT_EQ(files_of(""), std::size_t{0}); }

}  // namespace

TEMPLATE_TEST_CASE("a channel that does not fit into shared memory is an error", "[full-memory]", values,
                   frames) {
  const watchdog dog;
  const auto open = [](const channel_options& o) {
    net::io_context io;
    error_code ec;
    typename TestType::producer tx(io, "full", o, ec);
    return ec;
  };
  channel_options o;
  o.capacity = std::is_same_v<TestType, frames> ? pages(16) : 0;
  const std::size_t needed = std::is_same_v<TestType, frames> ? pages(17) : pages(1);

  SECTION("more than there is") {
    channel_options large = o;
    if (std::is_same_v<TestType, frames>) large.capacity = 1 << 20;
    CHECK(with_shared_memory_of(pages(4), [&] {
            EXPECT(shared_memory::create("rest", pages(4)).is_open());
            const std::size_t descriptors = open_descriptors();
            for (int i = 0; i != 3; ++i) {
              EXPECT(open(large) == std::errc::no_space_on_device);
              EXPECT_EQ(files_of("full"), std::size_t{0});
              EXPECT_EQ(open_descriptors(), descriptors);
            }
            shared_memory::unlink("rest");
            nothing_there();
          }) == 0);
  }
  SECTION("a page more than there is") {
    CHECK(with_shared_memory_of(needed, [&] {
            EXPECT(shared_memory::create("rest", 1).is_open());
            EXPECT(open(o) == std::errc::no_space_on_device);
            EXPECT_EQ(files_of("full"), std::size_t{0});
            shared_memory::unlink("rest");
            EXPECT_EQ(open(o), error_code());
            nothing_there();
          }) == 0);
  }
  SECTION("exactly as much as there is") {
    CHECK(with_shared_memory_of(needed, [&] {
            // Both try to create it, and there is room for one only.
            child producer([&] {
              std::optional<sender<TestType>> tx;
              join_when_there_is_room(tx, o);
              for (std::uint64_t seq = 0; seq != 1000; ++seq) EXPECT_EQ(tx->send({1, seq}), error_code());
            });
            child consumer([&] {
              std::optional<receiver<TestType>> rx;
              join_when_there_is_room(rx, o);
              for (std::uint64_t seq = 0; seq != 1000; ++seq) rx->expect({1, seq});
              rx->expect(errc::closed);
            });
            EXPECT_EQ(producer.wait(), 0);
            EXPECT_EQ(consumer.wait(), 0);
            nothing_there();
          }) == 0);
  }
}

TEST_CASE("a block that does not fit into shared memory is an error", "[full-memory]") {
  const watchdog dog;
  CHECK(with_shared_memory_of(pages(4), [] {
          const std::size_t descriptors = open_descriptors();
          for (const std::size_t bytes : {pages(5), std::size_t{1} << 30, std::size_t{1} << 40}) {
            error_code ec;
            EXPECT(!shared_memory::create("block", bytes, ec).is_open());
            EXPECT(ec == std::errc::no_space_on_device);
            nothing_there();
          }
          for (const std::size_t bytes : {~std::size_t{0}, std::size_t{1} << 63, (std::size_t{1} << 62) + 1}) {
            error_code ec;
            EXPECT(!shared_memory::create("block", bytes, ec).is_open());
            EXPECT(ec == std::errc::file_too_large);
            nothing_there();
          }
          EXPECT_EQ(open_descriptors(), descriptors);
          shared_memory block = shared_memory::create("block", pages(4));
          for (std::byte& b : block.buf()) b = std::byte{1};  // no SIGBUS
          error_code ec;
          EXPECT(!shared_memory::create("another", 1, ec).is_open());
          EXPECT(ec == std::errc::no_space_on_device);
          block.unlink();
          nothing_there();
        }) == 0);
}

TEST_CASE("no room in shared memory for a bell is an error", "[full-memory]") {
  const watchdog dog;
  // Just enough files: the directory, the segment, and the first participant's bell.
  child c([] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", "/dev/shm", "tmpfs", 0, "nr_inodes=3") != 0) {
      ::_exit(not_permitted);
    }
    {
      net::io_context io;
      values::producer tx(io, "full");
      error_code ec;
      values::consumer rx(io, "full", ec);
      EXPECT(ec == std::errc::no_space_on_device);
      EXPECT(!rx.is_open());
      EXPECT(tx.try_send({{1, 0}, scramble({1, 0})}));  // the other one is not affected
      EXPECT_EQ(files_of(""), std::size_t{2});
    }
    EXPECT_EQ(files_of(""), std::size_t{1});
    {
      receiver<values> rx("full");
      rx.expect({1, 0});
      rx.expect(errc::closed);
    }
    nothing_there();
  });
  const int status = c.wait();
  if (status == not_permitted) skip("no mount namespace is permitted");
  CHECK(status == 0);
}

TEMPLATE_TEST_CASE("handles leave no name in shared memory", "[namespaces]", values, frames) {
  const watchdog dog;
  CHECK(with_shared_memory_of(pages(64), [] {
          const channel_handles h = TestType::make_handles(options<TestType>());
          nothing_there();
          const event joined;
          child producer([&] {
            sender<TestType> tx(h);
            joined.set();
            for (std::uint64_t seq = 0; seq != 200; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
          });
          joined.wait();
          nothing_there();
          child consumer([&] {
            receiver<TestType> rx(h);
            nothing_there();
            for (std::uint64_t seq = 0; seq != 200; ++seq) rx.expect({1, seq});
            rx.expect(errc::closed);
          });
          EXPECT_EQ(producer.wait(), 0);
          EXPECT_EQ(consumer.wait(), 0);
          nothing_there();
        }) == 0);
}

TEMPLATE_TEST_CASE("deaths are noticed across PID namespaces by participants that met by name",
                   "[namespaces]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("pids");
  const nothing_left check(name);
  const event sent;
  const event told;
  child consumer([&] {
    receiver<TestType> rx(name);
    rx.expect({1, 0});
    rx.expect(errc::peer_died);
    told.set();
    rx.expect({2, 0});
    rx.expect(errc::closed);
  });
  child outer([&] {
    if (::unshare(CLONE_NEWPID) != 0) ::_exit(not_permitted);
    child inner([&] {
      sender<TestType> tx(name);
      EXPECT_EQ(tx.send({1, 0}), error_code());
      sent.set();
      for (;;) ::pause();
    });
    sent.wait();
    await_sleep(name, layout::role::consumer, consumer);
    inner.kill_unreaped();
  });
  const int status = outer.wait();
  if (status == not_permitted) {
    consumer.kill();
    error_code ignored;
    TestType::unlink(name, ignored);
    skip("no PID namespace is permitted");
  }
  CHECK(status == 0);
  told.wait();
  child next([&] {
    sender<TestType> tx(name);
    EXPECT_EQ(tx.send({2, 0}), error_code());
  });
  CHECK(next.wait() == 0);
  CHECK(consumer.wait() == 0);
}

TEST_CASE("handles are refused in another PID namespace", "[namespaces]") {
  const watchdog dog;
  const nothing_left check(unique_name("unnamed"));
  const channel_handles h = values::make_handles();
  child outer([&] {
    if (::unshare(CLONE_NEWPID) != 0) ::_exit(not_permitted);
    child inner([&] {
      net::io_context io;
      try {
        values::producer tx(io, h);
        EXPECT(!"joined");
      } catch (const std::system_error& e) {
        EXPECT(e.code() == errc::incompatible);
        EXPECT(std::string(e.what()).find("PID namespace") != std::string::npos);
      }
    });
    EXPECT_EQ(inner.wait(), 0);
  });
  const int status = outer.wait();
  if (status == not_permitted) skip("no PID namespace is permitted");
  CHECK(status == 0);
}
