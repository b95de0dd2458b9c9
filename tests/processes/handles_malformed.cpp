// Data that send_handles does not send, and text that to_inherit does not write: these are errors, and no
// descriptor stays open.
#include "traffic.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// One end of a socket pair, as send_handles and receive_handles use it.
struct socket_end {
  int fd;
  int native_handle() const noexcept { return fd; }
};

class socket_pair {
 public:
  socket_pair() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    mine = {ends[0]};
    theirs = {ends[1]};
  }
  ~socket_pair() {
    hang_up();
    ::close(mine.fd);
  }
  void hang_up() {
    if (theirs.fd != -1) ::close(std::exchange(theirs.fd, -1));
  }

  socket_end mine;
  socket_end theirs;
};

/// send_handles sends this, with a descriptor for the block and for each bell.
std::string parcel(std::uint32_t bells) {
  std::string content = "belfryh1";
  content.append(reinterpret_cast<const char*>(&bells), sizeof bells);
  content.append(4, '\0');
  return content;
}

void send_raw(const socket_end& to, const std::string& content, const std::vector<int>& descriptors) {
  iovec bytes{const_cast<char*>(content.data()), content.size()};
  std::vector<char> control(CMSG_SPACE(descriptors.size() * sizeof(int)));
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
  }
  REQUIRE(::sendmsg(to.fd, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(content.size()));
}

std::error_code error_of_receiving(const socket_end& from) {
  try {
    receive_handles(from);
    return {};
  } catch (const std::system_error& e) {
    return e.code();
  }
}

std::error_code error_of_inheriting(std::string_view text) {
  try {
    channel_handles::inherited(text);
    return {};
  } catch (const std::system_error& e) {
    return e.code();
  }
}

const std::string no_file = unique_name("malformed");

}  // namespace

