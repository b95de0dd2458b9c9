// Channels without names: their handles, and how another process gets them.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/detail/segment/segment.hpp>

#include <string>
#include <string_view>

namespace belfry {

/// Everything that a process needs to take part in a channel that has no name: a memory block, sealed
/// against a change of its size, and one bell for every participant. Nothing is visible in the file
/// system, nothing is left behind, and nobody can take part who was not given the handles.
///
///     belfry::channel_handles h = ticks::make_handles();
///     if (fork() == 0) {
///       net::io_context io;
///       ticks::consumer rx(io, h);                          // inherited over fork
///       ...
///     }
///     ticks::producer tx(io, h);
///
/// To an unrelated process they are sent over a Unix socket (send_handles), to a program that one
/// starts they are inherited (to_inherit). Pids mean life and death here, so all participants must
/// be in one PID namespace. Movable, not copyable; not thread-safe.
class channel_handles {
 public:
  channel_handles() noexcept = default;
  explicit channel_handles(detail::segment_handles handles) noexcept
      : handles_(std::move(handles)) {}

  explicit operator bool() const noexcept { return static_cast<bool>(handles_.block); }

  /// Lets a program that is started with exec inherit the handles; the text, handed to it as an
  /// argument or in its environment, tells it which they are. Throws std::system_error.
  std::string to_inherit() const;
  std::string to_inherit(error_code& ec) const;

  /// What the started program makes of that text. Takes the handles over and marks them close-on-exec
  /// again. Throws std::system_error: `std::errc::invalid_argument` for what is no such text,
  /// `std::errc::bad_file_descriptor` for handles that were not inherited.
  static channel_handles inherited(std::string_view text);
  static channel_handles inherited(std::string_view text, error_code& ec);

  const detail::segment_handles& get() const noexcept { return handles_; }

 private:
  std::string to_inherit(detail::failure& f) const;
  static channel_handles inherited(std::string_view text, detail::failure& f);

  detail::segment_handles handles_;
};

namespace detail {

void send_handles(native_handle_type socket, const segment_handles& handles, failure& f);
/// False, without a failure: the socket, which must not block, has no room.
bool try_send_handles(native_handle_type socket, const segment_handles& handles, failure& f);
segment_handles receive_handles(native_handle_type socket, failure& f);

}  // namespace detail

/// Sends the handles to the process at the other end of a connected Unix stream socket (any object
/// with `native_handle()`, such as `net::local::stream_protocol::socket`), which gets them with
/// `receive_handles`. Blocks until they are in the socket's buffer. Throws std::system_error.
template <class Socket>
void send_handles(Socket& socket, const channel_handles& handles) {
  detail::failure f;
  detail::send_handles(socket.native_handle(), handles.get(), f);
  if (f) f.raise();
}
template <class Socket>
void send_handles(Socket& socket, const channel_handles& handles, error_code& ec) {
  detail::failure f;
  detail::send_handles(socket.native_handle(), handles.get(), f);
  ec = detail::to_net(f.code);
}

/// Receives handles; blocks until they are there. Throws std::system_error: `errc::protocol_error`
/// for anything that send_handles has not sent, `std::errc::connection_reset` if the other end has
/// closed the socket. Whatever was received then is closed.
template <class Socket>
channel_handles receive_handles(Socket& socket) {
  detail::failure f;
  detail::segment_handles handles = detail::receive_handles(socket.native_handle(), f);
  if (f) f.raise();
  return channel_handles(std::move(handles));
}
/// The same, but empty and `ec` set if it fails.
template <class Socket>
channel_handles receive_handles(Socket& socket, error_code& ec) {
  detail::failure f;
  detail::segment_handles handles = detail::receive_handles(socket.native_handle(), f);
  ec = detail::to_net(f.code);
  return channel_handles(std::move(handles));
}

}  // namespace belfry
