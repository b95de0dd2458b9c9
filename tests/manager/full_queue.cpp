// Connecting to a manager whose queue of connections is full because its process is busy or stopped.
#include "support/process.hpp"
#include "support/test.hpp"

#include <belfry/shared_memory_manager.hpp>

#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/steady_timer.hpp>
#else
#include <asio/steady_timer.hpp>
#endif

using namespace belfry;
using namespace belfry::test;

namespace {

/// Listens, accepts no connection by itself, and has no room for another one.
class full_listener {
 public:
  explicit full_listener(std::string_view what) : name_(unique_name(what)) {
    address_.sun_family = AF_UNIX;
    std::memcpy(address_.sun_path + 1, name_.data(), name_.size());
    listening_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    REQUIRE(::bind(listening_, address(), size()) == 0);
    REQUIRE(::listen(listening_, 0) == 0);
    int result;
    do {
      fillers_.push_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      result = ::connect(fillers_.back(), address(), size());
    } while (result == 0);
    REQUIRE(errno == EAGAIN);
  }
  full_listener(const full_listener&) = delete;
  full_listener& operator=(const full_listener&) = delete;
  ~full_listener() {
    ::close(listening_);
    for (const int filler : fillers_) ::close(filler);
  }

  std::string name() const { return '@' + name_; }
  /// Takes a connection off the queue and closes it; false if there is none.
  bool turn_away() const {
    const int accepted = ::accept(listening_, nullptr, nullptr);
    return accepted != -1 && ::close(accepted) == 0;
  }
  /// How many there were at first.
  std::size_t fillers() const { return fillers_.size() - 1; }

 private:
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t size() const {
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size());
  }

  std::string name_;
  sockaddr_un address_{};
  int listening_;
  std::vector<int> fillers_;
};

void run_for_a_while(net::io_context& io) {
  net::steady_timer timer(io, std::chrono::milliseconds(200));
  bool over = false;
  timer.async_wait([&](const error_code&) { over = true; });
  io.restart();
  while (!over) io.run_one();
}

}  // namespace

TEST_CASE("async_connect waits for a full server while its context keeps running", "[manager_full_queue]") {
  const full_listener server("full");
  net::io_context io;
  shared_memory_manager m(io);
  int calls = 0;
  error_code ec;
  net::cancellation_signal signal;
  m.async_connect(server.name(), "key",
                  net::bind_cancellation_slot(signal.slot(), [&](const error_code& e) {
                    ++calls;
                    ec = e;
                  }));
  const std::size_t before = open_descriptors();
  run_for_a_while(io);
  CHECK(calls == 0);
  CHECK(open_descriptors() <= before + 2);
  SECTION("until the queue has room") {
    for (std::size_t i = 0; i != server.fillers(); ++i) CHECK(server.turn_away());
    while (!server.turn_away()) io.run_one();  // it has connected
    REQUIRE(run(io));
    CHECK(ec == std::errc::connection_reset);
  }
  SECTION("until it is cancelled") {
    signal.emit(net::cancellation_type::total);
    REQUIRE(run(io));
    CHECK(ec == net::error::operation_aborted);
  }
  CHECK(calls == 1);
}

TEST_CASE("a waiting async_connect is destroyed with its context", "[manager_full_queue]") {
  const full_listener server("destroyed");
  const std::size_t before = open_descriptors();
  {
    net::io_context io;
    shared_memory_manager m(io);
    m.async_connect(server.name(), "key", [](const error_code&) { FAIL("called"); });
    run_for_a_while(io);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("connect waits for a full server", "[manager_full_queue]") {
  const watchdog limit;
  const full_listener server("blocking");
  std::thread frees([&] {
    ::usleep(1'500'000);  // longer than a fixed number of attempts would take
    for (std::size_t i = 0; i != server.fillers(); ++i) server.turn_away();
    while (!server.turn_away()) ::usleep(1000);
  });
  error_code ec;
  shared_memory_manager::connect(server.name(), "key", {}, ec);
  frees.join();
  CHECK(ec == std::errc::connection_reset);
}
