// belfry hz and bw: rates from a channel's own counters, without joining it.
#include "abandoned.hpp"
#include "tool.hpp"

#include <belfry/inspect.hpp>
#include <belfry/shared_memory.hpp>

#include <cmath>
#include <csignal>
#include <cstdio>

using namespace belfry;
using namespace belfry::test;

namespace {

/// One key of a line of JSON that is a number.
double number_in(const std::string& line, const std::string& key) {
  const std::size_t at = line.find('"' + key + "\":");
  return at == line.npos ? std::nan("") : std::strtod(line.c_str() + at + key.size() + 3, nullptr);
}

}  // namespace

TEST_CASE("belfry hz and bw count what is sent and received, and take no place", "[tool-traffic]") {
  const watchdog limit;
  const std::string name = unique_name("hz");
  const nothing_left check(name);
  net::io_context io;
  abandoned_values::producer tx(io, name);
  abandoned_values::consumer rx(io, name);
  running_tool hz({"hz", name, "--interval", "0.1", "--json"});
  running_tool bw({"bw", name, "--interval", "0.1", "--json"});
  std::vector<std::string> first{hz.line(), bw.line()};
  for (std::uint64_t i = 0; i != 30; ++i) REQUIRE(tx.try_send({i, 0.5}));
  for (std::uint64_t i = 0; i != 20; ++i) REQUIRE(rx.try_receive());
  double sent = 0;
  double received = 0;
  while (std::lround(sent) < 30 || std::lround(received) < 20) {
    const std::string line = hz.line();
    REQUIRE(json_says(line, name, "o['state'], o['lost']") == "counted 0");
    sent += number_in(line, "sent_per_second") * number_in(line, "seconds");
    received += number_in(line, "received_per_second") * number_in(line, "seconds");
  }
  CHECK(std::lround(sent) == 30);
  CHECK(std::lround(received) == 20);
  for (sent = received = 0; std::lround(sent) < 480 || std::lround(received) < 320;) {
    const std::string line = bw.line();
    sent += number_in(line, "sent_bytes_per_second") * number_in(line, "seconds");
    received += number_in(line, "received_bytes_per_second") * number_in(line, "seconds");
  }
  CHECK(std::lround(sent) == 480);
  CHECK(std::lround(received) == 320);

  const channel_info info = inspect(name);
  CHECK(info.joins == 2);
  CHECK(info.participants.size() == 2);
  CHECK(info.unread == 10);
  CHECK(hz.end(SIGINT) == 0);
  CHECK(bw.end(SIGTERM) == 0);
  while (rx.try_receive()) {
  }
}

TEST_CASE("belfry hz tells that a channel is gone, or was made anew", "[tool-traffic]") {
  const watchdog limit;
  const std::string name = unique_name("hz");
  const nothing_left check(name);
  net::io_context io;
  auto tx = std::make_unique<abandoned_values::producer>(io, name);
  running_tool hz({"hz", name, "--interval", "0.02"});
  CHECK(hz.line() == name + ": 0.0 sent/s, 0.0 received/s, 0 lost");
  tx->close();
  std::string line;
  while ((line = hz.line()) != name + ": gone") CHECK_THAT(line, contains("0.0 sent/s"));
  tx = std::make_unique<abandoned_values::producer>(io, name);
  while ((line = hz.line()) == name + ": gone") {
  }
  CHECK(line == name + ": made anew");
  CHECK_THAT(hz.line(), contains("0.0 sent/s"));
  // Without a moment in which there is none.
  abandoned_values::unlink(name);
  abandoned_values::producer another(io, name);
  while ((line = hz.line()) != name + ": made anew") {
    REQUIRE_FALSE(line.empty());
  }
  CHECK(hz.end(SIGINT) == 0);
}

TEST_CASE("belfry hz and bw end after a number of intervals, and refuse what is no channel", "[tool-traffic]") {
  const watchdog limit;
  const std::string name = unique_name("hz");
  const nothing_left check(name);
  auto block = shared_memory::create(name, 100);
  const unlink_on_destroy owner(block);
  net::io_context io;
  abandoned_values::producer tx(io, name + "-channel");
  for (const char* const command : {"hz", "bw"}) {
    const outcome three = tool_run({command, name + "-channel", "--interval", "0.01", "--count", "3"});
    CHECK(three.status == 0);
    CHECK(lines_of(three.out).size() == 3);
    CHECK(three.err == "");
    const outcome of_block = tool_run({command, name});
    CHECK(of_block.status == 1);
    CHECK_THAT(of_block.err, contains("is a block, not a channel"));
    for (const char* const wrong : {"0", "-1", "x", "nan", "1e99"})
      CHECK(tool_run({command, name + "-channel", "--interval", wrong}).status == 2);
    CHECK(tool_run({command}).status == 2);
  }
  CHECK(files_of(name + "-channel") == 2);
}
