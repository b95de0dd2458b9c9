// What the program `belfry` needs of the operating system, and the library does not.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace belfry::platform {

using detail::failure;

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
