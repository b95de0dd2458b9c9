// Blocks as CPython has them on Windows: sections of the page file, with their watches and transactions.
#include "platform/windows/system.hpp"
#include "started.hpp"
#include "support/catch.hpp"

#include <belfry/belfry.hpp>

#include <chrono>
#include <cstring>
#include <string>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

using namespace std::chrono_literals;
using value = shareable_list::value;

constexpr std::size_t page = 4096;

std::byte& first(shared_memory& m) { return m.buf().front(); }

/// Opens the block, says so, changes it, and holds it until it is told to go.
void use_block(const std::string& name) {
  auto block = shared_memory::open(name);
  EXPECT(block.size() == 2 * page);
  EXPECT(first(block) == std::byte{1});
  first(block) = std::byte{2};
  event(name + "-used").set();
  event(name + "-go").wait();
}

void make_lists(const std::string& name) {
  for (int n = 0; n != 300; ++n) {
    error_code ec;
    const shareable_list made(std::vector<value>{std::int64_t{7}, std::string(3000, 'x')}, name, ec);
    EXPECT(!ec || ec == std::errc::file_exists);
  }
}

/// Adds to a counter, in transactions.
void count_up(const std::string& name) {
  auto block = shared_memory::open(name);
  event(name + "-ready").set();
  event(name + "-go").wait();
  for (int n = 0; n != 200; ++n) {
    const transaction t = block.txn(60s);
    ++*block.as<std::uint64_t>().data();
  }
}

void hold_transaction(const std::string& name) {
  auto block = shared_memory::open(name);
  const transaction t = block.txn(60s);
  event(name + "-held").set();
  sleep_forever();
}

void change(const std::string& name) {
  net::io_context io;
  const auto block = shared_memory::open(name);
  watch w(io, block);
  w.notify();
}

const body all[]{
    {"use-block", use_block}, {"make-lists", make_lists}, {"count-up", count_up},
    {"hold-transaction", hold_transaction}, {"change", change},
};

}  // namespace

