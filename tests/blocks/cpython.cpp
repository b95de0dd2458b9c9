// Counterparts of CPython's own tests of shared memory (_TestSharedMemory in its Lib/test/
// _test_multiprocessing.py), with the same names. Tests that need both languages are in interop/cpython.py,
// those of its manager in cpython_manager.cpp. Comments say where C++ differs.
#include "support/process.hpp"
#include "support/test.hpp"

#include <belfry/shareable_list.hpp>
#include <belfry/shared_memory.hpp>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <set>
#include <sstream>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

using value = shareable_list::value;

const std::vector<value> seven{"howdy", bytes("HoWdY"), -273.154, 100, nullptr, true, 42};

std::string text(const shared_memory& m, std::size_t n) {
  return {reinterpret_cast<const char*>(m.buf().data()), n};
}
void write(shared_memory& m, std::string_view s) { std::memcpy(m.buf().data(), s.data(), s.size()); }

}  // namespace

// An embedded NUL is `invalid_argument`, not a ValueError; a name once given cannot be changed.
TEST_CASE("test_shared_memory_name_with_embedded_null", "[cpython]") {
  const std::string name = unique_name("null");
  shared_memory m = shared_memory::create(name, 512);
  const unlink_on_destroy owner(m);
  const std::string with_null = name + std::string("\0a", 2);
  CHECK(error_of([&] { shared_memory::open(with_null); }) == std::errc::invalid_argument);
  CHECK(error_of([&] { shared_memory::unlink(with_null); }) == std::errc::invalid_argument);
  CHECK(files_of(name) == 1);
}

// open() takes no size. There is no way to attach without a name, or to create a block of negative size: an
// unsigned -2 is too large. No operation takes an existing block for a new one.
TEST_CASE("test_shared_memory_basics", "[cpython]") {
  const std::string name = unique_name("basics");
  shared_memory m = shared_memory::create(name, 512);
  {
    const unlink_on_destroy owner(m);
    CHECK(m.name() == name);
    CHECK(m.size() == 512);
    CHECK(m.buf().size() == 512);
    std::ostringstream repr;
    repr << m;
    CHECK(repr.str() == "SharedMemory('" + name + "', size=512)");

    m.buf()[0] = std::byte{42};
    CHECK(shared_memory::open(name).buf()[0] == std::byte{42});
    CHECK(shared_memory::open(name).size() == 512);

    CHECK(error_of([] { shared_memory::create("", static_cast<std::size_t>(-2)); }) ==
          std::errc::file_too_large);
    CHECK(error_of([] { shared_memory::open(""); }) == std::errc::invalid_argument);
    CHECK(error_of([&] { shared_memory::create(name, 512); }) == std::errc::file_exists);
    CHECK(error_of([] { shared_memory::open(unique_name("not-there")); }) ==
          std::errc::no_such_file_or_directory);
    m.close();
  }
  shared_memory uno = shared_memory::create(name, 5000);
  shared_memory::open(name).unlink();
  CHECK(error_of([&] { uno.unlink(); }) == std::errc::no_such_file_or_directory);
  uno.close();
}

// Names are random and cannot be predicted, so instead of provoking a collision many blocks are made.
TEST_CASE("test_shared_memory_recreate", "[cpython]") {
  std::vector<shared_memory> all;
  std::set<std::string> names;
  for (int i = 0; i != 200; ++i) {
    all.push_back(shared_memory::create("", 1));
    names.insert(all.back().name());
  }
  for (shared_memory& m : all) m.unlink();
  CHECK(names.size() == all.size());
}

// A size must be given; zero is `invalid_argument`, an unsigned -1 is too large.
TEST_CASE("test_invalid_shared_memory_creation", "[cpython]") {
  const std::string name = unique_name("invalid");
  CHECK(error_of([&] { shared_memory::create(name, static_cast<std::size_t>(-1)); }) ==
        std::errc::file_too_large);
  CHECK(error_of([&] { shared_memory::create(name, 0); }) == std::errc::invalid_argument);
  CHECK(files_of(name) == 0);  // CPython leaves an empty block behind if the size is too large
}

