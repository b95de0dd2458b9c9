// `belfry recv`: with C++ programs at the other end, killed ones too, and with a closed pipe.
#include "tool_peers.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <optional>
#include <random>
#include <sstream>

using namespace belfry;
using namespace belfry::test;

namespace {

/// What `recv --hex` has printed.
std::vector<std::uint64_t> numbers_of(const std::string& lines) {
  std::vector<std::uint64_t> numbers;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) {
    REQUIRE(line.size() >= 16);
    std::uint64_t n = 0;
    for (std::size_t i = 8; i != 0; --i) n = n << 8 | std::stoul(line.substr(2 * i - 2, 2), nullptr, 16);
    numbers.push_back(n);
  }
  return numbers;
}

std::vector<std::uint64_t> numbers_from(std::uint64_t begin, std::uint64_t end) {
  std::vector<std::uint64_t> numbers;
  for (; begin < end; ++begin) numbers.push_back(begin);
  return numbers;
}

}  // namespace

TEST_CASE("belfry recv prints the fields of what it takes", "[tool-recv]") {
  const watchdog limit;
  const std::string name = unique_name("recv");
  const nothing_left check(name);
  net::io_context io;
  quotes::producer tx(io, name);
  for (std::uint64_t n = 0; n != 7; ++n) REQUIRE(tx.try_send(quote_of(n)));
  const auto printed = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"recv", name});
    running_tool tool(options);
    const std::string out = tool.rest();
    CHECK(tool.wait() == 0);
    CHECK(tool.errors() == "");
    return out;
  };
  CHECK(printed({"--once"}) == "{\"seq\":0,\"price\":0.0,\"symbol\":\"AB\"}\n");
  CHECK(printed({"--count", "2", "--json"}) ==
        "{\"seq\":1,\"price\":0.5,\"symbol\":\"AB\"}\n{\"seq\":2,\"price\":1.0,\"symbol\":\"AB\"}\n");
  CHECK_THAT(printed({"--once", "--hex"}), contains("0300000000000000"));
  CHECK(printed({"--once", "--raw"}).size() == sizeof(quote));
  CHECK_THAT(printed({"--once", "--csv"}), contains("seq,price,symbol\n5,2.5,AB\n"));
  CHECK(printed({"--once", "--field", "price"}) == "3.0\n");
  CHECK(tx.size() == 0);
}

TEST_CASE("belfry recv shows each message at once", "[tool-recv]") {
  const watchdog limit;
  const std::string name = unique_name("shows");
  const nothing_left check(name);
  net::io_context io;
  texts::producer tx(io, name);
  running_tool tool({"recv", name, "--raw", "--count", "100"});
  for (int i = 0; i != 100; ++i) {
    const std::string text = "message " + std::to_string(i);
    REQUIRE(tx.try_send(net::buffer(text + '\n')));
    CHECK(tool.line() == text);
  }
  CHECK(tool.wait() == 0);
}

TEST_CASE("belfry recv tells that a producer has gone, and waits for the next one", "[tool-recv]") {
  const watchdog limit;
  const std::string name = unique_name("gone");
  const nothing_left check(name);
  const event sent;
  const event go;
  child killed([&] {
    go.wait();
    net::io_context io;
    quotes::producer tx(io, name);
    EXPECT(tx.try_send(quote_of(2)));
    sent.set();
    for (;;) ::pause();
  });
  net::io_context io;
  std::optional<quotes::producer> tx(std::in_place, io, name);
  running_tool tool({"recv", name, "--field", "seq"});
  await_alive(name, participant_role::consumer, 1);
  running_tool second({"recv", name});
  CHECK(second.wait() == 1);
  CHECK(count_lines(second.errors()) == 1);
  REQUIRE(tx->try_send(quote_of(1)));
  CHECK(tool.line() == "1");
  tx.reset();
  await([&] { return tool.errors().find("the producer has left") != std::string::npos; });
  go.set();
  sent.wait();
  CHECK(tool.line() == "2");
  killed.kill();
  await([&] { return tool.errors().find("was killed") != std::string::npos; });
  tx.emplace(io, name);
  REQUIRE(tx->try_send(quote_of(3)));
  CHECK(tool.line() == "3");
  CHECK(count_lines(tool.errors()) == 2);
  tool.interrupt();
  CHECK(tool.rest() == "");
  CHECK(tool.wait() == 0);
}

