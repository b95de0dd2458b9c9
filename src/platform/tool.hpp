// What the program `belfry` needs of the operating system, and the library does not.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

/// Opens missing standard streams to the null device: Asio opens the reactor's handles without regard to them.
void fill_standard_streams() noexcept;

/// Ignores SIGINT from now on, including one that is pending.
void ignore_interrupt() noexcept;

/// What a command that runs until it is told to end waits for. From its construction on, Ctrl-C, Ctrl-Z, SIGTERM and
/// the like are told, and do nothing else.
class attention {
 public:
  enum class call {
    timeout,
    end,      ///< Ctrl-C, SIGTERM, SIGHUP, SIGQUIT
    suspend,  ///< Ctrl-Z
    resized,  ///< the terminal
    key,      ///< there is something to read at standard input
  };

  attention();
  /// `keys`: whether standard input matters.
  call wait_until(std::chrono::steady_clock::time_point deadline, bool keys = false);
  /// Whether the time has come: false if the command is to end. Obeys Ctrl-Z.
  bool sleep_until(std::chrono::steady_clock::time_point deadline);
  /// Stops this process, as Ctrl-Z does, until it is continued.
  void suspend();

 private:
  detail::unique_handle signals_;
};

/// From its construction to its end, keys come one by one, and are not shown.
class keyboard {
 public:
  keyboard();
  keyboard(const keyboard&) = delete;
  keyboard& operator=(const keyboard&) = delete;
  ~keyboard();
  /// Whether there is one: standard input and output are terminals.
  bool usable() const noexcept { return before_ != nullptr; }
  /// 0 at the end of the input.
  char read() noexcept;

 private:
  struct settings;
  std::unique_ptr<settings> before_;
};

/// Everything, to standard output; false if that is not possible.
bool write_to_terminal(std::string_view text) noexcept;

/// Puts a file in the place of another one, or of none, in one step: a reader sees the old text or the new one. Refuses
/// to replace what is no regular file.
bool replace_file(const std::string& path, std::string_view text, failure& f);

/// A file with a secret. Refuses a file that other users may read.
std::string read_secret_file(const std::string& path, failure& f);
/// Reads a pipe or socket until the other end is closed; blocks.
std::string read_to_end(native_handle_type handle, failure& f);

/// A new file, which only its owner may read, locked until the handle is closed: `file_exists` if there is one. With
/// `replace` it takes the place of a regular file that no process has locked in this way.
unique_handle create_file(const std::string& path, bool replace, failure& f);
/// A file to read.
unique_handle open_input(const std::string& path, failure& f);
/// Of a regular file.
std::optional<std::uint64_t> size_of_file(native_handle_type handle) noexcept;

inline constexpr native_handle_type standard_input = 0;
inline constexpr native_handle_type standard_output = 1;

/// Reads what is there, waits if that is nothing. 0 at the end, and after a failure.
std::size_t read_some(native_handle_type handle, std::span<char> into, failure& f);
/// Writes at least one byte. 0 after a failure.
std::size_t write_some(native_handle_type handle, std::string_view bytes, failure& f);

enum class stream_event {
  readable,
  writable,  ///< `atomic_bytes` can be written without waiting
  hung_up,   ///< the other end is closed
};
inline constexpr std::size_t atomic_bytes = 4096;

/// A handle that becomes readable at this event of a stream. To wait for the stream itself, Asio would make it
/// non-blocking, also for the other processes that share it. Empty if the stream never waits, as a file, or on failure.
unique_handle readiness_of(native_handle_type stream, stream_event event, failure& f);

/// Whether standard output is a terminal.
bool is_terminal() noexcept;
/// Whether standard error is one.
bool is_error_terminal() noexcept;
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
