// The name belongs to something other than expected: errc::incompatible names the difference, and no byte is
// changed.
#include "support/rings.hpp"

#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using detail::failure;
using detail::ring_traits;
using detail::segment;

namespace {

struct copied {
  explicit copied(const std::string& content) : name(unique_name("copy")), content(content) {
    std::ofstream(path(), std::ios::binary) << content;
  }
  ~copied() { ::unlink(path().c_str()); }

  std::string path() const { return "/dev/shm/" + name; }
  std::string now() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  failure open(const ring_traits& traits, const channel_options& options = {}) const {
    failure f;
    segment::create_or_open(name, traits, options, f);
    return f;
  }

  std::string name;
  std::string content;
};

std::string pristine(const ring_traits& traits, const channel_options& options) {
  const std::string name = unique_name("pristine");
  failure f;
  segment::create_or_open(name, traits, options, f);
  REQUIRE_FALSE(f);
  std::ifstream in("/dev/shm/" + name, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(in), {}};
  segment::unlink(name, f);
  return content;
}

struct field {
  const char* name;
  std::size_t offset;
  std::size_t bytes;
};

const field fields[] = {
    {"layout version", offsetof(layout::identity, version), 4},
    {"header size", offsetof(layout::identity, header_bytes), 4},
    {"segment size", offsetof(layout::identity, segment_bytes), 8},
    {"ring kind", offsetof(layout::identity, kind), 4},
    {"number of producers", offsetof(layout::identity, producers), 2},
    {"number of consumers", offsetof(layout::identity, consumers), 2},
    {"value size", offsetof(layout::identity, value_bytes), 8},
    {"value alignment", offsetof(layout::identity, value_align), 8},
    {"type fingerprint", offsetof(layout::identity, type_fingerprint), 8},
    {"capacity", offsetof(layout::identity, capacity), 8},
    {"ABI fingerprint", offsetof(layout::identity, abi_fingerprint), 8},
    {"ring offset", offsetof(layout::identity, ring_offset), 8},
    {"ring size", offsetof(layout::identity, ring_bytes), 8},
};

}  // namespace

TEST_CASE("every field with an unexpected value is named", "[incompatible]") {
  const bool by_value = GENERATE(true, false);
  const ring_traits& traits = by_value ? spsc_ring<tick, 64>::traits : byte_ring::traits;
  const channel_options options = by_value ? channel_options{} : of_bytes::options();
  const std::string good = pristine(traits, options);
  REQUIRE_FALSE(copied(good).open(traits));

  for (const field& wrong : fields) {
    for (const std::size_t byte : {std::size_t{0}, wrong.bytes - 1}) {
      std::string content = good;
      content[wrong.offset + byte] = static_cast<char>(content[wrong.offset + byte] ^ 0x41);
      const copied file(content);
      const failure f = file.open(traits);
      INFO(wrong.name << ": " << f.what);
      CHECK(f.code == errc::incompatible);
      CHECK_THAT(f.what, contains("the " + std::string(wrong.name) + " is "));
      CHECK_THAT(f.what, contains(", expected "));
      CHECK_THAT(f.what, contains('"' + file.name + '"'));
      CHECK(file.now() == content);
    }
  }
}

TEST_CASE("a capacity that does not fit in the file is incompatible", "[incompatible]") {
  std::string content = pristine(byte_ring::traits, of_bytes::options());
  const std::uint64_t capacity = GENERATE(0u, 1u, 4097u, 8192u, std::uint64_t{1} << 32, ~std::uint64_t{0});
  std::memcpy(content.data() + offsetof(layout::identity, capacity), &capacity, 8);
  const copied file(content);
  const failure f = file.open(byte_ring::traits);
  INFO(f.what);
  CHECK(f.code == errc::incompatible);
  CHECK(file.now() == content);
}

TEST_CASE("a description that is too large, or does not fit into the header, is incompatible", "[incompatible]") {
  const std::string good = pristine(byte_ring::traits, of_bytes::options());
  for (const std::uint32_t bytes : {1u, 16u << 10, (16u << 10) + 1, ~0u}) {
    std::string content = good;
    const auto real = reinterpret_cast<const layout::identity*>(good.data())->description_bytes;
    const std::uint32_t wrong = bytes + (bytes == real ? 128 : 0);
    std::memcpy(content.data() + offsetof(layout::identity, description_bytes), &wrong, sizeof wrong);
    const copied file(content);
    const failure f = file.open(byte_ring::traits);
    INFO(f.what);
    CHECK(f.code == errc::incompatible);
    CHECK_THAT(f.what, contains(wrong > layout::max_description ? "size of the description is" : "header size is"));
    CHECK(file.now() == content);
  }
}