TEST_CASE("belfry recv --until-closed ends with the producer", "[tool-recv]") {
  const watchdog limit;
  const std::string name = unique_name("until");
  const nothing_left check(name);
  for (const bool killed : {false, true}) {
    const event joined;
    const event go;
    child producer([&] {
      net::io_context own;
      quotes::producer tx(own, name);
      joined.set();
      go.wait();
      for (std::uint64_t n = 0; n != 3; ++n) EXPECT(tx.try_send(quote_of(n)));
      if (killed) ::kill(::getpid(), SIGKILL);
    });
    joined.wait();
    running_tool tool({"recv", name, "--until-closed", "--field", "seq"});
    await_alive(name, participant_role::consumer, 1);
    go.set();
    CHECK(tool.rest() == "0\n1\n2\n");
    CHECK(tool.wait() == (killed ? 1 : 0));
    CHECK_THAT(tool.errors(), contains(killed ? "killed" : "left"));
    producer.wait();
  }
}

TEST_CASE("belfry recv ends with its reader, and takes nothing after that", "[tool-recv]") {
  const watchdog limit;
  const std::string name = unique_name("head");
  const nothing_left check(name);
  net::io_context io;
  quotes::producer tx(io, name);
  {
    running_tool tool({"recv", name, "--field", "seq"});
    REQUIRE(tx.try_send(quote_of(0)));
    CHECK(tool.line() == "0");
    tool.close_output();
    CHECK(tool.wait() == 0);
    CHECK(tool.errors() == "");
  }
  REQUIRE(tx.try_send(quote_of(1)));
  quotes::consumer rx(io, name);
  quote q{};
  REQUIRE_FALSE(rx.receive(q));
  CHECK(q.seq == 1);
}

TEST_CASE("belfry recv says how many messages it has taken and not written", "[tool-recv]") {
  const watchdog limit;
  const std::string name = unique_name("unwritten");
  const nothing_left check(name);
  const scratch_directory d;
  net::io_context io;
  {
    quotes::producer tx(io, name);
    const descriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
    const auto refused = [&](running_tool& tool, const std::string& said) {
      CHECK(tool.wait() == 1);
      CHECK(count_lines(tool.errors()) == 1);
      CHECK_THAT(tool.errors(), contains("3 messages taken from \"" + name + "\", and not written: "));
      CHECK_THAT(tool.errors(), contains(said));
      CHECK(tx.size() == 0);
    };
    for (const char* const format : {"--json", "--csv", "--raw"}) {
      for (std::uint64_t n = 0; n != 3; ++n) REQUIRE(tx.try_send(quote_of(n)));
      running_tool tool({"recv", name, format}, -1, full.get());
      refused(tool, "No space left");
    }
    for (std::uint64_t n = 0; n != 3; ++n) REQUIRE(tx.try_send(quote_of(n)));
    running_tool tool({"recv", name}, -1, running_tool::closed);
    refused(tool, "Bad file descriptor");
  }
  {
    // A pipe with room for four of them, whose reader takes one.
    texts::producer tx(io, name);
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    descriptor reader(ends[0]);
    descriptor writer(ends[1]);
    REQUIRE(::fcntl(writer.get(), F_SETPIPE_SZ, 4096) == 4096);
    for (int i = 0; i != 20; ++i) REQUIRE(tx.try_send(net::buffer(std::string(999, 'x') + '\n')));
    running_tool tool({"recv", name, "--raw"}, -1, writer.get());
    writer.close();
    std::string first(1000, '\0');
    REQUIRE(::read(reader.get(), first.data(), first.size()) == 1000);
    reader.close();
    CHECK(tool.wait() == 1);
    CHECK(count_lines(tool.errors()) == 1);
    CHECK_THAT(tool.errors(), contains("16 messages taken from \"" + name + "\", and not written: the reader"));
    CHECK(tx.size() == 0);
  }
}

