// CPython's pickles, byte for byte in both directions. Everything else is refused.
#include "../../src/manager/wire/pickle.hpp"

#include "support/catch.hpp"

#include <limits>
#include <random>
#include <set>
#include <stdexcept>

namespace pickle = belfry::detail::pickle;

namespace {

constexpr pickle::none no_value;

pickle::value pickled_list(std::vector<pickle::value> items) {
  return pickle::list{std::move(items)};
}
pickle::value pickled_tuple(std::vector<pickle::value> items) {
  return pickle::tuple{std::move(items)};
}
pickle::value pickled_integer(std::int64_t i) { return i; }

std::string repeated(std::size_t times, std::string_view what) {
  std::string all;
  all.reserve(times * what.size());
  for (; times != 0; --times) all += what;
  return all;
}

/// Bytes in hexadecimal, `00*7` for seven of them, text in quotes.
std::string pickle_bytes(std::string_view notation) {
  std::string all;
  for (std::size_t i = 0; i < notation.size();) {
    if (notation[i] == ' ') {
      ++i;
    } else if (notation[i] == '\'') {
      const std::size_t end = notation.find('\'', i + 1);
      all += notation.substr(i + 1, end - i - 1);
      i = end + 1;
    } else {
      const int byte = std::stoi(std::string(notation.substr(i, 2)), nullptr, 16);
      i += 2;
      std::size_t times = 1;
      if (i < notation.size() && notation[i] == '*') {
        std::size_t digits = 0;
        times = static_cast<std::size_t>(std::stoul(std::string(notation.substr(i + 1)), &digits));
        i += 1 + digits;
      }
      all.append(times, static_cast<char>(byte));
    }
  }
  return all;
}

std::string little_endian(std::uint64_t v, int bytes) {
  std::string all;
  for (; bytes != 0; --bytes, v >>= 8) all += static_cast<char>(v);
  return all;
}

std::string unframed(std::string_view body) { return pickle_bytes("80 04") + std::string(body); }
std::string unframed_notation(std::string_view notation) {
  return unframed(pickle_bytes(notation));
}

/// A BINUNICODE opcode with all its five bytes.
std::string long_text(std::string_view text) {
  return "\x58" + little_endian(text.size(), 4) + std::string(text);
}

pickle::value read_pickle(std::string_view bytes) {
  belfry::detail::failure f;
  pickle::value v = pickle::load(bytes, f);
  INFO(f.what);
  REQUIRE_FALSE(f);
  return v;
}

/// The error; empty if the pickle is valid.
std::string pickle_fault(std::string_view bytes) {
  belfry::detail::failure f;
  const pickle::value v = pickle::load(bytes, f);
  if (!f) return {};
  CHECK(f.code == belfry::errc::protocol_error);
  CHECK(v == pickle::value(no_value));
  return f.what;
}

std::string fault_of(std::string_view notation) {
  return pickle_fault(unframed_notation(notation));
}

struct pickle_of_python {
  const char* notation;
  pickle::value means;
};

const std::vector<pickle_of_python>& pickles_of_python() {
  static const std::vector<pickle_of_python> all = {
      {"80 04 95 10 00*7 28 4e 8c 05 'dummy' 94 29 7d 94 74 94 2e",
       pickled_tuple({no_value, "dummy", pickled_tuple({}), pickle::dict{}})},
      {"80 04 95 28 00*7 28 4e 8c 0d 'track_segment' 94 8c 0c 'psm_12345678' 94 85 94 7d 94 74 94 "
       "2e",
       pickled_tuple({no_value, "track_segment", pickled_tuple({"psm_12345678"}), pickle::dict{}})},
      {"80 04 95 0e 00*7 8c 07 '#RETURN' 94 4e 86 94 2e", pickled_tuple({"#RETURN", no_value})},
      {"80 04 95 19 00*7 8c 07 '#RETURN' 94 5d 94 28 8c 01 'a' 94 8c 01 'b' 94 65 86 94 2e",
       pickled_tuple({"#RETURN", pickled_list({"a", "b"})})},
      {"80 04 95 14 00*7 8c 07 '#RETURN' 94 5d 94 8c 01 'a' 94 61 86 94 2e",
       pickled_tuple({"#RETURN", pickled_list({"a"})})},
      {"80 04 95 0f 00*7 8c 07 '#RETURN' 94 5d 94 86 94 2e",
       pickled_tuple({"#RETURN", pickled_list({})})},
      {"80 04 95 22 00*7 8c 07 '#RETURN' 94 5d 94 28 8c 0c 'psm_12345678' 94 68 02 65 86 94 2e",
       pickled_tuple({"#RETURN", pickled_list({"psm_12345678", "psm_12345678"})})},
      {"80 04 95 0f 00*7 8c 01 'a' 94 8c 01 'b' 94 8c 01 'c' 94 87 94 2e",
       pickled_tuple({"a", "b", "c"})},
      {"80 04 95 23 00*7 5d 94 28 4b 00 4b ff 4d 00 01 4d ff ff 4a 00 00 01 00 4a ff ff ff ff"
       " 4a ff ff ff 7f 4a 00 00 00 80 65 2e",
       pickled_list({pickled_integer(0), pickled_integer(255), pickled_integer(256),
                     pickled_integer(65535), pickled_integer(65536), pickled_integer(-1),
                     pickled_integer(0x7fffffff), pickled_integer(-0x80000000LL)})},
      {"80 04 4e 2e", no_value},
      {"80 04 29 2e", pickled_tuple({})},
      {"80 04 7d 94 2e", pickle::dict{}},
  };
  return all;
}

const std::set<int> allowed_opcodes = {
    0x28, 0x29, 0x2e, 0x4a, 0x4b, 0x4d, 0x4e, 0x58, 0x5d, 0x61, 0x65,
    0x68, 0x6a, 0x74, 0x7d, 0x85, 0x86, 0x87, 0x8c, 0x94, 0x95,
};

}  // namespace

