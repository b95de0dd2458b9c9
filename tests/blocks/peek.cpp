// What peek() sees of every ring, without taking it: at rest, in use, and in segments that are damaged or forged.
#include "support/process.hpp"
#include "support/rings.hpp"

#include <belfry/peek.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// Whether it is whole can be seen: all words are the same.
struct wide {
  std::array<std::uint64_t, 24> words;
};
wide wide_of(std::uint64_t n) {
  wide w{};
  w.words.fill(n);
  return w;
}
bool is_whole(const std::vector<std::byte>& bytes) {
  std::uint64_t first = 0;
  std::uint64_t word = 0;
  std::memcpy(&first, bytes.data(), sizeof first);
  for (std::size_t at = 0; at + sizeof word <= bytes.size(); at += sizeof word) {
    std::memcpy(&word, bytes.data() + at, sizeof word);
    if (word != first) return false;
  }
  return bytes.size() % sizeof word == 0;
}
std::uint64_t number_of(const peeked_value& v) {
  std::uint64_t n = ~std::uint64_t{0};
  if (v.bytes.size() >= sizeof n) std::memcpy(&n, v.bytes.data(), sizeof n);
  return n;
}
std::vector<std::uint64_t> numbers_of(const peeked_channel& seen) {
  CHECK(seen.info.problem == "");
  std::vector<std::uint64_t> numbers;
  for (const peeked_value& v : seen.values) numbers.push_back(number_of(v));
  return numbers;
}
std::vector<std::uint64_t> from_to(std::uint64_t first, std::uint64_t end) {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t n = first; n != end; ++n) numbers.push_back(n);
  return numbers;
}

template <class Ring>
struct wide_values {
  using channel = belfry::channel<Ring>;
  static constexpr channel_options options() { return {}; }
  static wide make(std::uint64_t n) { return wide_of(n); }
};
struct wide_bytes {
  using channel = belfry::channel<byte_ring>;
  static constexpr channel_options options() {
    channel_options o;
    o.capacity = 4096;
    return o;
  }
  std::span<const std::byte> make(std::uint64_t n) {
    value = wide_of(n);
    return std::as_bytes(std::span(value.words).first(1 + n % 24));
  }
  wide value{};
};
/// Of another size in each lap. Few places, so that they are soon used again.
template <class Ring>
struct wide_messages {
  using channel = belfry::channel<Ring>;
  static constexpr channel_options options() {
    channel_options o;
    o.slots = 4;
    o.message_bytes = sizeof(wide);
    return o;
  }
  std::span<const std::byte> make(std::uint64_t n) {
    value = wide_of(n);
    return std::as_bytes(std::span(value.words).first(1 + n % 24));
  }
  wide value{};
};
using wide_tasks = wide_messages<byte_work_ring>;
using wide_film = wide_messages<byte_broadcast_ring<overflow::overwrite>>;
using wide_blocking_film = wide_messages<byte_broadcast_ring<overflow::block>>;

using wide_spsc = wide_values<spsc_ring<wide, 64>>;
using wide_work = wide_values<work_ring<wide, 64>>;
using wide_news = wide_values<broadcast_ring<wide, 64, overflow::overwrite>>;
using wide_blocking = wide_values<broadcast_ring<wide, 64>>;
using wide_latest = wide_values<latest<wide>>;

std::string file_of(const std::string& name) {
  std::ifstream in("/dev/shm/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class forged_segment {
 public:
  explicit forged_segment(std::string content) : content_(std::move(content)), name(unique_name("forged")) {}
  ~forged_segment() { ::unlink(("/dev/shm/" + name).c_str()); }

  layout::identity id() const {
    layout::identity id;
    std::memcpy(&id, content_.data(), sizeof id);
    return id;
  }
  /// With other bytes at one place.
  template <class T>
  peeked_channel with(std::size_t at, T value) const {
    std::string forged = content_;
    std::memcpy(forged.data() + at, &value, sizeof value);
    return of(forged);
  }
  peeked_channel of(const std::string& content) const {
    std::ofstream("/dev/shm/" + name, std::ios::binary) << content;
    error_code ec;
    peeked_channel seen = peek(name, std::numeric_limits<std::size_t>::max(), ec);
    std::size_t bytes = 0;
    for (const peeked_value& v : seen.values) bytes += v.bytes.size();
    CHECK(bytes <= content.size());
    return seen;
  }
  const std::string& content() const { return content_; }

 private:
  const std::string content_;

 public:
  const std::string name;
};

template <class Kit>
std::string full_segment() {
  linked<Kit> l("peek");
  for (std::uint64_t n = 0; n != 100 && l.tx.try_send(l.values.make(n)); ++n) {
  }
  return file_of(l.name);
}

}  // namespace

