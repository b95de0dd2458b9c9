// Processes: their numbers and their end.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>

#include <array>
#include <cstdint>
#include <system_error>

namespace belfry::platform {

using detail::unique_handle;

std::uint32_t process_id() noexcept;
/// The name of the program's file, cut off, padded with zeros.
std::array<char, 16> program_name() noexcept;
/// A variable of the environment; null if it is not set, or if this program was started with other privileges than its
/// caller's.
const char* trusted_environment(const char* variable) noexcept;
/// Pids mean the same to two processes only if they have the same value here.
std::uint64_t process_namespace() noexcept;
/// A handle that becomes ready when the process ends.
unique_handle watch_process(std::uint32_t pid, std::error_code& error) noexcept;

}  // namespace belfry::platform
