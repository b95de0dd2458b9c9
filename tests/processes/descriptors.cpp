// A program without standard streams: what it prints must not go into files of the library.
#include "traffic.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

void expect_no_standard_streams() {
  for (int i = 0; i != 3; ++i) EXPECT(::fcntl(i, F_GETFD) == -1);
}

/// Runs `body` in a child without the three standard streams. The context, and so the reactor's descriptors,
/// are made before these are closed.
int without_streams(const std::function<void(net::io_context&)>& body) {
  child c([&] {
    net::io_context io;
    net::local::stream_protocol::socket a(io), b(io);
    net::local::connect_pair(a, b);
    const int told = ::fcntl(2, F_DUPFD_CLOEXEC, 100);  // so that errors are still printed
    for (int i = 0; i != 3; ++i) ::close(i);
    try {
      body(io);
      expect_no_standard_streams();
    } catch (...) {
      ::dup2(told, 2);
      throw;
    }
  });
  return c.wait();
}

template <class Channel, class... Where>
void talk(net::io_context& io, const Where&... where) {
  typename Channel::producer tx(io, where..., options<Channel>());
  expect_no_standard_streams();
  typename Channel::consumer rx(io, where..., options<Channel>());
  expect_no_standard_streams();
  EXPECT(rx.native_handle() > 2);
  EXPECT(tx.native_handle() > 2);
  for (std::uint64_t seq = 0; seq != 3; ++seq) {
    bool received = false;
    rx.async_receive([&](error_code ec, auto got) {
      EXPECT_EQ(ec, error_code());
      EXPECT(read(got) == (item{1, seq}));
      received = true;
    });
    io.restart();
    while (io.poll() != 0) {
    }
    EXPECT(tx.try_send(outgoing<Channel>({1, seq}).get()));  // notifies
    expect_no_standard_streams();
    io.restart();
    while (!received) io.run_one();
    expect_no_standard_streams();
  }
}

}  // namespace

TEMPLATE_TEST_CASE("a channel uses no number of a standard stream", "[descriptors]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("streams");
  const nothing_left check(name);
  CHECK(without_streams([&](net::io_context& io) { talk<TestType>(io, name); }) == 0);
  CHECK(without_streams([](net::io_context& io) {
          const channel_handles h = TestType::make_handles(options<TestType>());
          expect_no_standard_streams();
          talk<TestType>(io, h);
        }) == 0);
}

TEST_CASE("received handles use no number of a standard stream", "[descriptors]") {
  const watchdog dog;
  CHECK(without_streams([](net::io_context& io) {
          net::local::stream_protocol::socket here(io), there(io);
          const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);  // the library cannot move Asio's descriptors
          ::open("/dev/null", O_RDONLY | O_CLOEXEC);
          ::open("/dev/null", O_RDONLY | O_CLOEXEC);
          net::local::connect_pair(here, there);
          for (int i = 0; i != 3; ++i) ::close(nothing + i);
          send_handles(here, values::make_handles());
          const channel_handles h = receive_handles(there);
          expect_no_standard_streams();
          talk<values>(io, h);
        }) == 0);
}

TEST_CASE("blocks, watches and transactions use no number of a standard stream", "[descriptors]") {
  const watchdog dog;
  const std::string name = unique_name("block");
  const nothing_left check(name);
  CHECK(without_streams([&](net::io_context& io) {
          shared_memory block = shared_memory::create(name, 80);
          expect_no_standard_streams();
          const shared_memory again = shared_memory::open(name);
          expect_no_standard_streams();
          block.txn()[0] = 1;
          expect_no_standard_streams();
          watch w(io, block);
          expect_no_standard_streams();
          w.notify();
          block.unlink();
        }) == 0);
}

TEST_CASE("a manager and its clients use no number of a standard stream", "[descriptors]") {
  const watchdog dog;
  CHECK(without_streams([](net::io_context& io) {
          shared_memory_manager mine;
          mine.start();
          expect_no_standard_streams();
          const shared_memory block = mine.shared_memory(80);
          expect_no_standard_streams();
          values::producer tx(io, mine, "x");
          expect_no_standard_streams();
          mine.shutdown();
          expect_no_standard_streams();

          manager_server server(io, "", "key");
          expect_no_standard_streams();
          bool done = false;
          shared_memory_manager client(io);
          client.async_connect(server.address(), "key", [&](error_code ec) {
            EXPECT_EQ(ec, error_code());
            done = true;
          });
          io.restart();
          while (!done) io.run_one();
        }) == 0);
}
