// A peer that notifies without end wakes others for nothing, and can do nothing else.
#include "segment_file.hpp"
#include "traffic.hpp"

using namespace belfry;
using namespace belfry::test;

namespace {

/// Floods the bell of the consumer as fast as it can.
child flood(const std::string& name) {
  return child([&] {
    const std::string bell =
        path_of(detail::bell_name(name, static_cast<std::size_t>(layout::role::consumer)));
    const int fd = ::open(bell.c_str(), O_WRONLY | O_CLOEXEC);
    EXPECT(fd != -1);
    const std::vector<char> much(65536, 1);
    for (;;) {
      if (::write(fd, much.data(), much.size()) == -1) ::usleep(1);
    }
  });
}

}  // namespace

TEST_CASE("endless notifications do not keep a receive from timing out", "[hostile-bell]") {
  const watchdog dog(std::chrono::seconds(60));
  const std::string name = unique_name("flood");
  const nothing_left check(name);
  const event joined;
  child consumer([&] {
    receiver<values> rx(name);
    joined.set();
    for (int i = 0; i != 10; ++i) {
      value v;
      EXPECT_EQ(rx.rx().receive(v, std::chrono::milliseconds(20)), error_code(net::error::timed_out));
    }
    for (int i = 0; i != 10; ++i) {
      bool told = false;
      rx.rx().async_receive([&](error_code ec, value) {
        EXPECT_EQ(ec, error_code(net::error::operation_aborted));
        told = true;
      });
      net::steady_timer timer(rx.io(), std::chrono::milliseconds(20));
      timer.async_wait([&](error_code) { rx.rx().cancel(); });
      rx.io().restart();
      rx.io().run();
      EXPECT(told);
    }
    for (int i = 0; i != 10; ++i) {
      EXPECT_EQ(poll_for(rx.rx()), error_code());  // for nothing, but it returns
      EXPECT(!rx.rx().try_receive());
    }
  });
  joined.wait();
  child flooder = flood(name);
  CHECK(consumer.wait() == 0);
}

TEST_CASE("messages get through despite endless notifications", "[hostile-bell]") {
  const watchdog dog(std::chrono::seconds(60));
  for (const how way : every_way) {
    INFO(name_of(way));
    const std::string name = unique_name("through");
    const nothing_left check(name);
    const event joined;
    const event flooding;
    child consumer([&] {
      receiver<values> rx(name, way);
      joined.set();
      for (std::uint64_t seq = 0; seq != 500; ++seq) rx.expect({1, seq});
      rx.expect(errc::closed);
    });
    joined.wait();
    child flooder = flood(name);
    child producer([&] {
      sender<values> tx(name);
      for (std::uint64_t seq = 0; seq != 500; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
    });
    CHECK(producer.wait() == 0);
    CHECK(consumer.wait() == 0);
  }
}