// There is no pickle: the name is passed on instead.
TEST_CASE("test_shared_memory_pickle_unpickle", "[cpython]") {
  const watchdog limit;
  const std::string name = unique_name("pickle");
  child other([&] {
    await([&] { return files_of(name) == 1; });
    shared_memory m = shared_memory::open(name);
    await([&] { return text(m, 6) == "newval"; });
    write(m, "oldval");
  });
  shared_memory m = shared_memory::create(name, 512);
  const unlink_on_destroy owner(m);
  write(m, "pickle");
  shared_memory same = shared_memory::open(name);
  CHECK(text(same, 6) == "pickle");
  write(m, "newval");
  CHECK(other.wait() == 0);
  CHECK(text(m, 6) == "oldval");
  CHECK(text(same, 6) == "oldval");
}

TEST_CASE("test_shared_memory_pickle_unpickle_dead_object", "[cpython]") {
  std::string name;
  {
    shared_memory m = shared_memory::create(unique_name("dead"), 512);
    name = m.name();
    m.close();
    m.unlink();
  }
  CHECK(error_of([&] { shared_memory::open(name); }) == std::errc::no_such_file_or_directory);
}

// An object is inherited over a fork as it is; it cannot be passed on in another way.
TEST_CASE("test_shared_memory_across_processes", "[cpython]") {
  const watchdog limit;
  shared_memory m = shared_memory::create(unique_name("across"), 512);
  const unlink_on_destroy owner(m);
  child by_name([&] {
    shared_memory there = shared_memory::open(m.name());
    write(there, "howdy");
  });
  CHECK(by_name.wait() == 0);
  CHECK(text(m, 5) == "howdy");
  child by_object([&] { write(m, "HELLO"); });
  CHECK(by_object.wait() == 0);
  CHECK(text(m, 5) == "HELLO");
}

// Positions are unsigned: [6], not [-1]. A value that does not fit is std::length_error, a position that does
// not exist std::out_of_range, a value that is not found std::invalid_argument. Comparing as Python does is
// an option.
TEST_CASE("test_shared_memory_ShareableList_basics", "[cpython]") {
  shareable_list sl(seven, unique_name("list"));
  const unlink_on_destroy owner(sl.shm());
  CHECK_THROWS_AS(sl.at(7), std::out_of_range);
  CHECK_THROWS_AS(sl[7] = 2, std::out_of_range);
  CHECK_THROWS_AS(sl.at(static_cast<std::size_t>(-8)), std::out_of_range);

  const std::string format = sl.format(0);
  sl[0] = "howdy";
  CHECK(sl.format(0) == format);
  CHECK(sl.format() == "8s8sdqxxxxxx?xxxxxxxx?q");
  CHECK(sl.size() == 7);
  CHECK_THROWS_AS(sl.index("100"), std::invalid_argument);
  CHECK(sl.index(100) == 3);
  CHECK(sl.at(0) == value("howdy"));
  CHECK(sl.at(5) == value(true));
  CHECK(std::ranges::equal(sl.to_vector(), seven));

  sl[3] = 42;
  CHECK(sl.at(3) == value(42));
  sl[4] = "some";
  CHECK(sl.at(4) == value("some"));
  CHECK(sl.format() == "8s8sdq8sxxxxxxx?q");
  CHECK_THROWS_AS(sl[4] = "far too many", std::length_error);
  CHECK(sl.at(4) == value("some"));
  sl[0] = "encod\u00e9s";  // exactly 8 bytes of UTF-8
  CHECK(sl.at(0) == value("encod\u00e9s"));
  CHECK(sl.at(1) == value(bytes("HoWdY")));
  CHECK_THROWS_AS(sl[0] = "encod\u00e9es", std::length_error);  // exactly 9
  CHECK(sl.at(0) == value("encod\u00e9s"));
  CHECK(sl.at(1) == value(bytes("HoWdY")));
  CHECK_THROWS_AS(sl[1] = bytes("123456789"), std::length_error);
  CHECK(sl.at(1) == value(bytes("HoWdY")));

  CHECK(sl.count(42) == 2);
  CHECK(sl.count(42.0) == 0);
  CHECK(sl.count(42.0, equality::python) == 2);
  CHECK(sl.count(bytes("HoWdY")) == 1);
  CHECK(sl.count(bytes("adios")) == 0);

  {
    shareable_list copy(sl, unique_name("copy"));
    const unlink_on_destroy owner_of_copy(copy.shm());
    CHECK(copy.shm().name() != sl.shm().name());
    CHECK(copy == sl);
    CHECK(copy.format() == "8s8sdq8sxxxxxxx?q");
    CHECK(copy.format() == sl.format());
    copy[6] = 77;
    CHECK(copy.at(6) == value(77));
    CHECK(sl.at(6) != value(77));
  }
  {
    shareable_list tethered = shareable_list::open(sl.shm().name());
    CHECK(tethered.shm().name() == sl.shm().name());
    tethered[6] = 880;
    CHECK(sl.at(6) == value(880));
  }

  shareable_list empty(std::vector<value>(), unique_name("empty"));
  const unlink_on_destroy owner_of_empty(empty.shm());
  CHECK(empty.size() == 0);
  CHECK(empty.format().empty());
  CHECK(empty.count("any") == 0);
  CHECK_THROWS_AS(empty.index(nullptr), std::invalid_argument);
}

