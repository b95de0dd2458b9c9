#include <belfry/detail/segment/segment.hpp>

#include "support/rings.hpp"

#include <barrier>
#include <filesystem>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;
using detail::failure;
using detail::ring_traits;
using detail::segment;

namespace {

const ring_traits& values = spsc_ring<tick, 64>::traits;

unsigned mode_of(const std::string& name) {
  struct stat status {};
  REQUIRE(::stat(("/dev/shm/" + name).c_str(), &status) == 0);
  return status.st_mode & 07777;
}

struct with_umask {
  explicit with_umask(mode_t mask) : before(::umask(mask)) {}
  ~with_umask() { ::umask(before); }
  mode_t before;
};

struct named {
  explicit named(std::string_view what) : name(unique_name(what)) {}
  ~named() {
    failure ignored;
    segment::unlink(name, ignored);
  }
  std::string name;
};

}  // namespace

TEST_CASE("the first participant creates the segment, the next one opens it", "[segment]") {
  const named n("first");
  failure f;
  const segment a = segment::create_or_open(n.name, values, {}, f);
  REQUIRE_FALSE(f);
  CHECK(a.name() == n.name);
  CHECK(a.named());
  CHECK_FALSE(a.persistent());
  CHECK(a.ring().capacity == 64);
  CHECK(a.ring().at == reinterpret_cast<std::byte*>(&a.header()) + a.header().id.ring_offset);

  const segment b = segment::create_or_open(n.name, values, {}, f);
  REQUIRE_FALSE(f);
  CHECK(b.header().id.segment_id == a.header().id.segment_id);
  CHECK(&b.header() != &a.header());
  a.slot(1).pid = 4711;
  CHECK(b.slot(1).pid == 4711);
  CHECK(files_of(n.name) == 1);
}

TEST_CASE("many concurrent newcomers get one segment", "[segment]") {
  constexpr int threads = 4;
  for (int round = 0; round != often(200); ++round) {
    const named n("race");
    std::barrier start(threads);
    std::array<segment, threads> segments;
    std::array<failure, threads> failures;
    {
      std::vector<std::jthread> all;
      for (std::size_t i = 0; i != threads; ++i) {
        all.emplace_back([&, i] {
          start.arrive_and_wait();
          segments[i] = segment::create_or_open(n.name, values, {}, failures[i]);
        });
      }
    }
    for (std::size_t i = 0; i != threads; ++i) {
      REQUIRE_FALSE(failures[i]);
      REQUIRE(segments[i].header().id.segment_id == segments[0].header().id.segment_id);
    }
  }
}

TEST_CASE("impossible names, and the longest possible one", "[segment]") {
  const auto code_for = [](std::string_view name) {
    failure f;
    segment::create_or_open(name, values, {}, f);
    CHECK_FALSE(f.what.empty());
    return f.code;
  };
  CHECK(code_for("") == std::errc::invalid_argument);
  CHECK(code_for(".") == std::errc::invalid_argument);
  CHECK(code_for("..") == std::errc::invalid_argument);
  CHECK(code_for("/") == std::errc::invalid_argument);
  CHECK(code_for("/belfry-test-x") == std::errc::invalid_argument);
  CHECK(code_for("belfry-test/x") == std::errc::invalid_argument);
  CHECK(code_for(std::string_view("belfry-test\0x", 13)) == std::errc::invalid_argument);

  named n("long");
  n.name.resize(248, 'x');
  CHECK(code_for(n.name) == std::errc::filename_too_long);
  n.name.resize(246);
  failure f;
  segment::create_or_open(n.name, values, {}, f);
  CHECK_FALSE(f);
  CHECK(detail::bell_name(n.name, layout::max_participants - 1).size() == 255);
  CHECK(detail::bell_name("a", 7) == "a.bell.7");
}

