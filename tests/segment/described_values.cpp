// Values of described types as JSON, and from it.
#include "support/test.hpp"

#include <belfry/describe.hpp>
#include <belfry/error.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace values_test {

enum class side : std::int16_t { buy = -1, sell = 1 };

struct leg {
  std::uint8_t quantity;
  double price;
};
BOOST_DESCRIBE_STRUCT(leg, (), (quantity, price))

struct order {
  std::uint64_t id;
  std::int8_t small;
  bool live;
  char code;
  side way;
  float ratio;
  std::byte raw;
  char symbol[6];
  std::chrono::sys_time<std::chrono::nanoseconds> at;
  leg legs[3];
  std::array<std::array<std::uint16_t, 2>, 2> grid;
  std::optional<std::uint32_t> limit;
  long double precise;
};
BOOST_DESCRIBE_STRUCT(order, (), (id, small, live, code, way, ratio, raw, symbol, at, legs, grid, limit, precise))

struct numbered {
  std::uint32_t a;
  leg b;
};
struct empty {};


namespace {

template <class T>
std::string json_of(const T& value) {
  return described_type::of<T>().to_json(std::as_bytes(std::span(&value, 1)));
}
template <class T>
T made(std::string_view json) {
  const std::vector<std::byte> bytes = described_type::of<T>().from_json(json);
  REQUIRE(bytes.size() == sizeof(T));
  T value;
  std::memcpy(static_cast<void*>(&value), bytes.data(), sizeof value);
  return value;
}
template <class T>
std::string refused(std::string_view json) {
  try {
    described_type::of<T>().from_json(json);
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::invalid_argument);
    return e.what();
  }
  FAIL("accepted " << json);
  return {};
}

}  // namespace

TEST_CASE("a value is shown by its fields", "[described_values]") {
  order o;
  std::memset(static_cast<void*>(&o), 0, sizeof o);
  o.id = std::numeric_limits<std::uint64_t>::max();
  o.small = -128;
  o.live = true;
  o.code = '"';
  o.way = side::buy;
  o.ratio = 0.1f;
  o.raw = std::byte{255};
  std::memcpy(o.symbol, "ab\0cd", 6);
  o.at = std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(-5));
  o.legs[1] = {7, 1.5};
  o.legs[2] = {8, -0.0};
  o.grid = {{{1, 2}, {3, 4}}};
  const std::string json = json_of(o);
  CHECK_THAT(json, contains(R"({"id":18446744073709551615,"small":-128,"live":true,"code":"\"","way":-1,"ratio":0.1,)"
                            R"("raw":255,"symbol":"ab","at":-5,"legs":[{"quantity":0,"price":0.0},)"
                            R"({"quantity":7,"price":1.5},{"quantity":8,"price":-0.0}],"grid":[[1,2],[3,4]],)"
                            R"("limit":"0000000000000000","precise":"00)"));
  CHECK(json_of(numbered{3, {4, 5}}) == R"([3,{"quantity":4,"price":5.0}])");
  CHECK(json_of(empty{}) == "[]");
  CHECK(json_of(42) == "42");
  CHECK(json_of(std::array<char, 3>{'a', 'b', 'c'}) == R"("abc")");
  CHECK(json_of(std::array<char, 3>{'a', '\x1b', 'c'}) == R"(["a",27,"c"])");
  CHECK(json_of(std::array<char, 2>{'\xc3', '\xa4'}) == "\"\xc3\xa4\"");
  CHECK(json_of(std::array<char, 2>{'\xc3', '\0'}) == "[195,0]");
  CHECK(json_of(std::numeric_limits<double>::quiet_NaN()) == R"("nan")");
  CHECK(json_of(-std::numeric_limits<float>::infinity()) == R"("-inf")");
}

TEST_CASE("a value is made from its fields", "[described_values]") {
  const order o = made<order>(
      R"({"limit":"0102030405060708","id":18446744073709551615,"small":-128,"live":true,"code":65,"way":-1,
          "ratio":1e-3,"raw":255,"symbol":"abcdef","at":-5,
          "legs":[{"quantity":0,"price":"nan"},{"price":2,"quantity":255},{"quantity":8,"price":"-inf"}],
          "grid":[[1,2],[3,65535]],"precise":"00000000000000000000000000000000"})");
  CHECK(o.id == std::numeric_limits<std::uint64_t>::max());
  CHECK(o.small == -128);
  CHECK(o.live);
  CHECK(o.code == 'A');
  CHECK(o.way == side::buy);
  CHECK(o.ratio == 1e-3f);
  CHECK(std::string_view(o.symbol, 6) == "abcdef");
  CHECK(o.at.time_since_epoch().count() == -5);
  CHECK(std::isnan(o.legs[0].price));
  CHECK(o.legs[1].price == 2);
  CHECK(o.legs[2].price == -std::numeric_limits<double>::infinity());
  CHECK(o.grid[1][1] == 65535);

  CHECK(made<numbered>(R"([3,{"quantity":4,"price":5}])").b.quantity == 4);
  CHECK(made<std::array<char, 3>>("\"\"") == std::array<char, 3>{});
  CHECK(made<std::array<char, 3>>(R"(["a",66,255])") == std::array<char, 3>{'a', 'B', '\xff'});
  CHECK(made<float>("3.4028234663852886e38") == std::numeric_limits<float>::max());
  made<empty>("[]");
}

