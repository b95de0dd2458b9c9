#pragma once

#include <csignal>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <windows.h>

/// Ctrl-Break; the console is closed.
inline constexpr int hang_up = SIGBREAK;

inline std::string own_number() { return std::to_string(::GetCurrentProcessId()); }

/// This program once more, with these arguments. It is killed if it still runs at the end of this object.
class process {
 public:
  process() noexcept = default;
  explicit process(const std::vector<std::string>& arguments) {
    std::string program(MAX_PATH, '\0');
    program.resize(::GetModuleFileNameA(nullptr, program.data(), static_cast<DWORD>(program.size())));
    std::string line = '"' + program + '"';
    for (const std::string& a : arguments) line += " \"" + a + '"';  // none of ours has quotes in it
    STARTUPINFOA how{};
    how.cb = sizeof how;
    PROCESS_INFORMATION made{};
    if (::CreateProcessA(program.c_str(), line.data(), nullptr, nullptr, TRUE, 0, nullptr, nullptr, &how, &made) == 0)
      throw std::system_error(static_cast<int>(::GetLastError()), std::system_category(), "CreateProcess");
    ::CloseHandle(made.hThread);
    handle_ = made.hProcess;
  }
  process(process&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  process& operator=(process&& other) noexcept {
    if (this != &other) {
      kill();
      wait();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~process() {
    kill();
    wait();
  }

  void kill() noexcept {
    if (handle_ != nullptr) ::TerminateProcess(handle_, 137);
  }
  /// Returns when it has ended; false if it has failed.
  bool wait() noexcept {
    if (handle_ == nullptr) return false;
    DWORD status = 1;
    ::WaitForSingleObject(handle_, INFINITE);
    ::GetExitCodeProcess(handle_, &status);
    ::CloseHandle(std::exchange(handle_, nullptr));
    return status == 0;
  }

 private:
  HANDLE handle_ = nullptr;
};