TEST_CASE("segment and bells get the requested mode, whatever the umask", "[segment]") {
  const mode_t mask = GENERATE(mode_t{0}, mode_t{077}, mode_t{0777});
  const with_umask restrictive(mask);
  const named n("mode");
  net::io_context io;

  SECTION("0600 by default") {
    of_bytes::channel::producer tx(io, n.name);
    CHECK(mode_of(n.name) == 0600);
    CHECK(mode_of(n.name + ".bell.0") == 0600);
  }
  SECTION("the creator's mode counts for all bells") {
    channel_options options;
    options.mode = 0666;
    of_bytes::channel::producer tx(io, n.name, options);
    of_bytes::channel::consumer rx(io, n.name);
    CHECK(mode_of(n.name) == 0666);
    CHECK(mode_of(n.name + ".bell.0") == 0666);
    CHECK(mode_of(n.name + ".bell.1") == 0666);
  }
  SECTION("only permission bits") {
    channel_options options;
    options.mode = 07660;
    of_bytes::channel::producer tx(io, n.name, options);
    CHECK(mode_of(n.name) == 0660);
    CHECK(mode_of(n.name + ".bell.0") == 0660);
  }
}

TEST_CASE("an impossible capacity creates nothing", "[segment]") {
  const named n("capacity");
  channel_options options;
  options.capacity = (std::size_t{1} << 32) + 1;
  failure f;
  segment::create_or_open(n.name, byte_ring::traits, options, f);
  CHECK(f.code == std::errc::invalid_argument);
  CHECK(f.what.find("4294967297") != std::string::npos);
  CHECK(files_of(n.name) == 0);
}

TEST_CASE("a ring with a capacity in its type accepts no request for one", "[segment]") {
  const named n("capacity");
  channel_options options;
  options.capacity = GENERATE(1u, 64u, 4096u);
  const auto refuses = [&]<class Ring>(std::type_identity<Ring>) {
    net::io_context io;
    error_code ec;
    typename channel<Ring>::producer tx(io, n.name, options, ec);
    CHECK(ec == std::errc::invalid_argument);
    typename channel<Ring>::consumer rx(io, n.name, options, ec);
    CHECK(ec == std::errc::invalid_argument);
    CHECK(files_of(n.name) == 0);

    failure f;
    segment::create_anonymous(Ring::traits, options, f);
    CHECK(f.code == std::errc::invalid_argument);
    f = {};
    segment::describe(Ring::traits, options, f);
    CHECK(f.code == std::errc::invalid_argument);
    f = {};
    const auto handles = segment::create_anonymous(Ring::traits, {}, f);
    REQUIRE_FALSE(f);
    segment::attach(handles, Ring::traits, options, f);
    CHECK(f.code == std::errc::invalid_argument);
    CHECK_THAT(f.what, contains(std::to_string(options.capacity)));
  };
  refuses(std::type_identity<spsc_ring<tick, 64>>());
  refuses(std::type_identity<work_ring<tick, 64>>());
  refuses(std::type_identity<broadcast_ring<tick, 64>>());
  refuses(std::type_identity<latest<tick>>());
}

TEST_CASE("an impossible capacity is refused for handles, too", "[segment]") {
  failure f;
  const auto handles = segment::create_anonymous(byte_ring::traits, {}, f);
  REQUIRE_FALSE(f);
  channel_options options;
  options.capacity = (std::size_t{1} << 32) + 1;
  segment::attach(handles, byte_ring::traits, options, f);
  CHECK(f.code == std::errc::invalid_argument);
}

TEST_CASE("the data of a byte_ring is mapped twice in a row", "[segment]") {
  const named n("mirror");
  failure f;
  const segment s = segment::create_or_open(n.name, byte_ring::traits, of_bytes::options(), f);
  REQUIRE_FALSE(f);
  std::byte* const data = s.ring().at + s.ring().bytes - s.ring().capacity;
  data[0] = std::byte{17};
  data[4095] = std::byte{18};
  CHECK(data[4096] == std::byte{17});
  CHECK(data[8191] == std::byte{18});
  data[8190] = std::byte{19};
  CHECK(data[4094] == std::byte{19});
}