TEST_CASE("pickles of CPython are read", "[pickle]") {
  for (const auto& [notation, means] : pickles_of_python()) {
    INFO(notation);
    std::string bytes = pickle_bytes(notation);
    CHECK(read_pickle(bytes) == means);
    bytes[1] = 5;  // the default of 3.14; otherwise the same
    CHECK(read_pickle(bytes) == means);
  }
}

TEST_CASE("a string in a CPython pickle may lie outside the frames", "[pickle]") {
  const std::string text(70'000, 'x');
  const std::string bytes = pickle_bytes("80 04 95 0c 00*7 8c 0a '#TRACEBACK'") + long_text(text) +
                            pickle_bytes("95 04 00*7 94 86 94 2e");
  CHECK(read_pickle(bytes) == pickled_tuple({"#TRACEBACK", text}));
}

TEST_CASE("values are pickled as these bytes", "[pickle]") {
  const auto pickles_as = [](const pickle::value& v, std::string_view notation) {
    INFO(notation);
    CHECK(pickle::dump(v) == pickle_bytes(notation));
    CHECK(read_pickle(pickle::dump(v)) == v);
  };
  pickles_as(no_value, "80 04 4e 2e");
  pickles_as(pickle::dict{}, "80 04 7d 2e");
  pickles_as(pickled_tuple({no_value, "dummy", pickled_tuple({}), pickle::dict{}}),
             "80 04 28 4e 8c 05 'dummy' 29 7d 74 2e");
  pickles_as(
      pickled_tuple({no_value, "track_segment", pickled_tuple({"psm_12345678"}), pickle::dict{}}),
      "80 04 28 4e 8c 0d 'track_segment' 8c 0c 'psm_12345678' 85 7d 74 2e");
  pickles_as(pickled_tuple({"#RETURN", no_value}), "80 04 8c 07 '#RETURN' 4e 86 2e");
  pickles_as(pickled_tuple({"a", "b", "c"}), "80 04 8c 01 'a' 8c 01 'b' 8c 01 'c' 87 2e");
  pickles_as(pickled_list({}), "80 04 5d 2e");
  pickles_as(pickled_list({"a"}), "80 04 5d 8c 01 'a' 61 2e");
  pickles_as(pickled_list({"a", "b"}), "80 04 5d 28 8c 01 'a' 8c 01 'b' 65 2e");
  pickles_as("", "80 04 8c 00 2e");
  pickles_as(std::string(255, 'x'), "80 04 8c ff 78*255 2e");
  pickles_as(std::string(256, 'x'), "80 04 58 00 01 00 00 78*256 2e");
  pickles_as(pickled_integer(0), "80 04 4b 00 2e");
  pickles_as(pickled_integer(255), "80 04 4b ff 2e");
  pickles_as(pickled_integer(256), "80 04 4d 00 01 2e");
  pickles_as(pickled_integer(65535), "80 04 4d ff ff 2e");
  pickles_as(pickled_integer(65536), "80 04 4a 00 00 01 00 2e");
  pickles_as(pickled_integer(-1), "80 04 4a ff ff ff ff 2e");
  pickles_as(pickled_integer(0x7fffffff), "80 04 4a ff ff ff 7f 2e");
  pickles_as(pickled_integer(-0x80000000LL), "80 04 4a 00 00 00 80 2e");
}

TEST_CASE("a value that could not be read again is not pickled", "[pickle]") {
  CHECK_THROWS_AS(pickle::dump(pickled_integer(0x80000000LL)), std::length_error);
  CHECK_THROWS_AS(pickle::dump(pickled_integer(-0x80000001LL)), std::length_error);
  CHECK_THROWS_AS(pickle::dump(pickled_integer(std::numeric_limits<std::int64_t>::min())),
                  std::length_error);
  CHECK_THROWS_AS(pickle::dump("\xff"), std::invalid_argument);
  CHECK_THROWS_AS(pickle::dump(pickled_list({"\xed\xa0\x80"})), std::invalid_argument);
}

TEST_CASE("a list differs from a tuple", "[pickle]") {
  CHECK_FALSE(pickled_list({}) == pickled_tuple({}));
  CHECK_FALSE(pickled_list({"a"}) == pickled_list({"b"}));
  CHECK_FALSE(pickled_tuple({"a"}) == pickled_tuple({"a", "a"}));
  CHECK_FALSE(pickled_integer(0) == pickle::value(no_value));
}

TEST_CASE("every opcode except the allowed ones is refused", "[pickle]") {
  for (int op = 0; op != 256; ++op) {
    INFO(op);
    const std::string byte(1, static_cast<char>(op));
    const bool allowed = allowed_opcodes.count(op) != 0;
    const auto said_so = [](const std::string& fault, const char* offset) {
      return fault.find("is not allowed, at offset " + std::string(offset)) != std::string::npos;
    };
    CHECK(said_so(pickle_fault(unframed(byte)), "2") == !allowed);
    CHECK(said_so(pickle_fault(unframed(byte + pickle_bytes("00*8 2e"))), "2") == !allowed);
    CHECK(said_so(pickle_fault(unframed_notation("8c 02 'os' 4e") + byte + "."), "7") == !allowed);
  }
  CHECK(fault_of("63") == "pickle: opcode 0x63 is not allowed, at offset 2");
  CHECK(fault_of("8c 02 'os' 94 8c 06 'system' 94 93 94") ==
        "pickle: opcode 0x93 is not allowed, at offset 16");
  CHECK(fault_of("07") == "pickle: opcode 0x07 is not allowed, at offset 2");
}

TEST_CASE("a pickle begins with its protocol", "[pickle]") {
  CHECK(pickle_fault("") == "pickle: the data ends too early, at offset 0");
  CHECK(pickle_fault("\x80") == "pickle: the data ends too early, at offset 0");
  CHECK(pickle_fault("N.") == "pickle: does not begin with a protocol, at offset 0");
  CHECK(pickle_fault("\x95\x04") == "pickle: does not begin with a protocol, at offset 0");
  for (int version = 0; version != 256; ++version) {
    INFO(version);
    const bool known = version == 4 || version == 5;
    const std::string fault =
        pickle_fault({"\x80" + std::string(1, static_cast<char>(version)) + "N."});
    CHECK(fault == (known ? "" : "pickle: protocol " + std::to_string(version) + ", at offset 0"));
  }
  CHECK(fault_of("80 04 4e 2e") == "pickle: opcode 0x80 is not allowed, at offset 2");
}

TEST_CASE("a part of a pickle is not a pickle", "[pickle]") {
  for (const auto& [notation, means] : pickles_of_python()) {
    const std::string bytes = pickle_bytes(notation);
    for (std::size_t n = 0; n != bytes.size(); ++n) {
      INFO(notation << ", " << n << " bytes");
      CHECK_FALSE(pickle_fault(std::string_view(bytes).substr(0, n)).empty());
    }
    const std::string unframed_bytes = pickle::dump(means);
    for (std::size_t n = 0; n != unframed_bytes.size(); ++n) {
      INFO("dump of " << notation << ", " << n << " bytes");
      CHECK_FALSE(pickle_fault(std::string_view(unframed_bytes).substr(0, n)).empty());
    }
  }
}

TEST_CASE("nothing may follow a pickle", "[pickle]") {
  CHECK(fault_of("4e 2e 00") == "pickle: bytes after the end, at offset 3");
  CHECK(fault_of("4e 2e 80 04 4e 2e") == "pickle: bytes after the end, at offset 3");
  CHECK(fault_of("95 02 00*7 4e 2e 2e") == "pickle: bytes after the end, at offset 12");
  CHECK(fault_of("95 04 00*7 4e 2e 4e 2e") == "pickle: bytes after the end, at offset 12");
}

TEST_CASE("a pickle holds exactly one value", "[pickle]") {
  CHECK(fault_of("2e") == "pickle: 0 values at the end, at offset 2");
  CHECK(fault_of("4e 4e 2e") == "pickle: 2 values at the end, at offset 4");
  CHECK(fault_of("28 2e") == "pickle: a mark is left over, at offset 3");
  CHECK(fault_of("4e 28 2e") == "pickle: a mark is left over, at offset 4");
  CHECK(fault_of("28 4e 2e") == "pickle: a mark is left over, at offset 4");
}

TEST_CASE("frames must have the length they say", "[pickle]") {
  CHECK(fault_of("95 02 00*7 4e 2e").empty());
  CHECK(fault_of("95 01 00*7 4e 2e").empty());
  CHECK(fault_of("95 00*8 4e 2e").empty());
  CHECK(fault_of("4e 95 01 00*7 2e").empty());
  CHECK(fault_of("95 01 00*7 4e 95 01 00*7 2e").empty());

  CHECK(fault_of("95 03 00*7 4e 2e") == "pickle: a frame is longer than the data, at offset 2");
  CHECK(fault_of("95 ff*8 4e 2e") == "pickle: a frame is longer than the data, at offset 2");
  CHECK(fault_of("95 00*7 80 4e 2e") == "pickle: a frame is longer than the data, at offset 2");
  CHECK(fault_of("95 f5 ff*7 4e 2e") == "pickle: a frame is longer than the data, at offset 2");
  CHECK(fault_of("95 02 00*6") == "pickle: the data ends too early, at offset 2");
  CHECK(fault_of("95 0b 00*7 95 02 00*7 4e 2e") == "pickle: a frame within a frame, at offset 11");
  CHECK(fault_of("95 0a 00*7 4e 95 01 00*7 2e") == "pickle: a frame within a frame, at offset 12");
  CHECK(fault_of("95 03 00*7 8c 02 'a' 'b' 2e") ==
        "pickle: the frame ends too early, at offset 11");
  CHECK(fault_of("95 01 00*7 4b 00 2e") ==
        "pickle: the frame ends too early, at offset 11");
  CHECK(fault_of("95 02 00*7 8c 01 'a' 2e") ==
        "pickle: the frame ends too early, at offset 11");
}

TEST_CASE("text is UTF-8 without surrogates", "[pickle]") {
  CHECK(read_pickle(unframed_notation("8c 0b 61 00 c3 a4 f0 9f 94 94 ed 9f bf 2e")) ==
        pickle::value(std::string("a\0\xc3\xa4\xf0\x9f\x94\x94\xed\x9f\xbf", 11)));
  for (const char* bad : {
           "8c 01 80 2e", "8c 01 c3 2e", "8c 02 c0 80 2e", "8c 03 ed a0 80 2e", "8c 03 ed bf bf 2e",
           "8c 03 e0 80 80 2e", "8c 04 f4 90 80 80 2e", "8c 01 ff 2e", "58 01 00 00 00 80 2e",
           "58 03 00 00 00 ed a0 80 2e",
           "8c 01 c3 8c 01 a4 2e",  // not even if what follows would complete it
       }) {
    INFO(bad);
    CHECK(fault_of(bad) == "pickle: text that is not UTF-8, at offset 2");
  }
}

TEST_CASE("text must have the length it says", "[pickle]") {
  CHECK(read_pickle(unframed_notation("58 01 00 00 00 'a' 2e")) == pickle::value("a"));
  CHECK(read_pickle(unframed_notation("8c 00 2e")) == pickle::value(""));
  CHECK(fault_of("8c 03 'ab'") == "pickle: the data ends too early, at offset 2");
  CHECK(fault_of("58 ff ff ff ff 'ab' 2e") ==
        "pickle: the data ends too early, at offset 2");
  CHECK(fault_of("58 00 00 00 80 'ab' 2e") ==
        "pickle: the data ends too early, at offset 2");
}

TEST_CASE("nothing reaches below a mark", "[pickle]") {
  CHECK(read_pickle(unframed_notation("5d 28 65 2e")) == pickled_list({}));
  CHECK(read_pickle(unframed_notation("28 74 2e")) == pickled_tuple({}));
  CHECK(read_pickle(unframed_notation("5d 28 28 4e 74 28 74 65 2e")) ==
        pickled_list({pickled_tuple({no_value}), pickled_tuple({})}));
  CHECK(
      read_pickle(unframed_notation("28 5d 4b 01 61 4b 02 61 28 4b 03 65 74 2e")) ==
      pickled_tuple({pickled_list({pickled_integer(1), pickled_integer(2), pickled_integer(3)})}));

  CHECK(fault_of("5d 28 4e 61 2e") == "pickle: too few values, at offset 5");
  CHECK(fault_of("5d 28 28 65 2e") == "pickle: too few values, at offset 5");
  CHECK(fault_of("5d 4e 28 61 2e") == "pickle: too few values, at offset 5");
  CHECK(fault_of("4e 28 85 2e") == "pickle: too few values, at offset 4");
  CHECK(fault_of("4e 28 4e 86 2e") == "pickle: too few values, at offset 5");
  CHECK(fault_of("4e 28 4e 4e 87 2e") == "pickle: too few values, at offset 6");
  CHECK(fault_of("4e 28 94 2e") == "pickle: too few values, at offset 4");
}

TEST_CASE("marks and values that do not exist cannot be used", "[pickle]") {
  CHECK(fault_of("74 2e") == "pickle: no mark, at offset 2");
  CHECK(fault_of("4e 74 2e") == "pickle: no mark, at offset 3");
  CHECK(fault_of("5d 4e 65 2e") == "pickle: no mark, at offset 4");
  CHECK(fault_of("28 65 2e") == "pickle: too few values, at offset 3");
  CHECK(fault_of("61 2e") == "pickle: too few values, at offset 2");
  CHECK(fault_of("5d 61 2e") == "pickle: too few values, at offset 3");
  CHECK(fault_of("85 2e") == "pickle: too few values, at offset 2");
  CHECK(fault_of("4e 86 2e") == "pickle: too few values, at offset 3");
  CHECK(fault_of("4e 4e 87 2e") == "pickle: too few values, at offset 4");
  CHECK(fault_of("94 2e") == "pickle: too few values, at offset 2");
}

TEST_CASE("only lists can be appended to", "[pickle]") {
  for (const char* target : {"29", "7d", "4e", "4b 01", "8c 00"}) {
    INFO(target);
    const std::string begin = pickle_bytes(target);
    CHECK(pickle_fault(unframed(begin + "Na.")).find("not a list") != std::string::npos);
    CHECK(pickle_fault(unframed(begin + "(Ne.")).find("not a list") != std::string::npos);
    CHECK(pickle_fault(unframed(begin + "(e.")).find("not a list") != std::string::npos);
  }
}

TEST_CASE("the memo returns only text", "[pickle]") {
  CHECK(read_pickle(unframed_notation("8c 01 'a' 94 68 00 86 2e")) == pickled_tuple({"a", "a"}));
  CHECK(read_pickle(unframed_notation("8c 01 'a' 94 6a 00*4 86 2e")) == pickled_tuple({"a", "a"}));
  // An index counts all earlier entries, of whatever type, and a copy can be memoized again.
  CHECK(read_pickle(unframed_notation(
            "28 4e 94 8c 01 'a' 94 29 94 8c 01 'b' 94 68 01 94 68 04 68 03 74 2e")) ==
        pickled_tuple({no_value, "a", pickled_tuple({}), "b", "a", "a", "b"}));

  CHECK(fault_of("68 00 2e") == "pickle: memo 0 does not exist, at offset 2");
  CHECK(fault_of("8c 00 94 68 01 86 2e") == "pickle: memo 1 does not exist, at offset 5");
  CHECK(fault_of("8c 00 94 6a ff ff ff ff 86 2e") ==
        "pickle: memo 4294967295 does not exist, at offset 5");
  CHECK(fault_of("5d 94 68 00 61 2e") == "pickle: memo 0 is not text, at offset 4");  // l.append(l)
  CHECK(fault_of("4e 85 94 68 00 86 2e") == "pickle: memo 0 is not text, at offset 5");
  CHECK(fault_of("7d 94 68 00 86 2e") == "pickle: memo 0 is not text, at offset 4");
  CHECK(fault_of("4e 94 68 00 86 2e") == "pickle: memo 0 is not text, at offset 4");
  CHECK(fault_of("4b 01 94 68 00 86 2e") == "pickle: memo 0 is not text, at offset 5");
}

TEST_CASE("a memoized list is not its own item", "[pickle]") {
  CHECK(read_pickle(unframed_notation("5d 94 5d 94 61 2e")) == pickled_list({pickled_list({})}));
}

TEST_CASE("the depth of nesting is limited", "[pickle]") {
  const std::size_t most = pickle::max_depth;
  const auto fits = [](const std::string& body) {
    return pickle_fault(unframed(body + ".")).empty();
  };
  const std::string too_deep = "pickle: a value is nested too deeply";

  CHECK(fits(")" + repeated(most - 1, "\x85")));
  CHECK_FALSE(fits(")" + repeated(most, "\x85")));
  CHECK(fits("N" + repeated(most, "\x85")));
  CHECK_FALSE(fits("N" + repeated(most + 1, "\x85")));
  CHECK(fits("}" + repeated(most - 1, "\x85")));
  CHECK_FALSE(fits("}" + repeated(most, "\x85")));
  CHECK(fits(repeated(most, "]") + repeated(most - 1, "a")));
  CHECK_FALSE(fits(repeated(most + 1, "]") + repeated(most, "a")));
  CHECK(fits(repeated(most, "](") + repeated(most, "e")));
  CHECK_FALSE(fits(repeated(most + 1, "](") + repeated(most + 1, "e")));
  CHECK(fits(repeated(most, "(") + repeated(most, "t")));
  CHECK_FALSE(fits(repeated(most + 1, "(") + repeated(most + 1, "t")));

  // The depth of a list counts as it is now, not as it was, or as that of its last item.
  const std::string deep = "]N" + repeated(most - 1, "\x85") + "aNa";
  CHECK(fits(deep));
  CHECK_FALSE(fits(deep + "\x85"));
  CHECK(pickle_fault(unframed("N" + repeated(1'000'000, "\x85") + ".")) ==
        too_deep + ", at offset " + std::to_string(3 + most));
  CHECK(pickle_fault(unframed(repeated(500'000, "]") + repeated(500'000, "a") + "."))
            .find(too_deep) == 0);
  CHECK_FALSE(fits(repeated(1'000'000, "(")));
}

TEST_CASE("a value of the greatest depth can be pickled and read again", "[pickle]") {
  const pickle::value deepest =
      read_pickle(unframed("N" + repeated(pickle::max_depth, "\x85") + "."));
  CHECK(read_pickle(pickle::dump(deepest)) == deepest);
}

TEST_CASE("the number of values is limited", "[pickle]") {
  const std::size_t most = pickle::max_values;
  const pickle::value v = read_pickle(unframed("](" + repeated(most - 1, "N") + "e."));
  CHECK(std::get<pickle::list>(v).items.size() == most - 1);
  CHECK(pickle_fault(unframed("](" + repeated(most, "N") + "e.")) ==
        "pickle: too many values, at offset " + std::to_string(4 + most - 1));
  CHECK(pickle_fault(unframed("](" + repeated(most, ")") + "e.")).find("too many") !=
        std::string::npos);
  // Values inside other values count as well.
  CHECK(pickle_fault(unframed("]" +
                              repeated(most / 2,
                                       "N\x85"
                                       "a") +
                              "."))
            .find("too many") != std::string::npos);
  CHECK(pickle_fault(unframed(pickle_bytes("5d 28 8c 00 94") +
                              repeated(most, std::string_view("h\0", 2)) + "e."))
            .find("too many") != std::string::npos);
}

TEST_CASE("the memo has a limit", "[pickle]") {
  const std::size_t most = pickle::max_values;
  CHECK(pickle_fault(unframed("N" + repeated(most, "\x94") + ".")).empty());
  CHECK(pickle_fault(unframed("N" + repeated(most + 1, "\x94") + ".")) ==
        "pickle: the memo is too large, at offset " + std::to_string(3 + most));
}

TEST_CASE("a small pickle cannot make a large value", "[pickle]") {
  const std::string text(1 << 16, 'x');
  const auto copies = [&](std::size_t n) {
    return unframed("](" + long_text(text) + "\x94" + repeated(n, std::string_view("h\0", 2)) +
                    "e.");
  };
  // A MiB is sixteen copies, and the text itself, as part of the pickle, allows one more.
  const pickle::value v = read_pickle(copies(17));
  REQUIRE(std::get<pickle::list>(v).items.size() == 18);
  for (const pickle::value& item : std::get<pickle::list>(v).items)
    CHECK(item == pickle::value(text));
  CHECK(pickle_fault(copies(18)).find("pickle: too much copied text, at offset ") == 0);
  CHECK(pickle_fault(copies(100'000)).find("pickle: too much copied text, at offset ") == 0);
}

TEST_CASE("any changed byte makes another value or an error", "[pickle]") {
  for (const auto& [notation, means] : pickles_of_python()) {
    const std::string valid = pickle_bytes(notation);
    for (std::size_t i = 0; i != valid.size(); ++i) {
      std::string changed = valid;
      for (int byte = 0; byte != 256; ++byte) {
        changed[i] = static_cast<char>(byte);
        belfry::detail::failure f;
        const pickle::value v = pickle::load(changed, f);
        if (f) continue;
        belfry::detail::failure again;
        const bool same = pickle::load(pickle::dump(v), again) == v && !again;
        if (!same) FAIL(notation << ", byte " << i << " is " << byte);
      }
    }
  }
}

TEST_CASE("random values are read as they were pickled", "[pickle]") {
  std::minstd_rand random(1);
  const auto any = [&](const auto& self, std::size_t depth) -> pickle::value {
    const auto items = [&] {
      std::vector<pickle::value> all(random() % 6);
      for (pickle::value& v : all) v = self(self, depth - 1);
      return all;
    };
    switch (random() % (depth == 0 ? 4 : 8)) {
      case 0: return no_value;
      case 1: return pickled_integer(static_cast<std::int32_t>(random() << random() % 24));
      case 2: return std::string(random() % 300, 'x');
      case 3: return pickle::dict{};
      case 4:
      case 5: return pickled_list(items());
      default: return pickled_tuple(items());
    }
  };
  for (int i = 0; i != 1000; ++i) {
    const pickle::value v = any(any, 1 + random() % 8);
    if (read_pickle(pickle::dump(v)) != v) FAIL("value " << i);
  }
}
