// Channels without names: handles over fork, exec and sockets, and deaths noticed by a pidfd.
#include "segment_file.hpp"
#include "traffic.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

using local_socket = net::local::stream_protocol::socket;

template <class Channel>
channel_handles make_handles() {
  return Channel::make_handles(options<Channel>());
}

/// An unnamed channel can leave nothing behind but descriptors.
const std::string no_name = unique_name("unnamed");

constexpr const char* inherited_text = "BELFRY_TEST_HANDLES";
constexpr std::uint64_t inherited_count = 300;

template <class Channel>
void send_many(const channel_handles& h, how way, std::uint64_t count) {
  sender<Channel> tx(h, way);
  for (std::uint64_t seq = 0; seq != count; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
}

template <class Channel>
void receive_many(const channel_handles& h, how way, std::uint64_t count) {
  receiver<Channel> rx(h, way);
  for (std::uint64_t seq = 0; seq != count; ++seq) rx.expect({1, seq});
  rx.expect(errc::closed);
}

template <class Body>
void as_child(const Body& body) {  // in a program that was started
  try {
    body();
  } catch (const std::exception& e) {
    FAIL(e.what());
  }
}

}  // namespace

TEMPLATE_TEST_CASE("handles are inherited over fork", "[handles]", values, frames) {
  const watchdog dog;
  const nothing_left check(no_name);
  for (const how way : every_way) {
    INFO(name_of(way));
    channel_handles h = make_handles<TestType>();
    child producer([&] { send_many<TestType>(h, way, 300); });
    child consumer([&] { receive_many<TestType>(h, way, 300); });
    h = {};  // the parent no longer needs them
    CHECK(producer.wait() == 0);
    CHECK(consumer.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("messages stay while a process has the handles", "[handles]", values,
                   frames) {
  const watchdog dog;
  const nothing_left check(no_name);
  const channel_handles h = make_handles<TestType>();
  for (std::uint64_t run = 0; run != 3; ++run) {
    child producer([&] { send_many<TestType>(h, how::awaited, 5); });
    REQUIRE(producer.wait() == 0);
    child consumer([&] { receive_many<TestType>(h, how::awaited, 5); });
    REQUIRE(consumer.wait() == 0);
  }
}

// The program that the next test starts.
TEST_CASE("started with inherited handles", "[.][started]") {
  const watchdog dog;
  const char* const text = std::getenv(inherited_text);
  REQUIRE(text != nullptr);
  const std::size_t before = open_descriptors();
  as_child([&] {
    channel_handles h = channel_handles::inherited(text);
    EXPECT_EQ(open_descriptors(), before);  // they were taken over
    for (const auto& handle : detail::handles_of(h).bells) {
      EXPECT_EQ(::fcntl(handle.get(), F_GETFD), FD_CLOEXEC);
    }
    EXPECT_EQ(::fcntl(detail::handles_of(h).block.get(), F_GETFD), FD_CLOEXEC);
    receive_many<values>(h, how::awaited, inherited_count);
  });
  CHECK(open_descriptors() == before - 3);
}

TEST_CASE("handles are inherited over exec", "[handles]") {
  const watchdog dog;
  const nothing_left check(no_name);
  const channel_handles h = make_handles<values>();
  child program([&] {
    const std::string text = h.to_inherit();
    ::setenv(inherited_text, text.c_str(), 1);
    ::execl("/proc/self/exe", "process-tests", "started with inherited handles", nullptr);
    EXPECT(!"exec");
  });
  child producer([&] { send_many<values>(h, how::awaited, inherited_count); });
  CHECK(producer.wait() == 0);
  CHECK(program.wait() == 0);
}

TEST_CASE("handles are not inherited without to_inherit", "[handles]") {
  const watchdog dog;
  const nothing_left check(no_name);
  const channel_handles h = make_handles<values>();
  const auto& get = detail::handles_of(h);
  CHECK(::fcntl(get.block.get(), F_GETFD) == FD_CLOEXEC);
  for (const auto& bell : get.bells) CHECK(::fcntl(bell.get(), F_GETFD) == FD_CLOEXEC);
}

TEMPLATE_TEST_CASE("handles are sent over a socket", "[handles]", values, frames) {
  const watchdog dog;
  const nothing_left check(no_name);
  const bool non_blocking = GENERATE(true, false);
  INFO("non-blocking: " << non_blocking);
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const event listening;
  child producer([&] {
    ::close(ends[1]);
    net::io_context io;
    local_socket socket(io, net::local::stream_protocol(), ends[0]);
    socket.native_non_blocking(non_blocking);
    const channel_handles h = make_handles<TestType>();  // no other process has them
    listening.wait();
    send_handles(socket, h);
    send_handles(socket, h);  // may be repeated
    send_many<TestType>(h, how::awaited, 300);
  });
  child consumer([&] {
    ::close(ends[0]);
    const std::size_t before = open_descriptors();
    {
      net::io_context io;
      local_socket socket(io, net::local::stream_protocol(), ends[1]);
      socket.native_non_blocking(non_blocking);
      listening.set();
      const channel_handles first = receive_handles(socket);
      const channel_handles h = receive_handles(socket);
      EXPECT_EQ(::fcntl(detail::handles_of(h).block.get(), F_GETFD), FD_CLOEXEC);
      receive_many<TestType>(h, how::awaited, 300);
    }
    EXPECT_EQ(open_descriptors(), before - 1);  // the socket
  });
  for (const int end : ends) ::close(end);
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
}

TEMPLATE_TEST_CASE("the death of a producer is noticed by a pidfd", "[handles]", values, frames) {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const nothing_left check(no_name);
    const channel_handles h = make_handles<TestType>();
    const event received;
    const event told;
    child consumer([&] {
      receiver<TestType> rx(h, way);
      for (std::uint64_t run = 1; run <= 2; ++run) {
        rx.expect({run, 0});
        received.set();
        rx.expect(errc::peer_died);
        told.set();
      }
      rx.expect({3, 0});
      rx.expect(errc::closed);
    });
    for (std::uint64_t run = 1; run <= 2; ++run) {
      child producer([&] {
        sender<TestType> tx(h);
        EXPECT_EQ(tx.send({run, 0}), error_code());
        for (;;) ::pause();
      });
      received.wait();
      if (run == 1) ::usleep(20'000);  // asleep, most likely; awake in the other run
      producer.kill_unreaped();
      told.wait();
    }
    child last([&] {
      sender<TestType> tx(h);
      EXPECT_EQ(tx.send({3, 0}), error_code());
    });
    CHECK(last.wait() == 0);
    CHECK(consumer.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("the death of a consumer is noticed by a pidfd", "[handles]", values, frames) {
  const watchdog dog;
  for (const how way : every_way) {
    INFO(name_of(way));
    const nothing_left check(no_name);
    const channel_handles h = make_handles<TestType>();
    const event joined;
    const event full;
    const event told;
    child consumer([&] {
      receiver<TestType> rx(h);
      joined.set();
      for (;;) ::pause();
    });
    joined.wait();
    child producer([&] {
      sender<TestType> tx(h, way);
      std::uint64_t seq = 0;
      while (tx.tx().try_send(outgoing<TestType>({1, seq}).get())) ++seq;
      full.set();
      EXPECT_EQ(tx.send({1, seq}), error_code(errc::peer_died));
      told.set();
      for (; seq != 300; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
    });
    full.wait();
    consumer.kill_unreaped();
    told.wait();
    child next([&] { receive_many<TestType>(h, how::awaited, 300); });
    CHECK(next.wait() == 0);
    CHECK(producer.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("a forked child does not make a user of handles look alive", "[handles]", values, frames) {
  const watchdog dog;
  const nothing_left check(no_name);
  const channel_handles h = make_handles<TestType>();
  const event sent;
  const event told;
  const shared<std::atomic<pid_t>> grandchild;
  child consumer([&] {
    receiver<TestType> rx(h);
    rx.expect({1, 0});
    rx.expect(errc::peer_died);
    told.set();
    rx.expect({2, 0});
  });
  child producer([&] {
    sender<TestType> tx(h);
    EXPECT_EQ(tx.send({1, 0}), error_code());
    if (const pid_t pid = ::fork(); pid != 0) {
      grandchild->store(pid);
      sent.set();
    }
    ::alarm(60);
    for (;;) ::pause();
  });
  sent.wait();
  producer.kill();
  told.wait();
  child next([&] {
    sender<TestType> tx(h);
    EXPECT_EQ(tx.send({2, 0}), error_code());
  });
  CHECK(next.wait() == 0);
  CHECK(consumer.wait() == 0);
  CHECK(::kill(grandchild->load(), SIGKILL) == 0);
}

TEMPLATE_TEST_CASE("a role of handles can be taken once", "[handles]", values, frames) {
  const watchdog dog;
  const nothing_left check(no_name);
  const channel_handles h = make_handles<TestType>();
  const event joined;
  const event done;
  child first([&] {
    receiver<TestType> rx(h);
    joined.set();
    done.wait();
  });
  joined.wait();
  child second([&] {
    net::io_context io;
    error_code ec;
    typename TestType::consumer rx(io, h, ec);
    EXPECT_EQ(ec, error_code(errc::role_taken));
  });
  CHECK(second.wait() == 0);
  done.set();
  CHECK(first.wait() == 0);
}

TEST_CASE("the memory of handles is sealed", "[handles]") {
  const nothing_left check(no_name);
  const channel_handles h = make_handles<frames>();
  const int block = detail::handles_of(h).block.get();
  const int seals = ::fcntl(block, F_GET_SEALS);
  CHECK((seals & F_SEAL_SHRINK) != 0);
  CHECK((seals & F_SEAL_GROW) != 0);
  CHECK((seals & F_SEAL_SEAL) != 0);
  for (const off_t size : {0, 4096, 1 << 20}) {
    errno = 0;
    CHECK(::ftruncate(block, size) == -1);
    CHECK(errno == EPERM);
  }
}

namespace {

/// What a peer can do with a bell whose description it shares: fill it.
void fill(int bell) {
  const std::string path = "/proc/self/fd/" + std::to_string(bell);
  const int own = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  for (std::uint64_t much = ~std::uint64_t{0} - 1; much != 0; much /= 2) {
    while (::write(own != -1 ? own : bell, &much, sizeof much) == sizeof much) {
    }
  }
  if (own != -1) ::close(own);
}
void make_block(int bell) {
  REQUIRE(::fcntl(bell, F_SETFL, ::fcntl(bell, F_GETFL) & ~O_NONBLOCK) == 0);
}

}  // namespace

TEST_CASE("bells that another participant has filled, and made blocking, hold no participant up",
          "[handles]") {
  const watchdog dog;
  const nothing_left check(no_name);
  const channel_handles h = values::make_handles();
  const segment_file file(::fcntl(detail::handles_of(h).block.get(), F_DUPFD_CLOEXEC, 3));
  const event joined;
  const event filled;
  child producer([&] {
    sender<values> tx(h);
    joined.set();
    filled.wait();
    for (std::uint64_t seq = 0; seq != 100; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
  });
  child consumer([&] { receive_many<values>(h, how::awaited, 100); });
  joined.wait();
  await([&] { return file.live(layout::role::consumer) && file.asleep(layout::role::consumer); });
  consumer.stop();
  for (const detail::unique_handle& bell : detail::handles_of(h).bells) {
    fill(bell.get());
    make_block(bell.get());
  }
  filled.set();
  await([&] { return !file.asleep(layout::role::consumer); });  // it has been notified
  consumer.resume();
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
}
