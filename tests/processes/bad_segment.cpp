// The name belongs to something other than the expected channel: the error says what is wrong, and no byte is
// changed.
#include "segment_file.hpp"
#include "traffic.hpp"

#include <functional>

using namespace belfry;
using namespace belfry::test;

namespace {

struct wider {
  value v;
  std::uint64_t more;
};
struct aligned {
  alignas(32) std::uint64_t a[4];
};
struct namesake {
  std::uint64_t a[3];
};
static_assert(sizeof(namesake) == sizeof(value) && alignof(namesake) == alignof(value));

/// The text of the exception; empty if there is none.
template <class Endpoint>
std::pair<std::error_code, std::string> error_of_opening(
    const std::string& name, const channel_options& o = {}) {
  net::io_context io;
  try {
    Endpoint e(io, name, o);
    return {};
  } catch (const std::system_error& e) {
    return {e.code(), e.what()};
  }
}

template <class Endpoint>
void check_refused(const std::string& name, const std::string& field, const channel_options& o = {}) {
  INFO(field);
  const std::vector<char> before = content_of(name);
  const std::size_t files = files_of(name);
  const std::size_t descriptors = open_descriptors();
  const auto [code, what] = error_of_opening<Endpoint>(name, o);
  CHECK(code == errc::incompatible);
  CHECK(what.find(field) != what.npos);
  CHECK(what.find(name) != what.npos);
  {
    net::io_context io;
    error_code ec;
    Endpoint e(io, name, o, ec);
    CHECK(ec == errc::incompatible);
    CHECK_FALSE(e.is_open());
    CHECK(e.size() == 0);
    CHECK(e.native_handle(ec) == -1);
    CHECK(ec == errc::closed);
    CHECK_FALSE(e.prepare_wait());
    CHECK(e.finish_wait());
  }
  CHECK(content_of(name) == before);
  CHECK(files_of(name) == files);
  CHECK(open_descriptors() == descriptors);
}

template <class Channel>
void check_both_refused(const std::string& name, const std::string& field,
                        const channel_options& o = {}) {
  check_refused<typename Channel::producer>(name, field, o);
  check_refused<typename Channel::consumer>(name, field, o);
}

/// Another process makes a channel and leaves a message in it.
template <class Channel>
void make_channel(const std::string& name, const channel_options& o = options<Channel>()) {
  child other([&] {
    sender<Channel> tx(name, how::awaited, o);
    EXPECT_EQ(tx.send({1, 0}), error_code());
  });
  REQUIRE(other.wait() == 0);
}

/// The channel still works.
template <class Channel>
void empty_channel(const std::string& name) {
  child other([&] {
    receiver<Channel> rx(name);
    rx.expect({1, 0});
    rx.expect(errc::closed);
  });
  REQUIRE(other.wait() == 0);
  REQUIRE_FALSE(std::filesystem::exists(path_of(name)));
}

}  // namespace

TEST_CASE("a channel of another type is refused", "[bad-segment]") {
  const std::string name = unique_name("type");
  const nothing_left check(name);
  make_channel<values>(name);
  check_both_refused<channel<spsc_ring<wider, 64>>>(name, "value size");
  check_both_refused<channel<spsc_ring<aligned, 64>>>(name, "value size");
  check_both_refused<channel<spsc_ring<namesake, 64>>>(name, "type fingerprint");
  check_both_refused<channel<spsc_ring<double, 64>>>(name, "value size");
  check_both_refused<channel<spsc_ring<value, 63>>>(name, "capacity");
  check_both_refused<channel<spsc_ring<value, 128>>>(name, "capacity");
  check_both_refused<frames>(name, "ring kind");
  empty_channel<values>(name);
}

TEST_CASE("a byte_ring of another capacity is refused", "[bad-segment]") {
  const std::string name = unique_name("capacity");
  const nothing_left check(name);
  make_channel<frames>(name);
  channel_options other;
  other.capacity = 8192;
  check_both_refused<frames>(name, "capacity", other);
  other.capacity = std::size_t{1} << 32;
  check_both_refused<frames>(name, "capacity", other);
  check_both_refused<values>(name, "ring kind");
  empty_channel<frames>(name);
}

