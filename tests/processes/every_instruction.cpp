// kill -9 after any single instruction of every operation: the survivors continue, miss nothing that was
// sent, receive nothing twice that was received, are told of the death once, and nothing is left behind.
#include "killed_beside_holders.hpp"
#include "killed_members.hpp"
#include "killed_transfers.hpp"

#include <chrono>
#include <string>

#if defined(__x86_64__)

using namespace belfry;
using namespace belfry::test;

namespace {

enum class extent { brief, usual, all };

template <class Channel>
void kill_senders(const std::string& ring) {
  using victim = killed_producer<Channel>;
  for (const peer p : {peer::awake, peer::asleep}) {
    for (const sending how :
         {sending::one, sending::many, sending::awaited, sending::claim, sending::commit}) {
      if (how >= sending::claim && !in_place<Channel>) continue;
      kill_everywhere<victim>(ring + ": " + name_of(how) + with(p), how, p);
    }
  }
  if (never_full<Channel>) return;
  kill_everywhere<victim>(ring + ": " + name_of(sending::park), sending::park, peer::awake);
}

template <class Channel>
void kill_receivers(const std::string& ring) {
  using victim = killed_consumer<Channel>;
  for (const peer p : {peer::awake, peer::asleep}) {
    if (p == peer::asleep && never_full<Channel>) break;  // a producer that never waits for room
    for (const receiving how : {receiving::one, receiving::many, receiving::held,
                                receiving::lease_ack, receiving::lease_requeue}) {
      if (how == receiving::held && !in_place<Channel>) continue;
      if (how == receiving::lease_ack && !leases<Channel>) continue;
      if (how == receiving::lease_requeue && !delivers_again<Channel>) continue;
      kill_everywhere<victim>(ring + ": " + name_of(how) + with(p), how, p);
    }
  }
  kill_everywhere<victim>(ring + ": " + name_of(receiving::park), receiving::park, peer::awake);
  if constexpr (delivers_again<Channel>) {
    for (const dead_receiving how : {dead_receiving::reject, dead_receiving::last_requeue, dead_receiving::dead_ack, dead_receiving::dead_requeue})
      kill_everywhere<killed_dead_consumer<Channel>>(ring + ": " + name_of(how), how);
  }
  if constexpr (leases<Channel>) {
    for (const receiving how : {receiving::one, receiving::lease_ack, receiving::lease_requeue}) {
      kill_everywhere<killed_competing<Channel>>(ring + ": " + name_of(how) + ", woken", how);
    }
  }
}

template <class Channel>
void kill_members(const std::string& ring, extent e) {
  const auto joins = [&](peer p, bool dead) {
    const std::string end = with(p) + (dead ? ", after a death" : "");
    kill_everywhere<killed_joining<Channel, role::producer>>(ring + ": a producer joins" + end, p,
                                                             dead);
    kill_everywhere<killed_joining<Channel, role::consumer>>(ring + ": a consumer joins" + end, p,
                                                             dead);
  };
  joins(peer::asleep, true);
  if (e != extent::brief) joins(peer::none, false), joins(peer::asleep, false);
  if (e == extent::all)
    joins(peer::none, true), joins(peer::awake, false), joins(peer::awake, true);

  for (const peer p : {peer::none, peer::awake, peer::asleep}) {
    if (e == extent::brief && p == peer::awake) continue;
    kill_everywhere<killed_leaving<Channel, role::producer>>(ring + ": a producer leaves" + with(p),
                                                             p, true);
    kill_everywhere<killed_leaving<Channel, role::consumer>>(ring + ": a consumer leaves" + with(p),
                                                             p, false);
  }
  kill_everywhere<killed_leaving<Channel, role::producer>>(
      ring + ": a producer leaves, alone and drained", peer::none, false);
  for (const bool leaving : {false, true}) {
    if (e == extent::brief) break;
    const std::string does = std::string(leaving ? " leaves" : " joins") + ", and none after it";
    kill_everywhere<killed_guest<Channel, role::producer>>(ring + ": a producer" + does, leaving);
    kill_everywhere<killed_guest<Channel, role::consumer>>(ring + ": a consumer" + does, leaving);
  }
  kill_everywhere<killed_reaping<Channel>>(ring + ": a consumer reaps a producer");
}

/// With all places held, or all but one, by consumers that go on.
template <class Channel>
void kill_holders(const std::string& ring) {
  const watchdog dog(std::chrono::hours(2));
  for (const holding how : {holding::send_past, holding::receive, holding::newest, holding::release, holding::release_last})
    kill_everywhere<killed_beside_holders<Channel>>(ring + ": " + name_of(how), how);
}

/// The roster is the same for every ring, so all of it is only tried with one.
template <class Channel>
void kill_all(const std::string& ring, extent e) {
  const watchdog dog(std::chrono::hours(2));
  kill_senders<Channel>(ring);
  kill_receivers<Channel>(ring);
  kill_members<Channel>(ring, e);
  report(ring);
}

/// Over any_channel: what is done with the ring. The rest is the same code.
template <class Channel>
void kill_any(const std::string& kind) {
  using channel = any_face<Channel>;
  const watchdog dog(std::chrono::hours(2));
  kill_everywhere<killed_producer<channel>>(kind + ": try_send", sending::one, peer::asleep);
  kill_everywhere<killed_producer<channel>>(kind + ": async_send", sending::awaited, peer::awake);
  kill_everywhere<killed_consumer<channel>>(kind + ": try_receive", receiving::one,
                                            never_full<Channel> ? peer::awake : peer::asleep);
  kill_everywhere<killed_consumer<channel>>(kind + ": receive with a timeout", receiving::park, peer::awake);
  report(kind);
}

}  // namespace