// There is no pickle: the name is passed on instead, whatever the size of the list.
TEST_CASE("test_shared_memory_ShareableList_pickling", "[cpython]") {
  const watchdog limit;
  const std::vector<value> ten{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  shareable_list sl(ten, unique_name("list"));
  const unlink_on_destroy owner(sl.shm());
  sl[3] = "newvalue";
  child other([&] {
    shareable_list there = shareable_list::open(sl.shm().name());
    EXPECT(there.at(9) == value(9));
    EXPECT(there.at(3) == value("newvalue"));
    there[4] = "changed";
  });
  CHECK(other.wait() == 0);
  CHECK(sl.at(4) == value("changed"));
}

TEST_CASE("test_shared_memory_ShareableList_pickling_dead_object", "[cpython]") {
  std::string name;
  {
    shareable_list sl({0, 1, 2});
    name = sl.shm().name();
    sl.shm().unlink();
  }
  CHECK(error_of([&] { shareable_list::open(name); }) == std::errc::no_such_file_or_directory);
}

// There is no tracker process: a block stays when its creator is killed, until it is unlinked. An owner that
// ends normally removes it by unlink_on_destroy.
TEST_CASE("test_shared_memory_cleaned_after_process_termination", "[cpython]") {
  const watchdog limit;
  const std::string name = unique_name("terminated");
  const event made;
  const auto create = [&](bool ends) {
    shared_memory m = shared_memory::create(name, 10);
    const unlink_on_destroy owner(m);
    m.buf()[9] = std::byte{7};
    made.set();
    while (!ends) ::pause();
  };
  child creator([&] {
    ::signal(SIGTERM, SIG_DFL);  // not Catch's handler
    create(false);
  });
  made.wait();
  ::kill(creator.pid(), SIGTERM);
  CHECK(creator.wait() == 128 + SIGTERM);
  CHECK(shared_memory::open(name).buf()[9] == std::byte{7});
  shared_memory::unlink(name);
  child in_order([&] { create(true); });
  CHECK(in_order.wait() == 0);
  CHECK(files_of(name) == 0);
}

// C++ tracks nothing, so there is no difference: a block stays after its user has ended.
TEST_CASE("test_shared_memory_untracking", "[cpython]") {
  shared_memory m = shared_memory::create(unique_name("untracked"), 10);
  const unlink_on_destroy owner(m);
  child user([&] { shared_memory::open(m.name()); });
  CHECK(user.wait() == 0);
  CHECK(shared_memory::open(m.name()).size() == 10);
}
