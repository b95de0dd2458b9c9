// `belfry record` and `belfry replay`.
#include "tool_peers.hpp"

#include "../../src/cli/pace.hpp"
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

TEST_CASE("belfry record --tee loses nothing of a million, and passes it on", "[.][tool-record-long]") {
  const watchdog limit(std::chrono::seconds(600));
  constexpr std::uint64_t count = 1'000'000;
  const std::string name = unique_name("ticks");
  const nothing_left check(name);
  const scratch_directory d;
  const event go;
  child producer([&] {
    net::io_context io;
    direct::producer tx(io, name);
    go.wait();
    send_ticks(tx, 0, count);
  });
  await_alive(name, participant_role::producer, 1);
  net::io_context io;
  direct::consumer rx(io, name + "-other");
  running_tool record({"record", name, d.file("a"), "--tee", name + "-other", "--until-closed"});
  await_asleep(name, record);
  go.set();
  for (std::uint64_t n = 0; n != count; ++n) {
    tick t{};
    REQUIRE_FALSE(rx.receive(t));
    REQUIRE(t.seq == n);
  }
  CHECK(record.rest() == std::to_string(count) + " messages\n");
  CHECK(record.wait() == 0);
  CHECK(producer.wait() == 0);
  CHECK(recorded_in(d.file("a")) == ticks_from(0, count));
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
    const std::string file = d.file(std::to_string(round));
    running_tool record({"record", name, file});
    await([&] {
      try {
        return cli::recording_reader(file).messages() > 2000;
      } catch (const std::runtime_error&) {  // it is being made
        return false;
      }
    });
    record.kill();
    const std::vector<std::uint64_t> all = recorded_in(file);
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
  record.stop();
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

TEST_CASE("belfry record --tee writes what it has passed on, also while it waits for room", "[tool-record]") {
  const watchdog limit;
  const std::string name = unique_name("tee");
  const nothing_left check(name);
  const scratch_directory d;
  net::io_context io;
  direct::producer tx(io, name);
  direct::consumer rx(io, name + "-other");
  running_tool record({"record", name, d.file("a"), "--tee", name + "-other"});
  await_asleep(name, record);
  for (std::uint64_t n = 0; n != 64; ++n) REQUIRE_FALSE(tx.send(tick_of(n)));
  await_asleep(name + "-other", record);
  await([&] { return recorded_in(d.file("a")).size() == 64; });
  record.kill();
  CHECK(recorded_in(d.file("a")) == ticks_from(0, 64));
  for (std::uint64_t n = 0; n != 64; ++n) CHECK(rx.try_receive()->seq == n);
}

TEST_CASE("belfry record --tee passes on what it has taken, though another producer has taken the room",
          "[tool-record]") {
  using jobs = channel<work_ring<tick, 16>>;
  const watchdog limit;
  const std::string name = unique_name("tee");
  const nothing_left check(name);
  for (const bool interrupted : {false, true}) {
    const scratch_directory d;
    net::io_context io;
    jobs::producer tx(io, name);
    jobs::consumer rx(io, name + "-other");
    jobs::producer another(io, name + "-other");
    running_tool record({"record", name, d.file("a"), "--tee", name + "-other"});
    await_asleep(name, record);  // it has seen room
    for (std::uint64_t n = 0; n != 16; ++n) REQUIRE(another.try_send(tick_of(100 + n)));
    for (std::uint64_t n = 0; n != 2; ++n) REQUIRE(tx.try_send(tick_of(n)));
    await_asleep(name + "-other", record);
    CHECK(inspect(name).unread == 1);
    if (interrupted) {
      record.interrupt();
      await([&] { return record.errors().find("still to be passed on") != std::string::npos; });
    }
    for (std::uint64_t n = 0; n != 16; ++n) CHECK(rx.try_receive()->seq == 100 + n);
    const std::uint64_t passed_on = interrupted ? 1 : 2;
    for (std::uint64_t n = 0; n != passed_on; ++n) {
      tick t{};
      REQUIRE_FALSE(rx.receive(t));
      CHECK(t.seq == n);
    }
    if (!interrupted) record.interrupt();
    CHECK(record.wait() == 0);
    CHECK(count_lines(record.errors()) == (interrupted ? 1 : 0));
    CHECK(recorded_in(d.file("a")) == ticks_from(0, passed_on));
    CHECK(inspect(name).unread == 2 - passed_on);
    jobs::consumer rest(io, name);
    while (rest.try_receive()) {
    }
  }
}

TEST_CASE("a recorded message is due as long after the first one as it was recorded, or as much faster",
          "[tool-record]") {
  using namespace std::chrono_literals;
  using cli::pace;
  const pace::clock::time_point began(1h);
  const auto due = [&](double speed, std::vector<std::chrono::nanoseconds> recorded) {
    pace p(speed, began);
    std::vector<std::chrono::nanoseconds> after;
    for (const auto t : recorded) after.push_back(p.due(t) - began);
    return after;
  };
  using times = std::vector<std::chrono::nanoseconds>;
  CHECK(due(1, {5s, 5s, 5100ms, 9s}) == times{0s, 0s, 100ms, 4s});
  CHECK(due(4, {5s, 5100ms, 9s}) == times{0s, 25ms, 1s});
  CHECK(due(0.5, {5s, 5100ms, 9s}) == times{0s, 200ms, 8s});
  CHECK(due(0, {5s, 5100ms, 9s}) == times{0s, 0s, 0s});
  CHECK(due(1e-300, {0s, 1ns}) == times{0s, 1'000'000'000s});  // no overflow
  CHECK(due(1, {5s, 4s, 6s}) == times{0s, 0s, 1s});              // a file from anywhere
}

TEST_CASE("belfry replay sends a message when it is due, neither earlier nor later", "[tool-record]") {
  using namespace std::chrono_literals;
  const watchdog limit;
  const std::string name = unique_name("pace");
  const nothing_left check(name);
  const scratch_directory d;
  net::io_context io;
  direct::consumer rx(io, name);
  const channel_info info = inspect(name);
  const auto record = [&](const std::string& path, std::chrono::nanoseconds between) {
    cli::recording_writer out(path,
                              {.name = name,
                               .kind = "broadcast_ring",
                               .value_bytes = info.value_bytes,
                               .type_fingerprint = info.type_fingerprint},
                              false);
    for (std::uint64_t n = 0; n != 3; ++n) {
      const tick t = tick_of(n);
      out.add(1h + n * between, std::as_bytes(std::span(&t, 1)));
    }
    out.close();
  };
  record(d.file("slow"), 1h);
  record(d.file("fast"), 100ms);
  tick t{};
  // Only a replay that is too slow keeps this waiting: for hours.
  for (const char* const speed : {"0", "1e9"}) {
    running_tool replay({"replay", d.file("slow"), name, "--speed", speed});
    CHECK(first_of_next_producer(rx).seq == 0);
    for (std::uint64_t n = 1; n != 3; ++n) {
      REQUIRE_FALSE(rx.receive(t));
      CHECK(t.seq == n);
    }
    CHECK(replay.wait() == 0);
    CHECK(rx.receive(t) == errc::closed);
  }
  // Only one that is too fast sends anything within weeks.
  for (const auto& [file, speed] : {std::pair{"slow", "0.001"}, std::pair{"fast", "1e-8"}}) {
    running_tool replay({"replay", d.file(file), "--speed", speed});
    CHECK(first_of_next_producer(rx).seq == 0);
    CHECK(rx.receive(t, 300ms) == net::error::timed_out);
    replay.interrupt();
    CHECK(replay.wait() == 0);
    CHECK(rx.receive(t) == errc::closed);
  }
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
