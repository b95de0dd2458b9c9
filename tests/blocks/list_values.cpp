// The values of a list: searched, compared, printed.
#include "lists.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

using namespace belfry;
using namespace belfry::test;

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

TEST_CASE("values are printed as text", "[shareable_list]") {
  const owned l({"te\"xt", bytes("bytes"), 1.5, -3, nullptr, true, false});
  std::ostringstream out;
  for (const value& v : std::as_const(l)) belfry::operator<<(out, v) << ' ';
  CHECK(out.str() == "\"te\\\"xt\" b\"bytes\" 1.5 -3 None True False ");
}
