// What the program `belfry` needs of the operating system, and the library does not.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <cstdint>
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

/// Whether standard output is a terminal.
bool is_terminal() noexcept;
/// In characters; 0 if it is not known.
struct terminal_size {
  unsigned columns = 0;
  unsigned rows = 0;
};
terminal_size size_of_terminal() noexcept;

struct kernel_version {
  std::string text = "unknown";
  unsigned major_number = 0;
  unsigned minor_number = 0;
};
kernel_version kernel();

/// Of the directory of blocks. A size of 0: without limit.
struct memory_space {
  std::uint64_t bytes = 0;
  std::uint64_t free = 0;
};
bool measure_shared_memory(memory_space& out) noexcept;

/// How many this process may have open.
std::uint64_t most_handles() noexcept;
/// Whether the system lets a process execute barriers in others, see barrier.hpp.
bool has_barriers() noexcept;

}  // namespace belfry::platform
