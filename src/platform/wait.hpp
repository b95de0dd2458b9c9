// Waiting for handles in a thread.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>

#include <chrono>
#include <cstddef>
#include <span>
#include <system_error>

namespace belfry::platform {

using detail::unique_handle;

/// The most handles that wait_any() takes.
inline constexpr std::size_t max_handles = 256;

/// Sleeps until a handle is ready, and says which ones are; entries that are `no_handle` are skipped. False
/// if the deadline comes first, or if the system cannot wait: then there is an error. `time_point::max()`
/// means no deadline. If the deadline has passed already, it says of each handle whether it is ready; else some that
/// are ready may be left to the next call.
bool wait_any(std::span<const native_handle_type> handles,
              std::chrono::steady_clock::time_point deadline, std::span<bool> ready,
              std::error_code& error) noexcept;

bool is_ready(native_handle_type handle) noexcept;

/// A handle that becomes ready after this time.
unique_handle new_timer(std::chrono::nanoseconds after, std::error_code& error) noexcept;

}  // namespace belfry::platform
