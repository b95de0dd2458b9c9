#include <belfry/shared_memory.hpp>
#include <belfry/watch.hpp>

#include "support/process.hpp"
#include "support/test.hpp"

#include <cstring>
#include <fstream>
#include <regex>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

template <class Function>
std::error_code thrown_by(Function f) {
  try {
    f();
  } catch (const std::system_error& e) {
    return e.code();
  }
  return {};
}

std::string path_of(const std::string& name) { return "/dev/shm/" + name; }

struct stat status_of(const std::string& name) {
  struct stat status {};
  REQUIRE(::stat(path_of(name).c_str(), &status) == 0);
  return status;
}

}  // namespace

TEST_CASE("what one object writes, the other reads", "[shared_memory]") {
  const std::string name = unique_name("block");
  auto a = shared_memory::create(name, 1000);
  CHECK(a.name() == name);
  CHECK(a.size() == 1000);
  CHECK(a.buf().size() == 1000);
  CHECK_FALSE(a.read_only());
  CHECK(a.is_open());
  CHECK(std::all_of(a.buf().begin(), a.buf().end(), [](std::byte b) { return b == std::byte{0}; }));

  auto b = shared_memory::open(name);
  CHECK(b.name() == name);
  CHECK(b.size() == 1000);
  a.buf()[0] = std::byte{1};
  b.buf()[999] = std::byte{2};
  CHECK(b.buf()[0] == std::byte{1});
  CHECK(a.buf()[999] == std::byte{2});

  // The file has just this size, without a header.
  CHECK(status_of(name).st_size == 1000);
  std::ifstream file(path_of(name), std::ios::binary);
  CHECK(file.get() == 1);
  a.unlink();
  CHECK(files_of(name) == 0);
}

TEST_CASE("a block outlives its name, and its name outlives the objects that had it open", "[shared_memory]") {
  const std::string name = unique_name("outlive");
  {
    auto a = shared_memory::create(name, 8);
    a.buf()[0] = std::byte{7};
  }
  CHECK(files_of(name) == 1);  // the destructor closes; it does not unlink
  auto b = shared_memory::open(name);
  b.unlink();
  CHECK(b.buf()[0] == std::byte{7});
  CHECK(thrown_by([&] { shared_memory::open(name); }) == std::errc::no_such_file_or_directory);
  CHECK(thrown_by([&] { b.unlink(); }) == std::errc::no_such_file_or_directory);
  auto again = shared_memory::create(name, 8);
  CHECK(again.buf()[0] == std::byte{0});
  shared_memory::unlink(name);
}

TEST_CASE("close unmaps, and may be called again", "[shared_memory]") {
  const std::string name = unique_name("close");
  const std::size_t before = open_descriptors();
  auto a = shared_memory::create(name, 8);
  CHECK(open_descriptors() >= before);
  a.close();
  CHECK(open_descriptors() == before);
  CHECK_FALSE(a.is_open());
  CHECK(a.buf().empty());
  CHECK(a.name() == name);
  CHECK(a.size() == 8);
  a.close();
  a.unlink();
}

TEST_CASE("blocks can be moved", "[shared_memory]") {
  const std::string name = unique_name("move");
  auto a = shared_memory::create(name, 8);
  std::byte* const at = a.buf().data();
  shared_memory b(std::move(a));
  CHECK(b.buf().data() == at);
  CHECK(a.buf().empty());  // NOLINT: what a moved-from block says
  shared_memory c = shared_memory::create(name + "-2", 8);
  shared_memory::unlink(name + "-2");
  c = std::move(b);
  CHECK(c.buf().data() == at);
  CHECK(c.name() == name);
  c.unlink();
  CHECK(shared_memory().buf().empty());
  CHECK_FALSE(shared_memory().is_open());
}

