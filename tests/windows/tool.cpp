// The program `belfry`, with channels and blocks that other programs have made.
#include "platform/windows/directory.hpp"
#include "platform/windows/system.hpp"
#include "started.hpp"
#include "support/catch.hpp"

#include <belfry/channel.hpp>
#include <belfry/inspect.hpp>
#include <belfry/ring/byte_ring.hpp>
#include <belfry/ring/spsc_ring.hpp>
#include <belfry/shared_memory.hpp>
#include <belfry/watch.hpp>

#include <chrono>
#include <sstream>
#include <string>
#include <stop_token>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

using namespace std::chrono_literals;
struct tick {
  std::uint64_t seq;
  double price;
};
using ticks = channel<spsc_ring<tick, 64>>;

constexpr const char* belfry_program = "src/cli/belfry";

channel_options persistent() {
  channel_options o;
  o.lifetime = lifetime::persistent;
  return o;
}

// ---- what the other processes do -------------------------------------------------------------------------------------

void send_three(const std::string& name) {
  net::io_context io;
  ticks::producer tx(io, name);
  for (std::uint64_t n = 1; n <= 3; ++n) EXPECT(tx.try_send(tick{n, 0.5 * static_cast<double>(n)}));
  event(name + "-sent").set();
  sleep_forever();
}

void make_and_leave(const std::string& name) {
  net::io_context io;
  ticks::producer tx(io, name, persistent());
}

/// Runs a command, waits until it is at work, and presses Ctrl-C, in the console of both; it must end without an error.
/// The argument: the channel, and the command.
void press_ctrl_c(const std::string& argument) {
  const std::size_t at = argument.find('#');
  const std::string name = argument.substr(0, at);
  std::string command = argument.substr(at + 1);
  for (char& c : command) c = c == '+' ? ' ' : c;
  program tool(belfry_program, command);
  const auto sleeps = [&] {
    const channel_info info = inspect(name);
    return info.alive() == 1 && info.participants.at(0).parked;
  };
  if (command.starts_with("recv")) {
    while (!sleeps()) std::this_thread::sleep_for(10ms);
  } else if (command.starts_with("send")) {
    tool.write("[1,0.5]\n");
    while (inspect(name).unread != 1) std::this_thread::sleep_for(10ms);
  } else {
    EXPECT(!tool.line().empty());
  }
  ::SetConsoleCtrlHandler([](DWORD) -> BOOL { return TRUE; }, TRUE);
  EXPECT(::GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0) != 0);
  EXPECT(tool.wait() == 0);
  const std::string said = tool.errors();
  EXPECT(said.empty() || said.ends_with("the producer has left; waiting for the next one\n"));
}

const body all[]{
    {"send-three", send_three}, {"make-and-leave", make_and_leave}, {"press-ctrl-c", press_ctrl_c},
};

// ---- this process ----------------------------------------------------------------------------------------------------

