// A list in a block: its bytes, its values, and blocks that hold something else.
#include "support/test.hpp"

#include <belfry/shareable_list.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

using value = shareable_list::value;

namespace {

/// Removes a list's name at the end of its scope.
struct owned : shareable_list {
  explicit owned(const std::vector<value>& values, std::string_view what = "list")
      : shareable_list(std::span(values), unique_name(what)) {}
  ~owned() { shm().unlink(); }
  const std::string& name() const { return shm().name(); }
};

const std::vector<value> everything = {
    "howdy", bytes("HoWdY"), -273.154, 100, nullptr, true, 42,
};

// ShareableList(['howdy', b'HoWdY', -273.154, 100, None, True, 42]) of CPython, as it is in memory.
constexpr std::array<unsigned char, 191> everything_in_memory = {
    0x07, 0, 0, 0, 0, 0, 0, 0,                         // number of elements
    0x00, 0, 0, 0, 0, 0, 0, 0,                         // where each begins; the last entry: where the last ends
    0x08, 0, 0, 0, 0, 0, 0, 0,                         //
    0x10, 0, 0, 0, 0, 0, 0, 0,                         //
    0x18, 0, 0, 0, 0, 0, 0, 0,                         //
    0x20, 0, 0, 0, 0, 0, 0, 0,                         //
    0x28, 0, 0, 0, 0, 0, 0, 0,                         //
    0x30, 0, 0, 0, 0, 0, 0, 0,                         //
    0x38, 0, 0, 0, 0, 0, 0, 0,                         //
    0x68, 0x6f, 0x77, 0x64, 0x79, 0, 0, 0,             // "howdy"
    0x48, 0x6f, 0x57, 0x64, 0x59, 0, 0, 0,             // b"HoWdY"
    0x58, 0x39, 0xb4, 0xc8, 0x76, 0x12, 0x71, 0xc0,    // -273.154
    0x64, 0, 0, 0, 0, 0, 0, 0,                         // 100
    0, 0, 0, 0, 0, 0, 0, 0,                            // None
    0, 0, 0, 0, 0, 0, 0, 0x01,                         // True
    0x2a, 0, 0, 0, 0, 0, 0, 0,                         // 42
    '8', 's', 0, 0, 0, 0, 0, 0,                        // formats
    '8', 's', 0, 0, 0, 0, 0, 0,                        //
    'd', 0, 0, 0, 0, 0, 0, 0,                          //
    'q', 0, 0, 0, 0, 0, 0, 0,                          //
    'x', 'x', 'x', 'x', 'x', 'x', '?', 'x',            //
    'x', 'x', 'x', 'x', 'x', 'x', 'x', '?',            //
    'q', 0, 0, 0, 0, 0, 0, 0,                          //
    1, 2, 0, 0, 3, 0, 0,                               // codes
};

template <std::size_t N>
shared_memory block_of(const std::array<unsigned char, N>& content, std::string_view what) {
  shared_memory m = shared_memory::create(unique_name(what), N);
  std::memcpy(m.buf().data(), content.data(), N);
  return m;
}

error_code open_error(std::string_view name) {
  error_code ec;
  const shareable_list l = shareable_list::open(name, ec);
  return ec;
}

std::error_code read_error(const shareable_list& l, std::size_t i) {
  try {
    l.at(i);
  } catch (const std::system_error& e) {
    return e.code();
  }
  return {};
}

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

std::vector<std::byte> copy_of(const shareable_list& l) {
  const auto all = l.shm().buf();
  return {all.begin(), all.end()};
}

/// The offsets of a list's parts.
struct parts {
  explicit parts(const shareable_list& l) : n(l.size()) {
    std::memcpy(&data_bytes, l.shm().buf().data() + 8 * (n + 1), 8);
  }
  std::size_t offset(std::size_t i) const { return 8 * (i + 1); }
  std::size_t data() const { return 8 * (n + 2); }
  std::size_t format(std::size_t i) const { return data() + data_bytes + 8 * i; }
  std::size_t code(std::size_t i) const { return format(n) + i; }

