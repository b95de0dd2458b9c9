// `belfry send`: with a C++ program at the other end, and with `belfry recv`.
#include "terminal.hpp"
#include "tool_peers.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace belfry;
using namespace belfry::test;

TEST_CASE("belfry send feeds a C++ consumer, and waits for room", "[tool-send]") {
  const watchdog limit;
  const std::string name = unique_name("send");
  const nothing_left check(name);
  constexpr std::uint64_t count = 5000;
  net::io_context io;
  quotes::consumer rx(io, name);
  running_tool tool({"send", name});
  child writer([&] {
    for (std::uint64_t n = 0; n != count; ++n) {
      tool.write("{\"seq\":" + std::to_string(n) + ",\"price\":" + std::to_string(n / 2) + ",\"symbol\":\"XY\"}\n" +
                 (n % 10 == 0 ? "\n" : ""));
    }
  });
  tool.close_input();
  for (std::uint64_t n = 0; n != count; ++n) {
    quote q{};
    REQUIRE_FALSE(rx.receive(q));
    CHECK(q.seq == n);
    CHECK(q.price == static_cast<double>(n / 2));
    CHECK(q.symbol == std::array<char, 4>{'X', 'Y'});
  }
  CHECK(writer.wait() == 0);
  CHECK(tool.wait() == 0);
  CHECK(tool.errors() == "");
}

TEST_CASE("belfry send says which line does not fit, and sends those before it", "[tool-send]") {
  const watchdog limit;
  const std::string name = unique_name("line");
  const nothing_left check(name);
  const std::string good = R"({"seq":1,"price":2,"symbol":"AB"})";
  net::io_context io;
  quotes::consumer rx(io, name);
  struct wrong {
    std::vector<std::string> options;
    std::string input;
    std::string said;
    std::size_t sent;
  };
  const std::string whole(sizeof(quote), 'x');
  for (const wrong& w : std::vector<wrong>{
           {{}, good + "\n\n" + R"({"seq":-1,"price":2,"symbol":"AB"})", "line 3: .seq", 1},
           {{}, R"({"seq":1,"price":2})", "line 1: ", 0},
           {{}, good + '\n' + good + "\nnonsense\n", "line 3: ", 2},
           {{"--raw"}, whole + "abc", "3 bytes", 1},
           {{"--hex"}, std::string(2 * sizeof(quote), '0') + "\n00\n", "line 2: 1 byte", 1},
           {{"--hex"}, "0\n", "line 1: ", 0},
           {{"--hex"}, "0g\n", "line 1: ", 0},
       }) {
    std::vector<std::string> arguments{"send", name};
    arguments.insert(arguments.end(), w.options.begin(), w.options.end());
    running_tool tool(arguments);
    tool.write(w.input);
    tool.close_input();
    CHECK(tool.wait() == 1);
    INFO(tool.errors());
    CHECK(count_lines(tool.errors()) == 1);
    CHECK_THAT(tool.errors(), contains(w.said));
    std::size_t sent = 0;
    while (rx.try_receive()) ++sent;
    CHECK(sent == w.sent);
  }
  running_tool chunk({"send", name, "--raw", "--chunk", "5"});
  CHECK(chunk.wait() == 2);
}

TEST_CASE("belfry send waits for a consumer, or as long as it may", "[tool-send]") {
  const watchdog limit;
  const std::string name = unique_name("room");
  const nothing_left check(name);
  const scratch_directory d;
  {
    std::ofstream in(d.file("in"));
    for (std::uint64_t n = 0; n != 100; ++n) in << "{\"seq\":" << n << R"(,"price":0,"symbol":""})" << '\n';
  }
  net::io_context io;
  make_channel<quotes>(io, name);
  running_tool late({"send", name, d.file("in"), "--timeout", "0.1"});
  CHECK(late.wait() == 1);
  CHECK_THAT(late.errors(), contains("within 0.1 seconds"));
  quotes::unlink(name);

  make_channel<quotes>(io, name);
  running_tool tool({"send", name, d.file("in")});
  await([&] { return inspect(name).unread == 64; });
  quotes::consumer rx(io, name);
  for (std::uint64_t n = 0; n != 100; ++n) {
    quote q{};
    REQUIRE_FALSE(rx.receive(q));
    CHECK(q.seq == n);
  }
  CHECK(tool.wait() == 0);
  rx.close();
  quotes::unlink(name);
}

