// Stream sockets between processes. All are non-blocking and close-on-exec.
#include "../handle.hpp"
#include "../socket.hpp"
#include "fail.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

const sockaddr* native(socket_address address) {
  return reinterpret_cast<const sockaddr*>(address.data());
}

unique_handle new_socket(socket_address address, failure& f) {
  unique_handle socket = above_standard(
      ::socket(native(address)->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) {
    fail(f, "create a socket");
  } else if (native(address)->sa_family != AF_UNIX) {
    const int on = 1;  // messages are short and awaited; accepted sockets inherit it
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  return socket;
}

bool connect(const unique_handle& socket, socket_address address) {
  int result;
  do {
    result = ::connect(socket.get(), native(address), static_cast<socklen_t>(address.size()));
  } while (result == -1 && errno == EINTR);
  return result == 0 || errno == EINPROGRESS;
}

bool bind_and_listen(const unique_handle& socket, socket_address address) {
  return ::bind(socket.get(), native(address), static_cast<socklen_t>(address.size())) == 0 &&
         ::listen(socket.get(), SOMAXCONN) == 0;
}

/// `refuses`: a socket that no process listens on any more, because its process was killed.
enum class socket_state { none, refuses, answers };

socket_state look_at_socket(const char* path) {
  struct stat status {};
  if (::lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode)) return socket_state::none;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const socket_address bytes = std::as_bytes(std::span(&address, 1));
  failure ignored;
  const unique_handle probe = new_socket(bytes, ignored);
  const bool refused = probe && !connect(probe, bytes) && errno == ECONNREFUSED;
  return refused ? socket_state::refuses : socket_state::answers;
}

/// The path of a Unix socket's address; empty for other kinds.
const char* path_in(socket_address address) {
  return native(address)->sa_family == AF_UNIX
             ? reinterpret_cast<const sockaddr_un*>(address.data())->sun_path
             : "";
}

transferred result_of(ssize_t n) noexcept {
  if (n >= 0) return {static_cast<std::size_t>(n), false, {}};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {0, true, {}};
  return {0, false, std::error_code(errno, std::system_category())};
}

}  // namespace

unique_handle connect_socket(socket_address address, failure& f) {
  unique_handle socket = new_socket(address, f);
  if (!socket || connect(socket, address)) return socket;
  fail(f, "connect to the manager");
  return {};
}

std::error_code socket_error(const unique_handle& socket) noexcept {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  return {error, std::system_category()};
}

std::pair<unique_handle, unique_handle> socket_pair(failure& f) {
  const no_fork until_guarded;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    fail(f, "create a pair of sockets");
    return {};
  }
  std::pair pair{above_standard(ends[0]), above_standard(ends[1])};
  if (pair.first && pair.second) {
    guard_against_fork(pair.first);
    guard_against_fork(pair.second);
    return pair;
  }
  fail(f, "create a pair of sockets");
  return {};
}

unique_handle listen_socket(socket_address address, failure& f) {
  for (bool again = true;; again = false) {
    unique_handle socket = new_socket(address, f);
    if (!socket) return {};
    if (native(address)->sa_family != AF_UNIX) {
      const int on = 1;  // connections of a predecessor may still exist
      ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    } else {
      ::fchmod(socket.get(), 0600);  // becomes the mode of the path
    }
    if (bind_and_listen(socket, address)) return socket;
    const int error = errno;
    const char* const path = path_in(address);
    if (error != EADDRINUSE || !again || *path == '\0' ||
        look_at_socket(path) != socket_state::refuses) {
      fail(f, "listen", error);
      return {};
    }
    ::unlink(path);
  }
}

std::uint16_t port_of(const unique_handle& socket) noexcept {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  // Both kinds of addresses have the port at the same place.
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

// A dying process may keep its socket for a moment longer than its other files.
bool remove_abandoned_socket(const std::string& path) noexcept {
  socket_state state = look_at_socket(path.c_str());
  for (int attempt = 0; attempt != 20 && state == socket_state::answers; ++attempt) {
    ::usleep(10'000);
    state = look_at_socket(path.c_str());
  }
  if (state == socket_state::refuses) ::unlink(path.c_str());
  return state != socket_state::answers;
}

transferred send_some(const unique_handle& socket, std::string_view bytes) noexcept {
  ssize_t n;
  do {
    n = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  } while (n == -1 && errno == EINTR);
  return result_of(n);
}

transferred receive_some(const unique_handle& socket, std::span<char> room) noexcept {
  ssize_t n;
  do {
    n = ::recv(socket.get(), room.data(), room.size(), 0);
  } while (n == -1 && errno == EINTR);
  return result_of(n);
}

bool wait_for_socket(native_socket_type socket, bool to_write,
                     std::chrono::steady_clock::time_point deadline) noexcept {
  using namespace std::chrono;
  pollfd polled{socket, static_cast<short>(to_write ? POLLOUT : POLLIN), 0};
  for (;;) {
    const auto left = std::max(deadline - steady_clock::now(), steady_clock::duration::zero());
    const int n = ::poll(&polled, 1, static_cast<int>(ceil<milliseconds>(left).count()));
    if (n >= 0 || errno != EINTR) return n > 0;
  }
}

}  // namespace belfry::platform
