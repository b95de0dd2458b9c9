// The description of a type as text; whatever text comes from a segment; what is different between two of them.
#include "../../src/segment/description.hpp"

#include "support/test.hpp"

#include <belfry/describe.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

using namespace belfry;
using namespace belfry::test;
using detail::description;
using detail::description_of;
using detail::difference;
using detail::parse_description;
using detail::type_kind;

namespace description_test {

enum class side : std::uint8_t { buy, sell };

struct tick {
  std::uint64_t seq;
  double price;
};
BOOST_DESCRIBE_STRUCT(tick, (), (seq, price))

struct numbered {
  std::uint64_t a;
  char text[5];
  side b;
};

struct leg {
  std::uint32_t quantity;
  side way;
};
BOOST_DESCRIBE_STRUCT(leg, (), (quantity, way))
struct order {
  std::chrono::sys_time<std::chrono::nanoseconds> at;
  leg legs[2];
  std::array<char, 8> symbol;
  struct {
    int hidden : 3;
  } flags;
};
BOOST_DESCRIBE_STRUCT(order, (), (at, legs, symbol, flags))

namespace other {
struct tick {
  std::uint64_t seq;
  std::int64_t price;
};
BOOST_DESCRIBE_STRUCT(tick, (), (seq, price))
struct swapped {
  double price;
  std::uint64_t seq;
};
BOOST_DESCRIBE_STRUCT(swapped, (), (price, seq))
struct longer {
  std::uint64_t seq;
  double price;
  std::uint64_t volume;
};
BOOST_DESCRIBE_STRUCT(longer, (), (seq, price, volume))
struct numbered {
  std::uint64_t a;
  char text[5];
  std::uint8_t b;
};
struct leg {
  std::int32_t quantity;
  side way;
};
BOOST_DESCRIBE_STRUCT(leg, (), (quantity, way))
struct order {
  std::chrono::sys_time<std::chrono::nanoseconds> at;
  leg legs[2];
  std::array<char, 8> symbol;
  std::uint32_t flags;
};
BOOST_DESCRIBE_STRUCT(order, (), (at, legs, symbol, flags))
}  // namespace other

// More than fits: 8 * 8 * 8 fields.
template <class T>
struct eight {
  T aaaaaaaaaa, bbbbbbbbbb, cccccccccc, dddddddddd, eeeeeeeeee, ffffffffff, gggggggggg, hhhhhhhhhh;
  BOOST_DESCRIBE_CLASS(eight, (),
                       (aaaaaaaaaa, bbbbbbbbbb, cccccccccc, dddddddddd, eeeeeeeeee, ffffffffff, gggggggggg, hhhhhhhhhh),
                       (), ())
};
template <class T>
struct nested {
  T inner[1];
};
template <std::size_t N>
struct deep {
  using type = nested<typename deep<N - 1>::type>;
};
template <>
struct deep<0> {
  using type = int;
};


namespace {

template <class T>
std::string text_of() {
  return detail::to_json(description_of<T>);
}
description parsed(std::string_view text) {
  std::string error;
  const auto type = parse_description(text, error);
  INFO(text << "\n" << error);
  REQUIRE(type);
  return *type;
}
std::string refused(std::string_view text) {
  std::string error;
  CHECK_FALSE(parse_description(text, error));
  CHECK_FALSE(error.empty());
  return error;
}
template <class Found, class Expected>
std::string difference_of() {
  return difference(text_of<Found>(), description_of<Expected>);
}

}  // namespace

TEST_CASE("the text of a description", "[description]") {
  CHECK(text_of<tick>() ==
        R"({"name":"tick","bytes":16,"align":8,"kind":"struct","fields":[)"
        R"({"name":"seq","type":"u64","offset":0},{"name":"price","type":"f64","offset":8}]})");
  CHECK(text_of<numbered>() ==
        R"({"name":"numbered","bytes":16,"align":8,"kind":"struct","fields":[{"type":"u64","offset":0},)"
        R"({"type":{"bytes":5,"align":1,"kind":"array","count":5,"of":"char"},"offset":8},)"
        R"({"type":{"name":"side","bytes":1,"align":1,"kind":"enum","of":"u8"},"offset":13}]})");
  CHECK(text_of<double>() == R"({"name":"f64","bytes":8,"align":8,"kind":"f64"})");
  CHECK(text_of<std::chrono::milliseconds>() ==
        R"({"bytes":8,"align":8,"kind":"duration","of":"i64","ratio":[1,1000]})");
  CHECK(text_of<std::chrono::sys_seconds>() ==
        R"({"bytes":8,"align":8,"kind":"time_point","clock":"system_clock","of":)"
        R"({"bytes":8,"align":8,"kind":"duration","of":"i64","ratio":[1,1]}})");
  CHECK(text_of<int*>().find("\"opaque\"") != std::string::npos);
}

TEST_CASE("a description is read as it was written", "[description]") {
  const auto check = [](const std::string& text) {
    CHECK(detail::to_json(parsed(text)) == text);
  };
  check(text_of<tick>());
  check(text_of<numbered>());
  check(text_of<order>());
  check(text_of<double>());
  check(text_of<long double>());
  check(text_of<std::chrono::steady_clock::time_point>());
  check(text_of<eight<int>>());
  check(text_of<deep<6>::type>());
}

TEST_CASE("a description that is too long says less", "[description]") {
  const description all = parsed(text_of<eight<eight<int>>>());
  REQUIRE(all.fields.size() == 8);
  CHECK(all.fields[7].type.kind == type_kind::structure);

  using large = eight<eight<eight<int>>>;
  const description some = parsed(text_of<large>());
  REQUIRE(some.fields.size() == 8);
  CHECK(some.fields[7].type.kind == type_kind::opaque);
  CHECK(some.fields[7].type.bytes == 256);

  const std::string none = detail::to_json(description_of<large>, 200);
  CHECK(none.size() <= 200);
  CHECK(parsed(none).kind == type_kind::opaque);
  CHECK(parsed(none).bytes == sizeof(large));

  CHECK(difference(detail::to_json(description_of<large>), description_of<large>).empty());
  CHECK(difference(none, description_of<large>, 200).empty());
}

TEST_CASE("what is nested deeper than can be read is opaque", "[description]") {
  const description type = parsed(text_of<deep<40>::type>());
  const description* inner = &type;
  std::size_t depth = 1;
  while (!inner->of.empty() || !inner->fields.empty()) {
    inner = inner->of.empty() ? &inner->fields.front().type : &inner->of.front();
    ++depth;
  }
  CHECK(inner->kind == type_kind::opaque);
  CHECK(depth == 16);
}

TEST_CASE("the difference is said in one line", "[description]") {
  CHECK((difference_of<tick, other::tick>()) ==
        "field \"price\" is f64 at offset 8 there, i64 here; there: tick {u64 seq; f64 price;}, "
        "here: tick {u64 seq; i64 price;}");
  CHECK_THAT((difference_of<tick, other::swapped>()),
             contains("field \"price\" is f64 at offset 8 there, f64 at offset 0 here"));
  CHECK_THAT((difference_of<tick, other::longer>()), contains("field \"volume\" is missing there;"));
  CHECK_THAT((difference_of<other::longer, tick>()), contains("field \"volume\" is missing here;"));
  CHECK_THAT((difference_of<numbered, other::numbered>()),
             contains("field 2 is enum side (u8) at offset 13 there, u8 here"));
  CHECK_THAT((difference_of<order, other::order>()), contains("field \"legs[].quantity\" is u32 at offset 0 there, i32 here"));
  CHECK_THAT((difference_of<tick, numbered>()), contains("names there, none here"));
  CHECK_THAT((difference_of<int, double>()), contains("the type is i32 there, f64 here"));
  CHECK_THAT((difference_of<tick, double>()), contains("the type is tick there, f64 here"));
  CHECK_THAT((difference_of<int[3], int[4]>()), contains("the type is i32[3] there, i32[4] here"));
  CHECK((difference_of<tick, tick>()).empty());
  CHECK_THAT(difference("nonsense", description_of<tick>), contains("cannot be read: the description is not JSON"));
}

TEST_CASE("a text is refused with what is wrong where", "[description]") {
  const auto field = [](const std::string& more) {
    return R"({"name":"t","bytes":8,"align":4,"kind":"struct","fields":[{"type":"u32","offset":0},)" + more + "]}";
  };
  CHECK(refused("") == "the description is not JSON");
  CHECK(refused("\"u64\"") == "type is not an object");
  CHECK(refused("{}") == "type.bytes is missing");
  CHECK(refused(R"({"bytes":0,"align":1,"kind":"opaque"})") == "type.bytes is 0");
  CHECK(refused(R"({"bytes":-8,"align":1,"kind":"opaque"})") == "type.bytes is not a natural number");
  CHECK(refused(R"({"bytes":1e3,"align":1,"kind":"opaque"})") == "type.bytes is not a natural number");
  CHECK(refused(R"({"bytes":99999999999999999999,"align":1,"kind":"opaque"})") == "type.bytes is not a natural number");
  CHECK(refused(R"({"bytes":18446744073709551615,"align":1,"kind":"opaque"})") == "type.bytes is too large");
  CHECK(refused(R"({"bytes":8,"align":3,"kind":"opaque"})") == "type.align is no alignment of such a type");
  CHECK(refused(R"({"bytes":8,"align":16,"kind":"opaque"})") == "type.align is no alignment of such a type");
  CHECK(refused(R"({"bytes":8,"align":8,"kind":"u32"})") == "type.bytes is not the size of u32");
  CHECK(refused(R"({"bytes":8,"align":8,"kind":"union"})") == "type.kind is not known");
  CHECK(refused(R"({"bytes":8,"align":8,"kind":7})") == "type.kind is not a text");
  CHECK(refused(field(R"({"type":"u32","offset":5})")) == "type.fields[1] ends outside of its structure");
  CHECK(refused(field(R"({"type":"u32","offset":18446744073709551615})")) == "type.fields[1].offset is too large");
  CHECK(refused(field(R"({"type":"u33","offset":4})")) == "type.fields[1].type is no number that is known");
  CHECK(refused(field(R"({"type":"u64","offset":0})")) == "type.fields overlap");
  CHECK(refused(field(R"({"type":"u32"})")) == "type.fields[1].offset is missing");
  CHECK(refused(field(R"(7)")) == "type.fields[1] is not a field");
  CHECK_THAT(refused(field(R"({"name":"a","type":"u32","offset":4})")), contains("has a name, and another"));
  CHECK(refused(R"({"bytes":8,"align":8,"kind":"array","count":3,"of":"u16"})") ==
        "type.count does not fit the number of bytes");
  CHECK(refused(R"({"bytes":8,"align":8,"kind":"array","count":0,"of":"u16"})") ==
        "type.count does not fit the number of bytes");
  CHECK(refused(R"({"bytes":8,"align":8,"kind":"enum","of":"u16"})") == "type.of has another size");
  CHECK(refused(R"({"bytes":8,"align":8,"kind":"duration","of":"i64","ratio":[1,0]})") ==
        "type.ratio is not a pair of positive integers");
  CHECK(refused(R"({"bytes":8,"align":8,"kind":"time_point","clock":"c","of":"i64"})") == "type.of is no duration");
  CHECK_THAT(refused(std::string(20000, ' ')), contains("longer than 16384 bytes"));
  CHECK_THAT(refused(std::string(16000, '[')), contains("nested too deep"));

  std::string deep = "\"u8\"";
  for (int i = 0; i != 30; ++i) deep = R"({"bytes":1,"align":1,"kind":"array","count":1,"of":)" + deep + '}';
  CHECK_THAT(refused(deep), contains("is nested too deep"));
}

TEST_CASE("a name from a segment cannot steer a terminal", "[description]") {
  const description type = parsed("{\"name\":\"a\\u001b[2Jb\\u0000\\u009bc\",\"bytes\":1,\"align\":1,\"kind\":\"opaque\"}");
  CHECK(type.name == "a?[2Jb??c");
  CHECK(parsed(R"({"name":")" + std::string(5000, 'x') + R"(","bytes":1,"align":1,"kind":"opaque"})").name.size() == 200);
}

// With the sanitizers, a test; without, a smoke test.
TEST_CASE("no text breaks the reader, or what is done with what it accepts", "[description]") {
  const std::vector<std::string> good{text_of<tick>(), text_of<numbered>(), text_of<order>(),
                                      text_of<std::chrono::sys_seconds>(), text_of<eight<tick>>()};
  const std::vector<std::string> pieces{
      "0", "-1", "1e9", "18446744073709551615", "4294967296", "\"u8\"", "\"struct\"", "\"array\"", "\"duration\"", "[", "]",
      "{", "}", ",", ":", "\"", "\"of\":", "\"fields\":", "\"count\":", "null", "\\u0000", "\xff", "true"};
  std::mt19937 random(20240601);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  const std::size_t rounds = 10000;
  std::size_t accepted = 0;
  for (std::size_t round = 0; round != rounds; ++round) {
    std::string text = good[below(good.size())];
    for (std::size_t changes = 1 + below(3); changes != 0; --changes) {
      const std::size_t at = below(text.size());
      switch (below(5)) {
        case 0: text[at] = static_cast<char>(below(256)); break;
        case 1: text.erase(at, 1 + below(8)); break;
        case 2: text.insert(at, pieces[below(pieces.size())]); break;
        case 3: {  // another number
          const std::size_t digit = text.find_first_of("0123456789", at);
          if (digit != text.npos) text[digit] = static_cast<char>('0' + below(10));
          break;
        }
        default: {  // a part of the text, at another place
          const std::string part = text.substr(at, below(60));
          text.insert(below(text.size()), part);
        }
      }
      if (text.empty()) text = "{";
    }
    std::string error;
    const auto type = parse_description(text, error);
    CHECK(type.has_value() == error.empty());
    if (!type) continue;
    ++accepted;
    CHECK(parse_description(detail::to_json(*type), error));
    difference(*type, parsed(good[below(good.size())]));
    if (type->bytes > 100000) continue;
    std::vector<std::byte> value(type->bytes);  // exactly: a sanitizer sees one byte more
    for (std::byte& b : value) b = static_cast<std::byte>(below(256));
    const std::string json = detail::value_to_json(*type, value.data());
    CHECK(detail::value_from_json(*type, json).size() == type->bytes);
  }
  CHECK(accepted > rounds / 50);
}

TEST_CASE("fields that overlap cannot make a value's text longer than its bytes allow", "[description]") {
  std::string fields;
  for (int i = 0; i != 200; ++i) {
    fields += R"({"type":{"bytes":1048576,"align":1,"kind":"array","count":1048576,"of":"u8"},"offset":0},)";
  }
  fields.pop_back();
  fields.resize(std::min<std::size_t>(fields.size(), 14000));
  fields.resize(fields.rfind("},{") + 1);
  CHECK(refused(R"({"bytes":1048576,"align":1,"kind":"struct","fields":[)" + fields + "]}") == "type.fields overlap");
}

}  // namespace description_test
