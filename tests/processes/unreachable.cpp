// A peer that cannot be woken: a newcomer's bell cannot be opened, because no descriptor is left, or this
// process has become another user, or is in a chroot. Then the operation that would have to wake it fails,
// and nothing is sent or received. When the bell can be opened again, everything continues.
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
    rlimit limit{};
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 64;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int fd; (fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) != -1;) taken_.push_back(fd);
    EXPECT(errno == EMFILE);
  }
  ~no_descriptors() {
    for (const int fd : taken_) ::close(fd);
  }

 private:
  std::vector<int> taken_;
};

constexpr std::errc at_the_limit = std::errc::too_many_files_open;

template <class Channel>
std::size_t first_consumer() {
  return Channel::ring_type::traits.seats_for(64).producers;
}

bool asleep(const segment_file& file, std::size_t slot) {
  return detail::state_of(file.slot(slot).park.load()) == layout::park_state::parked;
}

/// A child of this test: it becomes unable to open anything, a consumer joins, and goes to sleep.
template <class Channel>
class lonely_producer {
 public:
  explicit lonely_producer(const std::string& name) : tx_(name), file_(name) {}

  sender<Channel>& tx() noexcept { return tx_; }
  void let_consumer_come(const event& may_come) {
    may_come.set();
    await([&] { return asleep(file_, first_consumer<Channel>()); });
  }
  /// Every way to send fails with this error, and sends nothing.
  void expect(std::errc why) {
    const outgoing<Channel> out({9, 9});
    for (int i = 0; i != 2; ++i) {
      EXPECT(!tx_.tx().try_send(out.get()));
      EXPECT_EQ(tx_.tx().finish_wait(), why);
      error_code told;
      tx_.tx().async_send(out.get(), [&](error_code ec) { told = ec; });
      tx_.io().restart();
      tx_.io().run();
      EXPECT_EQ(told, why);
      EXPECT_EQ(tx_.tx().send(out.get()), why);
      EXPECT_EQ(tx_.tx().size(), std::size_t{0});
    }
  }

 private:
  sender<Channel> tx_;
  segment_file file_;
};

template <class Channel>
child consumer_that_comes(const std::string& name, const event& may_come) {
  return child([&] {
    may_come.wait();
    receiver<Channel> rx(name);
    rx.expect({1, 0});
  });
}

}  // namespace

TEMPLATE_TEST_CASE("at the limit of descriptors a send to a newcomer is an error, and later succeeds",
                   "[unreachable]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("limit");
  const nothing_left check(name);
  const event may_come;
  child consumer = consumer_that_comes<TestType>(name, may_come);
  child producer([&] {
    lonely_producer<TestType> p(name);
    {
      const no_descriptors left;
      p.let_consumer_come(may_come);
      p.expect(at_the_limit);
    }
    EXPECT_EQ(p.tx().send({1, 0}), error_code());
  });
  CHECK(consumer.wait() == 0);
  CHECK(producer.wait() == 0);
}