  std::size_t n;
  std::uint64_t data_bytes = 0;
};

void put(shareable_list& l, std::size_t at, std::uint64_t word) {
  std::memcpy(l.shm().buf().data() + at, &word, 8);
}
void put_format(shareable_list& l, std::size_t i, std::string_view format) {
  std::byte* const at = l.shm().buf().data() + parts(l).format(i);
  std::memset(at, 0, 8);
  std::memcpy(at, format.data(), std::min<std::size_t>(format.size(), 8));
}
void put_code(shareable_list& l, std::size_t i, int code) {
  l.shm().buf()[parts(l).code(i)] = static_cast<std::byte>(code);
}

}  // namespace

TEST_CASE("a list has the same bytes as CPython's", "[shareable_list]") {
  const owned l(everything);
  REQUIRE(l.shm().size() == everything_in_memory.size());
  for (std::size_t i = 0; i != everything_in_memory.size(); ++i) {
    INFO("byte " << i);
    CHECK(std::to_integer<unsigned>(l.shm().buf()[i]) == everything_in_memory[i]);
  }
}

TEST_CASE("CPython's bytes are read as the same list", "[shareable_list]") {
  shared_memory m = block_of(everything_in_memory, "cpython");
  const unlink_on_destroy owner(m);
  const shareable_list l = shareable_list::open(m.name());
  CHECK(l.to_vector() == everything);
  CHECK(l.format() == "8s8sdqxxxxxx?xxxxxxxx?q");
  CHECK(l.shm().name() == m.name());
}