TEST_CASE("belfry send ends with Ctrl-C, whatever it waits for", "[tool-send]") {
  const watchdog limit;
  const std::string name = unique_name("ctrl-c");
  const nothing_left check(name);
  net::io_context io;
  make_channel<texts>(io, name);
  running_tool tool({"send", name});
  tool.write("one\n");
  await([&] { return inspect(name).sent.messages == 1; });
  tool.interrupt();
  CHECK(tool.wait() == 0);
  running_tool full({"send", name, "--raw", "--chunk", "60000", "/dev/zero"});
  await_asleep(name, full);
  full.interrupt();
  CHECK(full.wait() == 0);
  CHECK(count_lines(full.errors()) <= 1);  // that there is no consumer
  texts::unlink(name);
}

TEST_CASE("belfry send shows on a terminal how far it has come with a file", "[tool-send]") {
  const watchdog limit;
  const std::string name = unique_name("progress");
  const nothing_left check(name);
  const scratch_directory d;
  const descriptor terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (terminal.get() == -1 || ::grantpt(terminal.get()) != 0 || ::unlockpt(terminal.get()) != 0) return;
  descriptor slave(::open(::ptsname(terminal.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
  std::ofstream(d.file("in")) << "one\ntwo\nthree\n";
  net::io_context io;
  texts::consumer rx(io, name);
  running_tool tool({"send", name, d.file("in")}, -1, -1, slave.get());
  CHECK(tool.wait() == 0);
  slave.close();
  const std::string seen = rest_of_terminal(terminal.get());
  CHECK_THAT(seen, contains("14 of 14, 3 messages"));
  while (rx.try_receive()) {
  }
}

TEST_CASE("belfry send: lines of text, and chunks, through a byte_ring", "[tool-send]") {
  const watchdog limit;
  const std::string name = unique_name("texts");
  const nothing_left check(name);
  net::io_context io;
  texts::consumer rx(io, name);
  const auto sent = [&](std::vector<std::string> options, const std::string& input) {
    options.insert(options.begin(), {"send", name});
    running_tool tool(options);
    tool.write(input);
    tool.close_input();
    CHECK(tool.wait() == 0);
    CHECK(tool.errors() == "");
    std::vector<std::string> all;
    while (const auto m = rx.try_receive())
      all.emplace_back(reinterpret_cast<const char*>(m->bytes().data()), m->size());
    return all;
  };
  CHECK(sent({}, "one\n\nthree") == std::vector<std::string>{"one", "", "three"});
  CHECK(sent({"--hex"}, "6F6e65\n\n") == std::vector<std::string>{"one", ""});
  CHECK(sent({"--raw", "--chunk", "4"}, "onetwothree") == std::vector<std::string>{"onet", "woth", "ree"});
  running_tool chunkless({"send", name, "--raw"});
  CHECK(chunkless.wait() == 2);
  running_tool too_large({"send", name, "--raw", "--chunk", "2000000"});
  too_large.write(std::string(2'000'000, 'x'));
  too_large.close_input();
  CHECK(too_large.wait() == 1);
  CHECK_THAT(too_large.errors(), contains("larger than"));
}

namespace {

/// A file goes through `belfry send --raw | belfry recv --raw`, and comes out as it was.
void check_pipe(std::size_t megabytes) {
  const std::string name = unique_name("pipe");
  const nothing_left check(name);
  const scratch_directory d;
  {
    std::ofstream in(d.file("in"), std::ios::binary);
    std::vector<std::uint64_t> block(1 << 17);
    std::uint64_t n = random_seed();
    for (std::size_t i = 0; i != megabytes; ++i) {
      for (std::uint64_t& word : block) word = n = n * 6364136223846793005 + 1442695040888963407;
      in.write(reinterpret_cast<const char*>(block.data()), static_cast<std::streamsize>(block.size() * 8));
    }
  }
  net::io_context io;
  make_channel<texts>(io, name);
  descriptor out(::open(d.file("out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  running_tool send({"send", name, "--raw", "--chunk", "60000", d.file("in")});
  await_alive(name, participant_role::producer, 1);
  running_tool recv({"recv", name, "--raw", "--until-closed"}, -1, out.get());
  CHECK(send.wait() == 0);
  CHECK(recv.wait() == 0);
  CHECK(std::filesystem::file_size(d.file("out")) == megabytes << 20);
  CHECK(std::system(("cmp " + d.file("in") + ' ' + d.file("out")).c_str()) == 0);
  texts::unlink(name);
}

}  // namespace

TEST_CASE("megabytes through belfry send and recv come out as they were", "[tool-send]") {
  const watchdog limit;
  check_pipe(16);
}
TEST_CASE("many megabytes through belfry send and recv come out as they were", "[.][tool-send-long]") {
  const watchdog limit(std::chrono::seconds(600));
  check_pipe(256);
}