TEST_CASE("setup of a block reports errors", "[shared_memory]") {
  const std::string name = unique_name("errors");
  auto a = shared_memory::create(name, 8);
  CHECK(thrown_by([&] { shared_memory::create(name, 8); }) == std::errc::file_exists);
  CHECK(thrown_by([&] { shared_memory::open(name + "-missing"); }) ==
        std::errc::no_such_file_or_directory);
  CHECK(thrown_by([&] { shared_memory::unlink(name + "-missing"); }) ==
        std::errc::no_such_file_or_directory);
  CHECK(thrown_by([&] { shared_memory::create(name + "-0", 0); }) == std::errc::invalid_argument);
  CHECK(thrown_by([&] { shared_memory::create(name + "-huge", ~std::size_t{0}); }));
  CHECK(thrown_by([&] { shared_memory::create(name + "-huge", std::size_t{1} << 60); }));
  CHECK(files_of(name) == 1);

  error_code ec = errc::protocol_error;
  CHECK_FALSE(shared_memory::create(name, 8, ec).is_open());
  CHECK(ec == std::errc::file_exists);
  shared_memory::open(name, ec);
  CHECK(ec == error_code());
  CHECK_FALSE(shared_memory::open(name + "-missing", access::read_only, ec).is_open());
  CHECK(ec == std::errc::no_such_file_or_directory);
  a.unlink(ec);
  CHECK(ec == error_code());
  shared_memory::unlink(name, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  CHECK_THROWS_WITH(shared_memory::open(name), contains(name));
}

TEST_CASE("names that no block can have are refused", "[shared_memory]") {
  for (const std::string name : {".", "..", "/", "/belfry-test", "a/b", "../x"}) {
    CAPTURE(name);
    CHECK(thrown_by([&] { shared_memory::create(name, 8); }) == std::errc::invalid_argument);
    CHECK(thrown_by([&] { shared_memory::open(name); }) == std::errc::invalid_argument);
    CHECK(thrown_by([&] { shared_memory::unlink(name); }) == std::errc::invalid_argument);
  }
  CHECK(thrown_by([] { shared_memory::create(std::string("a\0b", 3), 8); }) == std::errc::invalid_argument);
  CHECK(thrown_by([] { shared_memory::open(""); }) == std::errc::invalid_argument);
  CHECK(thrown_by([] { shared_memory::unlink(""); }) == std::errc::invalid_argument);

  std::string longest = unique_name("long");
  longest.resize(256, 'x');
  CHECK(thrown_by([&] { shared_memory::create(longest, 8); }) == std::errc::filename_too_long);
  longest.resize(255);
  CHECK_NOTHROW(shared_memory::create(longest, 8));
  CHECK_NOTHROW(shared_memory::open(longest).unlink());
}

TEST_CASE("an empty name is replaced by one like CPython's", "[shared_memory]") {
  auto a = shared_memory::create("", 8);
  auto b = shared_memory::create("", 8);
  CHECK(std::regex_match(a.name(), std::regex("psm_[0-9a-f]{8}")));
  CHECK(a.name() != b.name());
  CHECK(files_of(a.name()) == 1);
  a.unlink();
  b.unlink();
}

TEST_CASE("files that are not blocks are refused", "[shared_memory]") {
  const std::string name = unique_name("file");
  const std::string path = path_of(name);
  SECTION("an empty file") {
    std::ofstream{path};
    CHECK(thrown_by([&] { shared_memory::open(name); }) == std::errc::invalid_argument);
  }
  SECTION("a FIFO") {
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    CHECK(thrown_by([&] { shared_memory::open(name); }));
    CHECK(thrown_by([&] { shared_memory::open(name, access::read_only); }));
  }
  SECTION("a symbolic link") {
    REQUIRE(::symlink("/etc/passwd", path.c_str()) == 0);
    CHECK(thrown_by([&] { shared_memory::open(name, access::read_only); }));
    CHECK(thrown_by([&] { shared_memory::create(name, 8); }) == std::errc::file_exists);
  }
  ::unlink(path.c_str());
}

TEST_CASE("read-only memory cannot be written to", "[shared_memory]") {
  const std::string name = unique_name("read-only");
  auto a = shared_memory::create(name, 8);
  a.buf()[3] = std::byte{5};
  auto b = shared_memory::open(name, access::read_only);
  CHECK(b.read_only());
  CHECK(b.buf().empty());  // no writable memory
  CHECK(std::as_const(b).buf()[3] == std::byte{5});
  child writer([&] {
    ::signal(SIGSEGV, SIG_DFL);
    const_cast<std::byte&>(std::as_const(b).buf()[3]) = std::byte{6};
  });
  CHECK(writer.wait() == 128 + SIGSEGV);
  CHECK(a.buf()[3] == std::byte{5});
  a.unlink();
}

TEST_CASE("the umask does not change the mode", "[shared_memory]") {
  const std::string name = unique_name("mode");
  const mode_t before = ::umask(077);
  shared_memory::create(name, 8);
  shared_memory::create(name + "-shared", 8, 0664);
  error_code ec = net::error::timed_out;
  CHECK(shared_memory::create(name + "-group", 8, 0660, ec).is_open());
  CHECK_FALSE(ec);
  ::umask(before);
  CHECK((status_of(name).st_mode & 07777) == 0600);
  CHECK((status_of(name + "-shared").st_mode & 07777) == 0664);
  CHECK((status_of(name + "-group").st_mode & 07777) == 0660);
  CHECK_FALSE(shared_memory::create(name + "-group", 8, 0660, ec).is_open());
  CHECK(ec == std::errc::file_exists);
  shared_memory::unlink(name + "-group");
  shared_memory::unlink(name);
  shared_memory::unlink(name + "-shared");
}

TEST_CASE("the memory of a block is allocated at creation", "[shared_memory]") {
  const std::string name = unique_name("allocated");
  auto a = shared_memory::create(name, 1 << 20);
  CHECK(status_of(name).st_blocks * 512 >= 1 << 20);
  a.unlink();
}

TEST_CASE("a failure leaves nothing behind", "[shared_memory]") {
  const std::size_t before = open_descriptors();
  const std::string name = unique_name("failure");
  auto a = shared_memory::create(name, 8);
  const std::size_t with_one = open_descriptors();
  error_code ec;
  for (int i = 0; i != 10; ++i) {
    shared_memory::create(name, 8, ec);
    shared_memory::open(name + "-missing", access::read_write, ec);
    shared_memory::create(name + "-huge", std::size_t{1} << 60, ec);
    shared_memory::open(name);
  }
  CHECK(open_descriptors() == with_one);
  CHECK(files_of(name) == 1);
  a.unlink();
  a.close();
  CHECK(open_descriptors() == before);
}

// (On Windows a block and a companion cannot have the same name.)
TEST_CASE("a block that has the name of a companion is not taken for one", "[shared_memory]") {
  net::io_context io;
  const shared_memory block = shared_memory::create(unique_name("watched"), 64);
  const unlink_on_destroy owner(block);
  error_code ec;
  {
    const shared_memory other = shared_memory::create(block.name() + ".watch", 8192);
    const unlink_on_destroy other_owner(other);
    const watch w(io, block, ec);
    CHECK(ec == errc::incompatible);
  }
  const watch w(io, block, ec);
  CHECK_FALSE(ec);
}
