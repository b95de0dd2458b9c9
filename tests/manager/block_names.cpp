// The names of a manager's blocks.
#include "served.hpp"

#include <string>
#include <vector>

using namespace belfry;
using namespace belfry::test;

TEST_CASE("a name that another program's block has", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("foreign");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager m = s.client();
  auto others = shared_memory::create(name, 8);
  const unlink_on_destroy owner(others);
  others.buf()[0] = std::byte{7};

  CHECK(server_error([&] { m.shared_memory(10, name); }).code() == std::errc::file_exists);
  CHECK(server_error([&] { m.shareable_list({1}, name); }).code() == std::errc::file_exists);
  CHECK(m.list_segments().empty());
  CHECK(m.shared_memory(10, name + "-2").is_open());
  SECTION("cannot be released") {
    error_code ec;
    m.release(name, ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
  }
  SECTION("is not removed by a shutdown") { m.shutdown(); }
  SECTION("is not removed by a close") { s.end(); }
  CHECK(in_shared_memory(name));
  CHECK(shared_memory::open(name).buf()[0] == std::byte{7});
}

TEST_CASE("a name that a block of the same server has", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("twice");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager m = s.client();
  shared_memory_manager other = s.client();
  m.shared_memory(8, name).buf()[0] = std::byte{7};
  for (auto* const who : {&m, &other}) {
    CHECK(server_error([&] { who->shared_memory(10, name); }).code() == std::errc::file_exists);
    error_code ec;
    CHECK(who->shareable_list(std::vector<shareable_list::value>{1}, name, ec).size() == 0);
    CHECK(ec == std::errc::file_exists);
  }
  CHECK(other.list_segments() == std::vector{name});
  CHECK(shared_memory::open(name).buf()[0] == std::byte{7});
  SECTION("until it is released") {
    other.release(name);
    CHECK(m.shared_memory(16, name).size() == 16);
    CHECK(other.list_segments() == std::vector{name});
  }
  SECTION("until it is unlinked") {
    shared_memory::unlink(name);
    CHECK(m.shared_memory(16, name).size() == 16);
    CHECK(other.list_segments() == std::vector{name});
  }
  SECTION("until the end") {}
  s.end();
  CHECK_FALSE(in_shared_memory(name));
}

TEST_CASE("a block that has taken the name of the server's block is not removed", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("replaced");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager m = s.client();
  const auto mine = m.shared_memory(8, name);  // kept open, or the inode might be used again
  shared_memory::unlink(name);
  const auto others = shared_memory::create(name, 16);
  const unlink_on_destroy owner(others);
  CHECK(m.list_segments() == std::vector{name});
  SECTION("by release") {
    m.release(name);
    CHECK(m.list_segments().empty());
  }
  SECTION("by shutdown") { m.shutdown(); }
  SECTION("by close") { s.server.close(); }
  CHECK(shared_memory::open(name).size() == 16);
}

TEST_CASE("a manager refuses a block of size 0", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("empty");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager m = s.client();
  CHECK(server_error([&] { m.shared_memory(0); }).code() == std::errc::invalid_argument);
  CHECK(server_error([&] { m.shared_memory(0, name); }).code() == std::errc::invalid_argument);
  error_code ec;
  m.shared_memory(0, name, ec);
  CHECK(ec == std::errc::invalid_argument);
  m.shared_memory(~std::size_t{0}, name, ec);
  CHECK(ec == std::errc::file_too_large);
  CHECK(m.list_segments().empty());
  CHECK(m.shareable_list({}, name).size() == 0);
}

TEST_CASE("names that no block of a manager can have", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("names");
  const nothing_left check(name);
  const server_directory directory;
  served s(directory);
  shared_memory_manager m = s.client();
  const std::vector<std::pair<std::string, std::errc>> wrong{
      {".", std::errc::invalid_argument},
      {"..", std::errc::invalid_argument},
      {"a/b", std::errc::invalid_argument},
      {"/" + name, std::errc::invalid_argument},
      {name + '\0', std::errc::invalid_argument},
      {name + std::string(256 - name.size(), 'x'), std::errc::filename_too_long},
      {name + "-\xff", std::errc::invalid_argument},
      {name + "-\xc3", std::errc::invalid_argument},          // half a character
      {name + "-\xed\xa0\x80", std::errc::invalid_argument},  // a surrogate
  };
  const std::vector<shareable_list::value> values{1};
  for (const auto& w : wrong) {
    const auto& text = w.first;
    const auto& expected = w.second;
    CAPTURE(text);
    error_code ec;
    CHECK_FALSE(m.shared_memory(10, text, ec).is_open());
    CHECK(ec == expected);
    CHECK(m.shareable_list(values, text, ec).size() == 0);
    CHECK(ec == expected);
    CHECK(server_error([&] { m.shareable_list(values, text); }).code() == expected);
    m.release(text, ec);
    CHECK((ec == expected || ec == std::errc::no_such_file_or_directory));
    CHECK(m.list_segments(ec).empty());
    CHECK_FALSE(ec);
  }
}

TEST_CASE("names that blocks can have", "[manager_server]") {
  const watchdog dog;
  const std::string name = unique_name("names");
  const nothing_left check(name);
  const server_directory directory;
  const std::string text =
      GENERATE_COPY(name + std::string(255 - name.size(), 'x'), name + " äöü \xf0\x9f\x90\xa6",
                    name + "\n+1 x", name + "[Errno 13]");
  served s(directory);
  shared_memory_manager m = s.client();
  CHECK(m.shared_memory(10, text).name() == text);
  CHECK(m.list_segments() == std::vector{text});
  CHECK(in_shared_memory(text));
  error_code ec;
  m.shared_memory(10, text, ec);
  CHECK(ec == std::errc::file_exists);
  m.release(text);
  CHECK(m.list_segments().empty());
  CHECK_FALSE(in_shared_memory(text));
}