TEST_CASE("anything that send_handles does not send is a protocol error", "[handles-malformed]") {
  const watchdog dog;
  const nothing_left check(no_file);
  const int some = 2;
  struct {
    const char* what;
    std::string content;
    std::size_t descriptors;
  } const cases[] = {
      {"plain bytes", "GET / HTTP/1.1\r\n\r\n", 0},
      {"a few bytes", "belf", 0},
      {"one byte with descriptors", "b", 3},
      {"zeros", std::string(16, '\0'), 3},
      {"another magic", "belfryh2" + parcel(2).substr(8), 3},
      {"no descriptors", parcel(2), 0},
      {"no descriptors, and none announced", parcel(0), 0},
      {"one too few", parcel(2), 2},
      {"one too many", parcel(2), 4},
      {"far too many", parcel(2), 100},
      {"far too many, and announced", parcel(251), 252},
      {"as many as the kernel lets through", parcel(252), 253},
      {"an announced number that wraps around", parcel(0xffff'ffff), 0},
      {"the same with descriptors", parcel(0xffff'ffff), 1},
      {"truncated", parcel(2).substr(0, 15), 3},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    socket_pair pair;
    const std::size_t before = open_descriptors();
    send_raw(pair.theirs, c.content, std::vector<int>(c.descriptors, some));
    CHECK(error_of_receiving(pair.mine) == errc::protocol_error);
    CHECK(open_descriptors() == before);
  }
}

TEST_CASE("a closed socket is reported as such", "[handles-malformed]") {
  const watchdog dog;
  const nothing_left check(no_file);
  socket_pair pair;
  pair.hang_up();
  CHECK(error_of_receiving(pair.mine) == std::errc::connection_reset);

  const channel_handles h = values::make_handles();
  try {
    send_handles(pair.mine, h);
    FAIL("sent to a closed socket");
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::broken_pipe);  // and no signal
  }
}

TEST_CASE("handles are only sent over sockets", "[handles-malformed]") {
  const nothing_left check(no_file);
  const channel_handles h = values::make_handles();
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  CHECK_THROWS_AS(send_handles(*std::make_unique<socket_end>(socket_end{ends[1]}), h),
                  std::system_error);
  CHECK(error_of_receiving({ends[0]}) == std::errc::not_a_socket);
  for (const int end : ends) ::close(end);
  CHECK(error_of_receiving({-1}) == std::errc::bad_file_descriptor);
}

TEST_CASE("empty handles are not sent", "[handles-malformed]") {
  const nothing_left check(no_file);
  socket_pair pair;
  CHECK_THROWS_AS(send_handles(pair.mine, channel_handles()), std::system_error);
  net::io_context io;
  error_code ec;
  values::producer tx(io, channel_handles(), ec);
  CHECK(ec);
  CHECK_FALSE(tx.is_open());
}

TEST_CASE("descriptors of another kind are refused", "[handles-malformed]") {
  const watchdog dog;
  const nothing_left check(no_file);
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const int directory = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int empty = ::memfd_create("test", MFD_CLOEXEC);
  const int zeros = ::memfd_create("test", MFD_CLOEXEC);
  REQUIRE(::ftruncate(zeros, 1 << 20) == 0);
  const channel_handles other = frames::make_handles();
  const channel_handles right = values::make_handles();
  const auto bell = [&](std::size_t i) { return detail::handles_of(right).bells[i].get(); };
  for (const std::vector<int>& descriptors : {
           std::vector{ends[0], ends[0], ends[1]},
           std::vector{ends[1], bell(0), bell(1)},
           std::vector{null, null, null},
           std::vector{directory, bell(0), bell(1)},
           std::vector{empty, bell(0), bell(1)},
           std::vector{zeros, bell(0), bell(1)},
           std::vector{bell(0), bell(0), bell(1)},
           std::vector{detail::handles_of(other).block.get(), bell(0), bell(1)},
           std::vector{detail::handles_of(right).block.get()},
           std::vector{detail::handles_of(right).block.get(), bell(0)},
           std::vector{detail::handles_of(right).block.get(), bell(0), bell(1), bell(1)},
       }) {
    socket_pair pair;
    const std::size_t before = open_descriptors();
    send_raw(pair.theirs, parcel(static_cast<std::uint32_t>(descriptors.size() - 1)), descriptors);
    {
      net::io_context io;
      error_code ec;
      values::producer tx(io, receive_handles(pair.mine), ec);
      CHECK(ec);
      CHECK_FALSE(tx.is_open());
      CHECK_FALSE(tx.try_send(value{}));
    }
    CHECK(open_descriptors() == before);
  }
  for (const int fd : {ends[0], ends[1], null, directory, empty, zeros}) ::close(fd);
}

TEST_CASE("descriptors that are not bells are an error, or never notify", "[handles-malformed]") {
  const watchdog dog;
  const nothing_left check(no_file);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const channel_handles right = values::make_handles();
  socket_pair pair;
  send_raw(pair.theirs, parcel(2), {detail::handles_of(right).block.get(), null, null});
  {
    net::io_context io;
    const channel_handles wrong = receive_handles(pair.mine);
    error_code ec;
    values::consumer rx(io, wrong, ec);
    if (!ec) {
      value v;
      CHECK(rx.receive(v, std::chrono::milliseconds(1)));
    }
  }
  ::close(null);
}

TEST_CASE("a text that to_inherit did not write is refused", "[handles-malformed]") {
  const nothing_left check(no_file);
  const int mine = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const std::string number = std::to_string(mine);
  for (const std::string& text :
       {std::string(), std::string("belfry"), std::string("belfry:"), std::string("Belfry:3:4:5"),
        std::string("belfry:3:4:"), std::string("belfry::3"), std::string("belfry:3,4,5"),
        std::string("belfry:-1:-1:-1"), std::string("belfry:+3"), std::string("belfry: 3"),
        std::string("belfry:3 "), std::string("belfry:0x3"), std::string("belfry:3:x"),
        std::string("belfry:99999999999999999999"), std::string("belfry:0:1:2"), std::string("belfry:2147483648"),
        std::string("belfry:3\0:4", 11), "belfry:" + number + ":4x", std::string(100'000, ':'),
        "belfry" + [] {
          std::string many;
          for (int i = 0; i != 100'000; ++i) many += ":0";
          return many;
        }()}) {
    INFO(text.substr(0, 40));
    CHECK(error_of_inheriting(text) == std::errc::invalid_argument);
  }
  CHECK(error_of_inheriting("belfry:999999") == std::errc::bad_file_descriptor);
  CHECK(error_of_inheriting("belfry:" + number + ":999999:999998") ==
        std::errc::bad_file_descriptor);
  CHECK(::fcntl(mine, F_GETFD) == FD_CLOEXEC);  // still open
  // One descriptor for two handles would be closed twice, the second time perhaps as another object's.
  CHECK(error_of_inheriting("belfry:" + number + ':' + number) == std::errc::invalid_argument);
  CHECK(::fcntl(mine, F_GETFD) == FD_CLOEXEC);
  ::close(mine);
}

TEST_CASE("functions of handles that throw also set an error code", "[handles-malformed]") {
  const nothing_left check(no_file);
  error_code ec = net::error::timed_out;
  channel_options huge;
  huge.capacity = ~std::size_t{0};
  CHECK_FALSE(frames::make_handles(huge, ec));
  CHECK(ec == std::errc::invalid_argument);
  const channel_handles h = values::make_handles(ec);
  CHECK_FALSE(ec);
  REQUIRE(h);

  socket_pair pair;
  send_handles(pair.mine, h, ec);
  CHECK_FALSE(ec);
  CHECK(receive_handles(pair.theirs, ec));
  CHECK_FALSE(ec);
  send_handles(pair.mine, channel_handles(), ec);
  CHECK(ec == std::errc::invalid_argument);
  send_raw(pair.mine, std::string(16, 'x'), {});
  CHECK_FALSE(receive_handles(pair.theirs, ec));
  CHECK(ec == errc::protocol_error);
  pair.hang_up();
  CHECK_FALSE(receive_handles(pair.mine, ec));
  CHECK(ec == std::errc::connection_reset);

  CHECK(channel_handles().to_inherit(ec).empty());
  CHECK(ec == std::errc::bad_file_descriptor);
  CHECK(h.to_inherit(ec).starts_with("belfry:"));
  CHECK_FALSE(ec);
  CHECK_FALSE(channel_handles::inherited("belfry", ec));
  CHECK(ec == std::errc::invalid_argument);
}
