// Standard streams, files and console of the program `belfry`, and what it tells of the machine.
#include "../random_digits.hpp"
#include "../tool.hpp"
#include "facts.hpp"
#include "system.hpp"

#include <shellapi.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <limits>
#include <utility>

#include <fcntl.h>
#include <io.h>

namespace belfry::platform {
namespace {

// Where a console and its pipes take what comes at once.
constexpr std::size_t most_at_once = 32 << 10;

HANDLE standard_error() noexcept { return ::GetStdHandle(STD_ERROR_HANDLE); }

bool is_console(HANDLE handle) noexcept {
  DWORD mode = 0;
  return ::GetConsoleMode(handle, &mode) != 0;
}

std::wstring widened(const std::string& utf8) {
  const int size = static_cast<int>(std::min<std::size_t>(utf8.size(), std::numeric_limits<int>::max()));
  std::wstring wide(utf8.size(), L'\0');
  wide.resize(static_cast<std::size_t>(
      ::MultiByteToWideChar(CP_UTF8, 0, utf8.data(), size, wide.data(), static_cast<int>(wide.size()))));
  return wide;
}

std::string narrowed(std::wstring_view wide) {
  std::string utf8(wide.size() * 3, '\0');
  utf8.resize(static_cast<std::size_t>(::WideCharToMultiByte(CP_UTF8, 0, wide.data(), static_cast<int>(wide.size()),
                                                             utf8.data(), static_cast<int>(utf8.size()), nullptr,
                                                             nullptr)));
  return utf8;
}

/// A console understands UTF-8 and escape sequences while this program runs.
class console_settings {
 public:
  console_settings() noexcept : before_(::GetConsoleOutputCP()) {
    bool used = false;
    for (const HANDLE stream : {standard_output(), standard_error()}) {
      DWORD mode = 0;
      if (::GetConsoleMode(stream, &mode) == 0) continue;
      ::SetConsoleMode(stream, mode | ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
      used = true;
    }
    if (!used || before_ == CP_UTF8 || ::SetConsoleOutputCP(CP_UTF8) == 0) before_ = 0;
  }
  ~console_settings() {
    if (before_ != 0) ::SetConsoleOutputCP(before_);
  }
  console_settings(const console_settings&) = delete;
  console_settings& operator=(const console_settings&) = delete;

 private:
  UINT before_;  // 0: unchanged
};

/// Set by Ctrl-C and the like. It lives as long as the process: the system's thread may come at any time.
HANDLE end_event = nullptr;

BOOL WINAPI told_to_end(DWORD why) noexcept {
  ::SetEvent(end_event);
  // The process ends when this function returns, unless it was told by a key.
  if (why != CTRL_C_EVENT && why != CTRL_BREAK_EVENT) ::Sleep(INFINITE);
  return TRUE;
}

bool write_all(HANDLE file, std::string_view text) noexcept {
  while (!text.empty()) {
    DWORD n = 0;
    if (::WriteFile(file, text.data(), static_cast<DWORD>(std::min(text.size(), most_at_once)), &n, nullptr) == 0)
      return false;
    text.remove_prefix(n);
  }
  return true;
}

/// The next event that says something is left in the console; others are taken.
bool drop_silent_events(HANDLE console, attention::call& found) noexcept {
  for (;;) {
    INPUT_RECORD event{};
    DWORD n = 0;
    if (::PeekConsoleInputW(console, &event, 1, &n) == 0 || n == 0) return false;
    if (event.EventType == KEY_EVENT && event.Event.KeyEvent.bKeyDown && event.Event.KeyEvent.uChar.UnicodeChar != 0) {
      found = attention::call::key;
      return true;
    }
    ::ReadConsoleInputW(console, &event, 1, &n);
    if (event.EventType == WINDOW_BUFFER_SIZE_EVENT) {
      found = attention::call::resized;
      return true;
    }
  }
}

}  // namespace

void prepare_standard_streams() noexcept {
  for (const int stream : {0, 1, 2}) ::_setmode(stream, _O_BINARY);
  static const console_settings until_the_end;
}

std::vector<std::string> arguments(int argc, const char* const* argv) {
  int count = 0;
  wchar_t** const wide = ::CommandLineToArgvW(::GetCommandLineW(), &count);
  if (wide == nullptr) return {argv, argv + argc};
  std::vector<std::string> all;
  for (int i = 0; i != count; ++i) all.push_back(narrowed(wide[i]));
  ::LocalFree(wide);
  return all;
}

bool local_time(std::time_t time, std::tm& out) noexcept { return ::localtime_s(&out, &time) == 0; }

std::span<const int> ending_signals() noexcept {
  static constexpr int signals[]{SIGINT, SIGBREAK, SIGTERM};
  return signals;
}

// ---- console ---------------------------------------------------------------------------------------------------------

attention::attention() {
  if (end_event == nullptr) end_event = ::CreateEventW(nullptr, FALSE, FALSE, nullptr);
  if (end_event == nullptr || ::SetConsoleCtrlHandler(told_to_end, TRUE) == 0)
    throw std::system_error(error_of(::GetLastError()), "wait for Ctrl-C");
}

attention::call attention::wait_until(std::chrono::steady_clock::time_point deadline, bool keys) {
  using namespace std::chrono;
  const HANDLE handles[]{end_event, standard_input()};
  for (;;) {
    const auto left = ceil<milliseconds>(deadline - steady_clock::now()).count();
    const auto wait = static_cast<DWORD>(std::clamp<std::int64_t>(left, 0, 1'000'000));
    const DWORD result = ::WaitForMultipleObjects(keys ? 2 : 1, handles, FALSE, wait);
    call found{};
    if (result == WAIT_OBJECT_0) return call::end;
    if (result == WAIT_OBJECT_0 + 1 && drop_silent_events(handles[1], found)) return found;
    if (result == WAIT_FAILED) throw std::system_error(error_of(::GetLastError()), "wait for keys");
    if (steady_clock::now() >= deadline) return call::timeout;
  }
}

bool attention::sleep_until(std::chrono::steady_clock::time_point deadline) {
  return wait_until(deadline) == call::timeout;
}

void attention::suspend() {}

struct keyboard::settings {
  DWORD mode = 0;
};

keyboard::keyboard() {
  auto before = std::make_unique<settings>();
  if (!is_terminal() || ::GetConsoleMode(standard_input(), &before->mode) == 0) return;
  const DWORD now = (before->mode & ~DWORD{ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT}) | ENABLE_WINDOW_INPUT;
  if (::SetConsoleMode(standard_input(), now) != 0) before_ = std::move(before);
}

keyboard::~keyboard() {
  if (before_) ::SetConsoleMode(standard_input(), before_->mode);
}

char keyboard::read() noexcept {
  INPUT_RECORD event{};
  DWORD n = 0;
  if (::ReadConsoleInputW(standard_input(), &event, 1, &n) == 0 || n == 0 || event.EventType != KEY_EVENT) return '\0';
  const wchar_t key = event.Event.KeyEvent.uChar.UnicodeChar;
  return key < 0x80 ? static_cast<char>(key) : '?';
}

bool write_to_terminal(std::string_view text) noexcept { return write_all(standard_output(), text); }

bool is_terminal() noexcept { return is_console(standard_output()); }

bool is_screen() noexcept {
  DWORD mode = 0;
  return ::GetConsoleMode(standard_output(), &mode) != 0 && (mode & ENABLE_VIRTUAL_TERMINAL_PROCESSING) != 0;
}

bool is_error_terminal() noexcept { return is_console(standard_error()); }

terminal_size size_of_terminal() noexcept {
  CONSOLE_SCREEN_BUFFER_INFO info{};
  if (::GetConsoleScreenBufferInfo(standard_output(), &info) == 0) return {};
  const SMALL_RECT& w = info.srWindow;
  return {static_cast<unsigned>(w.Right - w.Left + 1), static_cast<unsigned>(w.Bottom - w.Top + 1)};
}

// ---- files and streams -----------------------------------------------------------------------------------------------

native_handle_type standard_input() noexcept { return ::GetStdHandle(STD_INPUT_HANDLE); }
native_handle_type standard_output() noexcept { return ::GetStdHandle(STD_OUTPUT_HANDLE); }

bool replace_file(const std::string& path, std::string_view text, failure& f) {
  const std::wstring wide = widened(path);
  const DWORD attributes = ::GetFileAttributesW(wide.c_str());
  if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_DEVICE)) != 0) {
    f = {std::make_error_code(std::errc::invalid_argument), '"' + path + "\" is not a regular file"};
    return false;
  }
  const std::string digits = detail::random_digits(8, f);
  if (f) return false;
  const std::string part = path + '.' + digits;
  const std::wstring wide_part = widened(part);
  unique_handle file = file_handle(
      ::CreateFileW(wide_part.c_str(), GENERIC_WRITE, 0, nullptr, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr));
  if (!file) {
    fail(f, "create \"" + part + '"');
    return false;
  }
  bool done = write_all(file.get(), text) && ::FlushFileBuffers(file.get()) != 0;
  if (!done) fail(f, "write \"" + part + '"');
  file.reset();
  if (done && ::MoveFileExW(wide_part.c_str(), wide.c_str(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) == 0) {
    fail(f, "replace \"" + path + '"');
    done = false;
  }
  if (!done) ::DeleteFileW(wide_part.c_str());
  return done;
}

