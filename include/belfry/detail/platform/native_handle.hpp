// The operating system's handle, and a class that owns one.
#pragma once

#include <belfry/detail/base/api.hpp>

#include <atomic>
#include <cstdint>
#include <utility>

namespace belfry {

#if defined(_WIN32)
using native_handle_type = void*;
using native_socket_type = std::uintptr_t;  // a SOCKET: not a handle that others are
#else
using native_handle_type = int;
using native_socket_type = int;
#endif

namespace detail {

#if defined(_WIN32)
inline constexpr native_handle_type no_handle = nullptr;
inline constexpr native_socket_type no_socket = ~native_socket_type{0};
/// The number by which the owning process knows the handle.
inline std::uint32_t number_of(native_handle_type handle) noexcept {
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(handle));
}
#else
inline constexpr native_handle_type no_handle = -1;
inline constexpr native_socket_type no_socket = -1;
/// The number by which the owning process knows the handle.
inline std::uint32_t number_of(native_handle_type handle) noexcept { return static_cast<std::uint32_t>(handle); }
#endif

/// Grows by one in the child of every fork. What was opened at a lower value belongs to the parent.
BELFRY_API inline std::atomic<unsigned> fork_generation{0};

BELFRY_API void close_handle(native_handle_type handle) noexcept;

class unique_handle {
 public:
  unique_handle() noexcept = default;
  explicit unique_handle(native_handle_type handle) noexcept : handle_(handle) {}
  unique_handle(unique_handle&& other) noexcept
      : handle_(std::exchange(other.handle_, no_handle)) {}
  unique_handle& operator=(unique_handle&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, no_handle);
    }
    return *this;
  }
  ~unique_handle() { reset(); }

  native_handle_type get() const noexcept { return handle_; }
  explicit operator bool() const noexcept { return handle_ != no_handle; }
  native_handle_type release() noexcept { return std::exchange(handle_, no_handle); }
  void reset() noexcept {
    if (handle_ != no_handle) close_handle(std::exchange(handle_, no_handle));
  }

 private:
  native_handle_type handle_ = no_handle;
};

}  // namespace detail
}  // namespace belfry