TEST_CASE("a list returns the values that it was made of", "[shareable_list]") {
  const std::vector<value> values = {
      "",
      bytes(),
      std::string("\0", 1),
      bytes(std::string_view("\0\0", 2)),
      std::string("a\0b", 3),
      std::string("a\0b\0\0", 5),
      "sixteen bytes...",
      "\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x94",
      bytes("\xff\xfe\x80"),
      std::string(1000, 'x'),
      bytes(std::string(9'999'991, 'y')),
      std::string(999'998, 'z') + '\0',
      std::numeric_limits<std::int64_t>::min(),
      std::numeric_limits<std::int64_t>::max(),
      -1,
      0.0,
      -0.0,
      std::numeric_limits<double>::infinity(),
      std::numeric_limits<double>::denorm_min(),
      std::numeric_limits<double>::max(),
      false,
      true,
      nullptr,
  };
  const owned l(values);
  REQUIRE(l.size() == values.size());
  const shareable_list m = shareable_list::open(l.name(), access::read_only);
  for (std::size_t i = 0; i != values.size(); ++i) {
    INFO("element " << i);
    CHECK(l.at(i) == values[i]);
    CHECK(m.at(i) == values[i]);
    CHECK(l.at(i).index() == values[i].index());
  }
  CHECK(std::signbit(std::get<double>(l.at(16))));
  CHECK(l == m);
}

TEST_CASE("a NaN keeps its bits", "[shareable_list]") {
  const double nan = std::bit_cast<double>(std::uint64_t{0x7ff8'dead'beef'0001});
  const owned l({nan});
  CHECK(std::bit_cast<std::uint64_t>(std::get<double>(l.at(0))) == 0x7ff8'dead'beef'0001);
  CHECK(l.count(nan) == 0);
}

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

TEST_CASE("the formats and rooms of a list's elements", "[shareable_list]") {
  owned l({"", "1234567", "12345678", bytes("1234567890123456"), 1, 1.0, true, nullptr,
           std::string("ab\0", 3)});
  const std::vector<std::string> formats = {"8s", "8s", "16s", "24s", "q", "d", "xxxxxxx?",
                                            "xxxxxx?x", "3sx"};
  const std::vector<std::size_t> rooms = {8, 8, 16, 24, 8, 8, 8, 8, 8};
  std::string all;
  for (std::size_t i = 0; i != l.size(); ++i) {
    CHECK(l.format(i) == formats[i]);
    CHECK(l.room(i) == rooms[i]);
    all += formats[i];
  }
  CHECK(l.format() == all);
  CHECK_THROWS_AS(l.format(9), std::out_of_range);
  CHECK_THROWS_AS(l.room(9), std::out_of_range);
}

// As in CPython: by the number of characters. Where CPython would cut off the text, by the number of bytes.
TEST_CASE("the room of text depends on its number of characters", "[shareable_list]") {
  const std::string a_umlaut = "\xc3\xa4";      // 2 bytes
  const std::string euro = "\xe2\x82\xac";      // 3
  const std::string bell = "\xf0\x9f\x94\x94";  // 4
  const auto times = [](std::string s, std::size_t n) {
    std::string all;
    for (; n != 0; --n) all += s;
    return all;
  };
  const std::vector<std::pair<std::string, std::size_t>> rooms = {
      {"encod\xc3\xa9s", 8},                // 7 characters, 8 bytes
      {"12345678", 16},                      // 8, 8
      {a_umlaut, 8},                         // 1, 2
      {times(a_umlaut, 4), 8},               // 4, 8: full
      {times(a_umlaut, 5), 16},              // 5, 10: CPython makes 8, and cuts it off
      {times(a_umlaut, 8), 16},              // 8, 16: full
      {times(euro, 2), 8},                   // 2, 6
      {times(euro, 3), 16},                  // 3, 9: CPython cuts it off
      {times(bell, 2), 8},                   // 2, 8: full
      {times(bell, 7), 32},                  // 7, 28: CPython cuts it off
      {"1234567" + bell, 16},                // 8, 11
      {std::string("123456\xc3\xa4\0", 9), 16},  // 8, 9
      {std::string("12345\xc3\xa4\0", 8), 8},    // 7, 8: full, and ends in a NUL
      {times(bell, 2'499'998), 9'999'992},   // the longest possible
  };
  std::vector<value> values;
  for (const auto& [text, room] : rooms) values.emplace_back(text);
  const owned l(values);
  CHECK(l.to_vector() == values);
  for (std::size_t i = 0; i != rooms.size(); ++i) {
    INFO("element " << i);
    CHECK(l.room(i) == rooms[i].second);
    const bool nul = rooms[i].first.ends_with('\0');
    CHECK(l.format(i) == std::to_string(nul ? rooms[i].first.size() : rooms[i].second) + (nul ? "sx" : "s"));
  }
  CHECK(owned({bytes(times(a_umlaut, 4))}, "bytes").room(0) == 16);  // the room of bytes depends on their number
}

TEST_CASE("positions, counts and searches in a list", "[shareable_list]") {
  owned l({1, 2, 1, "1", bytes("1"), true, 1.0, nullptr});
  const shareable_list& constant = l;
  CHECK(value(l[1]) == value(2));
  CHECK(constant[1] == value(2));
  CHECK(l[0] == l[2]);
  CHECK(l[3] == value("1"));
  CHECK(l.count(1) == 2);
  CHECK(l.count("1") == 1);
  CHECK(l.count(bytes("1")) == 1);
  CHECK(l.count(1.0) == 1);
  CHECK(l.count(true) == 1);
  CHECK(l.count(nullptr) == 1);
  CHECK(l.count(false) == 0);
  CHECK(l.index(1) == 0);
  CHECK(l.index("1") == 3);
  CHECK(l.index(nullptr) == 7);
  CHECK_THROWS_AS(l.index("2"), std::invalid_argument);
  for (const std::size_t beyond : {std::size_t{8}, std::numeric_limits<std::size_t>::max(),
                                   std::size_t{1} << 61, std::size_t{1} << 60}) {
    CHECK_THROWS_AS(l.at(beyond), std::out_of_range);
    CHECK_THROWS_AS(l.set(beyond, 1), std::out_of_range);
    CHECK_THROWS_AS(value(l[beyond]), std::out_of_range);
  }
}

// ShareableList([True, 1, 1.0, 0, False]) of CPython counts three elements equal to 1.
TEST_CASE("counts and searches in a list, as Python compares", "[shareable_list]") {
  const owned l({true, 1, 1.0, 0, false, nullptr, "1", bytes("1"), ""});
  for (const value& one : {value(1), value(true), value(1.0)}) {
    CHECK(l.count(one, equality::python) == 3);
    CHECK(l.count(one) == 1);
    CHECK(l.index(one, equality::python) == 0);
  }
  for (const value& zero : {value(0), value(false), value(0.0), value(-0.0)}) {
    CHECK(l.count(zero, equality::python) == 2);
    CHECK(l.index(zero, equality::python) == 3);
  }
  CHECK(l.index(1.0) == 2);
  CHECK(l.index(1.0, equality::typed) == 2);
  CHECK(l.count(0.0) == 0);
  CHECK(l.count("1", equality::python) == 1);
  CHECK(l.count(bytes("1"), equality::python) == 1);
  CHECK(l.count(nullptr, equality::python) == 1);
  CHECK(l.count(bytes(), equality::python) == 0);
  CHECK(l.count(2, equality::python) == 0);
  CHECK_THROWS_WITH(l.index(2, equality::python), "2 not in this container");
  CHECK_THROWS_WITH(l.index("2"), "\"2\" not in this container");
}

TEST_CASE("an integer equals a float in Python if it is the same number exactly", "[shareable_list]") {
  constexpr std::int64_t beyond = (std::int64_t{1} << 53) + 1;  // not representable as a float
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  const auto equal = [](const value& a, const value& b) {
    const owned l({a}, "left");
    const owned m({b}, "right");
    CHECK(l.count(b, equality::python) == m.count(a, equality::python));
    return l.count(b, equality::python) == 1;
  };
  CHECK(equal(beyond - 1, 0x1p53));
  CHECK_FALSE(equal(beyond, 0x1p53));
  CHECK(equal(beyond + 1, 0x1p53 + 2));
  CHECK_FALSE(equal(most, 0x1p63));
  CHECK(equal(least, -0x1p63));
  CHECK_FALSE(equal(least, std::nextafter(-0x1p63, -INFINITY)));
  CHECK_FALSE(equal(least + 1, -0x1p63));
  CHECK_FALSE(equal(0, 0.5));
  CHECK_FALSE(equal(0, std::numeric_limits<double>::denorm_min()));
  CHECK_FALSE(equal(-1, -1.5));
  CHECK_FALSE(equal(true, 1.5));
  CHECK_FALSE(equal(most, INFINITY));
  CHECK_FALSE(equal(least, -INFINITY));
  CHECK_FALSE(equal(0, NAN));
  CHECK_FALSE(equal(NAN, NAN));
  CHECK(equal(INFINITY, INFINITY));
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
  CHECK(d.shm().name().starts_with("psm_"));
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

TEST_CASE("text may fill its element, but not exceed it", "[shareable_list]") {
  owned l({111, "12345678", 222, bytes("12345678"), 333});
  for (const std::size_t i : {1u, 3u}) {
    const auto make = [&](std::size_t n, char c) {
      return i == 1 ? value(std::string(n, c)) : value(bytes(std::string(n, c)));
    };
    REQUIRE(l.room(i) == 16);
    l[i] = make(16, 'f');
    CHECK(l.at(i) == make(16, 'f'));
    CHECK(l.format(i) == "16s");
    const auto before = copy_of(l);
    CHECK_THROWS_AS(l.set(i, make(17, 'm')), std::length_error);
    CHECK_THROWS_AS(l.set(i, make(1 << 20, 'm')), std::length_error);
    CHECK_THROWS_AS(l.set(i, make(17, '\0')), std::length_error);
    CHECK(copy_of(l) == before);
    l[i] = make(16, '\0');
    CHECK(l.at(i) == make(16, '\0'));
    CHECK(l.format(i) == "16sx");
    CHECK(l.at(0) == value(111));
    CHECK(l.at(2) == value(222));
    CHECK(l.at(4) == value(333));
  }
  l[0] = "12345678";  // eight bytes of room
  CHECK(l.at(0) == value("12345678"));
  CHECK_THROWS_AS(l.set(0, "123456789"), std::length_error);
  CHECK(l.at(0) == value("12345678"));
}

TEST_CASE("strings that are too long for any list are refused", "[shareable_list]") {
  const auto make = [](value v) { return shareable_list({std::move(v)}); };
  CHECK_THROWS_AS(make(std::string(9'999'992, 'x')), std::length_error);
  CHECK_THROWS_AS(make(bytes(std::string(1'000'000, '\0'))), std::length_error);
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
  CHECK(generated.shm().name().starts_with("psm_"));
  const shareable_list named({4, 5}, name + "-2");
  const unlink_on_destroy owner_of_named(named.shm());
  CHECK(named.shm().name() == name + "-2");
}

TEST_CASE("trailing NULs are kept, but stripped where CPython has written", "[shareable_list]") {
  owned l({"1234567", bytes("1234567")});
  l[0] = std::string("ab\0\0", 4);
  l[1] = bytes(std::string_view("\0\0\0", 3));
  CHECK(l.format(0) == "4sx");
  CHECK(l.format(1) == "3sx");
  CHECK(l.at(0) == value(std::string("ab\0\0", 4)));
  CHECK(l.at(1) == value(bytes(std::string_view("\0\0\0", 3))));
  put_format(l, 0, "8s");
  put_format(l, 1, "8s");
  CHECK(l.at(0) == value("ab"));
  CHECK(l.at(1) == value(bytes()));
  put_format(l, 0, "1s");  // less than the room: an exact length
  put_format(l, 1, "5s");
  CHECK(l.at(0) == value("a"));
  CHECK(l.at(1) == value(bytes(std::string_view("\0\0\0\0\0", 5))));
  put_format(l, 0, "4s");
  CHECK(l.at(0) == value(std::string("ab\0\0", 4)));
  put_format(l, 0, "0s");
  CHECK(l.at(0) == value(""));
}

TEST_CASE("text is UTF-8", "[shareable_list]") {
  owned l({"text as it was", 1});
  const auto before = copy_of(l);
  for (const std::string_view wrong : {
           "\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xed\xbf\xbf",
           "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x82",
           "\xe2\x28\xa1", "ok\xf0\x9f\x94", "\xc3\xa4\xa4"}) {
    CHECK_THROWS_AS(l.set(0, std::string(wrong)), std::invalid_argument);
    CHECK_THROWS_AS(l.set(1, std::string(wrong)), std::invalid_argument);
    CHECK_THROWS_AS(shareable_list({std::string(wrong)}), std::invalid_argument);
    CHECK(copy_of(l) == before);
    l[0] = bytes(wrong);
    CHECK(l.at(0) == value(bytes(wrong)));
    put_code(l, 0, 1);  // as if it were text
    CHECK(read_error(l, 0) == errc::corrupted);
    l[0] = "text as it was";
  }
  for (const std::string_view right : {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                       "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    l[0] = std::string(right);
    CHECK(l.at(0) == value(std::string(right)));
  }
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

TEST_CASE("values are printed as text", "[shareable_list]") {
  const owned l({"te\"xt", bytes("bytes"), 1.5, -3, nullptr, true, false});
  std::ostringstream out;
  for (const value& v : std::as_const(l)) belfry::operator<<(out, v) << ' ';
  CHECK(out.str() == "\"te\\\"xt\" b\"bytes\" 1.5 -3 None True False ");
}

TEST_CASE("a list of CPython 3.8 is refused as incompatible", "[shareable_list]") {
  // ShareableList([1, 'abc']) of 3.8: sizes of the elements instead of offsets.
  const std::array<unsigned char, 58> old = {
      2,   0,   0,   0, 0, 0, 0, 0,  //
      8,   0,   0,   0, 0, 0, 0, 0,  //
      8,   0,   0,   0, 0, 0, 0, 0,  //
      1,   0,   0,   0, 0, 0, 0, 0,  //
      'a', 'b', 'c', 0, 0, 0, 0, 0,  //
      'q', 0,   0,   0, 0, 0, 0, 0,  //
      '8', 's', 0,   0, 0, 0, 0, 0,  //
      0,   1,
  };
  shared_memory m = block_of(old, "old");
  const unlink_on_destroy owner(m);
  CHECK(open_error(m.name()) == errc::incompatible);
  try {
    shareable_list::open(m.name());
    FAIL("opened");
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::incompatible);
    CHECK(std::string(e.what()).find(m.name()) != std::string::npos);
  }
}

TEST_CASE("blocks that hold no list are refused", "[shareable_list]") {
  for (const std::size_t bytes : {1u, 7u, 8u, 15u}) {
    const shared_memory m = shared_memory::create(unique_name("small"), bytes);
    const unlink_on_destroy owner(m);
    CHECK(open_error(m.name()) == errc::corrupted);
  }
  shared_memory m = shared_memory::create(unique_name("noise"), 4096);
  const unlink_on_destroy owner(m);
  std::fill(m.buf().begin(), m.buf().end(), std::byte{0xff});
  CHECK(open_error(m.name()) == errc::corrupted);
  std::fill(m.buf().begin(), m.buf().end(), std::byte{'a'});
  CHECK(open_error(m.name()) == errc::corrupted);
}

// Its format does not fit in eight characters: `10000000s`.
TEST_CASE("an element that has more room than a format can express", "[shareable_list]") {
  for (const std::uint64_t room : {std::uint64_t{9'999'992}, std::uint64_t{10'000'000}}) {
    shared_memory m = shared_memory::create(unique_name("roomy"), 16 + 2 * 17 + room + 8);
    const unlink_on_destroy owner(m);
    const auto words = m.as<std::uint64_t>();
    words[0] = 2;
    words[2] = room;
    words[3] = room + 8;
    const std::size_t formats = 4 + (room + 8) / 8;
    words[formats] = words[formats + 1] = 'q';
    shareable_list l = shareable_list::open(m.name());
    const auto before = copy_of(l);
    INFO("room: " << room);
    if (room < 10'000'000) {
      l[0] = std::string(room, 'x');
      CHECK(l.format(0) == "9999992s");
      CHECK(l.at(0) == value(std::string(room, 'x')));
      CHECK_THROWS_AS(l.set(0, std::string(room + 1, 'x')), std::length_error);
    } else {
      for (const value& v : {value("text"), value(bytes("bytes")), value(std::string("\0", 1)), value(1)}) {
        CHECK(error_of([&] { l.set(0, v); }) == errc::corrupted);
      }
      CHECK(read_error(l, 0) == errc::corrupted);
      CHECK(error_of([&] { l.room(0); }) == errc::corrupted);
      const bool unchanged = copy_of(l) == before;  // too long to be printed
      CHECK(unchanged);
    }
    CHECK(l.at(1) == value(0));
  }
}

TEST_CASE("forged fields of a list are corrupted", "[shareable_list]") {
  owned l(everything);
  const auto original = copy_of(l);
  const parts p(l);
  const auto restore = [&] { std::copy(original.begin(), original.end(), l.shm().buf().begin()); };
  const auto max = std::numeric_limits<std::uint64_t>::max();

  SECTION("the number of elements") {
    for (const std::uint64_t n : {max, max / 2, max / 2 + 1, max / 8, max / 16, max / 17, max / 17 + 1,
                                  std::uint64_t{1} << 60, std::uint64_t{1} << 61, std::uint64_t{11},
                                  std::uint64_t{10}, std::uint64_t{192}}) {
      put(l, 0, n);
      INFO("elements: " << n);
      CHECK(open_error(l.name()) == errc::corrupted);
    }
    for (std::uint64_t n = 0; n != 11; ++n) {  // other numbers may look like a valid list
      put(l, 0, n);
      if (open_error(l.name())) continue;
      const shareable_list m = shareable_list::open(l.name());
      for (std::size_t i = 0; i != m.size(); ++i) CHECK_NOTHROW(read_error(m, i));
    }
  }
  SECTION("the offset of the first element") {
    for (const std::uint64_t n : {max, std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{192},
                                  std::uint64_t{1} << 63}) {
      put(l, p.offset(0), n);
      CHECK(open_error(l.name()) == errc::corrupted);
      CHECK(read_error(l, 0) == errc::corrupted);  // in a list that is already open
    }
  }
  SECTION("the offsets of the others") {
    for (std::size_t i = 1; i != 7; ++i) {
      for (const std::uint64_t n : {max, max - 7, std::uint64_t{1} << 63, std::uint64_t{64},
                                    std::uint64_t{8 * i + 1}, std::uint64_t{8 * i + 4}}) {
        put(l, p.offset(i), n);
        shareable_list m = shareable_list::open(l.name());
        INFO("element " << i << " at " << n);
        CHECK(read_error(m, i - 1) == errc::corrupted);
        CHECK(read_error(m, i) == errc::corrupted);
        CHECK_THROWS_AS(m.set(i, 1), std::system_error);
        CHECK_THROWS_AS(m.room(i), std::system_error);
        CHECK_THROWS_AS(m.to_vector(), std::system_error);
        restore();
      }
      put(l, p.offset(i), 8 * (i - 1));  // no room for the previous element
      CHECK(read_error(l, i - 1) == errc::corrupted);
      restore();
    }
  }
  SECTION("the end of the last element") {
    for (const std::uint64_t n : {max, max - 7, std::uint64_t{57}, std::uint64_t{64},
                                  std::uint64_t{1} << 63, max / 2 - 6}) {
      put(l, p.offset(7), n);
      INFO("end: " << n);
      CHECK(open_error(l.name()) == errc::corrupted);
      CHECK(read_error(l, 6) == errc::corrupted);
    }
  }
  SECTION("formats") {
    const std::vector<std::string> wrong = {"",         "s",        "9s",      "99999999", "9999999s",
                                            "-1s",      "+1s",      " 8s",     "8s ",      "0x8s",
                                            "8",        "8sxx",     "8xs",     "8p",       "8sx8sx",
                                            "Q",        "i",        "dd",      "qx",       "xxxxxxx",
                                            "?xxxxxxx", "xxxxx?xx", "1e1s",     "8s\xff"};
    for (std::size_t i = 0; i != 7; ++i) {
      for (const std::string& f : wrong) {
        put_format(l, i, f);
        const auto code = l.shm().buf()[p.code(i)];
        for (int c = 0; c != 4; ++c) {
          put_code(l, i, c);
          INFO("element " << i << ", format \"" << f << "\", code " << c);
          CHECK(read_error(l, i) == errc::corrupted);
        }
        l.shm().buf()[p.code(i)] = code;
      }
      restore();
      put_format(l, i, "xxxxxxx?");
      l[i] = 5;  // writing repairs it
      CHECK(l.at(i) == value(5));
      restore();
    }
  }
  SECTION("codes") {
    const std::array<int, 7> right = {1, 2, 0, 0, 3, 0, 0};
    for (std::size_t i = 0; i != 7; ++i) {
      for (int c = 0; c != 256; ++c) {
        put_code(l, i, c);
        const bool string = i < 2 && (c == 1 || c == 2);  // the bytes are text as well
        INFO("element " << i << ", code " << c);
        if (c == right[i] || string) {
          CHECK_NOTHROW(l.at(i));
        } else {
          CHECK(read_error(l, i) == errc::corrupted);
        }
      }
      restore();
    }
  }
  restore();
  CHECK(l.to_vector() == everything);
}

TEST_CASE("a list's bytes, changed and cut off at random", "[shareable_list]") {
  const watchdog limit(std::chrono::seconds(300));
  std::vector<value> values = everything;
  values.emplace_back(std::string("\xc3\xa4\0\0", 4));
  values.emplace_back("a longer text than the others");
  owned l(values);
  std::vector<value> page(16, std::string(232, 'x'));
  page.back() = std::string(200, 'x');
  owned whole_page(page, "page");
  REQUIRE(whole_page.shm().size() == 4096);  // so what lies beyond is beyond the mapping
  std::minstd_rand random(random_seed());
  const std::vector<value> news = {1,    2.5,     true,  nullptr, "", "text", bytes("12345678"),
                                   "a text that is longer than most", std::string("\0", 1)};

  constexpr int mutations = 200'000;
  int opened = 0;
  std::uint64_t read = 0;
  std::uint64_t refused = 0;
  for (owned* list : {&l, &whole_page}) {
    const auto original = copy_of(*list);
    const std::size_t bytes = original.size();
    const parts p(*list);
    for (int round = 0; round != mutations / 2; ++round) {
      std::byte* const at = list->shm().buf().data();
      const unsigned kind = static_cast<unsigned>(random() % 16);
      for (auto n = 1 + random() % (kind < 12 ? 2 : 8); n != 0; --n) {
        // Mostly not the data, which may be anything.
        std::size_t i = random() % bytes;
        if (random() % 8 != 0 && i >= p.data() && i < p.format(0)) {
          i = random() % 2 == 0 ? i % p.data() : p.format(0) + i % (bytes - p.format(0));
        }
        const std::array<unsigned, 8> likely = {0, 1, 7, 8, 0x7f, 0x80, 0xff, 's'};
        const auto choice = random() % 12;
        at[i] = choice < 8    ? static_cast<std::byte>(likely[choice])
                : choice < 10 ? at[i] ^ static_cast<std::byte>(1u << random() % 8)
                              : static_cast<std::byte>(random());
      }
      const bool cut = kind == 0;
      if (cut) {
        REQUIRE(::ftruncate(list->shm().native_handle(), static_cast<off_t>(random() % bytes)) == 0);
      }
      error_code ec;
      shareable_list m = shareable_list::open(list->name(), access::read_write, ec);
      if (!ec) {
        ++opened;
        if (m.size() > bytes) FAIL("more elements than bytes");
        const auto attempt = [&](auto&& f) {
          try {
            f();
            ++read;
          } catch (const std::exception&) {
            ++refused;
          }
        };
        if (round % 8 == 0) {
          for (std::size_t i = 0; i != m.size(); ++i) attempt([&] { m.at(i); });
        }
        attempt([&] { m.at(random() % (m.size() + 1)); });
        const std::size_t i = random() % (m.size() + 1);
        const value& v = news[random() % news.size()];
        attempt([&] {
          m.set(i, v);
          if (round % 4 == 0 && m.at(i) != v) FAIL("what was set is not what is read");
        });
        attempt([&] { m.room(i); });
        if (round % 8 == 0) attempt([&] { m.count(v); });
        if (m.format().size() > 8 * m.size()) FAIL("formats");
      }
      if (cut) {
        REQUIRE(::ftruncate(list->shm().native_handle(), static_cast<off_t>(bytes)) == 0);
      }
      std::memcpy(at, original.data(), bytes);
    }
  }
  CHECK(l.to_vector() == values);
  CHECK(opened > 0);
  CHECK(read > 0);
  CHECK(refused > 0);
}
