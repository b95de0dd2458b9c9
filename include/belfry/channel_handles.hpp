// Channels without names: their handles, and how another process receives them.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/detail/segment/segment.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace belfry {

class channel_handles;

namespace detail {

const segment_handles& handles_of(const channel_handles& handles) noexcept;
channel_handles channel_handles_of(segment_handles handles) noexcept;

}  // namespace detail

/// Everything that a process needs to join a channel without a name: a memory block, sealed against a change
/// of its size, and a bell per participant. Nothing is visible in the file system, nothing is left behind,
/// and only a process that was given the handles can join.
///
///     belfry::channel_handles h = ticks::make_handles();
///     if (fork() == 0) {
///       net::io_context io;
///       ticks::consumer rx(io, h);                          // inherited over fork
///       ...
///     }
///     ticks::producer tx(io, h);
///
/// Send them to an unrelated process over a Unix socket (send_handles). Let a program that you start inherit
/// them (to_inherit). Participants recognise dead peers by their pids, so all must be in one PID namespace.
/// Movable, not copyable; not thread-safe.
class BELFRY_API channel_handles {
 public:
  channel_handles() noexcept = default;

  explicit operator bool() const noexcept { return static_cast<bool>(handles_.block); }

  /// Lets a program that is started with exec inherit the handles. Pass it the returned text as an argument
  /// or in its environment. Throws std::system_error.
  std::string to_inherit() const;
  std::string to_inherit(error_code& ec) const;

  /// Called in the started program with that text. Takes over the handles and marks them close-on-exec again.
  /// Throws std::system_error: `std::errc::invalid_argument` for any other text,
  /// `std::errc::bad_file_descriptor` for handles that were not inherited.
  static channel_handles inherited(std::string_view text);
  static channel_handles inherited(std::string_view text, error_code& ec);

 private:
  friend const detail::segment_handles& detail::handles_of(const channel_handles&) noexcept;
  friend channel_handles detail::channel_handles_of(detail::segment_handles) noexcept;

  explicit channel_handles(detail::segment_handles handles) noexcept
      : handles_(std::move(handles)) {}
  std::string to_inherit(detail::failure& f) const;
  static channel_handles inherited(std::string_view text, detail::failure& f);

  detail::segment_handles handles_;
};

namespace detail {

inline const segment_handles& handles_of(const channel_handles& handles) noexcept {
  return handles.handles_;
}
inline channel_handles channel_handles_of(segment_handles handles) noexcept {
  return channel_handles(std::move(handles));
}

BELFRY_API void send_handles(native_socket_type socket, const segment_handles& handles, failure& f);
/// False without a failure: the socket, which must not block, has no room.
bool try_send_handles(native_socket_type socket, const segment_handles& handles, failure& f);
BELFRY_API segment_handles receive_handles(native_socket_type socket, failure& f);

}  // namespace detail

/// Sends the handles to the process at the other end of a connected Unix stream socket (any object with
/// `native_handle()`, such as `net::local::stream_protocol::socket`), which calls `receive_handles`. Blocks
/// until they are in the socket's buffer. Throws std::system_error.
template <class Socket>
void send_handles(Socket& socket, const channel_handles& handles) {
  detail::failure f;
  detail::send_handles(socket.native_handle(), detail::handles_of(handles), f);
  if (f) f.raise();
}
template <class Socket>
void send_handles(Socket& socket, const channel_handles& handles, error_code& ec) {
  detail::failure f;
  detail::send_handles(socket.native_handle(), detail::handles_of(handles), f);
  ec = detail::to_net(f.code);
}

/// Receives handles; blocks until they arrive. Throws std::system_error: `errc::protocol_error` for anything
/// not sent by send_handles, `std::errc::connection_reset` if the other end has closed the socket. On failure
/// all handles received so far are closed.
template <class Socket>
channel_handles receive_handles(Socket& socket) {
  detail::failure f;
  detail::segment_handles handles = detail::receive_handles(socket.native_handle(), f);
  if (f) f.raise();
  return detail::channel_handles_of(std::move(handles));
}
/// The same; on failure returns an empty object and sets `ec`.
template <class Socket>
channel_handles receive_handles(Socket& socket, error_code& ec) {
  detail::failure f;
  detail::segment_handles handles = detail::receive_handles(socket.native_handle(), f);
  ec = detail::to_net(f.code);
  return detail::channel_handles_of(std::move(handles));
}

}  // namespace belfry