TEST_CASE("a block lives as long as a process has it open", "[blocks]") {
  const std::string name = unique_name("block");
  const event used(name + "-used");
  const event go(name + "-go");
  auto block = shared_memory::create(name, page + 1);
  CHECK(block.size() == page + 1);
  for (const std::byte b : block.buf()) REQUIRE(b == std::byte{0});
  error_code ec;
  shared_memory::create(name, page, ec);
  CHECK(ec == std::errc::file_exists);
  first(block) = std::byte{1};
  started other("use-block", name);
  used.wait();
  CHECK(first(block) == std::byte{2});
  block.unlink();  // does nothing
  block.close();
  auto again = shared_memory::open(name);
  CHECK(again.size() == 2 * page);
  CHECK(first(again) == std::byte{2});
  again.close();
  go.set();
  CHECK(other.wait() == 0);
  shared_memory::open(name, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  shared_memory::unlink(name);
}

TEST_CASE("a killed process gives up its blocks", "[blocks]") {
  const std::string name = unique_name("block");
  const event used(name + "-used");
  auto block = shared_memory::create(name, 2 * page);
  first(block) = std::byte{1};
  started other("use-block", name);
  used.wait();
  block.close();
  other.kill();
  error_code ec;
  shared_memory::open(name, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
}

TEST_CASE("names of blocks: made up as CPython's, refused where Windows has another meaning", "[blocks]") {
  const auto block = shared_memory::create("", 10);
  CHECK(block.name().starts_with("wnsm_"));
  CHECK(block.name().size() == 13);
  error_code ec;
  for (const char* const wrong : {"", "a/b", "a\\b", "Local\\a", "\xff"}) {
    shared_memory::create(wrong[0] == 0 ? "." : wrong, 10, ec);
    CHECK(ec == std::errc::invalid_argument);
    shared_memory::open(wrong, ec);
    CHECK(ec == std::errc::invalid_argument);
  }
  const std::string name = unique_name("event");
  const HANDLE taken = ::CreateEventA(nullptr, FALSE, FALSE, name.c_str());
  shared_memory::create(name, 10, ec);
  CHECK(ec == std::errc::file_exists);
  shared_memory::open(name, ec);
  CHECK(ec == errc::incompatible);
  ::CloseHandle(taken);
  const auto unicode = shared_memory::create(name + "-\xc3\xa4", 10);
  CHECK(shared_memory::open(name + "-\xc3\xa4").size() == page);
}

TEST_CASE("CPython's way to make and to open a block", "[blocks]") {
  const std::string name = unique_name("cpython");
  const HANDLE made = ::CreateFileMappingA(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, 0, 100, name.c_str());
  REQUIRE(made != nullptr);
  auto block = shared_memory::open(name);
  CHECK(block.size() == page);
  first(block) = std::byte{5};
  const HANDLE opened = ::OpenFileMappingA(FILE_MAP_READ, FALSE, name.c_str());
  REQUIRE(opened != nullptr);
  const void* const view = ::MapViewOfFile(opened, FILE_MAP_READ, 0, 0, 0);
  REQUIRE(view != nullptr);
  CHECK(*static_cast<const std::byte*>(view) == std::byte{5});
  ::UnmapViewOfFile(view);
  for (const HANDLE h : {made, opened}) ::CloseHandle(h);
  CHECK(block.txn(60s).owner_died() == false);
}

TEST_CASE("read-only blocks cannot be written", "[blocks]") {
  const std::string name = unique_name("read-only");
  const auto block = shared_memory::create(name, page);
  auto reader = shared_memory::open(name, access::read_only);
  CHECK(reader.buf().empty());
  CHECK(std::as_const(reader).buf().size() == page);
  MEMORY_BASIC_INFORMATION found{};
  CHECK(::VirtualQuery(std::as_const(reader).buf().data(), &found, sizeof found) != 0);
  CHECK(found.Protect == PAGE_READONLY);
  error_code ec;
  const transaction refused = reader.txn(ec);
  CHECK(ec == std::errc::permission_denied);
}

TEST_CASE("no process sees an unfinished list", "[blocks]") {
  const std::string name = unique_name("list");
  started maker("make-lists", name);
  int seen = 0;
  for (int tries = 0; tries != 2000; ++tries) {
    error_code ec;
    const auto list = shareable_list::open(name, ec);
    if (ec) {
      REQUIRE(ec == std::errc::no_such_file_or_directory);
      continue;
    }
    ++seen;
    REQUIRE(list.size() == 2);
    REQUIRE(std::get<std::int64_t>(list[0]) == 7);
    REQUIRE(std::get<std::string>(list[1]) == std::string(3000, 'x'));
  }
  CHECK(maker.wait() == 0);
  // Whether the other process was ever seen is left to the scheduler.
  const shareable_list list(std::vector<value>{std::int64_t{7}}, name);
  CHECK(shareable_list::open(name).size() == 1);
  INFO("seen " << seen);
}

TEST_CASE("transactions exclude each other between processes", "[blocks]") {
  const std::string name = unique_name("count");
  const event ready(name + "-ready");
  const event go(name + "-go");
  auto block = shared_memory::create(name, page);
  started one("count-up", name);
  started two("count-up", name);
  for (int n = 0; n != 2; ++n) ready.wait();
  for (int n = 0; n != 2; ++n) go.set();
  for (int n = 0; n != 200; ++n) {
    const transaction t = block.txn(60s);
    ++*block.as<std::uint64_t>().data();
  }
  CHECK(one.wait() == 0);
  CHECK(two.wait() == 0);
  CHECK(*block.as<std::uint64_t>().data() == 600);
}

TEST_CASE("the death of a transaction's holder is told, also when no participant is left", "[blocks]") {
  const std::string name = unique_name("holder");
  const event held(name + "-held");
  auto block = shared_memory::create(name, page);
  {
    started holder("hold-transaction", name);
    held.wait();
    error_code ec;
    const transaction refused = block.txn(0s, ec);
    CHECK(ec == std::errc::timed_out);
    holder.kill();
    const transaction t = block.txn(60s, ec);
    CHECK(ec == errc::owner_died);
  }
  block.close();
  block = shared_memory::create(name, page);
  started holder("hold-transaction", name);
  held.wait();
  holder.kill();
  error_code ec;
  {
    const transaction t = block.txn(60s, ec);
    CHECK(ec == errc::owner_died);
  }
  const transaction t = block.txn(60s, ec);
  CHECK(ec == error_code());
}

TEST_CASE("a change is told to a watch in another process, and a new block has a new companion", "[blocks]") {
  const std::string name = unique_name("watched");
  {
    net::io_context io;
    const auto block = shared_memory::create(name, page);
    watch w(io, block);
    const std::uint64_t version = w.version();
    int calls = 0;
    w.async_changed(version, [&](const error_code& ec, std::uint64_t v) {
      CHECK(ec == error_code());
      CHECK(v != version);
      ++calls;
    });
    for (int i = 0; i != 20; ++i) io.poll();
    CHECK(calls == 0);
    started other("change", name);
    io.restart();
    io.run();
    CHECK(calls == 1);
    CHECK(other.wait() == 0);
  }
  CHECK(files_of(name) == 0);
  {
    // The companion stays, because the holder of a transaction has died, but it is another block's.
    const event held(name + "-held");
    auto block = shared_memory::create(name, page);
    started holder("hold-transaction", name);
    held.wait();
    holder.kill();
  }
  CHECK(files_of(name) == 1);
  auto block = shared_memory::create(name, page);
  error_code ec;
  {
    const transaction t = block.txn(60s, ec);
    CHECK(ec == error_code());
  }
  block.close();
  CHECK(files_of(name) == 0);
}