std::string output_of(const std::string& arguments) {
  program tool(belfry_program, arguments);
  tool.end_input();
  const std::string out = tool.rest();
  CHECK(tool.errors() == "");
  CHECK(tool.wait() == 0);
  return out;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// The line about this name, of JSON; empty if there is none.
std::string line_about(const std::string& name, const std::string& output) {
  for (const std::string& line : lines_of(output)) {
    if (line.starts_with("{\"name\":\"" + name + "\",")) return line;
  }
  return {};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// A value, as the tool prints it.
std::string text_of(std::uint64_t n) {
  return '[' + std::to_string(n) + ',' + std::to_string(n / 2) + (n % 2 == 0 ? ".0]" : ".5]");
}

/// An empty file, as a killed process would leave it.
void make_file(const std::wstring& path) {
  const detail::unique_handle file = platform::file_handle(
      ::CreateFileW(path.c_str(), GENERIC_WRITE, platform::share_all, nullptr, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr));
  REQUIRE(file);
}

bool exists(const std::wstring& path) { return ::GetFileAttributesW(path.c_str()) != INVALID_FILE_ATTRIBUTES; }

}  // namespace

TEST_CASE("ls, stat, peek and gc: a channel of another program, which is killed", "[tool]") {
  const std::string name = unique_name("tool");
  const event sent(name + "-sent");
  started producer("send-three", name);
  sent.wait();

  for (const std::string& command : {std::string("ls --json"), "stat --json " + name}) {
    const std::string seen = line_about(name, output_of(command));
    CAPTURE(seen);
    for (const char* const part : {R"("kind":"spsc_ring")", R"("unread":3,)", R"("producers":1,)", R"("consumers":0,)",
                                   R"("program":"windows-tests.ex")", R"("alive":true)"})
      CHECK(has(seen, part));
  }
  CHECK(lines_of(output_of("peek " + name)) == std::vector{text_of(1), text_of(2), text_of(3)});
  CHECK(output_of("gc " + name) == "");  // it is in use

  producer.kill();
  const std::string kept = line_about(name, output_of("gc --json " + name));
  CHECK(has(kept, R"("fate":"holding")"));
  CHECK(has(kept, R"("unread":3)"));
  CHECK(files_of(name) == 1);
  CHECK(output_of("gc --all " + name) == "removed " + name + '\n');
  CHECK(files_of(name) == 0);
  CHECK(output_of("gc " + name) == "");
}

TEST_CASE("gc removes what has no name yet or any more, and what is of an earlier boot", "[tool]") {
  detail::failure f;
  const std::wstring made = platform::new_path(platform::of_new, f);
  const std::wstring gone = platform::new_path(platform::of_gone, f);
  const std::wstring directory = platform::block_directory(f);
  REQUIRE(!f);
  const std::wstring boot = directory.substr(0, directory.rfind(L'\\', directory.size() - 2) + 1) + L"0000testtesttest";
  const std::wstring old = boot + L"\\s-belfry-test-of-an-earlier-boot";
  make_file(made);
  make_file(gone);
  REQUIRE(::CreateDirectoryW(boot.c_str(), nullptr) != 0);
  make_file(old);
  const std::string told = output_of("gc");
  CHECK(!exists(made));
  CHECK(!exists(gone));
  CHECK(!exists(old));
  CHECK(!exists(boot));
  CHECK(has(told, "removed s-belfry-test-of-an-earlier-boot\n"));
  CHECK(has(told, "removed new-"));
  CHECK(has(told, "removed gone-"));
}

TEST_CASE("send and recv: through the channel of another program, by pipes", "[tool]") {
  const std::string name = unique_name("through");
  CHECK(started("make-and-leave", name).wait() == 0);
  constexpr std::uint64_t count = 5000;  // more than the ring and the pipes take
  program consumer(belfry_program, "recv --count " + std::to_string(count) + ' ' + name);
  program producer(belfry_program, "send " + name);
  std::thread writer([&] {
    std::string text;
    for (std::uint64_t n = 1; n <= count; ++n) text += text_of(n) + '\n';
    producer.write(text);
    producer.end_input();
  });
  std::uint64_t wrong = 0;
  for (std::uint64_t n = 1; n <= count; ++n) {
    wrong += consumer.line() != text_of(n);
  }
  writer.join();
  CHECK(wrong == 0);
  CHECK(consumer.line() == "");
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
  CHECK(producer.errors() == "");
  CHECK(output_of("rm " + name) == "");
  CHECK(files_of(name) == 0);
}

TEST_CASE("recv: bytes arrive as they are, and a file is read", "[tool]") {
  const std::string name = unique_name("bytes");
  net::io_context io;
  channel<byte_ring>::consumer rx(io, name);
  const std::string bytes("a\r\n\x1a\n\0\xff", 7);
  const std::wstring path = L"belfry-test-" + std::to_wstring(::GetCurrentProcessId()) + L".txt";
  {
    const detail::unique_handle file = platform::file_handle(
        ::CreateFileW(path.c_str(), GENERIC_WRITE, 0, nullptr, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr));
    DWORD n = 0;
    REQUIRE(::WriteFile(file.get(), bytes.data(), static_cast<DWORD>(bytes.size()), &n, nullptr) != 0);
  }
  output_of("send --raw --chunk 7 " + name + ' ' + std::string(path.begin(), path.end()));
  CHECK(::DeleteFileW(path.c_str()) != 0);
  CHECK(output_of("peek --raw " + name) == bytes);
  message m;
  REQUIRE(rx.receive(m, 60s) == error_code());
  CHECK(std::string(reinterpret_cast<const char*>(m.bytes().data()), m.size()) == bytes);
}

TEST_CASE("recv tells that the producer was killed", "[tool]") {
  const std::string name = unique_name("killed");
  const event sent(name + "-sent");
  started producer("send-three", name);
  sent.wait();
  program consumer(belfry_program, "recv --until-closed " + name);
  for (std::uint64_t n = 1; n <= 3; ++n) CHECK(consumer.line() == text_of(n));
  producer.kill();
  CHECK(consumer.line() == "");
  CHECK(consumer.wait() == 1);
  CHECK(consumer.errors() == "belfry: \"" + name + "\": a producer was killed\n");
}

TEST_CASE("send tells what it cannot send, and recv and send tell that a time is over", "[tool]") {
  const std::string name = unique_name("faults");
  CHECK(started("make-and-leave", name).wait() == 0);
  program wrong(belfry_program, "send " + name);
  wrong.write(text_of(1) + "\nnothing\n");
  CHECK(wrong.wait() == 1);
  CHECK(wrong.errors().starts_with("belfry: line 2: "));
  program late(belfry_program, "recv --timeout 0.1 --count 2 " + name);
  CHECK(late.line() == text_of(1));
  CHECK(late.wait() == 1);
  CHECK(has(late.errors(), "within 0.1 seconds"));
  output_of("rm " + name);
}

TEST_CASE("watch, hz, top, metrics, check and doctor", "[tool]") {
  const std::string name = unique_name("seen");
  const std::string block_name = unique_name("block");
  CHECK(started("make-and-leave", name).wait() == 0);
  CHECK(output_of("hz --interval 0.1 --count 1 " + name) != "");
  CHECK(has(output_of("top --interval 0.1 --count 1"), name));
  CHECK(has(output_of("metrics"), "belfry_capacity{channel=\"" + name + "\",kind=\"spsc_ring\"} 64\n"));
  CHECK(output_of("check " + name).starts_with("BELFRY OK"));
  const std::string found = output_of("doctor --json");
  CHECK(has(found, R"({"check":"system","level":"ok")"));
  CHECK(has(found, R"({"check":"locks","level":"ok")"));
  CHECK(!has(found, R"("level":"broken")"));
  const std::string file = name + ".prom";
  output_of("metrics --output " + file);
  output_of("metrics --output " + file);  // replaces it
  CHECK(exists(std::wstring(file.begin(), file.end())));
  CHECK(::DeleteFileA(file.c_str()) != 0);
  output_of("rm " + name);

  net::io_context io;
  const auto block = shared_memory::create(block_name, 4096);
  watch w(io, block);
  program watcher(belfry_program, "watch --json --count 1 " + block_name);
  const std::jthread notifier([&](const std::stop_token& stop) {
    for (; !stop.stop_requested(); std::this_thread::sleep_for(50ms)) w.notify();
  });
  CHECK(has(watcher.line(), R"("changes":)"));
  CHECK(watcher.wait() == 0);
}

TEST_CASE("Ctrl-C ends every command cleanly", "[tool]") {
  const std::string name = unique_name("interrupted");
  CHECK(started("make-and-leave", name).wait() == 0);
  for (const std::string& command : {"recv+" + name, "send+" + name, "hz+--interval+0.1+" + name,
                                     std::string("top+--interval+0.1")}) {
    CAPTURE(command);
    CHECK(started("press-ctrl-c", name + '#' + command, started::console::own).wait() == 0);
  }
  CHECK(inspect(name).alive() == 0);
  CHECK(inspect(name).deaths == 0);
  output_of("rm " + name);
}

TEST_CASE("a command that is not there says so", "[tool]") {
  for (const char* const command : {"serve", "record a b", "replay a", "bridge --help"}) {
    program tool(belfry_program, command);
    CHECK(tool.wait() == 1);
    CHECK(has(tool.errors(), "not on Windows"));
    CHECK(tool.line() == "");
  }
  program wrong(belfry_program, "nothing");
  CHECK(wrong.wait() == 2);
}
