// What inspect() and list_segments() tell, without joining: of every ring, of dead and sleeping participants, of
// segments that are damaged, of another version, or only readable.
#include "support/member.hpp"

#include <belfry/inspect.hpp>
#include <belfry/watch.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

std::string path_in_memory(const std::string& name) { return "/dev/shm/" + name; }

std::string read_all(const std::string& name) {
  std::ifstream in(path_in_memory(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A file with this content, removed at the end.
class written_file {
 public:
  explicit written_file(const std::string& content) : name(unique_name("file")) { write(content); }
  ~written_file() { ::unlink(path_in_memory(name).c_str()); }
  void write(const std::string& content) {
    std::ofstream(path_in_memory(name), std::ios::binary) << content;
  }

  const std::string name;
};

/// The bytes of a segment in use: it has values in it, and one participant of each role.
template <class Channel>
std::string used_segment(const channel_options& options = {}) {
  const std::string name = unique_name("pristine");
  net::io_context io;
  typename Channel::producer tx(io, name, options);
  typename Channel::consumer rx(io, name, options);
  if constexpr (requires { tx.try_send(as_message("")); }) {
    tx.try_send(as_message("some message"));
  } else {
    for (std::uint64_t i = 0; i != 3; ++i) tx.try_send({i, 0.5});
  }
  std::string content = read_all(name);
  tx.close();
  rx.close();
  Channel::unlink(name);
  return content;
}

template <class T>
void put_at(std::string& content, std::size_t at, T value) {
  std::memcpy(content.data() + at, &value, sizeof value);
}

const segment_entry* entry_of(const std::vector<segment_entry>& all, const std::string& name) {
  const auto found = std::ranges::find(all, name, &segment_entry::name);
  return found == all.end() ? nullptr : &*found;
}

using spsc_channel = channel<spsc_ring<tick, 64>>;
using byte_channel = channel<byte_ring>;
using work_channel = channel<work_ring<tick, 64>>;
using blocking_channel = channel<broadcast_ring<tick, 64>>;
using overwriting_channel = channel<broadcast_ring<tick, 64, overflow::overwrite>>;
using latest_channel = channel<latest<tick>>;

}  // namespace

TEMPLATE_TEST_CASE("inspect tells what a segment is, and how much of it is unread", "[inspect]",
                   spsc_channel, work_channel, blocking_channel, overwriting_channel,
                   latest_channel) {
  const std::string name = unique_name("inspect");
  net::io_context io;
  typename TestType::producer tx(io, name);
  typename TestType::consumer rx(io, name);
  const detail::ring_traits& traits = TestType::ring_type::traits;

  channel_info info = inspect(name);
  CHECK(info.name == name);
  CHECK(info.problem == "");
  CHECK(info.kind == layout::name_of(traits.kind));
  CHECK(info.overwrites == std::is_same_v<TestType, overwriting_channel>);
  CHECK(info.version == layout::version);
  CHECK(info.capacity == traits.capacity(0));
  CHECK(info.value_bytes == sizeof(tick));
  CHECK(info.value_align == alignof(tick));
  CHECK(info.type_fingerprint == type_fingerprint<tick>());
  CHECK(info.lifetime == lifetime::drained);
  CHECK(info.mode == 0600);
  CHECK(info.owner == ::geteuid());
  CHECK(info.joins == 2);
  CHECK(info.leaves == 0);
  CHECK(info.deaths == 0);
  CHECK(info.producers == traits.seats_for(64).producers);
  CHECK(info.consumers == traits.seats_for(64).consumers);
  CHECK_FALSE(info.roster_locked);
  struct stat status {};
  REQUIRE(::stat(path_in_memory(name).c_str(), &status) == 0);
  CHECK(info.bytes == static_cast<std::uint64_t>(status.st_size));
  CHECK(info.inode == status.st_ino);
  CHECK(info.created > std::chrono::system_clock::now() - std::chrono::hours(1));
  CHECK(info.unread == 0);

  const std::uint64_t three = traits.kind == layout::ring_kind::latest ? 1 : 3;
  for (std::uint64_t i = 0; i != 3; ++i) REQUIRE(tx.try_send({i, 0.5}));
  CHECK(inspect(name).unread == three);
  const channel_info quick = inspect(name, inspection::counters);
  CHECK(quick.unread == three);
  CHECK(quick.sent.messages == 3);
  CHECK(quick.participants.size() == 2);
  CHECK(quick.description == "");
  CHECK(inspect(name).type != "");
  while (rx.try_receive()) {
  }
  CHECK(inspect(name).unread == 0);
  CHECK(inspect(name, inspection::counters).unread == 0);
  // Past the end of the ring, several times.
  for (std::uint64_t i = 0; i != 1000; ++i) {
    REQUIRE(tx.try_send({i, 0.5}));
    REQUIRE(rx.try_receive());
  }
  REQUIRE_FALSE(rx.try_receive());
  CHECK(inspect(name).unread == 0);
  while (tx.size() != info.capacity && tx.try_send({7, 0.5})) {
  }
  CHECK(inspect(name).unread == info.capacity);
  CHECK(inspect(name).problem == "");
  while (rx.try_receive()) {
  }
}

TEMPLATE_TEST_CASE("inspect tells what was sent and received, also by participants that have left", "[inspect]",
                   spsc_channel, work_channel, blocking_channel, overwriting_channel, latest_channel) {
  const std::string name = unique_name("inspect");
  net::io_context io;
  channel_options options;
  options.lifetime = lifetime::persistent;
  typename TestType::producer tx(io, name, options);
  typename TestType::consumer rx(io, name, options);
  for (std::uint64_t i = 0; i != 3; ++i) {
    REQUIRE(tx.try_send({i, 0.5}));
    REQUIRE(rx.try_receive());
  }
  REQUIRE(tx.try_send({7, 0.5}));
  channel_info info = inspect(name);
  REQUIRE(info.participants.size() == 2);
  CHECK(info.participants[0].messages == 4);
  CHECK(info.participants[0].bytes == 4 * sizeof(tick));
  CHECK(info.participants[1].messages == 3);
  rx.close();
  info = inspect(name);
  CHECK(info.participants.size() == 1);
  CHECK(info.sent.messages == 4);
  CHECK(info.sent.bytes == 4 * sizeof(tick));
  CHECK(info.received.messages == 3);
  CHECK(info.received.bytes == 3 * sizeof(tick));
  CHECK(info.received.lost == 0);
  CHECK_FALSE(info.program.empty());
  CHECK(info.program.size() <= 16);
  CHECK(info.participants[0].program == info.program);
  CHECK(info.creator == static_cast<std::uint32_t>(::getpid()));
  CHECK(info.participants[0].since >= info.created);
  CHECK(info.participants[0].since <= std::chrono::system_clock::now());
  TestType::unlink(name);
}

TEST_CASE("inspect tells what was lost", "[inspect]") {
  const std::string name = unique_name("inspect");
  net::io_context io;
  overwriting_channel::producer tx(io, name);
  overwriting_channel::consumer rx(io, name);
  for (std::uint64_t i = 0; i != 200; ++i) REQUIRE(tx.try_send({i, 0.5}));
  tick value{};
  CHECK(rx.receive(value, std::chrono::seconds(0)) == errc::lagged);
  while (rx.try_receive()) {
  }
  const channel_info info = inspect(name);
  CHECK(info.sent.messages == 200);
  CHECK(info.received.messages + info.received.lost == 200);
  CHECK(info.received.lost == rx.total_lost());
  CHECK(info.received.lost != 0);
}

TEST_CASE("what is unread in a byte ring is told in bytes", "[inspect]") {
  const std::string name = unique_name("inspect");
  net::io_context io;
  channel_options options;
  options.capacity = 4096;
  options.lifetime = lifetime::persistent;
  options.mode = 0660;
  byte_channel::producer tx(io, name, options);
  byte_channel::consumer rx(io, name, options);
  CHECK(inspect(name).unread == 0);
  REQUIRE(tx.try_send(as_message("hello")));
  const channel_info info = inspect(name);
  CHECK(info.kind == "byte_ring");
  CHECK(info.capacity == 4096);
  CHECK(info.value_bytes == 0);
  CHECK(info.unread == 16);  // a header, and the message in whole words
  CHECK(info.sent.messages == 1);
  CHECK(info.sent.bytes == 5);
  CHECK(info.lifetime == lifetime::persistent);
  CHECK(info.mode == 0660);
  tx.close();
  rx.close();
  CHECK(inspect(name).alive() == 0);
  CHECK(inspect(name).leaves == 2);
  byte_channel::unlink(name);
}

TEST_CASE("a work item counts as unread until it is acknowledged", "[inspect]") {
  const std::string name = unique_name("inspect");
  net::io_context io;
  work_channel::producer tx(io, name);
  work_channel::consumer rx(io, name);
  REQUIRE(tx.try_send({1, 0.5}));
  lease<tick> held = rx.try_receive_lease();
  CHECK(inspect(name).unread == 1);
  held.ack();
  CHECK(inspect(name).unread == 0);
}

TEST_CASE("inspect tells how far each consumer of a broadcast is behind", "[inspect]") {
  const std::string name = unique_name("inspect");
  net::io_context io;
  blocking_channel::producer tx(io, name);
  blocking_channel::consumer fast(io, name);
  blocking_channel::consumer slow(io, name);
  for (std::uint64_t i = 0; i != 5; ++i) REQUIRE(tx.try_send({i, 0.5}));
  while (fast.try_receive()) {
  }
  REQUIRE(slow.try_receive());
  const channel_info info = inspect(name);
  REQUIRE(info.participants.size() == 3);
  CHECK_FALSE(info.participants[0].behind);
  CHECK(info.participants[1].behind == 0);
  CHECK(info.participants[2].behind == 4);
  while (slow.try_receive()) {
  }
}

TEST_CASE("inspect tells who takes part, and which of them sleep", "[inspect]") {
  const std::string name = unique_name("inspect");
  member consumer(name, consumer_role);
  REQUIRE(consumer.join() == member::joined::yes);
  channel_info info = inspect(name);
  REQUIRE(info.participants.size() == 1);
  CHECK(info.participants[0].role == participant_role::consumer);
  CHECK(info.participants[0].slot == 1);
  CHECK(info.participants[0].state == participant_state::live);
  CHECK(info.participants[0].pid == static_cast<std::uint32_t>(::getpid()));
  CHECK(info.participants[0].alive);
  CHECK_FALSE(info.participants[0].parked);
  CHECK(info.alive() == 1);
  CHECK(info.alive(participant_role::consumer) == 1);
  CHECK(info.alive(participant_role::producer) == 0);

  const std::uint64_t parks = info.participants[0].parks;
  consumer->park().park();
  info = inspect(name);
  CHECK(info.participants[0].parked);
  CHECK(info.participants[0].parks == parks + 1);

  member producer(name, producer_role);
  REQUIRE(producer.join() == member::joined::yes);
  consumer->bell().drain();
  consumer->park().unpark();
  consumer->park().park();
  REQUIRE(producer->reaches_peers());
  producer->notify();
  info = inspect(name);
  REQUIRE(info.participants.size() == 2);
  CHECK(info.participants[0].rings == 1);
  CHECK_FALSE(info.participants[1].parked);
  CHECK(info.participants[1].notified);
  consumer->park().unpark();
  CHECK_FALSE(inspect(name).participants[1].notified);
}

TEST_CASE("a participant that is joining is alive, and not yet counted for its side", "[inspect]") {
  channel_info info;
  info.participants.resize(3);
  for (participant_info& p : info.participants) p.role = participant_role::consumer;
  info.participants[0].alive = true;
  info.participants[1].alive = true;
  info.participants[1].state = participant_state::joining;
  CHECK(info.alive() == 2);
  CHECK(info.alive(participant_role::consumer) == 1);
  CHECK(info.alive(participant_role::producer) == 0);
}

TEST_CASE("inspect tells a participant that was killed from one that is alive", "[inspect]") {
  const watchdog limit;
  const std::string name = unique_name("inspect");
  member consumer(name, consumer_role);
  REQUIRE(consumer.join() == member::joined::yes);
  {
    victim producer(name, producer_role);
    REQUIRE(inspect(name).alive() == 2);
    producer.kill();
    const channel_info info = inspect(name);
    REQUIRE(info.participants.size() == 2);
    CHECK_FALSE(info.participants[0].alive);
    CHECK(info.participants[0].state == participant_state::live);
    CHECK(info.participants[1].alive);
    CHECK(info.deaths == 0);  // not noticed yet: inspect() only looks
  }
  consumer->reap();
  const channel_info info = inspect(name);
  CHECK(info.participants.size() == 1);
  CHECK(info.deaths == 1);
}

TEST_CASE("inspect does not wait for the roster's lock, and tells that it is held", "[inspect]") {
  const watchdog limit;
  const std::string name = unique_name("inspect");
  member consumer(name, consumer_role);
  REQUIRE(consumer.join() == member::joined::yes);
  const int other = ::open(path_in_memory(name).c_str(), O_RDWR | O_CLOEXEC);
  struct ::flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_len = 1;
  REQUIRE(::fcntl(other, F_OFD_SETLK, &lock) == 0);
  CHECK(inspect(name).roster_locked);
  CHECK(inspect(name).alive() == 1);
  ::close(other);
  CHECK_FALSE(inspect(name).roster_locked);
}

TEST_CASE("inspect changes no byte of a segment, and leaves no descriptor", "[inspect]") {
  const std::string name = unique_name("inspect");
  member producer(name, producer_role);
  member consumer(name, consumer_role);
  REQUIRE(producer.join() == member::joined::yes);
  REQUIRE(consumer.join() == member::joined::yes);
  const std::string before = read_all(name);
  const std::size_t descriptors = open_descriptors();
  inspect(name);
  list_segments();
  CHECK(read_all(name) == before);
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("a segment that one may only read can be inspected", "[inspect]") {
  const std::string name = unique_name("inspect");
  member producer(name, producer_role);
  REQUIRE(producer.join() == member::joined::yes);
  REQUIRE(::chmod(path_in_memory(name).c_str(), 0444) == 0);
  const bool root = ::geteuid() == 0;
  child reader([&] {
    if (root) EXPECT_EQ(::setuid(54321), 0);
    const channel_info info = inspect(name);
    EXPECT_EQ(info.problem, "");
    EXPECT_EQ(info.alive(), std::size_t{1});
    EXPECT_EQ(info.mode, 0444u);
  });
  CHECK(reader.wait() == 0);

  REQUIRE(::chmod(path_in_memory(name).c_str(), 0600) == 0);
  child stranger([&] {
    if (!root) return;
    EXPECT_EQ(::setuid(54321), 0);
    error_code ec;
    inspect(name, ec);
    EXPECT_EQ(ec, std::errc::permission_denied);
    const std::vector<segment_entry> all = list_segments();
    const segment_entry* const entry = entry_of(all, name);
    EXPECT(entry != nullptr);
    EXPECT_EQ(entry->kind, "unknown");
    EXPECT(entry->problem.find("Permission denied") != std::string::npos);
    EXPECT_EQ(entry->owner, std::uint64_t{0});
  });
  CHECK(stranger.wait() == 0);
}

TEST_CASE("what cannot be inspected is an error", "[inspect]") {
  const std::string name = unique_name("inspect");
  error_code ec;
  inspect(name, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  CHECK(error_of([&] { inspect(name); }) == std::errc::no_such_file_or_directory);
  inspect("", ec);
  CHECK(ec == std::errc::invalid_argument);
  inspect("a/b", ec);
  CHECK(ec == std::errc::invalid_argument);
  inspect(std::string(256, 'a'), ec);
  CHECK(ec == std::errc::filename_too_long);

  member consumer(name, consumer_role);
  REQUIRE(consumer.join() == member::joined::yes);
  inspect(name + ".bell.1", ec);
  CHECK(ec == errc::incompatible);
  inspect(name, ec);
  CHECK_FALSE(ec);
}

TEST_CASE("blocks, and segments of another version, are told apart", "[inspect]") {
  std::string content = used_segment<spsc_channel>();
  written_file f(content);
  CHECK(inspect(f.name).kind == "spsc_ring");
  CHECK(inspect(f.name).problem == "");
  CHECK(inspect(f.name).unread == 3);

  f.write("some bytes");
  CHECK(inspect(f.name).kind == "block");
  CHECK(inspect(f.name).bytes == 10);
  CHECK(inspect(f.name).version == 0);
  CHECK(inspect(f.name).problem == "");
  f.write(std::string(5000, '\0'));
  CHECK(inspect(f.name).kind == "block");

  std::string other = content;
  put_at(other, offsetof(layout::identity, version), layout::version + 1);
  f.write(other);
  CHECK(inspect(f.name).kind == "unknown");
  CHECK(inspect(f.name).version == layout::version + 1);
  CHECK_THAT(inspect(f.name).problem, contains("layout version is " + std::to_string(layout::version + 1)));
  CHECK(inspect(f.name).capacity == 0);
  CHECK(inspect(f.name).participants.empty());

  other = content;
  put_at(other, offsetof(layout::identity, kind), std::uint32_t{99});
  f.write(other);
  CHECK(inspect(f.name).kind == "unknown");
  CHECK_THAT(inspect(f.name).problem, contains("ring kind is 99"));

  f.write(content.substr(0, content.size() - 1));
  CHECK_THAT(inspect(f.name).problem, contains("size of the file"));
  CHECK(inspect(f.name).capacity == 64);
  f.write(content.substr(0, 400));
  CHECK_THAT(inspect(f.name).problem, contains("size of the file"));

  other = content;
  put_at(other, offsetof(layout::identity, producers), std::uint16_t{1000});
  f.write(other);
  CHECK_THAT(inspect(f.name).problem, contains("number of participants is 1001"));

  other = content;
  put_at(other, offsetof(layout::identity, description_bytes), std::uint32_t{17 << 10});
  f.write(other);
  CHECK_THAT(inspect(f.name).problem, contains("size of the description is 17408"));

  other = content;
  put_at(other, offsetof(layout::identity, abi_fingerprint), std::uint64_t{1});  // another Boost's queue
  f.write(other);
  CHECK(inspect(f.name).problem == "");
  CHECK(inspect(f.name).unread == 3);

  other = content;
  put_at(other, offsetof(layout::identity, places) + offsetof(layout::geometry, written), std::uint64_t{1} << 40);
  f.write(other);
  CHECK_THAT(inspect(f.name).problem, contains("corrupted"));
  CHECK_FALSE(inspect(f.name).unread);

  content = used_segment<byte_channel>();
  layout::identity id;
  std::memcpy(static_cast<void*>(&id), content.data(), sizeof id);
  put_at(content, id.ring_offset, ~std::uint64_t{0} / 2);
  f.write(content);
  CHECK(inspect(f.name).kind == "byte_ring");
  CHECK_FALSE(inspect(f.name).unread);
  CHECK_THAT(inspect(f.name).problem, contains("corrupted"));
}

TEST_CASE("the list has every name once, in order, and bells only if their channel is gone",
          "[inspect]") {
  const std::string name = unique_name("inspect");
  member consumer(name, consumer_role);
  REQUIRE(consumer.join() == member::joined::yes);
  auto block = shared_memory::create(name + "-block", 1000);
  const unlink_on_destroy owner(block);
  const std::string gone = name + "-gone";
  for (const char* const bell : {".bell.0", ".bell.1"})
    REQUIRE(::mkfifo(path_in_memory(gone + bell).c_str(), 0600) == 0);

  const std::vector<segment_entry> all = list_segments();
  CHECK(std::ranges::is_sorted(all, {}, &segment_entry::name));
  REQUIRE(entry_of(all, name));
  CHECK(entry_of(all, name)->kind == "spsc_ring");
  CHECK(entry_of(all, name)->alive() == 1);
  CHECK_FALSE(entry_of(all, name + ".bell.1"));
  REQUIRE(entry_of(all, name + "-block"));
  CHECK(entry_of(all, name + "-block")->kind == "block");
  CHECK(entry_of(all, name + "-block")->bytes == 1000);
  REQUIRE(entry_of(all, gone));
  CHECK(entry_of(all, gone)->kind == "bells");
  CHECK(entry_of(all, gone)->stray_bells == 2);
  for (const char* const bell : {".bell.0", ".bell.1"})
    ::unlink(path_in_memory(gone + bell).c_str());
}

TEST_CASE("a companion is a watch", "[inspect]") {
  auto block = shared_memory::create(unique_name("inspect"), 1000);
  const unlink_on_destroy owner(block);
  {
    const transaction t = block.txn();
    const channel_info info = inspect(block.name() + ".watch");
    CHECK(info.kind == "watch");
    CHECK(info.problem == "");
    CHECK(info.alive() == 1);
    CHECK_FALSE(info.unread);
    CHECK(info.dirty);
    CHECK_FALSE(info.orphaned);
  }
  net::io_context io;
  const watch w(io, block);
  CHECK_FALSE(inspect(block.name() + ".watch").dirty);
  REQUIRE(::unlink(path_in_memory(block.name()).c_str()) == 0);  // as CPython does
  CHECK(inspect(block.name() + ".watch").orphaned);
}

TEMPLATE_TEST_CASE("a ring that streams is not taken for a corrupted one", "[inspect]",
                   spsc_channel, byte_channel, work_channel, blocking_channel, overwriting_channel,
                   latest_channel) {
  const std::string name = unique_name("inspect");
  std::atomic<bool> end = false;
  {
    net::io_context io;
    typename TestType::producer tx(io, name);
    typename TestType::consumer rx(io, name);
    std::jthread sends([&] {
      while (!end) {
        if constexpr (std::is_same_v<TestType, byte_channel>) {
          tx.try_send(as_message("some message"));
        } else {
          tx.try_send({1, 0.5});
        }
      }
    });
    std::jthread receives([&] {
      while (!end) rx.try_receive();
    });
    std::string problem;
    std::size_t most = 0;
    for (int i = 0; i != often(2000) && problem.empty(); ++i) {
      const channel_info info = inspect(name);
      problem = info.problem;
      most = std::max<std::size_t>(most, info.unread.value_or(~std::size_t{0}));
    }
    end = true;
    CHECK(problem == "");
    CHECK(most <= inspect(name).capacity);
  }
  error_code gone;  // if nothing was left unread
  TestType::unlink(name, gone);
}

TEST_CASE("whatever bytes a segment has, inspect returns", "[inspect]") {
  channel_options small;
  small.slots = 8;
  small.message_bytes = 100;
  const std::string originals[] = {
      used_segment<spsc_channel>(),
      used_segment<byte_channel>(of_bytes::options()),
      used_segment<work_channel>(),
      used_segment<blocking_channel>(),
      used_segment<overwriting_channel>(),
      used_segment<latest_channel>(),
      used_segment<channel<byte_work_ring>>(small),
      used_segment<channel<byte_broadcast_ring<overflow::block>>>(small),
      used_segment<channel<byte_broadcast_ring<overflow::overwrite>>>(small)};
  std::mt19937_64 random(random_seed());
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const std::uint64_t interesting[] = {0,    1,          2,          63,         64,    65,   255,
                                       4096, 0x7fffffff, 0xffffffff, 1ull << 62, ~0ull, ~7ull};
  written_file f("");
  const int fd = ::open(path_in_memory(f.name).c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(fd != -1);
  std::size_t told = 0;
  const int each = all_rounds() ? 200'000 : 6'000;
  for (const std::string& original : originals) {
    std::string content = original;
    for (int round = 0; round != each; ++round) {
      content = original;
      const std::size_t damages = 1 + below(4);
      for (std::size_t i = 0; i != damages; ++i) {
        // Mostly in the fields that say what the segment is, and where the ring keeps its positions.
        const std::size_t reach = below(3) == 0 ? content.size() : below(2) == 0 ? sizeof(layout::identity) : 14'000;
        const std::size_t limit = std::min(reach, content.size());
        const std::size_t at = below(limit);
        if (below(2) == 0) {
          content[at] = static_cast<char>(random());
        } else {
          const std::size_t word = std::min(at / 4 * 4, content.size() - 8);
          put_at(content, word,
                 below(2) == 0 ? interesting[below(std::size(interesting))] : random());
        }
      }
      std::memcpy(content.data(), original.data(),
                  below(20) == 0 ? 0 : 12);  // usually a segment of this version
      const std::size_t size = below(50) == 0 ? below(content.size()) : content.size();
      REQUIRE(::pwrite(fd, content.data(), size, 0) == static_cast<ssize_t>(size));
      REQUIRE(::ftruncate(fd, static_cast<off_t>(size)) == 0);
      error_code ec;
      const channel_info info = inspect(f.name, ec);
      if (ec) FAIL(ec.message());
      told += !info.problem.empty();
      if (info.participants.size() > layout::max_participants) FAIL("too many participants");
      if (info.description.size() > layout::max_description) FAIL("too long a description");
      if (info.unread && *info.unread > info.capacity) FAIL("more unread than there is room");
    }
  }
  ::close(fd);
  CHECK(told > static_cast<std::size_t>(each));
}