TEST_CASE("any_channel, spsc_ring: killed after any instruction", "[every-instruction-any-spsc]") {
  kill_any<values>("any-spsc");
}
TEST_CASE("any_channel, byte_ring: killed after any instruction", "[every-instruction-any-byte]") {
  kill_any<frames>("any-byte");
}
TEST_CASE("any_channel, work_ring: killed after any instruction", "[every-instruction-any-work]") {
  kill_any<jobs>("any-work");
}
TEST_CASE("any_channel, byte_work_ring: killed after any instruction", "[every-instruction-any-byte-work]") {
  kill_any<tasks>("any-byte-work");
}
TEST_CASE("any_channel, broadcast_ring: killed after any instruction", "[every-instruction-any-broadcast]") {
  kill_any<news>("any-broadcast");
  kill_any<flashes>("any-broadcast, overwrite");
}
TEST_CASE("any_channel, byte_broadcast_ring: killed after any instruction", "[every-instruction-any-byte-broadcast]") {
  kill_any<videos>("any-byte-broadcast");
  kill_any<live_videos>("any-byte-broadcast, overwrite");
}
TEST_CASE("any_channel, latest: killed after any instruction", "[every-instruction-any-latest]") {
  kill_any<newest>("any-latest");
}

TEST_CASE("spsc_ring: killed after any instruction", "[every-instruction-spsc]") {
  kill_all<values>("spsc_ring", extent::usual);
}
TEST_CASE("byte_ring: killed after any instruction", "[every-instruction-byte]") {
  kill_all<frames>("byte_ring", extent::brief);
}
TEST_CASE("latest: killed after any instruction", "[every-instruction-latest]") {
  kill_all<newest>("latest", extent::brief);
}
TEST_CASE("work_ring: killed after any instruction", "[every-instruction-work]") {
  kill_all<jobs>("work_ring", extent::brief);
}
TEST_CASE("byte_work_ring: killed after any instruction", "[every-instruction-byte-work]") {
  kill_all<tasks>("byte_work_ring", extent::brief);
}
TEST_CASE("broadcast_ring: killed after any instruction", "[every-instruction-broadcast]") {
  kill_all<news>("broadcast_ring<block>", extent::brief);
  kill_all<flashes>("broadcast_ring<overwrite>", extent::brief);
}
TEST_CASE("byte_broadcast_ring: killed after any instruction", "[every-instruction-byte-broadcast]") {
  kill_all<videos>("byte_broadcast_ring<block>", extent::brief);
  kill_all<live_videos>("byte_broadcast_ring<overwrite>", extent::brief);
  kill_holders<live_videos>("byte_broadcast_ring<overwrite>");
}

// After every instruction: each takes a quarter of an hour or more.
TEST_CASE("spsc_ring: killed after every instruction", "[.][every-instruction-spsc-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<values>("spsc_ring", extent::all);
}
TEST_CASE("byte_ring: killed after every instruction", "[.][every-instruction-byte-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<frames>("byte_ring", extent::brief);
}
TEST_CASE("latest: killed after every instruction", "[.][every-instruction-latest-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<newest>("latest", extent::brief);
}
TEST_CASE("work_ring: killed after every instruction", "[.][every-instruction-work-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<jobs>("work_ring", extent::brief);
}
TEST_CASE("byte_work_ring: killed after every instruction", "[.][every-instruction-byte-work-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<tasks>("byte_work_ring", extent::brief);
}
TEST_CASE("broadcast_ring: killed after every instruction", "[.][every-instruction-broadcast-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<news>("broadcast_ring<block>", extent::brief);
  kill_all<flashes>("broadcast_ring<overwrite>", extent::brief);
}

TEST_CASE("byte_broadcast_ring: killed after every instruction", "[.][every-instruction-byte-broadcast-long]") {
  kill_sample = ~std::size_t{0};
  kill_all<videos>("byte_broadcast_ring<block>", extent::brief);
  kill_all<live_videos>("byte_broadcast_ring<overwrite>", extent::brief);
  kill_holders<live_videos>("byte_broadcast_ring<overwrite>");
}

#endif