TEMPLATE_TEST_CASE("peek sees what is unread, the oldest first, and takes nothing", "[peek]", wide_spsc, wide_bytes,
                   wide_work) {
  linked<TestType> l("peek");
  CHECK(numbers_of(peek(l.name)).empty());
  for (std::uint64_t n = 0; n != 3; ++n) REQUIRE(l.tx.try_send(l.values.make(n)));
  CHECK(numbers_of(peek(l.name)) == from_to(0, 3));
  CHECK(numbers_of(peek(l.name, 2)) == from_to(0, 2));
  CHECK(numbers_of(peek(l.name, 0)).empty());
  REQUIRE(l.rx.try_receive());
  CHECK(numbers_of(peek(l.name)) == from_to(1, 3));
  // Across the end of the ring, at every place of it.
  std::uint64_t next = 3;
  for (int i = 0; i != 200; ++i) {
    REQUIRE(l.tx.try_send(l.values.make(next++)));
    REQUIRE(l.rx.try_receive());
    const peeked_channel seen = peek(l.name);
    REQUIRE(numbers_of(seen) == from_to(next - 2, next));
    REQUIRE(std::ranges::all_of(seen.values, [](const peeked_value& v) { return is_whole(v.bytes); }));
    REQUIRE(seen.values[0].position < seen.values[1].position);
  }
  const std::size_t sent = fill(l.tx, l.values, next);
  CHECK(numbers_of(peek(l.name)) == from_to(next - 2, next + sent));
  CHECK(peek(l.name).info.joins == 2);
  CHECK(l.rx.try_receive());
}

TEST_CASE("peek does not see work items that are leased", "[peek]") {
  linked<wide_work> l("peek");
  for (std::uint64_t n = 0; n != 3; ++n) REQUIRE(l.tx.try_send(wide_of(n)));
  auto lease = l.rx.try_receive_lease();
  REQUIRE(lease);
  CHECK(numbers_of(peek(l.name)) == from_to(1, 3));
  lease.requeue();
  CHECK(numbers_of(peek(l.name)) == from_to(0, 3));
}

TEMPLATE_TEST_CASE("peek sees the newest values of a broadcast_ring, also those that are received", "[peek]", wide_news,
                   wide_blocking) {
  linked<TestType> l("peek");
  CHECK(numbers_of(peek(l.name)).empty());
  for (std::uint64_t n = 0; n != 300; ++n) {
    REQUIRE(l.tx.try_send(wide_of(n)));
    REQUIRE(l.rx.try_receive());
    const std::uint64_t first = n < 64 ? 0 : n - 63;
    const peeked_channel seen = peek(l.name);
    REQUIRE(numbers_of(seen) == from_to(first, n + 1));
    REQUIRE(seen.values.back().position == n);
    REQUIRE(numbers_of(peek(l.name, 3)) == from_to(n < 3 ? 0 : n - 2, n + 1));
  }
}

TEST_CASE("peek sees the newest value of a latest", "[peek]") {
  linked<wide_latest> l("peek");
  CHECK(numbers_of(peek(l.name)).empty());
  for (std::uint64_t n = 1; n != 30; ++n) {
    REQUIRE(l.tx.try_send(wide_of(n)));
    const peeked_channel seen = peek(l.name);
    REQUIRE(numbers_of(seen) == from_to(n, n + 1));
    REQUIRE(seen.values[0].position == n);
    REQUIRE(numbers_of(peek(l.name, 0)).empty());
  }
}