TEST_CASE("belfry send says how much of its input it has read and not sent", "[tool-recv]") {
  const watchdog limit;
  const std::string name = unique_name("unsent");
  const nothing_left check(name);
  net::io_context io;
  make_channel<quotes>(io, name);
  {
    running_tool tool({"send", name, "--raw"});
    tool.write(std::string(66 * sizeof(quote), '\0'));
    await_asleep(name, tool);
    tool.interrupt();
    CHECK(tool.wait() == 0);
    const std::string unsent = std::to_string(2 * sizeof(quote));
    CHECK_THAT(tool.errors(), contains(unsent + " bytes of the input were read, and not sent"));
    CHECK(inspect(name).unread == 64);
  }
  running_tool closed({"send", name}, running_tool::closed);
  CHECK(closed.wait() == 1);
  CHECK(count_lines(closed.errors()) == 1);
  CHECK_THAT(closed.errors(), contains("Bad file descriptor"));
  quotes::unlink(name);
}

TEST_CASE("belfry recv tells how many values were overwritten", "[tool-recv]") {
  const watchdog limit;
  const std::string name = unique_name("overwritten");
  const nothing_left check(name);
  net::io_context io;
  channel<broadcast_ring<quote, 16, overflow::overwrite>>::producer tx(io, name);
  running_tool tool({"recv", name, "--field", "seq", "--until-closed"});
  await_asleep(name, tool);
  tool.stop();
  for (std::uint64_t n = 0; n != 1000; ++n) REQUIRE(tx.try_send(quote_of(n)));
  ::kill(tool.pid(), SIGCONT);
  tx.close();
  const std::string out = tool.rest();
  CHECK(tool.wait() == 0);
  CHECK_THAT(tool.errors(), contains(std::to_string(1000 - count_lines(out)) + " values overwritten"));
  CHECK_THAT(out, contains("\n999\n"));
}

TEST_CASE("belfry recv and send do not make the streams of others non-blocking", "[tool-recv]") {
  const watchdog limit;
  const std::string name = unique_name("streams");
  const nothing_left check(name);
  int in[2];
  int out[2];
  REQUIRE(::pipe2(in, O_CLOEXEC) == 0);
  REQUIRE(::pipe2(out, O_CLOEXEC) == 0);
  net::io_context io;
  std::optional<texts::producer> tx(std::in_place, io, name);
  running_tool recv({"recv", name, "--raw", "--once"}, -1, out[1]);
  await_asleep(name, recv);
  tx.reset();
  running_tool send({"send", name}, in[0]);
  await_alive(name, participant_role::producer, 1);
  REQUIRE(::write(in[1], "x\n", 2) == 2);
  CHECK(recv.wait() == 0);
  for (const int fd : {in[0], out[1]}) CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
  for (const int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
  CHECK(send.wait() == 0);
}

TEST_CASE("belfry recv and send: what they refuse", "[tool-recv]") {
  const watchdog limit;
  const std::string name = unique_name("refused");
  const nothing_left check(name);
  const scratch_directory d;
  for (const std::string command : {"recv", "send"}) {
    running_tool unknown({command, name});
    CHECK(unknown.wait() == 1);
    CHECK(count_lines(unknown.errors()) == 1);
    CHECK_THAT(unknown.errors(), contains(name));
    CHECK(files_of(name) == 0);
    for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{
             {command}, {command, name, "--raw", "--hex"}, {command, name, "--timeout", "0"}}) {
      running_tool misused(wrong);
      CHECK(misused.wait() == 2);
    }
  }
  net::io_context io;
  quotes::producer tx(io, name);
  running_tool none({"recv", name, "--timeout", "0.05"});
  CHECK(none.wait() == 1);
  CHECK_THAT(none.errors(), contains("within 0.05 seconds"));
  running_tool field({"recv", name, "--field", "nonsense"});
  CHECK(field.wait() == 1);
  CHECK_THAT(field.errors(), contains("nonsense"));
  running_tool taken({"send", name});
  CHECK(taken.wait() == 1);
  CHECK(count_lines(taken.errors()) == 1);
  tx.close();
}

