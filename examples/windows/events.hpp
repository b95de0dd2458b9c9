#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <system_error>
#include <vector>

#include <windows.h>

/// Up to 62 handles, a timer, and Ctrl-C, in one call of WaitForMultipleObjects.
class events {
 public:
  static constexpr std::size_t tick = SIZE_MAX;             ///< every half second
  static constexpr std::size_t interrupted = SIZE_MAX - 1;  ///< Ctrl-C

  events() {
    const HANDLE timer = checked(::CreateWaitableTimerW(nullptr, FALSE, nullptr), "timer");
    LARGE_INTEGER first{};
    first.QuadPart = -5'000'000;  // from now, in 100 ns
    if (::SetWaitableTimer(timer, &first, 500, nullptr, nullptr, FALSE) == 0) checked(nullptr, "timer");
    add(timer, tick);
    ctrl_c() = checked(::CreateEventW(nullptr, FALSE, FALSE, nullptr), "event");
    ::SetConsoleCtrlHandler(pressed, TRUE);
    add(ctrl_c(), interrupted);
  }
  events(const events&) = delete;
  events& operator=(const events&) = delete;
  ~events() {
    ::SetConsoleCtrlHandler(pressed, FALSE);
    ::CloseHandle(handles_[0]);
    ::CloseHandle(handles_[1]);
  }

  void add(HANDLE handle, std::size_t what) {
    if (handles_.size() == MAXIMUM_WAIT_OBJECTS) throw std::runtime_error("more channels than one wait takes");
    handles_.push_back(handle);
    what_.push_back(what);
  }

  /// What is ready; if nothing is, waits, or returns at once.
  std::vector<std::size_t> next(bool wait) {
    std::vector<std::size_t> found;
    for (std::size_t from = 0; from != handles_.size();) {
      const auto left = static_cast<DWORD>(handles_.size() - from);
      const DWORD n = ::WaitForMultipleObjects(left, &handles_[from], FALSE, wait && found.empty() ? INFINITE : 0);
      if (n == WAIT_FAILED) checked(nullptr, "WaitForMultipleObjects");
      if (n >= left) break;  // it is over, and nothing was ready
      found.push_back(what_[from + n]);
      from += n + 1;  // those behind it may be ready, too
    }
    return found;
  }

  static std::size_t open_descriptors() {
    DWORD handles = 0;
    ::GetProcessHandleCount(::GetCurrentProcess(), &handles);
    return handles;
  }

 private:
  static HANDLE checked(HANDLE handle, const char* what) {
    if (handle == nullptr) throw std::system_error(static_cast<int>(::GetLastError()), std::system_category(), what);
    return handle;
  }
  static HANDLE& ctrl_c() {
    static HANDLE event = nullptr;
    return event;
  }
  static BOOL WINAPI pressed(DWORD) { return ::SetEvent(ctrl_c()); }

  std::vector<HANDLE> handles_;  // the timer, Ctrl-C, and what was added
  std::vector<std::size_t> what_;
};
