// At the limit of descriptors, a wait that cannot be set up and a peer that cannot be reached are errors of
// the operation. When descriptors are free again everything continues.
#include "segment_file.hpp"
#include "traffic.hpp"

#include <sys/resource.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// Takes all free descriptors of this process while it lives.
class no_descriptors {
 public:
  no_descriptors() {
    for (int fd; (fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) != -1;) taken_.push_back(fd);
    EXPECT(errno == EMFILE);
  }
  ~no_descriptors() {
    for (const int fd : taken_) ::close(fd);
  }

 private:
  std::vector<int> taken_;
};

void limit_descriptors(rlim_t most) {
  rlimit limit{};
  EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = most;
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
}

using jobs = channel<work_ring<value, 64>>;

/// Participates in a block's companion until it is killed.
void watch_until_killed(const std::string& name, const event& in) {
  net::io_context io;
  const watch w(io, shared_memory::open(name));
  in.set();
  for (;;) ::pause();
}

constexpr std::errc at_the_limit = std::errc::too_many_files_open;

}  // namespace

TEST_CASE("a blocking call ends at its deadline, however few descriptors there are", "[descriptor-limit]") {
  const watchdog dog;
  const std::string name = unique_name("deadline");
  const nothing_left check(name);
  child alone([&] {
    limit_descriptors(32);
    net::io_context io;
    values::consumer rx(io, name);
    value v;
    EXPECT_EQ(rx.receive(v, std::chrono::milliseconds(20)), error_code(net::error::timed_out));
  });
  CHECK(alone.wait() == 0);
}

TEST_CASE("a wait for a block's transaction ends at its deadline, however few descriptors there are",
          "[descriptor-limit]") {
  const watchdog dog;
  const std::string name = unique_name("txn");
  const nothing_left check(name);
  shared_memory block = shared_memory::create(name, 64);
  const unlink_on_destroy owner(block);
  const event held;
  const event done;
  child holder([&] {
    shared_memory same = shared_memory::open(name);
    const transaction t = same.txn();
    held.set();
    done.wait();
  });
  held.wait();
  child waiter([&] {
    limit_descriptors(32);
    shared_memory same = shared_memory::open(name);
    error_code ec;
    EXPECT(!same.txn(std::chrono::milliseconds(20), ec));
    EXPECT_EQ(ec, std::errc::timed_out);
  });
  CHECK(waiter.wait() == 0);
  child full([&] {
    limit_descriptors(64);
    shared_memory same = shared_memory::open(name);
    error_code ec;
    EXPECT(!same.txn(std::chrono::milliseconds(0), ec));  // a participant from here on
    const event newcomer_in;
    child newcomer([&] {
      watch_until_killed(name, newcomer_in);
    });
    newcomer_in.wait();
    {
      const no_descriptors left;
      EXPECT(!same.txn(std::chrono::seconds(100), ec));
      EXPECT_EQ(ec, at_the_limit);
    }
    EXPECT(!same.txn(std::chrono::milliseconds(20), ec));
    EXPECT_EQ(ec, std::errc::timed_out);
  });
  CHECK(full.wait() == 0);
  done.set();
  CHECK(holder.wait() == 0);
}

TEST_CASE("failing to make the handle for a foreign loop is an error", "[descriptor-limit]") {
  const watchdog dog;
  const std::string name = unique_name("handle");
  const nothing_left check(name);
  child c([&] {
    limit_descriptors(64);
    net::io_context io;
    values::consumer rx(io, name);
    {
      const no_descriptors left;
      error_code ec;
      EXPECT_EQ(rx.native_handle(ec), -1);
      EXPECT_EQ(ec, at_the_limit);
      EXPECT_EQ(test::error_of([&] { rx.native_handle(); }), std::errc::too_many_files_open);
    }
    error_code ec;
    const int handle = rx.native_handle(ec);
    EXPECT(!ec && handle >= 0);
    EXPECT_EQ(rx.native_handle(), handle);
    rx.close();
    EXPECT_EQ(rx.native_handle(ec), -1);
    EXPECT_EQ(ec, error_code(errc::closed));
  });
  CHECK(c.wait() == 0);
}

TEST_CASE("a foreign loop gets an error if a peer's death could not be noticed", "[descriptor-limit]") {
  const watchdog dog;
  const std::string name = unique_name("loop");
  const nothing_left check(name);
  const event in;
  const event joined;
  const event watched;
  child loop([&] {
    limit_descriptors(64);
    net::io_context io;
    values::consumer rx(io, name);
    const int handle = rx.native_handle();
    in.set();
    joined.wait();
    {
      const no_descriptors left;
      EXPECT(!rx.prepare_wait());
      EXPECT_EQ(rx.finish_wait(), at_the_limit);
    }
    EXPECT(rx.prepare_wait());
    watched.set();
    pollfd ready{handle, POLLIN, 0};
    EXPECT_EQ(::poll(&ready, 1, -1), 1);
    error_code ec;
    while (!(ec = rx.finish_wait())) {
      if (rx.prepare_wait()) EXPECT_EQ(::poll(&ready, 1, -1), 1);
    }
    EXPECT_EQ(ec, error_code(errc::peer_died));
  });
  in.wait();
  child producer([&] {
    net::io_context io;
    values::producer tx(io, name);
    joined.set();
    for (;;) ::pause();
  });
  watched.wait();
  producer.kill();
  CHECK(loop.wait() == 0);
}

TEST_CASE("a condition completes with an error if a death could not be noticed", "[descriptor-limit]") {
  const watchdog dog;
  const std::string name = unique_name("condition");
  const nothing_left check(name);
  const event in;
  const event joined;
  child waiter([&] {
    limit_descriptors(64);
    net::io_context io;
    jobs::producer tx(io, name);
    in.set();
    joined.wait();
    const auto wait_for_peer = [&](auto then) {
      error_code told = errc::protocol_error;
      tx.async_wait_peer([&](error_code ec) { told = ec; });
      io.restart();
      then();
      io.run();
      return told;
    };
    {
      const no_descriptors left;
      EXPECT_EQ(wait_for_peer([] {}), at_the_limit);
    }
    EXPECT_EQ(wait_for_peer([&] {
                io.poll();
                tx.cancel();
              }),
              error_code(net::error::operation_aborted));
  });
  in.wait();
  child fellow([&] {
    net::io_context io;
    jobs::producer tx(io, name);
    joined.set();
    for (;;) ::pause();
  });
  CHECK(waiter.wait() == 0);
  fellow.kill();
  error_code ignored;
  jobs::unlink(name, ignored);
}