TEMPLATE_TEST_CASE("peek sees whole values only, in their order, while others send and receive", "[peek]", wide_spsc,
                   wide_bytes, wide_work, wide_news, wide_blocking, wide_latest) {
  linked<TestType> l("peek");
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> passed = 0;
  std::thread traffic([&] {
    std::uint64_t next = 1;
    while (!stop) {
      for (int i = 0; i != 40 && l.tx.try_send(l.values.make(next)); ++i) ++next;
      for (int i = 0; i != 30 && l.rx.try_receive(); ++i) passed.fetch_add(1, std::memory_order_relaxed);
      if (next % 7 == 0) std::this_thread::yield();
    }
    while (l.rx.try_receive()) {
    }
  });
  std::size_t seen_values = 0;
  std::size_t broken = 0;
  std::size_t torn = 0;
  std::size_t astray = 0;
  const int rounds = sanitized ? 300 : 3000;
  for (int i = 0; i < rounds || seen_values == 0; ++i) {
    const peeked_channel seen = peek(l.name);
    broken += !seen.info.problem.empty();
    std::uint64_t before = 0;
    for (const peeked_value& v : seen.values) {
      torn += !is_whole(v.bytes);
      astray += number_of(v) <= before;
      before = number_of(v);
      ++seen_values;
    }
  }
  await([&] { return passed != 0; });
  stop = true;
  traffic.join();
  CHECK(broken == 0);
  CHECK(torn == 0);
  CHECK(astray == 0);
  CHECK(seen_values != 0);
}

namespace {

/// Of a traced child: whether it has stopped. At its end the test checks how.
bool has_stopped(const child& c, int& status) {
  while (::waitpid(c.pid(), &status, 0) == -1) REQUIRE(errno == EINTR);
  return WIFSTOPPED(status);
}

/// A process peeks. When it has come to its system call of this number, as many values are received, and as many are
/// sent. False: it does not make so many calls.
template <class Kit>
bool overtakes(std::size_t call, int values) {
  const std::string name = unique_name("overtaken");
  child viewer([&] {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(77);
    ::raise(SIGSTOP);
    const peeked_channel seen = peek(name);
    EXPECT(seen.info.problem.empty());
    std::uint64_t before = 0;
    for (const peeked_value& v : seen.values) {
      EXPECT(is_whole(v.bytes));
      EXPECT(number_of(v) > before);
      before = number_of(v);
      const std::string& kind = seen.info.kind;
      if (kind == "latest") EXPECT_EQ(v.position, before);
      if (kind.ends_with("work_ring") || kind.ends_with("broadcast_ring")) EXPECT_EQ(v.position + 1, before);
      if (kind.starts_with("byte_")) EXPECT_EQ(v.bytes.size(), 8 * (1 + before % 24));
    }
  });
  int status = 0;
  if (!has_stopped(viewer, status)) {
    viewer.forget();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip("ptrace is not permitted");
    FAIL("the viewer has ended");
  }
  ::ptrace(PTRACE_SETOPTIONS, viewer.pid(), nullptr, PTRACE_O_EXITKILL);

  net::io_context io;
  Kit kit;
  typename Kit::channel::producer tx(io, name, Kit::options());
  typename Kit::channel::consumer rx(io, name, Kit::options());
  std::uint64_t next = 1;
  while (next <= 200 && tx.try_send(kit.make(next))) ++next;
  bool stopped = true;
  for (std::size_t i = 0; i != call && stopped; ++i) {
    REQUIRE(::ptrace(PTRACE_SYSCALL, viewer.pid(), nullptr, nullptr) == 0);
    stopped = has_stopped(viewer, status);
  }
  if (stopped) {
    for (int i = 0; i != values; ++i) rx.try_receive();
    for (int i = 0; i != values && tx.try_send(kit.make(next)); ++i) ++next;
    REQUIRE(::ptrace(PTRACE_CONT, viewer.pid(), nullptr, nullptr) == 0);
    REQUIRE_FALSE(has_stopped(viewer, status));
  }
  viewer.forget();
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  Kit::channel::unlink(name);
  return stopped;
}

}  // namespace

