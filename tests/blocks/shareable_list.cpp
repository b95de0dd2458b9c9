// A list in a block: made, opened, moved, read and written.
#include "lists.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

/// Whether the system has chosen the name, as CPython has them on Linux and on Windows.
bool is_generated(const std::string& name) { return name.starts_with("psm_") || name.starts_with("wnsm_"); }

/// The error that every access to the list reports; none if the accesses disagree.
std::error_code every_error(shareable_list& l) {
  std::vector<std::error_code> all = {
      error_of([&] { l.at(0); }),
      error_of([&] { l.set(0, 1); }),
      error_of([&] { l[0] = 1; }),
      error_of([&] { static_cast<void>(value(l[0])); }),
      error_of([&] { static_cast<void>(value(*l.begin())); }),
      error_of([&] { l.count(1); }),
      error_of([&] { l.index(1); }),
      error_of([&] { l.format(); }),
      error_of([&] { l.format(0); }),
      error_of([&] { l.room(0); }),
      error_of([&] { l.to_vector(); }),
      error_of([&] { static_cast<void>(l == l); }),
  };
  CAPTURE(all);
  CHECK(std::count(all.begin(), all.end(), all[0]) == std::ssize(all));
  return all[0];
}

}  // namespace

TEST_CASE("an empty list can be made and opened", "[shareable_list]") {
  owned l({});
  CHECK(l.empty());
  CHECK(l.size() == 0);
  CHECK(l.begin() == l.end());
  CHECK(l.format().empty());
  CHECK(l.to_vector().empty());
  CHECK(l.shm().size() == 16);
  CHECK(l.count(1) == 0);
  CHECK_THROWS_AS(l.index(1), std::invalid_argument);
  CHECK_THROWS_AS(l.at(0), std::out_of_range);
  CHECK_THROWS_AS(l.set(0, 1), std::out_of_range);
  CHECK(shareable_list::open(l.name()).empty());
}

TEST_CASE("a list without a block is empty", "[shareable_list]") {
  shareable_list l;
  CHECK(l.empty());
  CHECK_THROWS_AS(l.at(0), std::out_of_range);
  CHECK_THROWS_AS(l.set(0, 1), std::out_of_range);
  CHECK(l.begin() == l.end());
  const owned o(everything);
  l = shareable_list::open(o.name());
  CHECK(l.to_vector() == everything);
}

TEST_CASE("moving from a list leaves no access to its block", "[shareable_list]") {
  const owned o(everything);
  shareable_list from = shareable_list::open(o.name());
  shareable_list to = std::move(from);
  CHECK(to.to_vector() == everything);
  from = shareable_list();
  CHECK(from.empty());
  CHECK(to.at(0) == value("howdy"));
}

TEST_CASE("accesses to a list whose block was closed are errors", "[shareable_list]") {
  const owned o(everything);
  shareable_list l = shareable_list::open(o.name());
  l.shm().close();
  CHECK(every_error(l) == std::errc::bad_file_descriptor);
  CHECK(l.size() == 7);
  CHECK_THROWS_AS(l.at(7), std::out_of_range);
  CHECK(l.end() - l.begin() == 7);
  CHECK_FALSE(l == shareable_list());
  CHECK_THROWS_WITH(l.at(0), contains(o.name()));
  CHECK(o.to_vector() == everything);

  shareable_list read_only = shareable_list::open(o.name(), access::read_only);
  read_only.shm().close();
  CHECK(read_error(read_only, 0) == std::errc::bad_file_descriptor);
  l = shareable_list::open(o.name());
  CHECK(l.to_vector() == everything);
}

