// `belfry record` and `belfry replay`.
#include "tool_peers.hpp"

#include "../../src/cli/recording.hpp"

#include <chrono>
#include <cstring>
#include <fstream>

using namespace belfry;
using namespace belfry::test;

namespace {

using feed = channel<broadcast_ring<tick, 1024, overflow::block>>;
using lossy_feed = channel<broadcast_ring<tick, 16, overflow::overwrite>>;
using direct = channel<spsc_ring<tick, 64>>;

tick tick_of(std::uint64_t n) { return {n, 0.25 * static_cast<double>(n)}; }

template <class Producer>
void send_ticks(Producer& tx, std::uint64_t begin, std::uint64_t end) {
  for (; begin != end; ++begin) EXPECT_EQ(tx.send(tick_of(begin)), error_code());
}

/// The numbers of a recording.
std::vector<std::uint64_t> recorded_in(const std::string& path) {
  cli::recording_reader in(path);
  std::vector<std::uint64_t> all;
  while (const auto m = in.next()) {
    tick t{};
    REQUIRE(m->bytes.size() == sizeof t);
    std::memcpy(&t, m->bytes.data(), sizeof t);
    REQUIRE(t.price == tick_of(t.seq).price);
    all.push_back(t.seq);
  }
  return all;
}

std::vector<std::uint64_t> ticks_from(std::uint64_t begin, std::uint64_t end) {
  std::vector<std::uint64_t> numbers;
  for (; begin < end; ++begin) numbers.push_back(begin);
  return numbers;
}

/// After `closed` was reported.
tick first_of_next_producer(direct::consumer& rx) {
  tick t{};
  error_code ec;
  await([&] {
    ec = rx.receive(t);
    return ec != errc::closed;
  });
  REQUIRE_FALSE(ec);
  return t;
}

/// Everything that a producer sends as fast as it can is recorded; then it is replayed, and another consumer gets the
/// same.
void record_and_replay(std::uint64_t count) {
  const std::string name = unique_name("ticks");
  const nothing_left check(name);
  const scratch_directory d;
  const event go;
  child producer([&] {
    net::io_context io;
    feed::producer tx(io, name);
    go.wait();
    send_ticks(tx, 0, count);
  });
  await_alive(name, participant_role::producer, 1);
  running_tool record({"record", name, d.file("a"), "--until-closed"});
  await_asleep(name, record);
  go.set();
  CHECK(record.rest() == std::to_string(count) + " messages\n");
  CHECK(record.wait() == 0);
  CHECK(producer.wait() == 0);
  CHECK(d.files() == 1);

  net::io_context io;
  feed::consumer rx(io, name);
  running_tool replay({"replay", d.file("a"), "--speed", "0"});
  for (std::uint64_t n = 0; n != count; ++n) {
    tick t{};
    error_code ec = rx.receive(t);
    REQUIRE_FALSE(ec);
    REQUIRE(t.seq == n);
    REQUIRE(t.price == tick_of(n).price);
  }
  CHECK(replay.wait() == 0);
  CHECK(replay.errors() == "");
  tick t{};
  CHECK(rx.receive(t) == errc::closed);
}

}  // namespace