TEST_CASE("a capacity that no byte_ring can have is refused", "[bad-segment]") {
  const std::string name = unique_name("huge");
  const nothing_left check(name);
  channel_options huge;
  huge.capacity = (std::size_t{1} << 32) + 1;
  CHECK(error_of_opening<frames::producer>(name, huge).first == std::errc::invalid_argument);
  huge.capacity = ~std::size_t{0};
  CHECK(error_of_opening<frames::producer>(name, huge).first == std::errc::invalid_argument);
  CHECK(files_of(name) == 0);
}

TEMPLATE_TEST_CASE("every field of the header is compared", "[bad-segment]", values, frames) {
  const std::string name = unique_name("field");
  const nothing_left check(name);
  make_channel<TestType>(name);
  const std::vector<char> good = content_of(name);
  using layout::identity;
  const struct {
    std::size_t offset;
    std::size_t bytes;
    const char* field;
  } fields[] = {
      {offsetof(identity, magic), sizeof(identity::magic), "magic"},
      {offsetof(identity, version), sizeof(identity::version), "layout version"},
      {offsetof(identity, header_bytes), sizeof(identity::header_bytes), "header size"},
      {offsetof(identity, segment_bytes), sizeof(identity::segment_bytes), "segment size"},
      {offsetof(identity, kind), sizeof(identity::kind), "ring kind"},
      {offsetof(identity, producers), sizeof(identity::producers), "number of producers"},
      {offsetof(identity, consumers), sizeof(identity::consumers), "number of consumers"},
      {offsetof(identity, value_bytes), sizeof(identity::value_bytes), "value size"},
      {offsetof(identity, value_align), sizeof(identity::value_align), "value alignment"},
      {offsetof(identity, type_fingerprint), sizeof(identity::type_fingerprint), "type fingerprint"},
      {offsetof(identity, capacity), sizeof(identity::capacity), "capacity"},
      {offsetof(identity, abi_fingerprint), sizeof(identity::abi_fingerprint), "ABI fingerprint"},
      {offsetof(identity, ring_offset), sizeof(identity::ring_offset), "ring offset"},
      {offsetof(identity, ring_bytes), sizeof(identity::ring_bytes), "ring size"},
  };
  for (const auto& f : fields) {
    // One more and one less, all zeros, all ones, its lowest and its highest bit.
    const std::function<void(char*)> damages[] = {
        [&](char* at) { ++*at; },
        [&](char* at) { --*at; },
        [&](char* at) { std::memset(at, 0, f.bytes); },
        [&](char* at) { std::memset(at, 0xff, f.bytes); },
        [&](char* at) { at[0] ^= 1; },
        [&](char* at) { at[f.bytes - 1] ^= static_cast<char>(0x80); },
    };
    for (const auto& damage : damages) {
      std::vector<char> bad = good;
      damage(bad.data() + f.offset);
      if (bad == good) continue;
      write_file(name, bad);
      check_both_refused<TestType>(name, f.field);
    }
  }
  write_file(name, good);
  empty_channel<TestType>(name);
}

TEMPLATE_TEST_CASE("a truncated segment is refused", "[bad-segment]", values, frames) {
  const std::string name = unique_name("truncated");
  const nothing_left check(name);
  make_channel<TestType>(name);
  const std::vector<char> good = content_of(name);
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, sizeof(layout::identity) - 1}) {
    write_file(name, {good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)});
    check_both_refused<TestType>(name, "too small for a control header");
  }
  for (std::size_t size : {sizeof(layout::identity), sizeof(layout::control_header), good.size() / 2,
                           good.size() - 1}) {
    write_file(name, {good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)});
    check_both_refused<TestType>(name, "size of the file");
  }
  std::vector<char> longer = good;
  longer.resize(good.size() + 1);
  write_file(name, longer);
  check_both_refused<TestType>(name, "size of the file");
  write_file(name, good);
  empty_channel<TestType>(name);
}