TEST_CASE("unlink removes segment and bells, and reports when there is none", "[segment]") {
  const named n("unlink");
  net::io_context io;
  of_values::channel::producer tx(io, n.name);
  of_values::channel::consumer rx(io, n.name);
  REQUIRE(files_of(n.name) == 3);
  of_values::channel::unlink(n.name);
  CHECK(files_of(n.name) == 0);
  CHECK(tx.try_send({1, 0}));  // its participants continue
  CHECK(rx.try_receive()->seq == 1);

  error_code ec;
  of_values::channel::unlink(n.name, ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  CHECK_THROWS_AS(of_values::channel::unlink(n.name), std::system_error);
  of_values::channel::unlink("a/b", ec);
  CHECK(ec == std::errc::invalid_argument);
}

TEST_CASE("a released block gives up its file description and keeps the memory", "[segment]") {
  const named n("release");
  const std::size_t before = open_descriptors();
  failure f;
  segment s = segment::create_or_open(n.name, values, {}, f);
  REQUIRE(open_descriptors() == before + 1);
  s.release_block();
  CHECK(open_descriptors() == before);
  CHECK(s.header().id.magic == layout::magic);
}

TEST_CASE("an anonymous segment is joined by handles", "[segment]") {
  const std::size_t before = open_descriptors();
  {
    failure f;
    const detail::segment_handles handles = segment::create_anonymous(values, {}, f);
    REQUIRE_FALSE(f);
    REQUIRE(handles.bells.size() == 2);
    const segment a = segment::attach(handles, values, {}, f);
    const segment b = segment::attach(handles, values, {}, f);
    REQUIRE_FALSE(f);
    CHECK_FALSE(a.named());
    CHECK(a.name().empty());
    a.slot(0).pid = 4711;
    CHECK(b.slot(0).pid == 4711);

    // Sealed: no process can take away the others' memory.
    CHECK(::ftruncate(handles.block.get(), 0) == -1);
    CHECK(::ftruncate(handles.block.get(), 1 << 20) == -1);
    CHECK(::fcntl(handles.block.get(), F_ADD_SEALS, F_SEAL_WRITE) == -1);
    CHECK((::fcntl(a.block().get(), F_GETFD) & FD_CLOEXEC) != 0);

    segment::attach(handles, spsc_ring<tick, 32>::traits, {}, f);
    CHECK(f.code == errc::incompatible);
    CHECK(f.what == "the handles: the capacity is 64, expected 32");
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("incomplete handles are refused", "[segment]") {
  failure f;
  detail::segment_handles handles = segment::create_anonymous(values, {}, f);
  handles.bells.pop_back();
  segment::attach(handles, values, {}, f);
  CHECK(f.code == errc::incompatible);
  CHECK(f.what.find("the number of bells is 1, expected 2") != std::string::npos);

  f = {};
  segment::attach(detail::segment_handles{}, values, {}, f);
  CHECK(f);
}

// Its memory could be taken away, and the process would get a SIGBUS.
TEST_CASE("a block that is not sealed, and a handle that is not a block, are refused", "[segment]") {
  failure f;
  detail::segment_handles handles = segment::create_anonymous(values, {}, f);
  REQUIRE_FALSE(f);
  struct stat status {};
  REQUIRE(::fstat(handles.block.get(), &status) == 0);
  std::vector<char> content(static_cast<std::size_t>(status.st_size));
  REQUIRE(::pread(handles.block.get(), content.data(), content.size(), 0) == status.st_size);

  const auto refusal_of = [&](int fd) {
    REQUIRE(fd != -1);
    REQUIRE(::write(fd, content.data(), content.size()) == status.st_size);
    handles.block = detail::unique_handle(fd);
    failure why;
    segment::attach(handles, values, {}, why);
    CHECK(why.code == errc::incompatible);
    return why.what;
  };
  const auto memory = [](int seals) {
    const int fd = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    // A block sealed against growing must have its size before.
    REQUIRE(::ftruncate(fd, 1 << 20) == 0);
    if (seals != 0) REQUIRE(::fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
  };
  CHECK(refusal_of(memory(0)) ==
        "the handles: the block is not sealed against shrinking, growing, further seals");
  CHECK(refusal_of(memory(F_SEAL_GROW | F_SEAL_SEAL)) ==
        "the handles: the block is not sealed against shrinking");
  CHECK(refusal_of(memory(F_SEAL_SHRINK | F_SEAL_GROW)) ==
        "the handles: the block is not sealed against further seals");
  CHECK(refusal_of(::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)).find("not sealed") !=
        std::string::npos);
  CHECK(refusal_of(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)).find("the handles: the block is no") == 0);
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const detail::unique_handle other_end(ends[0]);
  CHECK(refusal_of(ends[1]) == "the handles: the block is no memory block (memfd)");
}
