// What the program `belfry` needs of the operating system, and the library does not.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

/// What comes first in main(). Bytes that are written arrive as they are, and in UTF-8; a closed pipe is an ordinary
/// error; no handle of ours is taken for a standard stream that is missing.
void prepare_standard_streams() noexcept;

/// The program's name and arguments, in UTF-8 where the system has a notion of characters.
std::vector<std::string> arguments(int argc, const char* const* argv);

/// False if the time cannot be told.
bool local_time(std::time_t time, std::tm& out) noexcept;

/// Signals that tell a command to end: Ctrl-C and the like.
std::span<const int> ending_signals() noexcept;

/// What a command that runs until it is told to end waits for. From its construction on, Ctrl-C, Ctrl-Z, SIGTERM and
/// the like are told, and do nothing else.
class attention {
 public:
  enum class call {
    timeout,
    end,      ///< Ctrl-C, SIGTERM, SIGHUP, SIGQUIT; Ctrl-Break, the end of the session
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

/// A file to read.
unique_handle open_input(const std::string& path, failure& f);
/// Of a regular file.
std::optional<std::uint64_t> size_of_file(native_handle_type handle) noexcept;

native_handle_type standard_input() noexcept;
native_handle_type standard_output() noexcept;

/// Reads what is there, waits if that is nothing. 0 at the end, and after a failure.
std::size_t read_some(native_handle_type handle, std::span<char> into, failure& f);
/// Writes at least one byte. 0 after a failure.
std::size_t write_some(native_handle_type handle, std::string_view bytes, failure& f);

/// Whether standard output is a terminal.
bool is_terminal() noexcept;
/// Whether that is one that can be drawn on.
bool is_screen() noexcept;
/// Whether standard error is one.
bool is_error_terminal() noexcept;
/// In characters; 0 if it is not known.
struct terminal_size {
  unsigned columns = 0;
  unsigned rows = 0;
};
terminal_size size_of_terminal() noexcept;

// ---- for commands that there are on Linux only ------------------------------------------------------------------------

/// This process goes on as another program: one that is installed, or built, with this one. Returns only if that fails:
/// `no_such_file_or_directory`.
failure become(const std::string& program, const std::vector<std::string>& arguments);

/// Ignores SIGINT from now on, including one that is pending.
void ignore_interrupt() noexcept;

/// A file with a secret. Refuses a file that other users may read.
std::string read_secret_file(const std::string& path, failure& f);
/// Reads a pipe or socket until the other end is closed; blocks.
std::string read_to_end(native_handle_type handle, failure& f);

/// A new file, which only its owner may read, locked until the handle is closed: `file_exists` if there is one. With
/// `replace` it takes the place of a regular file that no process has locked in this way.
unique_handle create_file(const std::string& path, bool replace, failure& f);

}  // namespace belfry::platform
