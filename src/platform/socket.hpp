// The sockets of a manager and its clients.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

/// An address in the system's form (a sockaddr).
using socket_address = std::span<const std::byte>;

/// A non-blocking stream; it is connected, or has an error, when it is ready to be written to.
/// `resource_unavailable_try_again`: the queue of a Unix socket is full; no handle becomes ready when it no
/// longer is.
unique_handle connect_socket(socket_address address, failure& f);
std::error_code socket_error(const unique_handle& socket) noexcept;
/// Two connected non-blocking streams, which no child of a fork has; the second can be inherited by a program.
std::pair<unique_handle, unique_handle> socket_pair(failure& f);

/// A listening socket. Replaces the path of a socket whose process is dead.
unique_handle listen_socket(socket_address address, failure& f);

std::uint16_t port_of(const unique_handle& socket) noexcept;
/// False if a process listens there.
bool remove_abandoned_socket(const std::string& path) noexcept;

struct transferred {
  std::size_t bytes = 0;
  bool would_block = false;  // if neither is set: the other end has closed the stream
  std::error_code error;
};
transferred send_some(const unique_handle& socket, std::string_view bytes) noexcept;
transferred receive_some(const unique_handle& socket, std::span<char> room) noexcept;
/// False if the deadline comes first.
bool wait_for_socket(native_socket_type socket, bool to_write,
                     std::chrono::steady_clock::time_point deadline) noexcept;

}  // namespace belfry::platform
