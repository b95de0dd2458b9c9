// Channels of a manager: deaths that it reports, even where pids mean nothing; its own death; what it keeps,
// and what it forgets.
#include "traffic.hpp"

#include <algorithm>
#include <fstream>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// A server in its own process, and how to reach it.
struct managed {
  managed() { manager.start(); }
  shared_memory_manager manager;
  const std::string name = unique_name("managed");
};

template <class Channel>
class managed_receiver {
 public:
  using consumer = typename Channel::consumer;
  explicit managed_receiver(const managed& m) : rx_(io_, m.manager, m.name, options<Channel>()) {}

  error_code receive(item& what) {
    error_code result;
    rx_.async_receive([&](error_code ec, typename consumer::value_type got) {
      result = ec;
      if (!ec) what = read(got);
    });
    io_.restart();
    io_.run();
    return result;
  }
  void expect(item wanted) {
    item what;
    EXPECT_EQ(receive(what), error_code());
    EXPECT(what == wanted);
  }
  void expect(errc wanted) {
    item what;
    EXPECT_EQ(receive(what), error_code(wanted));
  }
  consumer& rx() noexcept { return rx_; }

 private:
  net::io_context io_;
  consumer rx_;
};

template <class Channel>
class managed_sender {
 public:
  explicit managed_sender(const managed& m) : tx_(io_, m.manager, m.name, options<Channel>()) {}
  void send(item i) { EXPECT_EQ(tx_.send(outgoing<Channel>(i).get()), error_code()); }

 private:
  net::io_context io_;
  typename Channel::producer tx_;
};

/// Until the process was found asleep several times in a row: then it has parked.
void await_sleep_of(const child& c) {
  const std::string path = "/proc/" + std::to_string(c.pid()) + "/stat";
  for (int quiet = 0; quiet != 5;) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    const std::size_t end = line.rfind(')');
    const bool asleep = end != line.npos && end + 2 < line.size() && line[end + 2] == 'S';
    quiet = asleep ? quiet + 1 : 0;
    ::usleep(1000);
  }
}

template <class Channel>
void send_and_pause(const managed& m, const event& sent) {
  managed_sender<Channel> tx(m);
  tx.send({1, 0});
  sent.set();
  for (;;) ::pause();
}

}  // namespace

