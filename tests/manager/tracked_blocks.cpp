// The blocks that a server tracks.
#include "records.hpp"

#include <belfry/shared_memory.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;
using namespace std::string_literals;

namespace {

using detail::tracked_blocks;

}  // namespace

TEST_CASE("blocks are tracked, and released", "[record]") {
  const std::string name = unique_name("tracked");
  const nothing_left check(name);
  const record_directory d;
  tracked_blocks blocks(d.create());
  detail::failure f;
  shared_memory::create(name + "-b", 100);
  CHECK(blocks.track(name + "-b", 0, f));
  shared_memory::create(name + "-a", 100);
  CHECK(blocks.track(name + "-a", id_of(name + "-a"), f));
  CHECK(blocks.track(name + "-c", 17, f));  // a block that will get this name
  CHECK(blocks.names() == std::vector{name + "-b", name + "-a", name + "-c"});
  CHECK(blocks.track(name + "-b", id_of(name + "-b"), f));  // a second time
  CHECK(blocks.names().size() == 3);

  // A client wants a name that another block has, and gives up: that block is not touched.
  CHECK(blocks.track(name + "-a", id_of(name + "-a") + 1, f));
  CHECK(blocks.names().size() == 3);
  CHECK(blocks.release(name + "-a", id_of(name + "-a") + 1, f));
  CHECK(id_of(name + "-a") != 0);
  CHECK(blocks.names().size() == 3);
  for (const std::string& wrong : {""s, "."s, "a/b"s, "a\0b"s, std::string(256, 'x')}) {
    CHECK_FALSE(blocks.track(wrong, 0, f));
    CHECK(f);
    f = {};
  }
  CHECK_FALSE(blocks.release(name, 0, f));
  CHECK(f.code == std::errc::no_such_file_or_directory);
  f = {};
  CHECK(blocks.release(name + "-a", 0, f));
  CHECK(id_of(name + "-a") == 0);
  CHECK(blocks.release(name + "-c", 0, f));
  CHECK(blocks.names() == std::vector{name + "-b"});

  blocks.unlink_all();
  CHECK(blocks.names().empty());
  CHECK(d.files() == 0);
  CHECK_FALSE(blocks.track(name, 0, f));
  CHECK(f.code == errc::closed);
}

TEST_CASE("names are listed in the order of tracking, also by successors", "[record]") {
  const std::string name = unique_name("order");
  const nothing_left check(name);
  const record_directory d;
  std::vector<shared_memory> used;
  std::vector<std::string> expected;
  {
    tracked_blocks blocks(d.create());
    for (const char* const suffix : {"-m", "-z", "-a", "-q", "-b"}) {
      used.push_back(shared_memory::create(name + suffix, 100));
      expected.push_back(name + suffix);
      detail::failure f;
      CHECK(blocks.track(expected.back(), 0, f));
    }
    CHECK(blocks.names() == expected);
  }
  for (int generation = 0; generation != 3; ++generation) {
    CAPTURE(generation);
    CHECK(tracked_blocks(d.create()).names() == expected);
  }
  used.clear();
  CHECK(tracked_blocks(d.create()).names().empty());
  CHECK(names_in(d.create()).empty());
}

TEST_CASE("everything is removed except blocks of others", "[record]") {
  const std::string name = unique_name("all");
  const nothing_left check(name);
  const record_directory d;
  tracked_blocks blocks(d.create());
  detail::failure f;
  for (int i = 0; i != 10; ++i) {
    const std::string mine = name + std::to_string(i);
    shared_memory::create(mine, 100);
    CHECK(blocks.track(mine, id_of(mine), f));
  }
  shared_memory::unlink(name + "0");
  CHECK(blocks.track(name + "-never", 0, f));
  CHECK(blocks.track(name + "-taken", 17, f));
  const auto others = shared_memory::create(name + "-taken", 100);
  const unlink_on_destroy owner(others);
  SECTION("at the end") { blocks.unlink_all(); }
  SECTION("one by one") {
    for (const std::string& n : blocks.names()) CHECK(blocks.release(n, 0, f));
    CHECK(blocks.names().empty());
    CHECK(names_in(d.content()).empty());
  }
  CHECK(files_of(name) == 1);
}

TEST_CASE("many threads track their blocks", "[record]") {
  const watchdog dog;
  const std::string name = unique_name("many");
  const nothing_left check(name);
  const record_directory d;
  tracked_blocks blocks(d.create());
  std::vector<std::thread> threads;
  std::atomic<int> mistakes{0};
  for (int t = 0; t != 4; ++t) {
    threads.emplace_back([&, t] {
      detail::failure f;
      for (int i = 0; i != 300; ++i) {
        const std::string mine = name + std::to_string(t) + '-' + std::to_string(i);
        if (!blocks.track(mine, 5, f)) ++mistakes;
        if (i % 3 != 0 && !blocks.release(mine, 0, f)) ++mistakes;
        if (i % 50 == 0 && blocks.names().empty()) ++mistakes;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(mistakes == 0);
  CHECK(blocks.names().size() == 400);
  CHECK(names_in(d.content()).size() == 400);
}
