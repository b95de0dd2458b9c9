#include "started.hpp"

#include "platform/windows/system.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <thread>

namespace belfry::test {
namespace {

std::map<std::string, body_function, std::less<>>& bodies() {
  static std::map<std::string, body_function, std::less<>> all;
  return all;
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "%s: error %lu\n", what, ::GetLastError());
  std::abort();
}

}  // namespace

body::body(std::string_view name, body_function f) { bodies().emplace(name, f); }

int run_body(int argc, char** argv) {
  if (argc != 4 || std::string_view(argv[1]) != "--body") return -1;
  watch_over_this_process(600);
  try {
    bodies().at(argv[2])(argv[3]);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", argv[2], e.what());
    return 1;
  }
}

started::started(std::string_view body, const std::string& argument, console c) {
  std::wstring program(4096, L'\0');
  program.resize(::GetModuleFileNameW(nullptr, program.data(), static_cast<DWORD>(program.size())));
  const std::string rest = " --body " + std::string(body) + ' ' + argument;
  std::wstring line = L'"' + program + L'"' + std::wstring(rest.begin(), rest.end());
  STARTUPINFOW how{};
  how.cb = sizeof how;
  PROCESS_INFORMATION made{};
  const DWORD flags = c == console::own ? CREATE_NO_WINDOW : 0;
  if (::CreateProcessW(program.c_str(), line.data(), nullptr, nullptr, TRUE, flags, nullptr, nullptr, &how, &made) == 0)
    fail("CreateProcess");
  ::CloseHandle(made.hThread);
  process_ = made.hProcess;
}

started& started::operator=(started&& other) noexcept {
  if (this != &other) {
    kill();
    process_ = std::exchange(other.process_, nullptr);
  }
  return *this;
}

int started::wait() {
  if (process_ == nullptr) return -1;
  ::WaitForSingleObject(process_, INFINITE);
  DWORD status = 0;
  ::GetExitCodeProcess(process_, &status);
  ::CloseHandle(std::exchange(process_, nullptr));
  return static_cast<int>(status);
}

int started::kill() noexcept {
  if (process_ == nullptr) return -1;
  ::TerminateProcess(process_, 137);
  return wait();
}

namespace {

/// One end is inherited by the programs that are started, the other one is ours.
struct pipe_ends {
  HANDLE ours = nullptr;
  HANDLE theirs = nullptr;
};
pipe_ends make_pipe(bool we_read) {
  SECURITY_ATTRIBUTES inherited{sizeof(SECURITY_ATTRIBUTES), nullptr, TRUE};
  HANDLE read = nullptr;
  HANDLE write = nullptr;
  if (::CreatePipe(&read, &write, &inherited, 0) == 0) fail("CreatePipe");
  const pipe_ends ends{we_read ? read : write, we_read ? write : read};
  ::SetHandleInformation(ends.ours, HANDLE_FLAG_INHERIT, 0);
  return ends;
}

std::string all_of(HANDLE pipe) {
  std::string text;
  std::array<char, 4096> some{};
  for (DWORD n = 0; ::ReadFile(pipe, some.data(), some.size(), &n, nullptr) != 0 && n != 0;) text.append(some.data(), n);
  return text;
}

}  // namespace

program::program(const std::string& file, const std::string& arguments) {
  std::wstring own(4096, L'\0');
  own.resize(::GetModuleFileNameW(nullptr, own.data(), static_cast<DWORD>(own.size())));
  std::wstring path = own.substr(0, own.find_last_of(L"\\/") + 1) + L"..\\..\\";
  for (const char c : file) path += c == '/' ? L'\\' : static_cast<wchar_t>(c);
  path += L".exe";
  std::wstring line = L'"' + path + L"\" " + std::wstring(arguments.begin(), arguments.end());
  const pipe_ends in = make_pipe(false);
  const pipe_ends out = make_pipe(true);
  const pipe_ends err = make_pipe(true);
  STARTUPINFOW how{};
  how.cb = sizeof how;
  how.dwFlags = STARTF_USESTDHANDLES;
  how.hStdInput = in.theirs;
  how.hStdOutput = out.theirs;
  how.hStdError = err.theirs;
  PROCESS_INFORMATION made{};
  if (::CreateProcessW(path.c_str(), line.data(), nullptr, nullptr, TRUE, 0, nullptr, nullptr, &how, &made) == 0)
    fail("CreateProcess");
  for (const HANDLE theirs : {in.theirs, out.theirs, err.theirs, made.hThread}) ::CloseHandle(theirs);
  process_ = made.hProcess;
  input_ = in.ours;
  output_ = out.ours;
  errors_ = err.ours;
}

program::~program() {
  kill();
  end_input();
  for (void* handle : {process_, output_, errors_}) ::CloseHandle(handle);
}

void program::write(std::string_view text) {
  DWORD n = 0;
  if (::WriteFile(input_, text.data(), static_cast<DWORD>(text.size()), &n, nullptr) == 0 || n != text.size())
    fail("WriteFile");
}

void program::end_input() {
  if (input_ != nullptr) ::CloseHandle(std::exchange(input_, nullptr));
}

std::string program::line() {
  std::string text;
  char c = 0;
  for (DWORD n = 0; ::ReadFile(output_, &c, 1, &n, nullptr) != 0 && n == 1 && c != '\n';) {
    if (c != '\r') text += c;
  }
  return text;
}

std::string program::rest() { return all_of(output_); }
std::string program::errors() { return all_of(errors_); }

int program::wait() {
  ::WaitForSingleObject(process_, INFINITE);
  DWORD status = 0;
  ::GetExitCodeProcess(process_, &status);
  return static_cast<int>(status);
}

void program::kill() {
  ::TerminateProcess(process_, 137);
  wait();
}

event::event(const std::string& name)
    : semaphore_(::CreateSemaphoreA(nullptr, 0, 1'000'000, ("Local\\" + name).c_str())) {
  if (semaphore_ == nullptr) fail("CreateSemaphore");
}
event::~event() { ::CloseHandle(semaphore_); }
void event::set() const { ::ReleaseSemaphore(semaphore_, 1, nullptr); }
void event::wait() const { ::WaitForSingleObject(semaphore_, INFINITE); }

void sleep_forever() { ::Sleep(INFINITE); }

}  // namespace belfry::test