TEST_CASE("a file without the magic is not a segment", "[incompatible]") {
  std::string content = pristine(byte_ring::traits, of_bytes::options());
  content[3] = 'F';
  CHECK_THAT(copied(content).open(byte_ring::traits).what, contains("no magic"));
  CHECK(copied(std::string(4096, 'x')).open(byte_ring::traits).code == errc::incompatible);
  CHECK(copied(std::string(4096, '\0')).open(byte_ring::traits).code == errc::incompatible);
}

TEST_CASE("a file that is too short or too long is incompatible", "[incompatible]") {
  const std::string good = pristine(byte_ring::traits, of_bytes::options());
  for (const std::size_t size : {0, 1, 255}) {
    const failure f = copied(good.substr(0, size)).open(byte_ring::traits);
    INFO(f.what);
    CHECK(f.code == errc::incompatible);
    CHECK_THAT(f.what, contains("the size is " + std::to_string(size) + " bytes, too small"));
  }
  for (const std::size_t size : {std::size_t{256}, std::size_t{1216}, good.size() - 1, good.size() + 1}) {
    std::string content = good;
    content.resize(size);
    const failure f = copied(content).open(byte_ring::traits);
    INFO(f.what);
    CHECK(f.code == errc::incompatible);
    CHECK_THAT(f.what, contains("size of the file is " + std::to_string(size)));
  }
}

TEST_CASE("a name that does not belong to a regular file is incompatible", "[incompatible]") {
  const std::string name = unique_name("other");
  const std::string path = "/dev/shm/" + name;
  const auto code = [&] {
    failure f;
    segment::create_or_open(name, byte_ring::traits, {}, f);
    CHECK_THAT(f.what, contains(name));
    return f.code;
  };
  SECTION("a FIFO, which must not hang") {
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    CHECK(code() == errc::incompatible);
    ::unlink(path.c_str());
  }
  SECTION("a directory") {
    REQUIRE(::mkdir(path.c_str(), 0700) == 0);
    CHECK(code());
    ::rmdir(path.c_str());
  }
  SECTION("a symbolic link") {
    REQUIRE(::symlink("/etc/passwd", path.c_str()) == 0);
    CHECK(code() == std::errc::too_many_symbolic_link_levels);
    ::unlink(path.c_str());
  }
}

TEST_CASE("the capacity that a joining process asks for", "[incompatible]") {
  channel_options wish = of_bytes::options();
  wish.capacity = 8192;
  const copied file(pristine(byte_ring::traits, wish));
  const auto opened_with = [&](std::size_t capacity) {
    channel_options o;
    o.capacity = capacity;
    return file.open(byte_ring::traits, o);
  };
  CHECK_FALSE(opened_with(0));     // none in particular
  CHECK_FALSE(opened_with(8192));
  CHECK_FALSE(opened_with(4097));  // rounded up to 8192
  CHECK_THAT(opened_with(4096).what, contains("capacity is 8192, expected 4096"));
  CHECK_THAT(opened_with(16384).what, contains("capacity is 8192, expected 16384"));
}

TEMPLATE_TEST_CASE("other slots or message_bytes are named, with what both sides have", "[incompatible]", byte_work_ring,
                   byte_broadcast_ring<overflow::block>, byte_broadcast_ring<overflow::overwrite>, byte_call_ring) {
  const ring_traits& traits = TestType::traits;
  const auto options = [](std::size_t slots, std::size_t message_bytes) {
    channel_options o;
    o.slots = slots;
    o.message_bytes = message_bytes;
    return o;
  };
  const std::string good = pristine(traits, options(8, 4096));
  const copied file(good);
  const auto opened_with = [&](std::size_t slots, std::size_t message_bytes) {
    const failure f = file.open(traits, options(slots, message_bytes));
    CHECK((f ? f.code == errc::incompatible : f.what.empty()));
    CHECK(file.now() == good);
    return f.what;
  };
  CHECK(opened_with(0, 0) == "");  // none in particular
  CHECK(opened_with(8, 0) == "");
  CHECK(opened_with(0, 4081) == "");  // rounded up to 4096
  CHECK_THAT(opened_with(7, 0), contains("number of slots is 8, expected 7"));
  CHECK_THAT(opened_with(9, 100), contains("number of slots is 8, expected 9"));
  CHECK_THAT(opened_with(8, 100), contains("size of the largest message is 4096, expected 112"));
  CHECK_THAT(opened_with(0, 4097), contains("size of the largest message is 4096, expected 4112"));

  // What the segment says is wrong: a process that has asked for these numbers is told, and another one is refused.
  for (const auto& [offset, what] : {std::pair(offsetof(layout::identity, capacity), "number of slots is "),
                                     std::pair(offsetof(layout::identity, message_bytes), "size of the largest message is ")}) {
    for (const std::uint64_t forged : {std::uint64_t{1}, std::uint64_t{16}, std::uint64_t{1} << 20, ~std::uint64_t{0}}) {
      std::string content = good;
      std::memcpy(content.data() + offset, &forged, sizeof forged);
      const copied other(content);
      const failure f = other.open(traits, options(8, 4096));
      INFO(f.what);
      CHECK(f.code == errc::incompatible);
      CHECK_THAT(f.what, contains(what + std::to_string(forged) + ", expected "));
      CHECK(other.open(traits).code == errc::incompatible);
      CHECK(other.now() == content);
    }
  }
}

