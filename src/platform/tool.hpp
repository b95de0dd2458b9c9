// What the program `belfry` needs of the operating system, and the library does not.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <string>

namespace belfry::platform {

using detail::failure;

/// Opens missing standard streams to the null device: Asio opens the reactor's handles without regard to them.
void fill_standard_streams() noexcept;

/// Ignores SIGINT from now on, including one that is pending.
void ignore_interrupt() noexcept;

/// A file with a secret. Refuses a file that other users may read.
std::string read_secret_file(const std::string& path, failure& f);
/// Reads a pipe or socket until the other end is closed; blocks.
std::string read_to_end(native_handle_type handle, failure& f);

}  // namespace belfry::platform
