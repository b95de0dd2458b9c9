// any_channel: what only it promises. What every channel promises is tested over it as well: through_any in
// support/rings.hpp.
#include "support/rings.hpp"

#include <belfry/any_channel.hpp>

#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

namespace belfry::test::any_channel_tests {

using namespace std::chrono_literals;

namespace {

/// The typed rings; their kinds are those that layout::name_of tells.
using typed_rings = std::tuple<of_values, of_bytes, of_ring<work_ring<tick, 16>>,
                               of_ring<broadcast_ring<tick, 16, overflow::block>>,
                               of_ring<broadcast_ring<tick, 16, overflow::overwrite>>, of_ring<latest<tick>>>;

std::span<const std::byte> bytes_of(const tick& t) { return std::as_bytes(std::span(&t, 1)); }
std::span<const std::byte> bytes_of(std::span<const std::byte> message) { return message; }

struct buffer {
  std::array<std::byte, 64> bytes{};
  std::uint64_t number() const {
    std::uint64_t n = 0;
    std::memcpy(&n, bytes.data(), sizeof n);
    return n;
  }
  net::mutable_buffer all() { return net::buffer(bytes); }
};

/// Receives a number, or ~0 if there is nothing.
std::uint64_t take(any_channel::consumer& rx) {
  buffer b;
  return rx.try_receive(b.bytes) ? b.number() : ~std::uint64_t{0};
}

constexpr std::uint64_t none = ~std::uint64_t{0};

/// A channel that is removed with what is left in it.
struct temporary {
  explicit temporary(std::string_view what) : name(unique_name(what)) {}
  ~temporary() {
    error_code not_there;
    of_values::channel::unlink(name, not_there);
  }
  const std::string name;
};

/// A file of this content in shared memory.
struct forged_segment {
  explicit forged_segment(const std::string& content) : name(unique_name("forged")) {
    std::ofstream("/dev/shm/" + name, std::ios::binary) << content;
  }
  ~forged_segment() { ::unlink(("/dev/shm/" + name).c_str()); }
  /// The text of the refusal.
  std::string refusal() const {
    net::io_context io;
    try {
      const any_channel::producer tx(io, name);
      FAIL("joined");
    } catch (const std::system_error& e) {
      CHECK(e.code() == errc::incompatible);
      CHECK_THAT(e.what(), contains('"' + name + '"'));
      return e.what();
    }
    return {};
  }
  const std::string name;
};

std::string segment_of(const detail::ring_traits& traits, const channel_options& o = {}) {
  const std::string name = unique_name("pristine");
  detail::failure f;
  detail::segment::create_or_open(name, traits, o, f);
  REQUIRE_FALSE(f);
  std::ifstream in("/dev/shm/" + name, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(in), {}};
  detail::segment::unlink(name, f);
  return content;
}

template <class Field>
std::string with(std::string content, std::size_t offset, Field value) {
  std::memcpy(content.data() + offset, &value, sizeof value);
  return content;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("any_channel takes over from a typed endpoint, and a typed one from it", "[any_channel]",
                        typed_rings) {
  const temporary made("any-over");
  const std::string& name = made.name;
  net::io_context io;
  TestType values;
  using channel = typename TestType::channel;
  channel_options o = TestType::options();
  o.lifetime = lifetime::persistent;
  const bool one_newest = TestType::room == 1;
  {
    typename channel::producer tx(io, name, o);
    typename channel::consumer rx(io, name, o);
    tx.try_send(values.make(1));
    CHECK(number(*rx.try_receive()) == 1);
    if (!one_newest) tx.try_send(values.make(2));
  }
  {
    any_channel::producer tx(io, name, o);
    any_channel::consumer rx(io, name, o);
    tx.try_send(bytes_of(values.make(3)));
    std::uint64_t n = take(rx);
    if (n == 1) n = take(rx);  // each consumer receives everything that is still there
    if (!one_newest) {
      CHECK(n == 2);
      n = take(rx);
    }
    CHECK(n == 3);
    CHECK(take(rx) == none);
    CHECK(rx.info().kind == layout::name_of(channel::ring_type::traits.kind));
    if (!one_newest) tx.try_send(bytes_of(values.make(4)));
  }
  {
    typename channel::consumer rx(io, name, o);
    typename channel::producer tx(io, name, o);
    tx.try_send(values.make(5));
    std::uint64_t n = 0;
    while (auto v = rx.try_receive()) n = n * 10 + number(*v);
    CHECK(n % 100 == (one_newest ? 5 : 45));
  }
  channel::unlink(name);
}

TEMPLATE_LIST_TEST_CASE("any_channel and typed endpoints meet, in both directions", "[any_channel]", typed_rings) {
  const temporary made("any-meet");
  const std::string& name = made.name;
  net::io_context io;
  TestType values;
  using channel = typename TestType::channel;
  const channel_options o = TestType::options();
  SECTION("any sends") {
    auto rx = meet<channel>::consumer(io, name, o);
    auto tx = meet<any_face<channel>>::producer(io, name, o);
    told t;
    rx.async_receive(t.receiver());
    settle(io);
    CHECK(tx.try_send(values.make(7)));
    REQUIRE(run(io));
    CHECK(t.value == 7);
    rx.async_receive(t.receiver());
    tx.close();
    REQUIRE(run(io));
    CHECK(t.ec == errc::closed);
  }
  SECTION("any receives") {
    auto tx = meet<channel>::producer(io, name, o);
    auto rx = meet<any_face<channel>>::consumer(io, name, o);
    told t;
    rx.async_receive(t.receiver());
    settle(io);
    CHECK(tx.try_send(values.make(7)));
    REQUIRE(run(io));
    CHECK(t.value == 7);
    while (!channel::ring_type::traits.never_full && tx.try_send(values.make(8))) {
    }
    tx.async_send(values.make(9), t.handler());
    settle(io);
    CHECK(t.calls == (channel::ring_type::traits.never_full ? 2 : 1));
    CHECK(rx.try_receive());
    while (rx.try_receive()) {
    }
    REQUIRE(run(io));
    CHECK(t.calls == 2);
    CHECK_FALSE(t.ec);
  }
  meet<channel>::forget(name);
}

TEST_CASE("any_channel tells what the channel is", "[any_channel]") {
  const temporary made("any-info");
  const std::string& name = made.name;
  net::io_context io;
  channel<work_ring<tick, 16>>::producer typed(io, name);
  any_channel::consumer rx(io, name);
  const channel_info& i = rx.info();
  CHECK(i.problem.empty());
  CHECK(i.name == name);
  CHECK(i.kind == "work_ring");
  CHECK(i.capacity == 16);
  CHECK(i.value_bytes == sizeof(tick));
  CHECK(i.type_fingerprint == type_fingerprint<tick>());
  CHECK(described_type::parse(i.type).bytes() == sizeof(tick));
  CHECK(i.alive(participant_role::producer) == 1);
  CHECK(i.alive(participant_role::consumer) == 1);  // itself
  CHECK(rx.name() == name);
  CHECK(rx.capacity() == 16);
  CHECK(rx.get_executor() == io.get_executor());
  rx.close();
  CHECK(rx.info().kind == "work_ring");
  any_channel::consumer other = std::move(rx);
  CHECK(other.info().kind == "work_ring");
  CHECK(rx.info().kind.empty());
}

TEST_CASE("any_channel never creates a channel", "[any_channel]") {
  const temporary made("any-none");
  const std::string& name = made.name;
  net::io_context io;
  try {
    const any_channel::producer tx(io, name);
    FAIL("created");
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::no_such_file_or_directory);
    CHECK_THAT(e.what(), contains("there is no channel \"" + name + '"'));
  }
  error_code ec;
  const any_channel::consumer rx(io, name, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  CHECK_FALSE(rx.is_open());
  CHECK(files_of(name) == 0);
  const any_channel::consumer unnamed(io, channel_handles(), ec);
  CHECK(ec);
}

TEST_CASE("any_channel obeys the limits of roles", "[any_channel]") {
  const temporary made("any-roles");
  const std::string& name = made.name;
  net::io_context io;
  of_values::channel::producer typed(io, name);
  error_code ec;
  any_channel::producer tx(io, name, ec);
  CHECK(ec == errc::role_taken);
  any_channel::consumer rx(io, name, ec);
  CHECK(ec == error_code());
  const any_channel::consumer second(io, name, ec);
  CHECK(ec == errc::role_taken);
  typed.close();
  tx = any_channel::producer(io, name, ec);
  CHECK(ec == error_code());
  of_values::channel::producer third(io, name, ec);
  CHECK(ec == errc::role_taken);
}

TEST_CASE("any_channel refuses what is no channel, and says why", "[any_channel]") {
  net::io_context io;
  using layout::identity;
  const std::string good = segment_of(spsc_ring<tick, 64>::traits);
  const std::string work = segment_of(work_ring<tick, 16>::traits);
  CHECK_THAT(forged_segment(std::string(64, 'x')).refusal(), contains("too small for a control header"));
  CHECK_THAT(forged_segment(std::string(4096, 'x')).refusal(), contains("no magic"));
  CHECK_THAT(forged_segment(with(good, offsetof(identity, version), 4u)).refusal(),
             contains("the layout version is 4, expected 3"));
  CHECK_THAT(forged_segment(with(good, offsetof(identity, kind), 77u)).refusal(),
             contains("the ring kind is 77, which is unknown"));
  CHECK_THAT(forged_segment(with(good, offsetof(identity, kind), layout::ring_kind::watch)).refusal(),
             contains("the companion of a block"));
  CHECK_THAT(forged_segment(good + "x").refusal(), contains("the size of the file is "));
  CHECK_THAT(forged_segment(with(good, offsetof(identity, producers), std::uint16_t{2})).refusal(),
             contains("the number of producers is 2, expected 1"));
  CHECK_THAT(forged_segment(with(work, offsetof(identity, consumers), std::uint16_t{300})).refusal(),
             contains("the number of participants is "));
  CHECK_THAT(forged_segment(with(good, offsetof(identity, description_bytes), 1u << 20)).refusal(),
             contains("the size of the description is "));
  CHECK_THAT(forged_segment(with(good, offsetof(identity, subject), std::uint64_t{1})).refusal(),
             contains("the block it belongs to is 1, expected 0"));
  error_code ec;
  const any_channel::consumer companion(io, "anything.watch", ec);
  CHECK(ec == std::errc::invalid_argument);
}

TEST_CASE("any_channel refuses values that would lie outside", "[any_channel]") {
  using layout::geometry;
  using layout::identity;
  const std::size_t at = offsetof(identity, places);
  const std::uint64_t ring = 1 << 20;
  const auto refused = [](const std::string& content) {
    CHECK_THAT(forged_segment(content).refusal(), contains("the place of its values is impossible"));
  };
  for (const auto* traits : {&spsc_ring<tick, 64>::traits, &work_ring<tick, 16>::traits,
                             &broadcast_ring<tick, 16>::traits, &latest<tick>::traits}) {
    const std::string good = segment_of(*traits);
    INFO(layout::name_of(traits->kind));
    for (const std::uint64_t wrong : {std::uint64_t{0}, ring, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
      refused(with(good, at + offsetof(geometry, places), wrong));
      refused(with(good, at + offsetof(geometry, stride), wrong));
      if (wrong != 0) {
        refused(with(good, at + offsetof(geometry, first), wrong));
        refused(with(good, at + offsetof(geometry, value), wrong));
      }
      refused(with(good, offsetof(identity, value_bytes), wrong));
      refused(with(good, offsetof(identity, capacity), wrong));
      if (traits->kind == layout::ring_kind::spsc && wrong != 0) {
        refused(with(good, at + offsetof(geometry, written), wrong));
        refused(with(good, at + offsetof(geometry, read), wrong));
      }
    }
    if (traits->kind != layout::ring_kind::spsc) {  // words lie at multiples of 8
      std::uint64_t first = 0;
      std::memcpy(&first, good.data() + at + offsetof(geometry, first), 8);
      refused(with(good, at + offsetof(geometry, first), first - 4));
      refused(with(good, at + offsetof(geometry, first), std::uint64_t{8}));  // over the control words
    }
  }
  const std::string bytes = segment_of(byte_ring::traits, of_bytes::options());
  for (const std::uint64_t wrong : {0u, 1u, 4097u, 8192u}) refused(with(bytes, offsetof(identity, capacity), wrong));
  refused(with(bytes, offsetof(identity, value_bytes), std::uint64_t{8}));
  refused(with(bytes, at + offsetof(geometry, first), std::uint64_t{8}));
}

TEST_CASE("any_channel: a value of the wrong size is not sent", "[any_channel]") {
  const temporary made("any-size");
  const std::string& name = made.name;
  net::io_context io;
  of_values::channel::consumer rx(io, name);
  any_channel::producer tx(io, name);
  const std::array<std::byte, 17> bytes{};
  told t;
  for (const std::size_t size : {0u, 8u, 15u, 17u}) {
    const std::span wrong = std::span(bytes).first(size);
    CHECK_FALSE(tx.try_send(wrong));
    CHECK(tx.send(wrong) == std::errc::invalid_argument);
    tx.async_send(net::buffer(bytes.data(), size), t.handler());
    REQUIRE(run(io));
    CHECK(t.ec == std::errc::invalid_argument);
    io.restart();
  }
  CHECK(tx.size() == 0);
  CHECK(tx.try_send(std::span(bytes).first(16)));
  CHECK(tx.try_send(net::buffer(bytes.data(), 16)));
  CHECK(tx.send(net::buffer(bytes.data(), 16)) == error_code());
  CHECK(rx.size() == 3);
  CHECK(rx.try_receive());
}

TEST_CASE("any_channel: a value that does not fit into the buffer stays in the ring", "[any_channel]") {
  net::io_context io;
  const temporary made("any-room");
  const std::string& name = made.name;
  const auto too_small = [&](any_channel::consumer& rx, std::size_t room) {
    std::vector<std::byte> buffer(room);
    std::size_t bytes = 77;
    CHECK_FALSE(rx.try_receive(buffer));
    CHECK(rx.receive(buffer, bytes) == errc::message_too_large);
    CHECK(bytes == 0);
    told t;
    rx.async_receive(net::buffer(buffer), t.counter());
    REQUIRE(run(io));
    CHECK(t.ec == errc::message_too_large);
    CHECK(t.count == 0);
    io.restart();
  };
  SECTION("values") {
    of_ring<work_ring<tick, 16>>::channel::producer tx(io, name);
    any_channel::consumer rx(io, name);
    too_small(rx, 0);
    too_small(rx, 15);
    tx.try_send({5, 0});
    too_small(rx, 15);
    CHECK(take(rx) == 5);
  }
  SECTION("messages") {
    of_bytes::channel::producer tx(io, name, of_bytes::options());
    any_channel::consumer rx(io, name);
    tx.try_send(as_message("hello"));
    tx.try_send(as_message(""));
    too_small(rx, 0);
    too_small(rx, 4);
    std::array<std::byte, 5> room{};
    CHECK(rx.try_receive(room) == std::size_t{5});
    CHECK(std::memcmp(room.data(), "hello", 5) == 0);
    CHECK(rx.try_receive({}) == std::size_t{0});  // the empty message
    CHECK_FALSE(rx.try_receive(room));
  }
}

TEST_CASE("any_channel: a message that the ring can never hold is too large", "[any_channel]") {
  const temporary made("any-large");
  const std::string& name = made.name;
  net::io_context io;
  of_bytes::channel::consumer rx(io, name, of_bytes::options());
  any_channel::producer tx(io, name);
  const std::vector<std::byte> bytes(4096);
  CHECK_FALSE(tx.try_send(bytes));
  CHECK(tx.send(bytes) == errc::message_too_large);
  CHECK(tx.send(std::span(bytes).first(4088)) == error_code());
  CHECK(rx.try_receive()->size() == 4088);
}

TEST_CASE("any_channel counts messages, and the bytes of those of any size", "[any_channel]") {
  const bool of_values_only = GENERATE(true, false);
  const temporary made("any-count");
  const std::string& name = made.name;
  net::io_context io;
  channel_options o;
  o.lifetime = lifetime::persistent;
  if (of_values_only) {
    of_values::channel::consumer make(io, name, o);
  } else {
    of_bytes::channel::consumer make(io, name, o);
  }
  any_channel::producer tx(io, name);
  any_channel::consumer rx(io, name);
  const tick t{3, 0};
  for (int i = 0; i != 3; ++i) CHECK(tx.try_send(bytes_of(t)));
  for (int i = 0; i != 2; ++i) CHECK(take(rx) == 3);
  const channel_info i = inspect(name);
  CHECK(i.sent.messages == 3);
  CHECK(i.sent.bytes == 48);
  CHECK(i.received.messages == 2);
  CHECK(i.received.bytes == 32);
  of_values::channel::unlink(name);
}

TEST_CASE("any_channel: every kind of token, and cancellation loses nothing", "[any_channel]") {
  const temporary made("any-tokens");
  const std::string& name = made.name;
  net::io_context io;
  of_values::channel::producer maker(io, name);
  any_channel::consumer rx(io, name);
  maker.close();
  any_channel::producer tx(io, name);
  buffer b;
  const tick seven{7, 0};
  SECTION("a coroutine") {
    run_coroutine(io, [&]() -> net::awaitable<void> {
      co_await tx.async_send(net::buffer(bytes_of(seven).data(), sizeof seven), net::use_awaitable);
      const std::size_t bytes = co_await rx.async_receive(b.all(), net::use_awaitable);
      CHECK(bytes == sizeof(tick));
      CHECK(b.number() == 7);
      auto [ec, none_at_all] = co_await rx.async_receive(net::buffer(b.bytes.data(), 3), use_tuple);
      CHECK(ec == errc::message_too_large);
      CHECK(none_at_all == 0);
      co_await tx.async_wait(net::use_awaitable);
      co_await rx.async_wait_peer(net::use_awaitable);
    });
  }
  SECTION("a future") {
    auto got = rx.async_receive(b.all(), net::use_future);
    auto sent = tx.async_send(bytes_of(seven), net::use_future);
    REQUIRE(run(io));
    sent.get();
    CHECK(got.get() == sizeof(tick));
  }
  SECTION("cancelled by its slot") {
    net::cancellation_signal signal;
    told t;
    rx.async_receive(b.all(), net::bind_cancellation_slot(signal.slot(), t.counter()));
    settle(io);
    tx.try_send(bytes_of(seven));
    signal.emit(net::cancellation_type::terminal);
    REQUIRE(run(io));
    CHECK(t.ec == net::error::operation_aborted);
    CHECK(t.count == 0);
    CHECK(take(rx) == 7);
  }
  SECTION("cancelled by cancel(), close() and its end") {
    told t;
    rx.async_receive(b.all(), t.counter());
    rx.cancel();
    REQUIRE(run(io));
    CHECK(t.ec == net::error::operation_aborted);
    while (tx.try_send(bytes_of(seven))) {
    }
    tx.async_send(bytes_of(seven), t.handler());
    io.restart();
    tx.close();
    REQUIRE(run(io));
    CHECK(t.ec == net::error::operation_aborted);
    CHECK(t.calls == 2);
  }
}

TEST_CASE("any_channel blocks, until a timeout or a request to stop", "[any_channel]") {
  const temporary made("any-block");
  const std::string& name = made.name;
  net::io_context io;
  of_values::channel::producer maker(io, name);
  any_channel::consumer rx(io, name);
  maker.close();
  any_channel::producer tx(io, name);
  buffer b;
  std::size_t bytes = 0;
  CHECK(rx.receive(b.bytes, bytes, 1ms) == net::error::timed_out);
  const tick seven{7, 0};
  std::jthread other([&] { tx.send(bytes_of(seven)); });
  CHECK(rx.receive(b.bytes, bytes) == error_code());
  CHECK(bytes == sizeof(tick));
  CHECK(b.number() == 7);
  other.join();
  std::stop_source source;
  std::jthread stopper([&] { source.request_stop(); });
  CHECK(rx.receive(b.bytes, bytes, source.get_token()) == net::error::operation_aborted);
  while (tx.try_send(bytes_of(seven))) {
  }
  CHECK(tx.send(bytes_of(seven), 0ns) == net::error::timed_out);
  CHECK(tx.send(bytes_of(seven), source.get_token()) == net::error::operation_aborted);
}

TEST_CASE("any_channel in a foreign loop", "[any_channel]") {
  const temporary made("any-loop");
  const std::string& name = made.name;
  net::io_context io;
  of_values::channel::producer tx(io, name);
  any_channel::consumer rx(io, name);
  CHECK(rx.native_handle() >= 0);
  CHECK(rx.prepare_wait());
  tx.try_send({7, 0});
  CHECK(rx.finish_wait() == error_code());
  CHECK_FALSE(rx.prepare_wait());
  CHECK(rx.finish_wait() == error_code());
  CHECK(take(rx) == 7);
  tx.close();
  CHECK_FALSE(rx.prepare_wait());
  CHECK(rx.finish_wait() == errc::closed);
}

TEST_CASE("any_channel reports what was lost", "[any_channel]") {
  const temporary made("any-lost");
  const std::string& name = made.name;
  net::io_context io;
  channel_options o;
  o.start = start::oldest;
  channel<broadcast_ring<tick, 4, overflow::overwrite>>::producer tx(io, name);
  any_channel::consumer rx(io, name, o);
  for (std::uint64_t n = 0; n != 10; ++n) tx.try_send({n, 0});
  buffer b;
  std::size_t bytes = 0;
  CHECK(rx.receive(b.bytes, bytes) == errc::lagged);
  CHECK(rx.lost() == 6);
  CHECK(rx.total_lost() == 6);
  CHECK(rx.receive(b.bytes, bytes) == error_code());
  CHECK(b.number() == 6);
}

namespace {

using numbers = channel<spsc_ring<tick, 4>>;

std::vector<std::byte> message_of(std::uint64_t number) {
  std::vector<std::byte> bytes(8);
  std::memcpy(bytes.data(), &number, sizeof number);
  return bytes;
}
std::uint64_t number_of(const any_channel::consumer::lease_type& l) {
  std::uint64_t n = 0;
  if (!l || l.value().size() < sizeof n) return none;
  std::memcpy(&n, l.value().data(), sizeof n);
  return n;
}

/// What the process that had this place has counted.
std::uint64_t counted(const std::string& name, std::size_t slot, std::int64_t change = 0) {
  shared_memory block = shared_memory::open(name);
  auto& s = reinterpret_cast<layout::participant_slot*>(block.buf().data() + sizeof(layout::control_header))[slot];
  return s.count.messages.fetch_add(static_cast<std::uint64_t>(change)) + static_cast<std::uint64_t>(change);
}

}  // namespace

TEST_CASE("any_channel leases an item of work, as bytes", "[any_channel]") {
  const temporary made("any-lease");
  using jobs = channel<work_ring<tick, 4>>;
  net::io_context io;
  jobs::producer typed(io, made.name);
  any_channel::producer tx(io, made.name);
  any_channel::consumer rx(io, made.name);
  buffer room;
  CHECK_FALSE(rx.try_receive_lease(room.bytes));

  tick t{};
  t.seq = 1;
  REQUIRE(tx.try_send(bytes_of(t)));
  auto l = rx.try_receive_lease(room.bytes);
  CHECK(number_of(l) == 1);
  CHECK(l.value().size() == sizeof(tick));
  CHECK(l.deliveries() == 1);
  CHECK_FALSE(rx.position());
  CHECK(l.requeue());
  l = rx.try_receive_lease(room.bytes);
  CHECK(l.deliveries() == 2);
  CHECK(l.ack());
  CHECK_FALSE(l.ack());
  CHECK_FALSE(rx.try_receive_lease(room.bytes));

  SECTION("the count of deliveries comes along from elsewhere") {
    REQUIRE(tx.try_send(bytes_of(t), 3));
    REQUIRE(tx.try_send(bytes_of(t), 1000));
    CHECK(rx.try_receive_lease(room.bytes).deliveries() == 4);  // its end gives it back
    jobs::consumer other(io, made.name);
    CHECK(other.try_receive_lease().deliveries() == 5);
    rx.close();
    std::vector<unsigned> all;
    for (auto held = other.try_receive_lease(); held; held = other.try_receive_lease()) {
      all.push_back(held.deliveries());
      held.ack();
    }
    std::ranges::sort(all);
    CHECK(all == std::vector<unsigned>{6, 255});
  }
  SECTION("a consumer that closes gives back what it holds") {
    REQUIRE(tx.try_send(bytes_of(t)));
    l = rx.try_receive_lease(room.bytes);
    rx.close();
    CHECK_FALSE(l.ack());
    jobs::consumer next(io, made.name);
    CHECK(next.try_receive_lease().deliveries() == 2);
  }
  SECTION("an operation, and its cancellation") {
    told told_lease;
    bool came = false;
    rx.async_receive_lease(room.all(), [&](error_code ec, any_channel::consumer::lease_type held) {
      came = !ec && number_of(held) == 1 && held.ack();
    });
    settle(io);
    CHECK_FALSE(came);
    typed.try_send(t);
    REQUIRE(run(io));
    CHECK(came);
    error_code why;
    rx.async_receive_lease(room.all(), [&](error_code ec, any_channel::consumer::lease_type held) {
      why = ec;
      came = static_cast<bool>(held);
    });
    settle(io);
    rx.cancel();
    io.restart();
    REQUIRE(run(io));
    CHECK(why == net::error::operation_aborted);
    CHECK_FALSE(came);
  }
  SECTION("room that is too small") {
    typed.try_send(t);
    CHECK_FALSE(rx.try_receive_lease(std::span(room.bytes).first(4)));
    CHECK(rx.try_receive_lease(room.bytes).ack());
  }
}

TEST_CASE("any_channel leases a message of a byte_work_ring, as a copy", "[any_channel]") {
  const temporary made("any-lease-bytes");
  using tasks = channel<byte_work_ring>;
  net::io_context io;
  channel_options o;
  o.slots = 4;
  o.message_bytes = 64;
  tasks::producer typed(io, made.name, o);
  tasks::consumer other(io, made.name, o);
  any_channel::producer tx(io, made.name);
  any_channel::consumer rx(io, made.name);
  buffer room;
  CHECK_FALSE(rx.try_receive_lease(room.bytes));
  REQUIRE(typed.try_send(message_of(1)));
  CHECK_FALSE(rx.try_receive_lease(std::span(room.bytes).first(4)));  // too small: it stays
  auto l = rx.try_receive_lease(room.bytes);
  CHECK(number_of(l) == 1);
  CHECK(l.value().size() == 8);
  CHECK(l.deliveries() == 1);
  CHECK_FALSE(other.try_receive());
  CHECK(l.requeue());
  l = rx.try_receive_lease(room.bytes);
  CHECK(l.deliveries() == 2);
  CHECK(l.ack());
  CHECK_FALSE(other.try_receive());

  REQUIRE(tx.try_send(message_of(2), 3));
  CHECK(other.try_receive()->deliveries() == 4);
  REQUIRE(tx.try_send(message_of(3), 3));
  l = rx.try_receive_lease(room.bytes);
  CHECK(number_of(l) == 3);
  CHECK(l.reject());
  CHECK_FALSE(other.try_receive());
  CHECK(rx.try_receive_dead(room.bytes) == 8u);
  CHECK_FALSE(rx.try_receive_dead(room.bytes));

  REQUIRE(tx.try_send(message_of(4)));
  l = rx.try_receive_lease(room.bytes);
  rx.close();
  CHECK_FALSE(l.ack());
  CHECK(other.try_receive()->deliveries() == 2);
}

TEST_CASE("any_channel leases values of an spsc_ring, which stay in it until they are acknowledged", "[any_channel]") {
  const temporary made("any-held");
  net::io_context io;
  channel_options kept;
  kept.lifetime = lifetime::persistent;
  numbers::producer tx(io, made.name, kept);
  std::array<buffer, 4> rooms;
  tick t{};
  for (t.seq = 0; t.seq != 4; ++t.seq) REQUIRE(tx.try_send(t));
  REQUIRE_FALSE(tx.try_send(t));
  {
    any_channel::consumer rx(io, made.name);
    CHECK(rx.position() == 0u);
    auto a = rx.try_receive_lease(rooms[0].bytes);
    auto b = rx.try_receive_lease(rooms[1].bytes);
    CHECK(number_of(a) == 0);
    CHECK(number_of(b) == 1);
    CHECK(b.deliveries() == 1);
    CHECK(rx.position() == 2u);
    CHECK(rx.size() == 2);
    CHECK_FALSE(tx.try_send(t));  // nothing is released yet
    CHECK_FALSE(b.requeue());
    CHECK(a.ack());
    CHECK(tx.try_send(t));
    CHECK_FALSE(tx.try_send(t));
    CHECK(counted(made.name, 1) == 1);
  }
  {
    any_channel::consumer rx(io, made.name);  // the first was killed, or closed
    CHECK(rx.position() == 1u);
    auto a = rx.try_receive_lease(rooms[0].bytes);
    auto b = rx.try_receive_lease(rooms[1].bytes);
    auto c = rx.try_receive_lease(rooms[2].bytes);
    CHECK(number_of(a) == 1);
    CHECK(number_of(c) == 3);
    CHECK(b.ack());
    CHECK_FALSE(a.ack());  // acknowledged with the later one
    CHECK(counted(made.name, 1) == 3);
    CHECK(take(rx) == 4);  // and this acknowledges c
    CHECK_FALSE(c.ack());
    CHECK(counted(made.name, 1) == 5);
    CHECK(rx.position() == 5u);
    CHECK_FALSE(rx.try_receive_lease(rooms[0].bytes));
    t.seq = 5;
    CHECK(tx.try_send(t));
    CHECK(number_of(rx.try_receive_lease(rooms[0].bytes)) == 5);
    CHECK_FALSE(rx.try_receive_lease(rooms[0].bytes));
  }
  numbers::consumer typed(io, made.name);
  CHECK(typed.try_receive()->seq == 5);
  typed.close();
  tx.close();
  numbers::unlink(made.name);
}

TEST_CASE("any_channel leases messages of a byte_ring, which stay in it until they are acknowledged", "[any_channel]") {
  const temporary made("any-held-bytes");
  using messages = channel<byte_ring>;
  net::io_context io;
  messages::producer tx(io, made.name);
  std::array<buffer, 3> rooms;
  for (std::uint64_t n = 0; n != 3; ++n) REQUIRE(tx.try_send(message_of(n)));
  {
    any_channel::consumer rx(io, made.name);
    CHECK(rx.position() == 0u);
    auto a = rx.try_receive_lease(rooms[0].bytes);
    auto b = rx.try_receive_lease(rooms[1].bytes);
    CHECK(number_of(b) == 1);
    CHECK(rx.position() == 32u);
    CHECK_FALSE(rx.try_receive_lease(std::span(rooms[2].bytes).first(4)));
    CHECK(b.ack());  // in any order
    CHECK(a.ack());
    auto c = rx.try_receive_lease(rooms[2].bytes);
    CHECK(number_of(c) == 2);
    CHECK_FALSE(c.requeue());
  }
  messages::consumer next(io, made.name);
  CHECK(next.try_receive()->size() == 8);
  CHECK_FALSE(next.try_receive());
}

TEST_CASE("any_channel: positions only grow, though participants are killed", "[any_channel]") {
  const temporary made("any-position");
  net::io_context io;
  channel_options kept;
  kept.lifetime = lifetime::persistent;
  tick t{};
  std::uint64_t passed = 0;
  const auto pass = [&](int count, std::int64_t not_counted) {
    {
      numbers::producer tx(io, made.name, kept);
      numbers::consumer rx(io, made.name, kept);
      for (int i = 0; i != count; ++i, ++passed) {
        REQUIRE(tx.try_send(t));
        REQUIRE(rx.try_receive());
      }
    }
    // As if both were killed before they counted what they had passed in their last call.
    counted(made.name, 0, -not_counted);
    counted(made.name, 1, -not_counted);
  };
  const auto check = [&] {
    any_channel::producer tx(io, made.name);
    any_channel::consumer rx(io, made.name);
    CHECK(tx.position() == passed);
    CHECK(rx.position() == passed);
    CHECK(tx.try_send(bytes_of(t)));
    CHECK(tx.position() == passed + 1);
    CHECK(rx.position() == passed);
    CHECK(take(rx) != none);
    CHECK(rx.position() == ++passed);
  };
  pass(3, 0);
  check();
  pass(7, 4);
  check();
  for (int i = 0; i != 12; ++i) pass(1, 1);  // together more than there are places
  check();
  numbers::unlink(made.name);
}

TEST_CASE("any_channel leases from rings for many readers what it has received", "[any_channel]") {
  const temporary made("any-lease-news");
  using news = channel<broadcast_ring<tick, 4, overflow::overwrite>>;
  net::io_context io;
  news::producer tx(io, made.name);
  any_channel::consumer rx(io, made.name);
  buffer room;
  tick t{};
  for (t.seq = 0; t.seq != 20; ++t.seq) tx.try_send(t);
  error_code why;
  std::uint64_t first = none;
  rx.async_receive_lease(room.all(), [&](error_code ec, any_channel::consumer::lease_type) { why = ec; });
  REQUIRE(run(io));
  CHECK(why == errc::lagged);
  CHECK(rx.lost() != 0);
  rx.async_receive_lease(room.all(), [&](error_code ec, any_channel::consumer::lease_type l) {
    why = ec;
    first = number_of(l);
    CHECK(l.ack());
  });
  io.restart();
  REQUIRE(run(io));
  CHECK_FALSE(why);
  CHECK(first == rx.total_lost());
  CHECK_FALSE(rx.position());
}

TEST_CASE("any_channel by handles", "[any_channel]") {
  net::io_context io;
  const channel_handles h = of_values::channel::make_handles();
  any_channel::producer tx(io, h);
  of_values::channel::consumer rx(io, h);
  const tick seven{7, 0};
  CHECK(tx.try_send(bytes_of(seven)));
  CHECK(number(*rx.try_receive()) == 7);
  CHECK(tx.name().empty());
  CHECK(tx.info().kind == "spsc_ring");
  CHECK(tx.info().alive() == 1);  // it was the first
}

TEST_CASE("any_channel through a manager", "[any_channel]") {
  net::io_context io;
  shared_memory_manager manager;
  manager.start();
  const temporary made("any-managed");
  const std::string& name = made.name;
  error_code ec;
  const any_channel::producer nothing(io, manager, name, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  of_values::channel::consumer rx(io, manager, name);
  any_channel::producer tx(io, manager, name);
  const tick seven{7, 0};
  CHECK(tx.try_send(bytes_of(seven)));
  CHECK(number(*rx.try_receive()) == 7);
  CHECK(tx.info().kind == "spsc_ring");
  const any_channel::producer second(io, manager, name, ec);
  CHECK(ec == errc::role_taken);
  rx.close();
  tx.close();
  await([&] {  // the server hears of it on another connection
    const any_channel::consumer gone(io, manager, name, ec);
    return ec == std::errc::no_such_file_or_directory;
  });
}

TEST_CASE("any_channel: a wish for another capacity fails", "[any_channel]") {
  const temporary made("any-capacity");
  const std::string& name = made.name;
  net::io_context io;
  of_bytes::channel::producer tx(io, name, of_bytes::options());
  channel_options o;
  o.capacity = 4000;  // rounded up
  const any_channel::consumer rx(io, name, o);
  CHECK(rx.capacity() == 4096);
  o.capacity = 8192;
  error_code ec;
  const any_channel::consumer other(io, name, o, ec);
  CHECK(ec == errc::incompatible);
}

}  // namespace belfry::test::any_channel_tests