TEST_CASE("another number of slots is refused to every endpoint, and the text names it", "[incompatible]") {
  net::io_context io;
  channel_options o;
  o.slots = 8;
  o.message_bytes = 64;
  const std::string tasks = unique_name("slots");
  const std::string calls = unique_name("slots-of-calls");
  channel<byte_work_ring>::producer tx(io, tasks, o);
  channel<byte_call_ring>::server s(io, calls, o);
  o.slots = 9;
  const auto slots = contains("number of slots is 8, expected 9");
  CHECK_THROWS_WITH((channel<byte_work_ring>::producer(io, tasks, o)), slots);
  CHECK_THROWS_WITH((channel<byte_work_ring>::consumer(io, tasks, o)), slots);
  CHECK_THROWS_WITH((channel<byte_call_ring>::client(io, calls, o)), slots);
  CHECK_THROWS_WITH((channel<byte_call_ring>::server(io, calls, o)), slots);
  o.slots = 8;
  o.message_bytes = 65;
  const auto bytes = contains("size of the largest message is 64, expected 80");
  CHECK_THROWS_WITH((channel<byte_work_ring>::consumer(io, tasks, o)), bytes);
  CHECK_THROWS_WITH((channel<byte_call_ring>::client(io, calls, o)), bytes);
  CHECK(tx.try_send(net::buffer("x", 1)));  // the refused ones have not changed the segment
  CHECK(channel<byte_work_ring>::consumer(io, tasks).try_receive()->size() == 1);
}

TEST_CASE("a channel of another type is refused by the constructor, which says why", "[incompatible]") {
  struct tock {
    std::uint64_t seq;
    std::int64_t price;
  };
  const std::string name = unique_name("type");
  net::io_context io;
  of_values::channel::producer tx(io, name);
  CHECK_THROWS_WITH((channel<spsc_ring<tock, 64>>::consumer(io, name)), contains("type fingerprint"));
  CHECK_THROWS_WITH((channel<spsc_ring<tick, 65>>::consumer(io, name)), contains("capacity is 64, expected 65"));
  CHECK_THROWS_WITH((channel<spsc_ring<float, 64>>::consumer(io, name)), contains("value size is 16, expected 4"));
  CHECK_THROWS_WITH((of_bytes::channel::consumer(io, name)), contains("ring kind is spsc_ring, expected byte_ring"));

  error_code ec;
  of_bytes::channel::consumer rx(io, name, ec);
  CHECK(ec == errc::incompatible);
  CHECK_FALSE(rx.is_open());
  CHECK(tx.try_send({1, 0}));  // the refused ones have not changed the segment
  CHECK(of_values::channel::consumer(io, name).try_receive()->seq == 1);
}

TEST_CASE("programs whose Boost lays out the queue differently do not share a ring", "[incompatible]") {
  const ring_traits& ours = spsc_ring<tick, 64>::traits;
  const copied file(pristine(ours, {}));
  ring_traits other = ours;
  other.library_layout = []() -> std::uint64_t { return 1234; };
  const failure f = file.open(other);
  CHECK(f.code == errc::incompatible);
  CHECK_THAT(f.what, contains("ABI fingerprint"));
  CHECK(file.now() == file.content);
}

TEST_CASE("a ring with an unknown layout of the library's queue is not used", "[incompatible]") {
  ring_traits unknown = spsc_ring<tick, 64>::traits;
  unknown.library_layout = []() -> std::uint64_t { return 0; };
  const copied file(pristine(spsc_ring<tick, 64>::traits, {}));
  CHECK(file.open(unknown).code == errc::incompatible);
  failure f;
  const std::string name = unique_name("unknown");
  segment::create_or_open(name, unknown, {}, f);
  CHECK(f.code == errc::incompatible);
  CHECK(files_of(name) == 0);
  f = {};
  segment::create_anonymous(unknown, {}, f);
  CHECK(f.code == errc::incompatible);
  f = {};
  const auto handles = segment::create_anonymous(spsc_ring<tick, 64>::traits, {}, f);
  REQUIRE_FALSE(f);
  segment::attach(handles, unknown, {}, f);
  CHECK(f.code == errc::incompatible);
}