unique_handle open_input(const std::string& path, failure& f) {
  unique_handle file = file_handle(::CreateFileW(widened(path).c_str(), GENERIC_READ, share_all, nullptr, OPEN_EXISTING,
                                                 FILE_FLAG_SEQUENTIAL_SCAN, nullptr));
  if (!file) fail(f, "open \"" + path + '"');
  return file;
}

std::optional<std::uint64_t> size_of_file(native_handle_type handle) noexcept {
  LARGE_INTEGER size{};
  if (::GetFileType(handle) != FILE_TYPE_DISK || ::GetFileSizeEx(handle, &size) == 0) return std::nullopt;
  return static_cast<std::uint64_t>(size.QuadPart);
}

std::size_t read_some(native_handle_type handle, std::span<char> into, failure& f) {
  for (;;) {
    DWORD n = 0;
    ::SetLastError(ERROR_SUCCESS);
    const bool read =
        ::ReadFile(handle, into.data(), static_cast<DWORD>(std::min(into.size(), most_at_once)), &n, nullptr) != 0;
    const DWORD code = ::GetLastError();
    if (read && n == 0 && code == ERROR_OPERATION_ABORTED) continue;  // a console, at Ctrl-C: no end of the input
    if (read || code == ERROR_BROKEN_PIPE || code == ERROR_HANDLE_EOF) return n;
    fail(f, "read the input", code);
    return 0;
  }
}