TEST_CASE("belfry record loses nothing, and belfry replay sends the same", "[tool-record]") {
  const watchdog limit;
  record_and_replay(100'000);
}
TEST_CASE("belfry record loses nothing of a million", "[.][tool-record-long]") {
  const watchdog limit(std::chrono::seconds(600));
  record_and_replay(1'000'000);
}

TEST_CASE("belfry record ends with Ctrl-C, and what it has taken is in the file", "[tool-record]") {
  const watchdog limit;
  const std::string name = unique_name("interrupted");
  const nothing_left check(name);
  const scratch_directory d;
  net::io_context io;
  feed::producer tx(io, name);
  running_tool record({"record", name, d.file("a")});
  await_asleep(name, record);
  send_ticks(tx, 0, 10);
  await([&] { return inspect(name).received.messages == 10; });
  record.interrupt();
  CHECK(record.rest() == "10 messages\n");
  CHECK(record.wait() == 0);
  CHECK(record.errors() == "");
  CHECK(recorded_in(d.file("a")) == ticks_from(0, 10));
}

TEST_CASE("belfry record writes within a moment, also if nothing follows", "[tool-record]") {
  const watchdog limit;
  const std::string name = unique_name("moment");
  const nothing_left check(name);
  const scratch_directory d;
  net::io_context io;
  feed::producer tx(io, name);
  running_tool record({"record", name, d.file("a")});
  await_asleep(name, record);
  send_ticks(tx, 0, 3);
  await([&] {
    try {
      return recorded_in(d.file("a")).size() == 3;
    } catch (const std::runtime_error&) {  // it is being made
      return false;
    }
  });
  record.kill();
  CHECK(recorded_in(d.file("a")) == ticks_from(0, 3));
}

TEST_CASE("a killed belfry record leaves what it has written, and holds up no producer", "[tool-record]") {
  const watchdog limit;
  const std::string name = unique_name("killed");
  const nothing_left check(name);
  const scratch_directory d;
  const event joined;
  const shared<std::atomic<std::uint64_t>> sent;
  const shared<std::atomic<bool>> stop;
  child producer([&] {
    net::io_context io;
    feed::producer tx(io, name);
    joined.set();
    for (std::uint64_t n = 0; !stop->load(); ++n) {
      // Without a consumer, a broadcast keeps what it has room for.
      const error_code ec = tx.send(tick_of(n));
      EXPECT(!ec || ec == errc::peer_died || ec == errc::closed);
      if (ec) --n;
      sent->store(n);
    }
  });
  joined.wait();
  for (int round = 0; round != 5; ++round) {
    running_tool record({"record", name, d.file("a"), "--force"});
    await_alive(name, participant_role::consumer, 1);
    const std::uint64_t before = sent->load();
    await([&] { return sent->load() > before + 5000; });
    record.kill();
    const std::vector<std::uint64_t> all = recorded_in(d.file("a"));
    REQUIRE(all.size() > 2000);
    CHECK(all == ticks_from(all.front(), all.front() + all.size()));
  }
  stop->store(true);
  CHECK(producer.wait() == 0);
  error_code drained;
  feed::unlink(name, drained);
}

TEST_CASE("belfry record says how many values were overwritten", "[tool-record]") {
  const watchdog limit;
  const std::string name = unique_name("lossy");
  const nothing_left check(name);
  const scratch_directory d;
  net::io_context io;
  lossy_feed::producer tx(io, name);
  running_tool record({"record", name, d.file("a")});
  await_asleep(name, record);
  REQUIRE(tx.try_send(tick_of(0)));
  await([&] { return inspect(name).received.messages == 1; });
  ::kill(record.pid(), SIGSTOP);
  for (std::uint64_t n = 1; n != 101; ++n) REQUIRE(tx.try_send(tick_of(n)));
  ::kill(record.pid(), SIGCONT);
  await([&] { return inspect(name).received.messages > 10; });
  record.interrupt();
  const std::string said = record.rest();
  CHECK(record.wait() == 0);
  cli::recording_reader in(d.file("a"));
  CHECK(in.messages() + in.lost() == 101);
  CHECK(in.lost() >= 80);
  CHECK(said == std::to_string(in.messages()) + " messages, " + std::to_string(in.lost()) + " lost\n");
  CHECK_THAT(record.errors(), contains("overwritten"));
}

TEST_CASE("belfry record --tee passes on what it takes", "[tool-record]") {
  const watchdog limit;
  const std::string name = unique_name("tee");
  const std::string other = name + "-other";
  const nothing_left check(name);
  const scratch_directory d;
  net::io_context io;
  direct::producer tx(io, name);
  {
    running_tool refused({"record", name, d.file("a")});
    CHECK(refused.wait() == 1);
    CHECK_THAT(refused.errors(), contains("--tee"));
    CHECK(d.files() == 0);
  }
  direct::consumer rx(io, other);
  running_tool record({"record", name, d.file("a"), "--tee", other});
  constexpr std::uint64_t count = 1000;
  std::uint64_t sent = 0;
  for (std::uint64_t n = 0; n != count; ++n) {
    while (sent != count && tx.try_send(tick_of(sent))) ++sent;
    tick t{};
    REQUIRE_FALSE(rx.receive(t));
    REQUIRE(t.seq == n);
  }
  // The other channel is full: what cannot be passed on is not taken.
  for (; sent != count + 100; ++sent) REQUIRE_FALSE(tx.send(tick_of(sent)));
  await([&] { return rx.size() == 64 && tx.size() == 36; });
  record.interrupt();
  CHECK(record.wait() == 0);
  CHECK(tx.size() == 36);
  CHECK(recorded_in(d.file("a")) == ticks_from(0, count + 64));
  while (rx.try_receive()) {
  }
  direct::consumer rest(io, name);
  for (std::uint64_t n = count + 64; n != count + 100; ++n) CHECK(rest.try_receive()->seq == n);
}

TEST_CASE("belfry replay keeps the recorded pace, or another", "[tool-record]") {
  const watchdog limit;
  const std::string name = unique_name("pace");
  const nothing_left check(name);
  const scratch_directory d;
  net::io_context io;
  direct::consumer rx(io, name);
  {
    const channel_info info = inspect(name);
    cli::recording_writer out(d.file("a"),
                              {.name = name,
                               .kind = "broadcast_ring",
                               .value_bytes = info.value_bytes,
                               .type_fingerprint = info.type_fingerprint},
                              false);
    for (std::uint64_t n = 0; n != 3; ++n) {
      const tick t = tick_of(n);
      out.add(std::chrono::hours(1) + n * std::chrono::milliseconds(100), std::as_bytes(std::span(&t, 1)));
    }
    out.close();
  }
  for (const auto& [speed, least] : {std::pair{"1", 200}, std::pair{"2", 100}, std::pair{"0", 0}}) {
    running_tool replay({"replay", d.file("a"), name, "--speed", speed});
    tick t = first_of_next_producer(rx);
    CHECK(t.seq == 0);
    const auto began = std::chrono::steady_clock::now();
    for (std::uint64_t n = 1; n != 3; ++n) {
      REQUIRE_FALSE(rx.receive(t));
      CHECK(t.seq == n);
    }
    // The first may have been received late.
    CHECK(std::chrono::steady_clock::now() - began > std::chrono::milliseconds(least / 2));
    CHECK(replay.wait() == 0);
    CHECK(rx.receive(t) == errc::closed);
  }
  running_tool slow({"replay", d.file("a"), "--speed", "0.0001"});
  CHECK(first_of_next_producer(rx).seq == 0);
  slow.interrupt();
  CHECK(slow.wait() == 0);
}

TEST_CASE("belfry replay refuses what is no recording, and a channel of another type", "[tool-record]") {
  const watchdog limit;
  const std::string name = unique_name("refuses");
  const nothing_left check(name);
  const scratch_directory d;
  net::io_context io;
  {
    feed::producer tx(io, name);
    running_tool record({"record", name, d.file("a")});
    await_asleep(name, record);
    REQUIRE(tx.try_send(tick_of(0)));
    await([&] { return inspect(name).received.messages == 1; });
    running_tool again({"record", name, d.file("a")});
    CHECK(again.wait() == 1);
    CHECK_THAT(again.errors(), contains("--force"));
    running_tool forced({"record", name, d.file("a"), "--force"});
    CHECK(forced.wait() == 1);
    CHECK_THAT(forced.errors(), contains("another process is writing"));
    record.interrupt();
    CHECK(record.wait() == 0);
  }
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& said) {
    running_tool tool(arguments);
    CHECK(tool.wait() == 1);
    INFO(tool.errors());
    CHECK(count_lines(tool.errors()) == 1);
    CHECK_THAT(tool.errors(), contains(said));
  };
  refused({"replay", d.file("a")}, name);  // there is no such channel any more
  CHECK(files_of(name) == 0);
  struct other_tick {
    std::uint64_t seq;
    std::int64_t price;
  };
  struct large_tick {
    std::array<std::uint64_t, 3> numbers;
  };
  channel<spsc_ring<other_tick, 4>>::consumer other(io, name);
  refused({"replay", d.file("a"), name}, "f64");
  other.close();
  channel<spsc_ring<large_tick, 4>>::consumer large(io, name);
  refused({"replay", d.file("a"), name}, "24 bytes");
  std::ofstream(d.file("text")) << "no recording";
  refused({"replay", d.file("text"), name}, "is no recording");
  refused({"record", name + "-nothing", d.file("b")}, name + "-nothing");
  CHECK(d.files() == 2);
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"record", name}, {"replay"}, {"replay", "a", "--speed", "-1"}}) {
    running_tool misused(wrong);
    CHECK(misused.wait() == 2);
  }
}
