// Waiting for handles in a thread.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <chrono>
#include <cstddef>
#include <span>
#include <system_error>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

/// How many handles wait_any() takes at most.
inline constexpr std::size_t max_handles = 256;

/// Sleeps until one of the handles (`no_handle` is none) is ready, and says which are; false if the
/// time has come before, or the system does not let it sleep: then there is an error. `time_point::max()` is
/// never.
bool wait_any(std::span<const native_handle_type> handles,
              std::chrono::steady_clock::time_point deadline, std::span<bool> ready,
              std::error_code& error) noexcept;

bool is_ready(native_handle_type handle) noexcept;

/// A handle that becomes ready after this time.
unique_handle new_timer(std::chrono::nanoseconds after, std::error_code& error) noexcept;

/// One handle that is ready while any of its members is.
unique_handle new_wait_set(failure& f);
std::error_code add_to_wait_set(const unique_handle& set, native_handle_type handle) noexcept;
void remove_from_wait_set(const unique_handle& set, native_handle_type handle) noexcept;

}  // namespace belfry::platform