std::size_t write_some(native_handle_type handle, std::string_view bytes, failure& f) {
  for (;;) {
    DWORD n = 0;
    if (::WriteFile(handle, bytes.data(), static_cast<DWORD>(std::min(bytes.size(), most_at_once)), &n, nullptr) == 0) {
      fail(f, "write to standard output");
      return 0;
    }
    if (n != 0) return n;
    ::Sleep(1);  // a pipe that was made not to block, and is full
  }
}

// ---- the machine -----------------------------------------------------------------------------------------------------

windows_version version_of_windows() noexcept {
  // GetVersionEx tells a program that knows no newer version what it knows.
  using function = LONG(WINAPI*)(OSVERSIONINFOW*);
  const auto get = reinterpret_cast<function>(
      reinterpret_cast<void*>(::GetProcAddress(::GetModuleHandleW(L"ntdll.dll"), "RtlGetVersion")));
  OSVERSIONINFOW info{};
  info.dwOSVersionInfoSize = sizeof info;
  if (get == nullptr || get(&info) != 0) return {};
  return {info.dwMajorVersion, info.dwMinorVersion, info.dwBuildNumber};
}

std::optional<std::uint64_t> free_for_channels() noexcept {
  std::array<wchar_t, 4096> path{};
  const DWORD length =
      ::GetEnvironmentVariableW(L"LOCALAPPDATA", path.data(), static_cast<DWORD>(path.size()));
  ULARGE_INTEGER free{};
  if (length == 0 || length >= path.size() || ::GetDiskFreeSpaceExW(path.data(), &free, nullptr, nullptr) == 0)
    return std::nullopt;
  return free.QuadPart;
}

}  // namespace belfry::platform
