// What Linux alone can tell the program `belfry`.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

enum class stream_event {
  readable,
  writable,  ///< `atomic_bytes` can be written without waiting
  hung_up,   ///< the other end is closed
};
inline constexpr std::size_t atomic_bytes = 4096;

/// A handle that becomes readable at this event of a stream. To wait for the stream itself, Asio would make it
/// non-blocking, also for the other processes that share it. Empty if the stream never waits, as a file, or on failure.
unique_handle readiness_of(native_handle_type stream, stream_event event, failure& f);

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
