// `belfry watch`: a line per change of a block.
#include "tool_peers.hpp"

#include <belfry/watch.hpp>

#include <regex>

using namespace belfry;
using namespace belfry::test;

namespace {

struct watched_block {
  explicit watched_block(std::string_view what) : name(unique_name(what)), memory(shared_memory::create(name, 100)) {}
  ~watched_block() { memory.unlink(); }
  std::string name;
  shared_memory memory;
};

}  // namespace

TEST_CASE("belfry watch prints a line per change, with the elements that changed", "[tool-watch]") {
  const watchdog limit;
  const nothing_left check(unique_name("watch"));
  const watched_block b("watch");
  net::io_context io;
  watch w(io, b.memory);
  running_tool tool({"watch", b.name, "--count", "4"});
  await_asleep(b.name + ".watch", tool);
  w.notify(3);
  CHECK(std::regex_match(tool.line(), std::regex("..:..:..\\.......  version " + std::to_string(w.version()) +
                                                 ", element 3")));
  w.notify();
  CHECK_THAT(tool.line(), contains(", the block"));
  tool.stop();
  w.notify(7);
  w.notify(9);
  ::kill(tool.pid(), SIGCONT);
  const std::string both = tool.line();
  CHECK_THAT(both, contains(", 2 changes, elements 7 9"));
  w.notify(1);
  CHECK_THAT(tool.line(), contains("element 1"));
  CHECK(tool.wait() == 0);
  CHECK(tool.errors() == "");
}

TEST_CASE("belfry watch --json is for programs", "[tool-watch]") {
  const watchdog limit;
  watched_block b("json");
  net::io_context io;
  watch w(io, b.memory);
  running_tool tool({"watch", b.name, "--json"});
  await_asleep(b.name + ".watch", tool);
  w.notify(1023);
  const std::string line = tool.line();
  CHECK_THAT(line, contains("{\"version\":" + std::to_string(w.version()) +
                            ",\"changes\":1,\"elements\":[1023],\"time\":"));
  {
    const transaction t = b.memory.txn();
  }
  CHECK_THAT(tool.line(), contains("\"elements\":null"));
  tool.interrupt();
  CHECK(tool.wait() == 0);
  CHECK(tool.errors() == "");
}

TEST_CASE("belfry watch ends with its reader, at its time limit, and says what is no block", "[tool-watch]") {
  const watchdog limit;
  const watched_block b("ends");
  running_tool tool({"watch", b.name});
  await_asleep(b.name + ".watch", tool);
  tool.close_output();
  CHECK(tool.wait() == 0);

  running_tool late({"watch", b.name, "--timeout", "0.05"});
  CHECK(late.wait() == 1);
  CHECK(count_lines(late.errors()) == 1);
  CHECK_THAT(late.errors(), contains("within 0.05 seconds"));

  running_tool unknown({"watch", b.name + "-nothing"});
  CHECK(unknown.wait() == 1);
  CHECK(count_lines(unknown.errors()) == 1);
  net::io_context io;
  {
    watch w(io, b.memory);
    running_tool companion({"watch", b.name + ".watch"});
    CHECK(companion.wait() == 1);
    CHECK_THAT(companion.errors(), contains("is no block"));
  }
  CHECK(files_of(b.name + ".watch") == 0);
  for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{
           {"watch"}, {"watch", b.name, "--count", "0"}, {"watch", b.name, "--timeout", "-1"}}) {
    running_tool misused(wrong);
    CHECK(misused.wait() == 2);
  }
}