TEST_CASE("what does not fit is said with its place", "[described_values]") {
  CHECK_THAT(refused<leg>(R"({"quantity":300,"price":1})"), contains(".quantity: 300 does not fit in u8"));
  CHECK_THAT(refused<leg>(R"({"quantity":-1,"price":1})"), contains(".quantity: -1 does not fit in u8"));
  CHECK_THAT(refused<leg>(R"({"quantity":1.0,"price":1})"), contains(".quantity: 1.0 is not an integer"));
  CHECK_THAT(refused<leg>(R"({"quantity":1})"), contains(".price: missing"));
  CHECK_THAT(refused<leg>(R"({"quantity":1,"price":1,"prize":2})"), contains("\"prize\" is not a field"));
  CHECK_THAT(refused<leg>(R"({"quantity":1,"price":"x"})"), contains(".price: \"x\" is not a number"));
  CHECK_THAT(refused<leg>("[1,2]"), contains("the value: a list is not an object"));
  CHECK_THAT(refused<numbered>("[1]"), contains("a list is not a list of 2 fields"));
  CHECK_THAT(refused<numbered>(R"([1,{"quantity":"?","price":1}])"), contains("[1].quantity: \"?\" is not an integer"));
  using legs = std::array<leg, 2>;
  CHECK_THAT(refused<legs>(R"([{"quantity":1,"price":1},{"quantity":256,"price":1}])"),
             contains("[1].quantity: 256 does not fit in u8"));
  CHECK_THAT(refused<legs>("[]"), contains("a list of 0 is not a list of 2"));
  CHECK_THAT((refused<std::array<char, 3>>("\"four\"")), contains("a text of 4 bytes does not fit in 3"));
  CHECK_THAT(refused<bool>("1"), contains("1 is neither true nor false"));
  CHECK_THAT(refused<std::int64_t>("9223372036854775808"), contains("does not fit in i64"));
  CHECK_THAT(refused<std::uint64_t>("18446744073709551616"), contains("is not an integer"));
  CHECK_THAT(refused<float>("3.5e38"), contains("does not fit in f32"));
  CHECK_THAT(refused<long double>("1"), contains("is not a text of 32 hexadecimal digits"));
  CHECK_THAT(refused<int>("{"), contains("not JSON: "));
  CHECK_THAT(refused<int>(std::string(100000, '[')), contains("nested too deep"));
  CHECK(made<std::int64_t>("-9223372036854775808") == std::numeric_limits<std::int64_t>::min());

  const auto type = described_type::of<int>();
  CHECK_THROWS_WITH(type.to_json({}), contains("0 bytes: a value has 4"));
  try {
    described_type::parse("{}");
    FAIL();
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::corrupted);
    CHECK_THAT(e.what(), contains("type.bytes is missing"));
  }
}

TEST_CASE("a type that was read does what the program's own type does", "[described_values]") {
  const auto own = described_type::of<order>();
  const auto read = described_type::parse(own.description());
  CHECK(read.description() == own.description());
  CHECK(read.name() == "order");
  CHECK(read.bytes() == sizeof(order));
  CHECK(read.align() == alignof(order));
  CHECK_FALSE(read.is_opaque());
  CHECK(described_type::of<std::optional<int>>().is_opaque());
  std::vector<std::byte> value(sizeof(order), std::byte{1});
  CHECK(read.to_json(value) == own.to_json(value));
}

// Of every byte that is part of a field; not of NaNs, and of what follows the NUL of a text.
TEST_CASE("bytes, their JSON and the bytes of that are the same value", "[described_values]") {
  const auto type = described_type::of<order>();
  std::mt19937_64 random(7);
  for (int round = 0; round != 1000; ++round) {
    std::vector<std::byte> value(sizeof(order));
    for (std::byte& b : value) b = static_cast<std::byte>(random());
    if (round % 2 == 0) {
      for (std::size_t i = offsetof(order, symbol); i != offsetof(order, symbol) + 6; ++i) {
        value[i] = static_cast<std::byte>("abc \"\\"[random() % 6]);
      }
    }
    const std::string json = type.to_json(value);
    const std::vector<std::byte> again = type.from_json(json);
    INFO(json);
    CHECK(type.to_json(again) == json);
    const auto same = [&](std::size_t offset, std::size_t bytes) {
      return std::memcmp(value.data() + offset, again.data() + offset, bytes) == 0;
    };
    CHECK(same(offsetof(order, id), 9));
    CHECK(same(offsetof(order, code), 1));
    CHECK(same(offsetof(order, way), 2));
    CHECK(same(offsetof(order, raw), 1));
    CHECK(same(offsetof(order, at), 8));
    CHECK(same(offsetof(order, legs), 1));
    CHECK(same(offsetof(order, grid), 8));
    CHECK(same(offsetof(order, limit), 8));
    CHECK(same(offsetof(order, precise), 16));
    float ratio = 0;
    std::memcpy(&ratio, value.data() + offsetof(order, ratio), 4);
    CHECK((std::isnan(ratio) || same(offsetof(order, ratio), 4)));
    double price = 0;
    std::memcpy(&price, value.data() + offsetof(order, legs) + offsetof(leg, price), 8);
    CHECK((std::isnan(price) || same(offsetof(order, legs) + offsetof(leg, price), 8)));
  }
}

}  // namespace values_test
