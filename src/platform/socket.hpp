// Sockets of a manager and its clients.
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

/// An address as the system has it (a sockaddr).
using socket_address = std::span<const std::byte>;

/// A stream that does not block; it is connected when it is ready to be written to, or has an error.
/// `resource_unavailable_try_again`: the queue of a Unix socket is full for the moment, which cannot be waited for.
unique_handle connect_socket(socket_address address, failure& f);
std::error_code socket_error(const unique_handle& socket) noexcept;
/// Two ends of a stream that do not block, which no child of a fork has; the second one can be inherited by a program.
std::pair<unique_handle, unique_handle> socket_pair(failure& f);

/// A socket that listens. One that a dead process has left at a path is replaced.
unique_handle listen_socket(socket_address address, failure& f);

std::uint16_t port_of(const unique_handle& socket) noexcept;
/// False if somebody listens there.
bool remove_abandoned_socket(const std::string& path) noexcept;

struct transferred {
  std::size_t bytes = 0;
  bool would_block = false;  // neither: the other end has closed the stream
  std::error_code error;
};
transferred send_some(const unique_handle& socket, std::string_view bytes) noexcept;
transferred receive_some(const unique_handle& socket, std::span<char> room) noexcept;
/// False if the time has come before.
bool wait_for_socket(native_handle_type socket, bool to_write,
                     std::chrono::steady_clock::time_point deadline) noexcept;

}  // namespace belfry::platform