TEST_CASE("accesses to a list whose block was moved away or exchanged are errors", "[shareable_list]") {
  const owned o(everything);
  shareable_list l = shareable_list::open(o.name());
  SECTION("moved away") {
    const shared_memory elsewhere = std::move(l.shm());
    CHECK(every_error(l) == std::errc::bad_file_descriptor);
  }
  SECTION("exchanged for a block that is too small") {
    const owned large(std::vector<value>(20000, 1));  // a block has whole pages
    l = shareable_list::open(large.name());
    const owned small({1});
    l.shm() = shared_memory::open(small.name());
    CHECK(every_error(l) == std::errc::bad_file_descriptor);
  }
  SECTION("exchanged for an empty block") {
    const shared_memory zeros = shared_memory::create(unique_name("zeros"), o.shm().size());
    const unlink_on_destroy owner(zeros);
    l.shm() = shared_memory::open(zeros.name());
    CHECK(read_error(l, 0) == errc::corrupted);
    CHECK(error_of([&] { l.set(0, 1); }) == errc::corrupted);
  }
}

TEST_CASE("a moved-from list behaves as a closed one", "[shareable_list]") {
  const owned o(everything);
  shareable_list from = shareable_list::open(o.name());
  const shareable_list to = std::move(from);
  CHECK(every_error(from) == std::errc::bad_file_descriptor);
  from.shm().close();
  CHECK_FALSE(from.shm().is_open());
  CHECK(from.shm().buf().empty());
  CHECK(from.shm().native_handle() == shared_memory().native_handle());
  CHECK(error_of([&] { from.shm().unlink(); }) == std::errc::invalid_argument);
  CHECK(error_of([&] { static_cast<void>(from.shm().txn()); }) == std::errc::bad_file_descriptor);
  CHECK_THROWS_AS(from.shm().as<int>(), std::length_error);
  CHECK(to.to_vector() == everything);
}

TEST_CASE("iterating over a list's elements", "[shareable_list]") {
  owned l(everything);
  const shareable_list& constant = l;
  std::vector<value> seen;
  for (const value& v : constant) seen.push_back(v);
  CHECK(seen == everything);
  seen.clear();
  for (const auto r : l) seen.push_back(r);
  CHECK(seen == everything);
  CHECK(static_cast<std::vector<value>>(l) == everything);
  CHECK(constant.end() - constant.begin() == 7);
  CHECK(constant.begin()[3] == value(100));
  CHECK(*(constant.end() - 1) == value(42));
  CHECK(*(2 + constant.begin()) == value(-273.154));
  auto i = constant.begin();
  CHECK(*i++ == value("howdy"));
  CHECK(*i-- == value(bytes("HoWdY")));
  CHECK(i == constant.begin());
  CHECK(i < constant.end());
  for (auto r : l) r = 7;
  CHECK(l.count(7) == 7);
  static_assert(std::random_access_iterator<shareable_list::const_iterator>);
}

TEST_CASE("a list is made of any range whose elements convert to its values", "[shareable_list]") {
  const std::vector<int> numbers = {1, 2, 3};
  shareable_list a(numbers, unique_name("ints"));
  const unlink_on_destroy a_owner(a.shm());
  CHECK(a.to_vector() == std::vector<value>{1, 2, 3});

  const std::array<const char*, 3> texts = {"1", "2", "3"};
  shareable_list b(texts, unique_name("texts"));
  const unlink_on_destroy b_owner(b.shm());
  CHECK(b.to_vector() == std::vector<value>{"1", "2", "3"});

  shareable_list c(a, unique_name("copy"));
  const unlink_on_destroy c_owner(c.shm());
  CHECK(c == a);
  CHECK(c.shm().name() != a.shm().name());
  c[0] = 2;
  CHECK_FALSE(c == a);
  CHECK(a.at(0) == value(1));

  shareable_list d{1, "two", nullptr};
  const unlink_on_destroy d_owner(d.shm());
  CHECK(is_generated(d.shm().name()));
  CHECK(d.size() == 3);
  CHECK_FALSE(d == a);
}