TEMPLATE_TEST_CASE("a manager's channel leaves no name in shared memory", "[managed]", values,
                   frames) {
  const watchdog dog;
  const managed m;
  child producer([&] {
    managed_sender<TestType> tx(m);
    for (std::uint64_t seq = 0; seq != 300; ++seq) tx.send({1, seq});
    EXPECT_EQ(files_of(m.name), std::size_t{0});
  });
  child consumer([&] {
    managed_receiver<TestType> rx(m);
    EXPECT(rx.rx().name().empty());
    for (std::uint64_t seq = 0; seq != 300; ++seq) rx.expect({1, seq});
    rx.expect(errc::closed);
  });
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("a manager's channel exists between its participants", "[managed]", values,
                   frames) {
  const watchdog dog;
  const managed m;
  for (std::uint64_t run = 0; run != 3; ++run) {
    child producer([&] {
      managed_sender<TestType> tx(m);
      for (std::uint64_t seq = 0; seq != 5; ++seq) tx.send({run, seq});
    });
    REQUIRE(producer.wait() == 0);
    child consumer([&] {
      managed_receiver<TestType> rx(m);
      for (std::uint64_t seq = 0; seq != 5; ++seq) rx.expect({run, seq});
      rx.expect(errc::closed);
    });
    REQUIRE(consumer.wait() == 0);
  }
}

TEST_CASE("a drained channel of a manager may be made again with another ring", "[managed]") {
  const watchdog dog;
  const managed m;
  net::io_context io;
  using other = channel<spsc_ring<item, 32>>;
  const auto other_fails = [&] {
    error_code ec;
    other::producer tx(io, m.manager, m.name, ec);
    return ec;
  };
  {
    values::producer tx(io, m.manager, m.name);
    CHECK(other_fails() == errc::incompatible);
    tx.try_send({});
  }
  CHECK(other_fails() == errc::incompatible);  // it holds a value
  {
    values::consumer rx(io, m.manager, m.name);
    CHECK(rx.try_receive());
  }
  // The server learns of it soon: the message is on its way.
  error_code ec = errc::incompatible;
  while (ec == errc::incompatible) ec = other_fails();
  CHECK_FALSE(ec);
}

TEST_CASE("a manager's channel goes with the newcomer for whom it was made, and who could not join", "[managed]") {
  const watchdog dog;
  const managed m;
  child newcomer([&] {
    net::io_context io;
    using other = channel<spsc_ring<item, 32>>;
    rlimit limit{};
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    const int next = ::fcntl(0, F_DUPFD_CLOEXEC, 200);  // no number is left below it
    for (int fd; (fd = ::fcntl(0, F_DUPFD_CLOEXEC, 3)) < next;) EXPECT(fd != -1);
    int failed = 0;
    for (bool joined = false; !joined; ++failed) {  // at every descriptor that it takes
      const std::string name = m.name + std::to_string(failed);
      rlimit low = limit;
      low.rlim_cur = static_cast<rlim_t>(next + 2 + failed);
      EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
      error_code ec;
      { const values::producer tx(io, m.manager, name, ec); }
      EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
      joined = !ec;
      EXPECT(joined || ec == std::errc::too_many_files_open);
      // The server hears of it soon.
      error_code as_another = errc::incompatible;
      while (as_another == errc::incompatible) const other::producer tx(io, m.manager, name, as_another);
      EXPECT_EQ(as_another, error_code());
    }
    EXPECT(failed > 3);
  });
  CHECK(newcomer.wait() == 0);
}

TEST_CASE("a manager's channel has one ring, one type, one capacity", "[managed]") {
  const watchdog dog;
  const managed m;
  net::io_context io;
  channel_options o;
  o.capacity = 1 << 16;
  frames::producer tx(io, m.manager, m.name, o);
  const auto why = [&](auto make, errc expected = errc::incompatible) -> std::string {
    try {
      make();
    } catch (const std::system_error& e) {
      CHECK(e.code() == expected);
      return e.what();
    }
    return "it could join";
  };
  CHECK_THAT(why([&] { values::consumer rx(io, m.manager, m.name); }),
             contains("ring kind"));
  CHECK_THAT(why([&] {
               channel_options larger;
               larger.capacity = 1 << 20;
               frames::consumer rx(io, m.manager, m.name, larger);
             }),
             contains("capacity"));
  frames::consumer any(io, m.manager, m.name);
  CHECK(any.capacity() == 1 << 16);
  error_code ec;
  frames::consumer second(io, m.manager, m.name, ec);
  CHECK(ec == errc::role_taken);
  CHECK_THAT(why([&] { frames::consumer other(io, m.manager, m.name); }, errc::role_taken),
             contains('"' + m.name + '"'));
}

TEST_CASE("channels need a running manager, at a Unix socket", "[managed]") {
  const watchdog dog;
  net::io_context io;
  error_code ec;
  const shared_memory_manager nowhere;
  values::producer tx(io, nowhere, "name", ec);
  CHECK(ec == std::errc::not_connected);
  CHECK_FALSE(tx.is_open());

  shared_memory_manager m;
  m.start("127.0.0.1:0", "key");
  values::producer over_tcp(io, m, "name", ec);
  CHECK(ec == errc::protocol_error);
  m.shutdown();
  values::producer late(io, m, "name", ec);
  CHECK(ec == std::errc::not_connected);
}

TEMPLATE_TEST_CASE("a manager reports a death across PID namespaces", "[managed]", values,
                   frames) {
  const watchdog dog;
  const managed m;
  const event sent;
  const event told;
  child consumer([&] {
    managed_receiver<TestType> rx(m);
    rx.expect({1, 0});
    rx.expect(errc::peer_died);
    told.set();
    rx.expect({2, 0});
    rx.expect(errc::closed);
  });
  constexpr int not_permitted = 77;
  child outer([&] {
    if (::unshare(CLONE_NEWPID) != 0) ::_exit(not_permitted);
    child inner([&] { send_and_pause<TestType>(m, sent); });
    sent.wait();
    await_sleep_of(consumer);
    inner.kill_unreaped();
  });
  const int status = outer.wait();
  if (status == not_permitted) {
    consumer.kill();
    skip("no PID namespace is permitted");
  }
  CHECK(status == 0);
  told.wait();
  child next([&] { managed_sender<TestType>(m).send({2, 0}); });
  CHECK(next.wait() == 0);
  CHECK(consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("a sleeper in another PID namespace is told, too", "[managed]", values,
                   frames) {
  const watchdog dog;
  const managed m;
  const event sent;
  constexpr int not_permitted = 77;
  child outer([&] {
    if (::unshare(CLONE_NEWPID) != 0) ::_exit(not_permitted);
    child inner([&] {
      managed_receiver<TestType> rx(m);
      rx.expect({1, 0});
      rx.expect(errc::peer_died);
    });
    EXPECT_EQ(inner.wait(), 0);
  });
  child producer([&] { send_and_pause<TestType>(m, sent); });
  sent.wait();
  ::usleep(20'000);  // asleep, most likely
  producer.kill_unreaped();
  const int status = outer.wait();
  if (status == not_permitted) skip("no PID namespace is permitted");
  CHECK(status == 0);
}

TEMPLATE_TEST_CASE("a fork does not make a manager's participant look alive", "[managed]", values,
                   frames) {
  const watchdog dog;
  const managed m;
  const event sent;
  const shared<std::atomic<pid_t>> grandchild;
  child consumer([&] {
    managed_receiver<TestType> rx(m);
    rx.expect({1, 0});
    rx.expect(errc::peer_died);
  });
  child producer([&] {
    managed_sender<TestType> tx(m);
    tx.send({1, 0});
    if (const pid_t pid = ::fork(); pid != 0) {
      grandchild->store(pid);
      sent.set();
    }
    ::alarm(60);
    for (;;) ::pause();
  });
  sent.wait();
  producer.kill();
  CHECK(consumer.wait() == 0);
  CHECK(::kill(grandchild->load(), SIGKILL) == 0);
}

TEMPLATE_TEST_CASE(
    "participants continue when their manager is killed, and notice each other's death", "[managed]",
    values, frames) {
  const watchdog dog;
  managed m;
  const event first;
  const event server_is_dead;
  const event sent;
  child consumer([&] {
    managed_receiver<TestType> rx(m);
    rx.expect({1, 0});
    first.set();
    rx.expect({1, 1});
    rx.expect(errc::peer_died);
  });
  child producer([&] {
    managed_sender<TestType> tx(m);
    tx.send({1, 0});
    server_is_dead.wait();
    tx.send({1, 1});
    sent.set();
    for (;;) ::pause();
  });
  first.wait();
  m.manager.shutdown();  // for the participants the same as a kill
  server_is_dead.set();
  sent.wait();
  producer.kill_unreaped();
  CHECK(consumer.wait() == 0);
}

TEST_CASE("an empty ring is all zeros", "[managed]") {
  const auto check = []<class Channel>(Channel) {
    const channel_handles h = Channel::make_handles();
    detail::failure f;
    const layout::identity id = detail::segment::describe(Channel::ring_type::traits, {}, f).id;
    REQUIRE_FALSE(f);
    std::vector<char> bytes(id.ring_bytes);
    REQUIRE(::pread(detail::handles_of(h).block.get(), bytes.data(), bytes.size(),
                    static_cast<off_t>(id.ring_offset)) == static_cast<ssize_t>(bytes.size()));
    CHECK(std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; }));
  };
  check(values());
  check(frames());
  check(channel<latest<item>>());
  check(channel<work_ring<item, 16>>());
}