TEST_CASE("a foreign file is refused", "[bad-segment]") {
  const std::string name = unique_name("foreign");
  const nothing_left check(name);
  for (const std::size_t size : {std::size_t{256}, std::size_t{4096}, std::size_t{1} << 20}) {
    for (const char byte : {'\0', 'x', '\xff'}) {
      write_file(name, std::vector<char>(size, byte));
      check_both_refused<values>(name, "magic");
      check_both_refused<frames>(name, "magic");
    }
  }
  error_code ec;
  values::unlink(name, ec);
  CHECK_FALSE(ec);
}

TEST_CASE("a name that is not a regular file is refused and unchanged", "[bad-segment]") {
  const watchdog dog;
  const std::string name = unique_name("no-file");
  const nothing_left check(name);
  const std::string path = path_of(name);
  const std::string target = unique_name("target");
  const auto refused = [&] {
    for (const auto& [code, what] : {error_of_opening<values::producer>(name),
                                     error_of_opening<values::consumer>(name),
                                     error_of_opening<frames::consumer>(name)}) {
      CHECK(code);
      CHECK(what.find(name) != what.npos);
    }
    CHECK(files_of(name) == 1);
  };
  SECTION("a directory") {
    REQUIRE(::mkdir(path.c_str(), 0700) == 0);
    refused();
    CHECK(error_of_opening<values::producer>(name).first == std::errc::is_a_directory);
    REQUIRE(::rmdir(path.c_str()) == 0);
  }
  SECTION("a FIFO") {
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    refused();
    CHECK(error_of_opening<values::producer>(name).first == errc::incompatible);
    REQUIRE(::unlink(path.c_str()) == 0);
  }
  SECTION("a symbolic link to nothing") {
    REQUIRE(::symlink(path_of(target).c_str(), path.c_str()) == 0);
    refused();
    CHECK(files_of(target) == 0);
    REQUIRE(::unlink(path.c_str()) == 0);
  }
  SECTION("a symbolic link to a channel") {
    make_channel<values>(target);
    REQUIRE(::symlink(path_of(target).c_str(), path.c_str()) == 0);
    refused();
    REQUIRE(::unlink(path.c_str()) == 0);
    empty_channel<values>(target);
  }
  SECTION("a socket") {
    {
      net::io_context io;
      const net::local::stream_protocol::acceptor socket(
          io, net::local::stream_protocol::endpoint(path));
      refused();
    }
    REQUIRE(::unlink(path.c_str()) == 0);
  }
}

TEMPLATE_TEST_CASE("a file with a bell's name is an error, unless it is an old bell", "[bad-segment]", values,
                   frames) {
  const watchdog dog;
  const std::string name = unique_name("bell");
  const nothing_left check(name);
  const std::string bell = path_of(detail::bell_name(name, 1));
  const auto is_refused = [&] {
    make_channel<TestType>(name);
    const auto [code, what] = error_of_opening<typename TestType::consumer>(name);
    CHECK(code == std::errc::file_exists);
    CHECK(what.find("bell") != what.npos);
  };
  SECTION("a file") {
    std::ofstream(bell) << "somebody's";
    is_refused();
    REQUIRE(::unlink(bell.c_str()) == 0);
    empty_channel<TestType>(name);
  }
  SECTION("a block") {  // a channel cannot have this name
    shared_memory block = shared_memory::create(detail::bell_name(name, 1), 64);
    is_refused();
    block.unlink();
    empty_channel<TestType>(name);
  }
  SECTION("a FIFO") {
    REQUIRE(::mkfifo(bell.c_str(), 0600) == 0);
    make_channel<TestType>(name);
    empty_channel<TestType>(name);
  }
  SECTION("a directory") {
    REQUIRE(::mkdir(bell.c_str(), 0700) == 0);
    is_refused();
    REQUIRE(::rmdir(bell.c_str()) == 0);
    empty_channel<TestType>(name);
  }
}
