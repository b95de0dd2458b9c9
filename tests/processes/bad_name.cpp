// Impossible names, roles that are taken, and missing permissions.
#include "segment_file.hpp"
#include "traffic.hpp"

#include <pwd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

template <class Endpoint>
error_code error_of_opening(std::string_view name, const channel_options& o = {}) {
  net::io_context io;
  error_code ec;
  const Endpoint e(io, name, o, ec);
  CHECK(e.is_open() == !ec);
  return ec;
}

}  // namespace

TEMPLATE_TEST_CASE("an impossible name is refused", "[bad-name]", values::producer, values::consumer,
                   frames::producer, frames::consumer) {
  const std::string longest = unique_name(std::string(200, 'n'));
  const nothing_left check(longest);
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("/"), std::string("/x"),
        std::string("x/"), std::string("a/b"), std::string("../tmp/x"), std::string("a\0b", 3),
        std::string("\0", 1), std::string("x\0", 2), std::string("x.bell.0"), std::string("x.watch")}) {
    CAPTURE(name);
    CHECK(error_of_opening<TestType>(name) == std::errc::invalid_argument);
    CHECK_THROWS_AS(TestType(*std::make_unique<net::io_context>(), name), std::system_error);
  }
  for (const std::size_t size : {248u, 255u, 256u, 4096u, 1'000'000u}) {
    CHECK(error_of_opening<TestType>(std::string(size, 'n')) == std::errc::filename_too_long);
  }
}

TEST_CASE("the longest name works, with its bells", "[bad-name]") {
  const watchdog dog;
  std::string name = unique_name("");
  const nothing_left check(name);
  name.resize(246, 'n');
  child producer([&] {
    sender<values> tx(name);
    for (std::uint64_t seq = 0; seq != 200; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
  });
  child consumer([&] {
    receiver<values> rx(name);
    for (std::uint64_t seq = 0; seq != 200; ++seq) rx.expect({1, seq});
    rx.expect(errc::closed);
  });
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
}

TEST_CASE("names are bytes", "[bad-name]") {
  const watchdog dog;
  const std::string prefix = unique_name("bytes");
  const nothing_left check(prefix);
  for (const char* rest : {" with blanks", "\n", "\xff\xfe", "ünï", "%s%n", "*", ".bell.x", "-rf", "..", "\\"}) {
    const std::string name = prefix + rest;
    CAPTURE(name);
    child producer([&] {
      sender<frames> tx(name);
      EXPECT_EQ(tx.send({1, 0}), error_code());
    });
    REQUIRE(producer.wait() == 0);
    child consumer([&] {
      receiver<frames> rx(name);
      rx.expect({1, 0});
      rx.expect(errc::closed);
    });
    REQUIRE(consumer.wait() == 0);
  }
}

TEMPLATE_TEST_CASE("a role is taken while its owner lives", "[bad-name]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("taken");
  const nothing_left check(name);
  const event joined;
  const event done;
  child owner([&] {
    sender<TestType> tx(name);
    receiver<TestType> rx(name);  // both roles in one process
    joined.set();
    done.wait();
    EXPECT_EQ(tx.send({1, 0}), error_code());
    rx.expect({1, 0});
    EXPECT_EQ(error_of_opening<typename TestType::producer>(name), error_code(errc::role_taken));
    EXPECT_EQ(error_of_opening<typename TestType::consumer>(name), error_code(errc::role_taken));
    tx.tx().close();
    EXPECT_EQ(error_of_opening<typename TestType::producer>(name), error_code());
  });
  joined.wait();
  child rival([&] {
    for (int i = 0; i != 50; ++i) {
      EXPECT_EQ(error_of_opening<typename TestType::producer>(name), error_code(errc::role_taken));
      EXPECT_EQ(error_of_opening<typename TestType::consumer>(name), error_code(errc::role_taken));
    }
    try {
      net::io_context io;
      typename TestType::producer tx(io, name);
      EXPECT(!"taken twice");
    } catch (const std::system_error& e) {
      EXPECT(e.code() == errc::role_taken);
      EXPECT(std::string(e.what()).find(name) != std::string::npos);
    }
  });
  CHECK(rival.wait() == 0);
  done.set();
  CHECK(owner.wait() == 0);
}

TEMPLATE_TEST_CASE("a process without permission gets an error, and leaves nothing behind",
                   "[no-permission]", values, frames) {
  if (::geteuid() != 0) skip("only root can become another user");
  const passwd* const nobody = ::getpwnam("nobody");
  if (nobody == nullptr) skip("there is no user `nobody`");
  const uid_t uid = nobody->pw_uid;
  const watchdog dog;
  const std::string name = unique_name("secret");
  const nothing_left check(name);
  const auto as_nobody = [&](const auto& body) {
    child c([&] {
      EXPECT_EQ(::setgid(65534), 0);
      EXPECT_EQ(::setuid(uid), 0);
      body();
    });
    return c.wait();
  };
  SECTION("of a channel of root") {
    child owner([&] {
      sender<TestType> tx(name);
      EXPECT_EQ(tx.send({1, 0}), error_code());
    });
    REQUIRE(owner.wait() == 0);
    const std::vector<char> before = content_of(name);
    CHECK(as_nobody([&] {
            for (int i = 0; i != 2; ++i) {
              EXPECT(error_of_opening<typename TestType::producer>(name) == std::errc::permission_denied);
              EXPECT(error_of_opening<typename TestType::consumer>(name) == std::errc::permission_denied);
            }
            error_code ec;
            TestType::unlink(name, ec);
            EXPECT(ec == std::errc::operation_not_permitted || ec == std::errc::permission_denied);
          }) == 0);
    CHECK(content_of(name) == before);
    CHECK(files_of(name) == 1);
    TestType::unlink(name);
  }
  SECTION("unless the creator lets in all users") {
    const mode_t mask = ::umask(077);
    const event joined;
    const event done;
    child owner([&] {
      channel_options o = options<TestType>();
      o.mode = 0666;
      receiver<TestType> rx(name, how::awaited, o);
      joined.set();
      for (std::uint64_t seq = 0; seq != 200; ++seq) rx.expect({1, seq});
      rx.expect(errc::closed);
      done.wait();
    });
    ::umask(mask);
    joined.wait();
    CHECK(as_nobody([&] {
            sender<TestType> tx(name);
            for (std::uint64_t seq = 0; seq != 200; ++seq) EXPECT_EQ(tx.send({1, seq}), error_code());
          }) == 0);
    done.set();
    CHECK(owner.wait() == 0);
  }
  SECTION("only their owner may access the files") {
    const event joined;
    const event done;
    child owner([&] {
      sender<TestType> tx(name);
      receiver<TestType> rx(name);
      joined.set();
      done.wait();
    });
    joined.wait();
    for (const std::string& file : {name, detail::bell_name(name, 0), detail::bell_name(name, 1)}) {
      struct stat status {};
      REQUIRE(::stat(path_of(file).c_str(), &status) == 0);
      CHECK((status.st_mode & 07777) == 0600);
    }
    done.set();
    CHECK(owner.wait() == 0);
  }
}
