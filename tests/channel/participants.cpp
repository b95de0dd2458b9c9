// How many participants a channel has, and what each of them has sent and received.
#include "support/process.hpp"
#include "support/rings.hpp"

#include <algorithm>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

using jobs = channel<work_ring<tick, 16>>;
using news = channel<broadcast_ring<tick, 16, overflow::block>>;

channel_options with_participants(std::size_t n) {
  channel_options o;
  o.participants = n;
  return o;
}

}  // namespace

TEST_CASE("a number of participants that no channel can have", "[participants]") {
  net::io_context io;
  const std::string name = unique_name("number");
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{251}, ~std::size_t{0}}) {
    error_code ec;
    jobs::producer tx(io, name, with_participants(n), ec);
    CHECK(ec == std::errc::invalid_argument);
    CHECK(error_of([&] { jobs::make_handles(with_participants(n)); }) == std::errc::invalid_argument);
  }
  CHECK(files_of(name) == 0);
}

TEST_CASE("the creator says how many participants there may be", "[participants]") {
  net::io_context io;
  const std::string name = unique_name("few");
  using meet_jobs = meet<jobs>;
  jobs::producer tx = meet_jobs::producer(io, name, with_participants(3));
  error_code ec;
  jobs::producer second = meet_jobs::producer(io, name, with_participants(64), ec);
  CHECK(ec == errc::role_taken);
  jobs::consumer a = meet_jobs::consumer(io, name);
  jobs::consumer b = meet_jobs::consumer(io, name, with_participants(250));
  jobs::consumer c = meet_jobs::consumer(io, name, {}, ec);
  CHECK(ec == errc::roster_full);
  CHECK(tx.try_send({1, 0.5}));
  CHECK(b.try_receive()->seq == 1);
  meet_jobs::forget(name);
}

TEST_CASE("handles have a bell for each participant, and no more", "[participants]") {
  const std::size_t before = open_descriptors();
  const channel_handles few = jobs::make_handles(with_participants(2));
  CHECK(open_descriptors() == before + 3);
  const channel_handles many = jobs::make_handles(with_participants(250));
  CHECK(open_descriptors() == before + 3 + 251);
  net::io_context io;
  jobs::producer tx(io, many);
  jobs::consumer rx(io, many);
  CHECK(tx.try_send({7, 0.5}));
  CHECK(rx.try_receive()->seq == 7);
}

TEST_CASE("handles of the largest channel are sent through a socket", "[participants]") {
  net::io_context io;
  net::local::stream_protocol::socket one(io);
  net::local::stream_protocol::socket other(io);
  net::local::connect_pair(one, other);
  const channel_handles sent = news::make_handles(with_participants(250));
  send_handles(one, sent);
  const channel_handles received = receive_handles(other);
  news::producer tx(io, sent);
  news::consumer rx(io, received);
  CHECK(tx.try_send({7, 0.5}));
  CHECK(rx.try_receive()->seq == 7);
}

// The marks, the cursors and the bits of these consumers are in two words. (Each endpoint opens the bells of all others,
// so more of them in one process need more descriptors than it may have.)
TEST_CASE("79 consumers of a broadcast_ring, all asleep", "[participants]") {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  net::io_context io;
  const std::string name = unique_name("crowd");
  news::producer tx(io, name, with_participants(80));
  std::vector<news::consumer> consumers;
  for (int i = 0; i != 79; ++i) consumers.emplace_back(io, name);
  error_code ec;
  news::consumer one_more(io, name, ec);
  CHECK(ec == errc::roster_full);

  std::vector<int> told(consumers.size());
  for (std::uint64_t n = 0; n != 40; ++n) {
    std::size_t all = 0;
    for (std::size_t i = 0; i != consumers.size(); ++i) {
      consumers[i].async_receive([&, i, n](error_code e, tick t) {
        CHECK_FALSE(e);
        CHECK(t.seq == n);
        ++told[i];
        ++all;
      });
    }
    io.restart();
    io.poll();  // all sleep
    tx.async_send({n, 0.5}, [](error_code e) { CHECK_FALSE(e); });
    REQUIRE(run(io));
    REQUIRE(all == told.size());
  }

  // The last one, alone, holds the producer back; when it has left, no consumer does.
  for (std::uint64_t n = 0; n != 16; ++n) REQUIRE(tx.try_send({n, 0.5}));
  for (std::size_t i = 0; i != 78; ++i) {
    for (std::uint64_t n = 0; n != 16; ++n) REQUIRE(consumers[i].try_receive()->seq == n);
  }
  CHECK_FALSE(tx.try_send({16, 0.5}));
  consumers.pop_back();
  CHECK(tx.try_send({16, 0.5}));
  news::unlink(name);
}

