// The program `belfry` as a user runs it: ls, stat, rm, gc, doctor. What they print, what they remove, and how they end.
#include "../../src/base/utf8.hpp"
#include "abandoned.hpp"
#include "terminal.hpp"
#include "tool.hpp"

#include <belfry/shared_memory.hpp>

#include <algorithm>
#include <array>
#include <fstream>

using namespace belfry;
using namespace belfry::test;

TEST_CASE("belfry: usage, help, and the exit status", "[tool]") {
  const watchdog limit;
  CHECK(tool_run({}).status == 2);
  CHECK(tool_run({"nonsense"}).status == 2);
  CHECK(tool_run({"--help"}).status == 0);
  CHECK(tool_run({"--version"}).status == 0);
  for (const char* const command :
       {"bw", "check", "doctor", "gc", "hz", "info", "ls", "metrics", "peek", "rm", "serve", "stat", "top"}) {
    const outcome help = tool_run({command, "--help"});
    CHECK(help.status == 0);
    CHECK_THAT(help.out, contains("--help"));
    const bool plugin = std::string_view(command) == "check";
    CHECK(tool_run({command, "--nonsense"}).status == (plugin ? 3 : 2));
  }
  for (const char* const command : {"bw", "hz", "info", "peek", "rm", "stat"}) CHECK(tool_run({command}).status == 2);
  const std::string name = unique_name("nothing");
  for (const char* const command : {"bw", "hz", "info", "peek", "rm", "stat"}) {
    const outcome o = tool_run({command, name});
    CHECK(o.status == 1);
    CHECK(o.out == "");
    CHECK(lines_of(o.err).size() == 1);
    CHECK_THAT(o.err, contains(name));
  }
  CHECK(tool_run({"gc", name}).status == 0);
}

TEST_CASE("belfry: the manual page and the completion know every command, and every option", "[tool]") {
  const watchdog limit;
  const std::string help = tool_run({"--help"}).out;
  const std::string manual = tool_run({"pages", "man"}).out;
  const std::string completion = tool_run({"pages", "bash"}).out;
  CHECK(help.find("pages") == std::string::npos);
  CHECK_THAT(completion, contains("    options='bridge bw check "));
  std::istringstream commands(completion.substr(completion.find("options='bridge") + 9));
  std::size_t number = 0;
  for (std::string command; commands >> command && command != "fi"; ++number) {
    if (command.ends_with('\'')) command.pop_back();
    CHECK_THAT(help, contains("\n  " + command));
    CHECK_THAT(manual, contains(".SS \"belfry " + command + '"'));
    if (command == "bridge") continue;  // another program, which prints its options itself
    const std::string own = tool_run({command, "--help"}).out;
    for (std::size_t at = own.find(" --"); at != own.npos; at = own.find(" --", at + 1)) {
      std::string option = own.substr(at + 1, own.find_first_of(" ,;\n", at + 1) - at - 1);
      CHECK_THAT(completion, contains(option));
      for (std::size_t i = 0; (i = option.find('-', i)) != option.npos; i += 2) option.insert(i, 1, '\\');
      CHECK_THAT(manual, contains(option));
    }
  }
  CHECK(number > 10);
}

TEST_CASE("belfry: an output that cannot be written is an error", "[tool]") {
  const watchdog limit;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  ::close(ends[0]);
  for (const int out : {ends[1], ::open("/dev/full", O_WRONLY | O_CLOEXEC)}) {
    const outcome o = tool_run({"ls"}, {}, out);
    CHECK(o.status == 1);
    CHECK(lines_of(o.err).size() == 1);
    ::close(out);
  }
}

TEST_CASE("belfry ls and stat tell of channels, blocks and companions", "[tool]") {
  const watchdog limit;
  const std::string name = unique_name("tool");
  const nothing_left check(name);
  net::io_context io;
  abandoned_values::producer tx(io, name);
  auto block = shared_memory::create(name + "-block", 5000);
  const unlink_on_destroy owner(block);
  const transaction t = block.txn();
  for (std::uint64_t i = 0; i != 3; ++i) REQUIRE(tx.try_send({i, 0.5}));

  const outcome ls = tool_run({"ls"});
  CHECK(ls.status == 0);
  CHECK(ls.err == "");
  CHECK_THAT(line_about(ls.out, name), contains("spsc_ring"));
  CHECK_THAT(line_about(ls.out, name), contains("3/64"));
  CHECK_THAT(line_about(ls.out, name + "-block"), contains("block"));
  CHECK_THAT(line_about(ls.out, name + "-block"), contains("4.9K"));
  CHECK_THAT(line_about(ls.out, name + "-block.watch"), contains("watch"));
  CHECK(line_about(ls.out, name + ".bell.0").empty());
  CHECK(ls.out.find('\x1b') == std::string::npos);

  const outcome json = tool_run({"ls", "--json"});
  CHECK(json.status == 0);
  CHECK(
      json_says(
          json.out, name,
          "o['kind'], o['unread'], o['capacity'], o['producers'], o['consumers'], o['problem']") ==
      "spsc_ring 3 64 1 0 None");
  CHECK(json_says(json.out, name + "-block", "o['kind'], o['bytes'], o['version'], o['unread']") ==
        "block 5000 None None");

  const outcome stat = tool_run({"stat", name, name + "-block"});
  CHECK(stat.status == 0);
  CHECK_THAT(stat.out, contains("3 of 64"));
  CHECK_THAT(stat.out, contains("64 values of 16 bytes"));
  CHECK_THAT(stat.out, contains(std::to_string(::getpid())));
  CHECK_THAT(stat.out, contains("no consumer is alive"));
  const outcome info = tool_run({"info", "--json", name, name + "-nothing"});
  CHECK(info.status == 1);
  CHECK(lines_of(info.err).size() == 1);
  CHECK(
      json_says(
          info.out, name,
          "o['participants'][0]['pid'], o['participants'][0]['alive'], o['mode'], o['lifetime']") ==
      std::to_string(::getpid()) + " True 0600 drained");
  abandoned_values::consumer rx(io, name);
  while (rx.try_receive()) {
  }
}