TEST_CASE("a list's elements change values and types in place", "[shareable_list]") {
  owned l({1, "a text of twenty-four..", 3, bytes("bytes")});
  shareable_list other = shareable_list::open(l.name());
  const std::vector<value> values = {
      nullptr, true,        false,      7,           -7, 2.5,     "", "text", bytes("12345678"),
      bytes(), "exactly 8", "exactly8", std::string("\0\0", 2), bytes(std::string_view("b\0", 2))};
  for (std::size_t i = 0; i != l.size(); ++i) {
    const std::size_t room = l.room(i);
    for (const value& v : values) {
      const auto before = l.to_vector();
      const bool fits = !std::holds_alternative<std::string>(v) ||
                        std::get<std::string>(v).size() <= room;
      if (fits) {
        l[i] = v;
      } else {
        CHECK_THROWS_AS(l.set(i, v), std::length_error);
      }
      for (std::size_t k = 0; k != l.size(); ++k) {
        CHECK(other.at(k) == (k == i && fits ? v : before[k]));
      }
      CHECK(l.room(i) == room);
    }
  }
  other[0] = l[3];
  CHECK(l[0] == l[3]);
}

TEST_CASE("making a list reports errors also by an error_code", "[shareable_list]") {
  const std::string name = unique_name("made");
  const std::vector<value> values = {1, "two"};
  error_code ec = make_error_code(errc::corrupted);
  {
    shareable_list l(values, name, ec);
    CHECK_FALSE(ec);
    const unlink_on_destroy owner(l.shm());
    CHECK(l.to_vector() == values);
    const shareable_list again(std::span<const value>(values), name, ec);
    CHECK(ec == std::errc::file_exists);
    CHECK_FALSE(again.shm().is_open());
    CHECK(again.empty());
  }
  const auto is_made = [&](const shareable_list& l) {
    CHECK_FALSE(ec);
    const unlink_on_destroy owner(l.shm());
    CHECK(l.to_vector() == values);
  };
  is_made(shareable_list({1, "two"}, ec));
  is_made(shareable_list(values, ec));
  is_made(shareable_list(std::span<const value>(values), ec));
  for (const value& wrong : {value("\xff"), value(std::string(9'999'992, 'x')),
                             value(bytes(std::string(1'000'000, '\0')))}) {
    const shareable_list l({1, wrong}, name, ec);
    CHECK(ec == std::errc::invalid_argument);
    CHECK_FALSE(l.shm().is_open());
  }
  const shareable_list slash(values, "a/b", ec);
  CHECK(ec == std::errc::invalid_argument);
  CHECK(files_of(name) == 0);

  const std::vector<int> numbers = {1, 2, 3};
  const shareable_list range(numbers, name, ec);
  CHECK_FALSE(ec);
  const unlink_on_destroy owner(range.shm());
  CHECK(range.to_vector() == std::vector<value>{1, 2, 3});
  const shareable_list generated({1, 2}, "", ec);
  CHECK_FALSE(ec);
  const unlink_on_destroy owner_of_generated(generated.shm());
  CHECK(is_generated(generated.shm().name()));
  const shareable_list named({4, 5}, name + "-2");
  const unlink_on_destroy owner_of_named(named.shm());
  CHECK(named.shm().name() == name + "-2");
}

TEST_CASE("a read-only list can be read, but not written", "[shareable_list]") {
  owned l(everything);
  shareable_list r = shareable_list::open(l.name(), access::read_only);
  CHECK(r.to_vector() == everything);
  CHECK(r.shm().read_only());
  for (std::size_t i = 0; i != 9; ++i) {
    try {
      r[i] = 1;
      FAIL("written to");
    } catch (const std::system_error& e) {
      CHECK(e.code() == std::errc::permission_denied);
    }
  }
  l[0] = "seen";
  CHECK(r.at(0) == value("seen"));
  CHECK(l.to_vector() == r.to_vector());
}

TEST_CASE("opening a missing list, and creating one under a taken name", "[shareable_list]") {
  CHECK(open_error(unique_name("nobody")) == std::errc::no_such_file_or_directory);
  CHECK_THROWS_AS(shareable_list::open(unique_name("nobody")), std::system_error);
  const owned l({1});
  const std::vector<value> values = {1};
  CHECK_THROWS_AS(shareable_list(values, l.name()), std::system_error);
  CHECK(l.at(0) == value(1));
}