// Of 250 places the first 125 are for producers, so these consumers have slots 125 and 126.
TEST_CASE("a consumer in one of the last slots is woken, and its death is noticed", "[participants]") {
  if (way_to_meet() != meeting::by_name) return;  // the child joins by name
  net::io_context io;
  const std::string name = unique_name("last");
  jobs::producer tx(io, name, with_participants(250));
  jobs::consumer rx(io, name);
  std::uint64_t got = 0;
  for (std::uint64_t n = 1; n != 20; ++n) {
    rx.async_receive([&](error_code e, tick t) {
      CHECK_FALSE(e);
      got = t.seq;
    });
    io.restart();
    io.poll();  // it sleeps
    tx.async_send({n, 0.5}, [](error_code e) { CHECK_FALSE(e); });
    REQUIRE(run(io));
    CHECK(got == n);
  }
  const event joined;
  child dies([&] {
    net::io_context own;
    jobs::consumer another(own, name);
    joined.set();
    for (;;) ::pause();
  });
  joined.wait();
  // The producer's room is used up, so that it sleeps, and hears of the death.
  while (tx.try_send({7, 0.5})) {}
  std::vector<std::error_code> outcomes;
  tx.async_send({7, 0.5}, [&](error_code e) { outcomes.push_back(e); });
  io.restart();
  io.poll();
  dies.kill();
  io.restart();
  REQUIRE(run(io));
  CHECK(outcomes == std::vector<std::error_code>{make_error_code(errc::peer_died)});
  jobs::unlink(name);
}

TEMPLATE_LIST_TEST_CASE("a segment counts what its participants send and receive", "[participants]", every_ring) {
  if (way_to_meet() != meeting::by_name) return;  // there is no file to read
  using channel = typename TestType::channel;
  const std::string name = unique_name("counted");
  channel_options options = TestType::options();
  net::io_context io;
  TestType values;
  auto tx = std::make_unique<typename channel::producer>(io, name, options);
  typename channel::consumer rx(io, name, options);
  for (std::uint64_t n = 0; n != 3; ++n) {
    REQUIRE(tx->try_send(values.make(n)));
    REQUIRE(rx.try_receive());
  }
  const std::vector batch{values.make(3)};
  REQUIRE(tx->try_send_n(batch) == 1);
  tx.reset();
  tx = std::make_unique<typename channel::producer>(io, name, options);  // the successor continues to count
  REQUIRE(tx->try_send(values.make(4)));

  const shared_memory raw = shared_memory::open(name, access::read_only);
  const auto* const header = reinterpret_cast<const layout::control_header*>(raw.buf().data());
  const auto* const slots = reinterpret_cast<const layout::participant_slot*>(header + 1);
  const std::size_t producers = header->id.producers;
  const std::uint64_t each = header->id.value_bytes == 0 ? 8 : 0;
  std::uint64_t sent = 0;
  for (std::size_t i = 0; i != producers; ++i) sent += slots[i].count.messages.load();
  CHECK(sent == 5);
  CHECK(slots[producers].count.messages.load() == 3);
  CHECK(slots[producers].count.bytes.load() == 3 * each);
  channel::unlink(name);
}

TEST_CASE("what a consumer has lost is counted, also if it only polls", "[participants]") {
  if (way_to_meet() != meeting::by_name) return;  // there is no file to read
  using lossy = channel<broadcast_ring<tick, 16, overflow::overwrite>>;
  const std::string name = unique_name("lost");
  net::io_context io;
  lossy::producer tx(io, name);
  lossy::consumer rx(io, name);
  for (std::uint64_t n = 0; n != 100; ++n) REQUIRE(tx.try_send({n, 0.5}));
  std::uint64_t received = 0;
  for (int i = 0; i != 200; ++i) received += rx.try_receive().has_value();
  const shared_memory raw = shared_memory::open(name, access::read_only);
  const auto* const header = reinterpret_cast<const layout::control_header*>(raw.buf().data());
  const auto& count = reinterpret_cast<const layout::participant_slot*>(header + 1)[1].count;
  CHECK(count.messages.load() == received);
  CHECK(count.lost.load() == 100 - received);
  lossy::unlink(name);
}