TEST_CASE("belfry ls lists many channels, each on its line, as wide as the terminal", "[tool]") {
  const watchdog limit;
  const std::string name = unique_name("many");
  const nothing_left check(name);
  constexpr std::size_t count = 300;
  std::vector<detail::segment> all;
  for (std::size_t i = 0; i != count; ++i) {
    detail::failure f;
    all.push_back(detail::segment::create_or_open(name + '-' + std::to_string(i),
                                                  abandoned_values::ring_type::traits, {}, f));
    REQUIRE_FALSE(f);
  }
  const std::string odd = name + "-\x1b[31m\n\xff";
  std::ofstream("/dev/shm/" + odd) << "x";

  const outcome ls = tool_run({"ls"});
  std::size_t found = 0;
  for (std::size_t i = 0; i != count; ++i)
    found += !line_about(ls.out, name + '-' + std::to_string(i)).empty();
  CHECK(found == count);
  CHECK_THAT(ls.out, contains(name + "-\\x1b[31m\\x0a\\xff "));

  const std::vector<std::string> lines = lines_of(tool_run({"ls"}, {{"COLUMNS", "70"}}).out);
  CHECK(lines.size() > count);
  CHECK(std::ranges::all_of(lines,
                            [](const std::string& l) { return utf8_characters(l) <= 70; }));
  CHECK(lines_of(tool_run({"ls", "--json"}).out).size() > count);
  ::unlink(("/dev/shm/" + odd).c_str());
  for (const detail::segment& s : all) ::unlink(("/dev/shm/" + s.name()).c_str());
}

TEST_CASE("belfry uses colours only on a terminal, and not with NO_COLOR", "[tool]") {
  const watchdog limit;
  for (const bool colours : {true, false}) {
    const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal == -1 || ::grantpt(terminal) != 0 || ::unlockpt(terminal) != 0) return;
    const int slave = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(slave != -1);
    const settings with{{"TERM", "xterm"}, {"NO_COLOR", colours ? "" : "1"}};
    CHECK(tool_run({"rm", "--help"}, with, slave).status == 0);  // never has any
    CHECK(tool_run({"gc", unique_name("none")}, with, slave).status == 0);
    const std::string name = unique_name("seen");
    auto block = shared_memory::create(name, 10);
    const unlink_on_destroy owner(block);
    CHECK(tool_run({"stat", name}, with, slave).status == 0);
    ::close(slave);
    const std::string seen = rest_of_terminal(terminal);
    CHECK((seen.find("\x1b[1m") != std::string::npos) == colours);
    ::close(terminal);
  }
}

TEST_CASE("belfry rm removes what no process uses, and the rest only with --force", "[tool]") {
  const watchdog limit;
  const std::string name = unique_name("rm");
  const nothing_left check(name);
  abandon(name, 2, lifetime::persistent);
  CHECK(tool_run({"rm", name}).status == 0);
  CHECK(files_of(name) == 0);
  net::io_context io;
  abandoned_values::producer tx(io, name);
  auto block = shared_memory::create(name + "-block", 100);
  const outcome refused = tool_run({"rm", name, name + "-block", name + "-nothing"});
  CHECK(refused.status == 1);
  CHECK(lines_of(refused.err).size() == 3);
  CHECK_THAT(refused.err, contains(std::to_string(::getpid())));
  CHECK_THAT(refused.err, contains("--force"));
  CHECK(files_of(name) == 3);
  CHECK(tool_run({"rm", "--force", name, name + "-block"}).status == 0);
  CHECK(files_of(name) == 0);
}

TEST_CASE("belfry gc tells what it has removed, and what it keeps", "[tool]") {
  const watchdog limit;
  const std::string name = unique_name("gc");
  const nothing_left check(name);
  const std::string empty = name + "-empty";
  const std::string full = name + "-full";
  abandon(empty, 0);
  abandon(full, 2);
  const outcome some = tool_run({"gc", empty, full});
  CHECK(some.status == 0);
  CHECK_THAT(some.out, contains("removed " + empty + "\n"));
  CHECK_THAT(some.out, contains("kept    " + full + ": 2 values unread"));
  CHECK(files_of(empty) == 0);
  CHECK(files_of(full) == 3);
  const outcome all = tool_run({"gc", "--all", "--json", full});
  CHECK(all.status == 0);
  CHECK(json_says(all.out, full, "o['fate'], o['kind'], o['unread']") == "removed spsc_ring 2");
  CHECK(files_of(full) == 0);
}

TEST_CASE("belfry doctor tells what is needed, and what is left over", "[tool]") {
  const watchdog limit;
  const std::string name = unique_name("doctor");
  const nothing_left check(name);
  abandon(name, 1);
  const outcome seen = tool_run({"doctor"});
  CHECK(seen.status == 0);
  for (const char* const what :
       {"kernel", "memory", "channels", "locks", "descriptors", "membarrier"})
    CHECK_THAT(seen.out, contains(what));
  const outcome json = tool_run({"doctor", "--json"});
  CHECK(json.status == 0);
  CHECK(json_says(json.out, "locks", "o['level']") == "ok");
  CHECK(json_says(json.out, name, "o['level'], o['found']") ==
        "note something is unread, and no participant is alive");
  CHECK_THAT(json_says(json.out, name, "o['advice']"), contains("belfry gc --all " + name));
  CHECK(tool_run({"gc", "--all", name}).status == 0);
}