TEMPLATE_TEST_CASE("values that are overwritten between two steps of peek are not seen", "[peek-overtaken]", wide_spsc,
                   wide_bytes, wide_work, wide_news, wide_blocking, wide_latest, wide_tasks, wide_film,
                   wide_blocking_film) {
  const watchdog dog;
  for (const int values : {12, 200}) {
    std::size_t call = 1;
    while (overtakes<TestType>(call, values)) ++call;
    CHECK(call > 10);
  }
}

TEST_CASE("peek refuses what is no channel", "[peek]") {
  const std::string name = unique_name("peek");
  CHECK(error_of([&] { peek(name); }) == std::errc::no_such_file_or_directory);
  CHECK(error_of([&] { peek("a/b"); }) == std::errc::invalid_argument);
  auto block = shared_memory::create(name, 100);
  const unlink_on_destroy owner(block);
  net::io_context io;
  const watch w(io, block);
  for (const std::string& n : {name, name + ".watch"}) {
    error_code ec;
    CHECK(peek(n, 1, ec).values.empty());
    CHECK(ec == errc::incompatible);
    try {
      peek(n);
      FAIL();
    } catch (const std::system_error& e) {
      CHECK_THAT(e.what(), contains("not a channel"));
    }
  }
}

TEMPLATE_TEST_CASE("peek reads nothing outside of a forged segment, and ends", "[peek]", wide_spsc, wide_bytes, wide_work,
                   wide_news, wide_blocking, wide_latest, wide_tasks, wide_film, wide_blocking_film) {
  const forged_segment segment(full_segment<TestType>());
  CHECK(segment.of(segment.content()).info.problem == "");
  CHECK_FALSE(segment.of(segment.content()).values.empty());
  using identity = layout::identity;
  constexpr std::size_t places = offsetof(identity, places);
  for (const std::size_t at :
       {places + offsetof(layout::geometry, places), places + offsetof(layout::geometry, first),
        places + offsetof(layout::geometry, stride), places + offsetof(layout::geometry, value),
        places + offsetof(layout::geometry, written), places + offsetof(layout::geometry, read),
        offsetof(identity, capacity), offsetof(identity, value_bytes), offsetof(identity, ring_offset),
        offsetof(identity, ring_bytes), offsetof(identity, segment_bytes)}) {
    for (const std::uint64_t value :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{8}, std::uint64_t{64}, std::uint64_t{4096},
          std::uint64_t{1} << 20, std::uint64_t{1} << 32, std::uint64_t{1} << 62, ~std::uint64_t{0}, ~std::uint64_t{7}}) {
      segment.with(at, value);
    }
  }
  std::mt19937_64 random(7);
  const std::uint64_t ring = segment.id().ring_offset;
  for (int i = 0; i != (sanitized ? 200 : 2000); ++i) {
    std::string forged = segment.content();
    for (int change = 0; change != 3; ++change) {
      const bool header = random() % 2 == 0;
      const std::size_t at = header ? random() % sizeof(identity) : ring + random() % (forged.size() - ring);
      forged[at] = static_cast<char>(random());
    }
    forged.resize(forged.size() - (random() % 4 == 0 ? random() % forged.size() : 0));
    segment.of(forged);
  }
}

TEST_CASE("peek does not believe the lengths and positions in a byte_ring", "[peek]") {
  const forged_segment segment(full_segment<wide_bytes>());
  const layout::identity id = segment.id();
  const std::size_t head = id.ring_offset + offsetof(layout::byte_ring_control, head);
  const std::size_t tail = id.ring_offset + offsetof(layout::byte_ring_control, tail);
  const std::size_t data = id.ring_offset + id.places.first;
  for (const std::uint32_t length : {~std::uint32_t{0}, std::uint32_t{4096}, std::uint32_t{1} << 31}) {
    const peeked_channel seen = segment.with(data, length);
    CHECK_THAT(seen.info.problem, contains("longer than what is there"));
    CHECK(seen.values.empty());
  }
  CHECK(segment.with(data, std::uint32_t{0}).values.size() > 1);
  CHECK_THAT(segment.with(tail, std::uint64_t{1} << 40).info.problem, contains("positions"));
  CHECK_THAT(segment.with(head, std::uint64_t{4}).info.problem, contains("positions"));
}
