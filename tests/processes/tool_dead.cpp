// Dead items, as the tool shows and takes them: belfry peek --dead, recv --dead, stat, ls.
#include "tool.hpp"

#include <belfry/belfry.hpp>

#include <chrono>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

using jobs = channel<work_ring<std::uint64_t, 16>>;
using tasks = channel<byte_work_ring>;

std::string text_of_message(const message& m) { return {reinterpret_cast<const char*>(m.bytes().data()), m.size()}; }

std::string printed(std::vector<std::string> arguments) {
  const outcome o = tool_run(std::move(arguments));
  CHECK(o.status == 0);
  CHECK(o.err == "");
  return o.out;
}

}  // namespace

TEST_CASE("the tool shows and drains the dead items of a work_ring", "[tool-dead]") {
  const watchdog limit;
  const std::string name = unique_name("tool-dead");
  const nothing_left check(name);
  net::io_context io;
  channel_options options;
  options.max_deliveries = 3;
  options.lease_timeout = std::chrono::seconds(90);
  jobs::producer tx(io, name, options);
  jobs::consumer rx(io, name);
  for (std::uint64_t n = 1; n != 6; ++n) {
    REQUIRE(tx.try_send(n));
    if (n < 4) CHECK(rx.try_receive_lease().reject());
  }
  CHECK(printed({"peek", name}) == "4\n5\n");
  CHECK(printed({"peek", name, "--dead"}) == "1\n2\n3\n");
  CHECK(printed({"peek", name, "--dead", "--count", "1"}) == "1\n");
  CHECK_THAT(printed({"stat", name}), contains("3 items; after 3 deliveries; delivered again after 90"));
  CHECK(json_says(tool_run({"stat", name, "--json"}).out, name,
                  "o['dead'], o['dropped'], o['unread'], o['max_deliveries'], o['lease_timeout']") ==
        "3 0 2 3 90000000000");
  CHECK_THAT(tool_run({"ls"}).out, contains("3 dead items"));
  CHECK(printed({"recv", name, "--dead", "--count", "2"}) == "1\n2\n");
  CHECK(printed({"recv", name, "--dead", "--json"}) == "3\n");
  CHECK(printed({"recv", name, "--dead"}) == "");
  CHECK(printed({"recv", name, "--count", "2"}) == "4\n5\n");
}

TEST_CASE("the tool sends, shows and takes messages of a byte_work_ring", "[tool-dead]") {
  const watchdog limit;
  const std::string name = unique_name("tool-tasks");
  const nothing_left check(name);
  net::io_context io;
  channel_options options;
  options.slots = 8;
  options.message_bytes = 200'000;
  tasks::producer tx(io, name, options);
  tasks::consumer rx(io, name);
  const std::string large(150'000, 'x');
  REQUIRE(tx.try_send(net::buffer(large)));
  REQUIRE(tx.try_send(net::buffer("abc", 3)));
  CHECK(printed({"peek", name, "--raw"}) == large + "abc");
  CHECK(rx.try_receive()->reject());
  CHECK(printed({"peek", name, "--hex"}) == "616263\n");
  CHECK(printed({"peek", name, "--dead", "--raw"}) == large);
  CHECK(printed({"recv", name, "--dead", "--raw"}) == large);
  CHECK(printed({"recv", name, "--hex", "--once"}) == "616263\n");
  CHECK_THAT(printed({"stat", name}), contains("8 messages of at most 200000 bytes"));
  const int input = ::memfd_create("input", MFD_CLOEXEC);
  REQUIRE(::write(input, "68656c6c6f\n", 11) == 11);
  ::lseek(input, 0, SEEK_SET);
  const outcome sent = run_program({platform::belfry_program(), "send", name, "--hex"}, {}, input);
  ::close(input);
  CHECK(sent.status == 0);
  CHECK(sent.err == "");
  REQUIRE(rx.size() == 1);
  CHECK(text_of_message(*rx.try_receive()) == "hello");
}

TEST_CASE("only some channels have dead items", "[tool-dead]") {
  const watchdog limit;
  const std::string name = unique_name("tool-no-dead");
  const nothing_left check(name);
  net::io_context io;
  channel<byte_ring>::producer tx(io, name);
  for (const char* command : {"peek", "recv"}) {
    const outcome o = tool_run({command, name, "--dead"});
    CHECK(o.status == 1);
    CHECK_THAT(o.err, contains("is a byte_ring, which has no dead items"));
  }
  CHECK(tool_run({"recv", name, "--dead", "--until-closed"}).status == 2);
}
