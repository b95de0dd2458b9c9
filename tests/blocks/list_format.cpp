// The bytes of a list, which are the same as CPython's.
#include "lists.hpp"

#include <array>
#include <string>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

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
