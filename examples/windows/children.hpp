#pragma once

#include "files.hpp"

#include <iostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <windows.h>

/// Starts and watches this program, several times. Ctrl-C reaches all of them: they share the console.
class children {
 public:
  children() {
    SECURITY_ATTRIBUTES inherited{sizeof(SECURITY_ATTRIBUTES), nullptr, TRUE};
    if (::CreatePipe(&report_, &reporter_, &inherited, 0) == 0) give_up("cannot make a pipe");
    ::SetHandleInformation(report_, HANDLE_FLAG_INHERIT, 0);
    ::SetConsoleCtrlHandler([](DWORD) -> BOOL { return TRUE; }, TRUE);  // this process ends when they have ended
  }
  children(const children&) = delete;
  children& operator=(const children&) = delete;
  ~children() {
    stop();
    wait();
    ::CloseHandle(report_);
    ::CloseHandle(reporter_);
  }

  enum class output { shown, kept };

  void start(const char* who, const std::vector<std::string>& arguments, output o = output::shown) {
    std::string program(MAX_PATH, '\0');
    program.resize(::GetModuleFileNameA(nullptr, program.data(), static_cast<DWORD>(program.size())));
    std::string line = '"' + program + '"';
    for (const std::string& a : arguments) line += " \"" + a + '"';
    STARTUPINFOA how{};
    how.cb = sizeof how;
    how.dwFlags = STARTF_USESTDHANDLES;
    how.hStdInput = ::GetStdHandle(STD_INPUT_HANDLE);
    how.hStdOutput = o == output::kept ? reporter_ : ::GetStdHandle(STD_OUTPUT_HANDLE);
    how.hStdError = ::GetStdHandle(STD_ERROR_HANDLE);
    PROCESS_INFORMATION made{};
    if (::CreateProcessA(program.c_str(), line.data(), nullptr, nullptr, TRUE, 0, nullptr, nullptr, &how, &made) == 0)
      give_up("cannot start a process");
    ::CloseHandle(made.hThread);
    running_.push_back({made.hProcess, who});
  }

  /// True if all succeeded. If one fails, the other learns that from the channel, and ends. If the other was still
  /// waiting for its peer to join, it is stopped.
  bool wait() {
    bool good = true;
    while (!running_.empty()) {
      std::vector<HANDLE> handles;
      for (const child& c : running_) handles.push_back(c.handle);
      const DWORD n = ::WaitForMultipleObjects(static_cast<DWORD>(handles.size()), handles.data(), FALSE,
                                               good ? INFINITE : 1000);
      if (n >= handles.size()) {
        stop();
        continue;
      }
      DWORD status = 1;
      ::GetExitCodeProcess(running_[n].handle, &status);
      if (status == killed) std::cerr << std::string(running_[n].who) + ": killed\n";
      good = good && status == 0;
      ::CloseHandle(running_[n].handle);
      running_.erase(running_.begin() + n);
    }
    return good;
  }

  void stop() const {
    for (const child& c : running_) ::TerminateProcess(c.handle, killed);
  }

  /// What the one with `output::kept` has printed: a line.
  std::string kept() {
    std::string line(200, '\0');
    DWORD n = 0;
    if (::ReadFile(report_, line.data(), static_cast<DWORD>(line.size()), &n, nullptr) == 0) give_up("read");
    line.resize(n);
    std::erase(line, '\r');
    return line;
  }

 private:
  static constexpr UINT killed = 137;
  struct child {
    HANDLE handle;
    const char* who;
  };

  [[noreturn]] static void give_up(const char* what) {
    throw std::system_error(static_cast<int>(::GetLastError()), std::system_category(), what);
  }

  HANDLE report_ = nullptr;
  HANDLE reporter_ = nullptr;
  std::vector<child> running_;
};