TEMPLATE_LIST_TEST_CASE("belfry recv continues after a killed consumer", "[tool-recv]", every_ring) {
  using channel = typename TestType::channel;
  const watchdog limit;
  const std::string name = unique_name("continues");
  const nothing_left check(name);
  constexpr std::uint64_t total = 12;
  constexpr std::uint64_t before = 5;
  const event received;
  child consumer([&] {
    net::io_context io;
    typename channel::consumer rx(io, name, TestType::options());
    for (std::uint64_t n = 0; n != before;) {
      if (const auto v = rx.try_receive()) n = number(*v) + 1;
    }
    received.set();
    for (;;) ::pause();
  });
  await_alive(name, participant_role::consumer, 1);
  TestType values;
  net::io_context io;
  typename channel::producer tx(io, name, TestType::options());
  for (std::uint64_t n = 0; n != before; ++n) REQUIRE(tx.try_send(values.make(n)));
  received.wait();
  for (std::uint64_t n = before; n != total; ++n) REQUIRE(tx.try_send(values.make(n)));
  consumer.kill();
  const bool newest_only = inspect(name).kind == "latest";
  running_tool tool({"recv", name, "--oldest", "--hex", "--until-closed"});
  await_alive(name, participant_role::consumer, 1);
  tx.close();
  std::vector<std::uint64_t> all = numbers_of(tool.rest());
  CHECK(tool.wait() == 0);
  if (newest_only) {
    CHECK(all == numbers_from(total - 1, total));
  } else {
    // A broadcast also has what the dead one has received, as far as it is still there.
    while (!all.empty() && all.front() < before) all.erase(all.begin());
    CHECK(all == numbers_from(before, total));
  }
}

TEMPLATE_LIST_TEST_CASE("belfry recv continues after a consumer that is killed at any moment", "[tool-recv]",
                        every_ring) {
  using channel = typename TestType::channel;
  constexpr std::uint64_t total = 2000;
  const watchdog limit;
  const std::string name = unique_name("stream");
  const nothing_left check(name);
  std::minstd_rand random(random_seed());
  for (int round = 0; round != 3; ++round) {
    const shared<std::atomic<std::uint64_t>> received;
    child consumer([&] {
      net::io_context io;
      typename channel::consumer rx(io, name, TestType::options());
      while (received->load() < total - 200) {  // the rest is for its successor, however late the kill comes
        if (const auto v = rx.try_receive()) received->store(number(*v) + 1);
      }
      for (;;) ::pause();
    });
    await_alive(name, participant_role::consumer, 1);
    const channel_info info = inspect(name);
    if (info.kind == "latest" || info.overwrites) {  // their producer does not wait
      consumer.kill();
      channel::unlink(name);
      return;
    }
    child producer([&] {
      net::io_context io;
      TestType values;
      typename channel::producer tx(io, name, TestType::options());
      for (std::uint64_t n = 0; n != total; ++n) {
        while (!tx.try_send(values.make(n))) ::usleep(50);
      }
    });
    const std::uint64_t enough = 1 + random() % (total / 2);
    await([&] { return received->load() >= enough; });
    consumer.kill();
    running_tool tool({"recv", name, "--oldest", "--hex", "--until-closed"});
    std::vector<std::uint64_t> all = numbers_of(tool.rest());
    CHECK(tool.wait() == 0);
    CHECK(producer.wait() == 0);
    REQUIRE_FALSE(all.empty());
    // A consumer skips an item that is still being written.
    if (info.kind.ends_with("work_ring")) std::ranges::sort(all);
    // At most the one that it had taken, and not noted, is missing. A broadcast does not wait for a consumer to come.
    if (!info.kind.ends_with("broadcast_ring")) CHECK(all.front() <= received->load() + 1);
    CHECK(all == numbers_from(all.front(), total));
  }
}