TEST_CASE("at the limit of descriptors a receive that makes room for a newcomer is an error",
          "[unreachable]") {
  const watchdog dog;
  const std::string name = unique_name("room");
  const nothing_left check(name);
  const event may_come;
  child producer([&] {
    may_come.wait();
    sender<values> tx(name);
    for (std::uint64_t seq = 0; seq != 65; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
  });
  child consumer([&] {
    receiver<values> rx(name);
    const segment_file file(name);
    {
      const no_descriptors left;
      may_come.set();
      await([&] { return asleep(file, 0); });
      EXPECT(!rx.rx().try_receive());
      EXPECT_EQ(rx.rx().finish_wait(), at_the_limit);
      EXPECT_EQ(rx.receive().error, at_the_limit);
      EXPECT_EQ(rx.rx().size(), std::size_t{64});
    }
    for (std::uint64_t seq = 0; seq != 65; ++seq) rx.expect({1, seq});
    rx.expect(errc::closed);
  });
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
}

TEST_CASE("a process that has become another user is told that it cannot wake a newcomer", "[unreachable]") {
  if (::geteuid() != 0) skip("only root can become another user");
  const watchdog dog;
  const std::string name = unique_name("setuid");
  const nothing_left check(name);
  const event may_come;
  child consumer = consumer_that_comes<values>(name, may_come);
  child producer([&] {
    lonely_producer<values> p(name);
    EXPECT_EQ(::seteuid(65534), 0);
    p.let_consumer_come(may_come);
    p.expect(std::errc::permission_denied);
    EXPECT_EQ(::seteuid(0), 0);
    EXPECT_EQ(p.tx().send({1, 0}), error_code());
  });
  CHECK(consumer.wait() == 0);
  CHECK(producer.wait() == 0);
}

TEST_CASE("a process in a chroot is told that it cannot wake a newcomer, nor notice its death",
          "[unreachable]") {
  if (::geteuid() != 0) skip("only root may chroot");
  const watchdog dog;
  const std::string name = unique_name("chroot");
  const nothing_left check(name);
  const event may_come;
  child consumer = consumer_that_comes<values>(name, may_come);
  child producer([&] {
    lonely_producer<values> p(name);
    const int root = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    EXPECT_EQ(::chroot("/dev/pts"), 0);  // where no segment has a name
    p.let_consumer_come(may_come);
    p.expect(std::errc::no_such_file_or_directory);
    // It could not sleep either, because it would not notice a death.
    EXPECT(!p.tx().tx().prepare_wait());
    EXPECT_EQ(p.tx().tx().finish_wait(), std::errc::no_such_file_or_directory);
    EXPECT_EQ(::fchdir(root), 0);
    EXPECT_EQ(::chroot("."), 0);
    EXPECT_EQ(p.tx().send({1, 0}), error_code());
  });
  CHECK(consumer.wait() == 0);
  CHECK(producer.wait() == 0);
}

TEST_CASE("a change that a newcomer could not be notified of is an error, and is notified later",
          "[unreachable]") {
  const watchdog dog;
  const std::string name = unique_name("watch");
  const nothing_left check(name);
  shared_memory block = shared_memory::create(name, 64);
  const unlink_on_destroy owner(block);
  const event may_come;
  child watcher([&] {
    may_come.wait();
    net::io_context io;
    belfry::watch w(io, shared_memory::open(name));
    std::uint64_t version = 0;
    w.async_changed(w.version(), [&](error_code ec, std::uint64_t v) {
      EXPECT_EQ(ec, error_code());
      version = v;
    });
    io.run();
    EXPECT(version != 0);
  });
  child notifier([&] {
    net::io_context io;
    belfry::watch w(io, shared_memory::open(name));
    {
      const segment_file file(name + ".watch");
      const no_descriptors left;
      may_come.set();
      await([&] { return detail::state_of(file.slot(1).park.load()) == layout::park_state::parked; });
      EXPECT_EQ(w.notify(), at_the_limit);
      EXPECT_EQ(w.notify(3), at_the_limit);
    }
    EXPECT_EQ(w.notify(), error_code());
  });
  CHECK(notifier.wait() == 0);
  CHECK(watcher.wait() == 0);
}

TEST_CASE("channels by handles need no descriptor to wake a newcomer", "[unreachable]") {
  const watchdog dog;
  const nothing_left check(unique_name("unnamed"));
  const channel_handles h = values::make_handles();
  const event may_come;
  child consumer([&] {
    may_come.wait();
    receiver<values> rx(h);
    rx.expect({1, 0});
  });
  child producer([&] {
    sender<values> tx(h);
    const segment_file file(::fcntl(detail::handles_of(h).block.get(), F_DUPFD_CLOEXEC, 3));
    const no_descriptors left;
    may_come.set();
    await([&] { return file.asleep(layout::role::consumer); });
    EXPECT(tx.tx().try_send(outgoing<values>({1, 0}).get()));
  });
  CHECK(consumer.wait() == 0);
  CHECK(producer.wait() == 0);
}
