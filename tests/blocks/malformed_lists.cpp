// Blocks that hold no list, or a forged one.
#include "lists.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

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
