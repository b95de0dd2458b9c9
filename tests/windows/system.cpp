// What tests ask of Windows.
#include "platform/windows/directory.hpp"
#include "platform/windows/system.hpp"
#include "started.hpp"
#include "support/effort.hpp"
#include "support/guarded_memory.hpp"
#include "support/test.hpp"

#include <array>
#include <atomic>
#include <cstdio>
#include <thread>

namespace belfry::test {

std::string unique_name(std::string_view what) {
  static std::atomic<int> count{0};
  return names_of_this_process() + std::to_string(++count) + '-' + std::string(what);
}

std::string names_of_this_process() { return "belfry-test-" + std::to_string(::GetCurrentProcessId()) + '-'; }

void watch_over_this_process(unsigned seconds) {
  std::thread([seconds] {
    ::Sleep(seconds * 1000);
    std::fprintf(stderr, "process %lu takes too long\n", ::GetCurrentProcessId());
    ::TerminateProcess(::GetCurrentProcess(), 142);
  }).detach();
}

namespace {

/// Of the directory of blocks, whose names begin like this.
std::size_t files_beginning(const std::wstring& begin) {
  detail::failure f;
  const std::wstring& directory = platform::block_directory(f);
  if (f) f.raise();
  WIN32_FIND_DATAW found{};
  std::size_t n = 0;
  HANDLE search = ::FindFirstFileW((directory + L'*').c_str(), &found);
  if (search == INVALID_HANDLE_VALUE) return 0;
  do {
    const std::wstring_view file = found.cFileName;
    if (file != L"." && file != L".." && file.starts_with(begin)) ++n;
  } while (::FindNextFileW(search, &found) != 0);
  ::FindClose(search);
  return n;
}

}  // namespace

std::size_t files_of(std::string_view name) {
  return files_beginning(std::wstring(platform::of_name) + std::wstring(name.begin(), name.end()));
}
std::size_t stray_files(std::string_view kind) { return files_beginning(std::wstring(kind.begin(), kind.end())); }

bool becomes_ready(native_handle_type handle, std::chrono::milliseconds limit) {
  return ::WaitForSingleObject(handle, static_cast<DWORD>(limit.count())) == WAIT_OBJECT_0;
}

std::size_t open_descriptors() {
  DWORD n = 0;
  REQUIRE(::GetProcessHandleCount(::GetCurrentProcess(), &n) != 0);
  return n;
}

namespace {

std::atomic<HANDLE> alarm{nullptr};

void CALLBACK end_this_process(void*, BOOLEAN) {
  std::fprintf(stderr, "process %lu takes too long\n", ::GetCurrentProcessId());
  ::TerminateProcess(::GetCurrentProcess(), 142);
}

void cancel(HANDLE timer) {
  if (timer != nullptr) ::DeleteTimerQueueTimer(nullptr, timer, INVALID_HANDLE_VALUE);
}

}  // namespace

// One for the process, as an alarm of Linux is.
watchdog::watchdog(std::chrono::seconds limit) {
  const auto ms = static_cast<DWORD>(std::chrono::milliseconds(slowness * limit).count());
  HANDLE timer = nullptr;
  REQUIRE(::CreateTimerQueueTimer(&timer, nullptr, end_this_process, nullptr, ms, 0, WT_EXECUTEONLYONCE) != 0);
  cancel(alarm.exchange(timer));
}
watchdog::~watchdog() { cancel(alarm.exchange(nullptr)); }

namespace {

std::size_t granularity() {
  SYSTEM_INFO info{};
  ::GetSystemInfo(&info);
  return info.dwAllocationGranularity;
}

bool map(HANDLE section, std::byte* at, std::size_t bytes, std::size_t from) {
  return ::MapViewOfFileEx(section, FILE_MAP_ALL_ACCESS, 0, static_cast<DWORD>(from), bytes, at) == at;
}

}  // namespace

// What is reserved cannot be accessed. It is released for a moment, so that the views can take its place; if another thread
// takes it in between, the next place is tried.
guarded_memory::guarded_memory(std::size_t bytes, std::size_t mirrored) : mirrored_(mirrored) {
  const std::size_t unit = granularity();
  const std::size_t once = (bytes + unit - 1) / unit * unit;
  const HANDLE section =
      ::CreateFileMappingW(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, 0, static_cast<DWORD>(once), nullptr);
  REQUIRE(section != nullptr);
  for (int attempts = 0; attempts != 100 && end_ == nullptr; ++attempts) {
    void* const at = ::VirtualAlloc(nullptr, unit + once + mirrored + unit, MEM_RESERVE, PAGE_NOACCESS);
    REQUIRE(at != nullptr);
    ::VirtualFree(at, 0, MEM_RELEASE);
    std::byte* const begin = static_cast<std::byte*>(at);
    std::byte* const end = begin + unit + once;
    const bool guarded = ::VirtualAlloc(begin, unit, MEM_RESERVE, PAGE_NOACCESS) == begin;
    const bool mapped = map(section, begin + unit, once, 0);
    const bool twice = mirrored == 0 || map(section, end, mirrored, once - mirrored);
    const bool behind = ::VirtualAlloc(end + mirrored, unit, MEM_RESERVE, PAGE_NOACCESS) == end + mirrored;
    if (guarded && mapped && twice && behind) {
      begin_ = begin;
      end_ = end;
      break;
    }
    if (guarded) ::VirtualFree(begin, 0, MEM_RELEASE);
    if (mapped) ::UnmapViewOfFile(begin + unit);
    if (twice && mirrored != 0) ::UnmapViewOfFile(end);
    if (behind) ::VirtualFree(end + mirrored, 0, MEM_RELEASE);
  }
  ::CloseHandle(section);
  REQUIRE(end_ != nullptr);
}

guarded_memory::~guarded_memory() {
  ::VirtualFree(begin_, 0, MEM_RELEASE);
  ::UnmapViewOfFile(begin_ + granularity());
  if (mirrored_ != 0) ::UnmapViewOfFile(end_);
  ::VirtualFree(end_ + mirrored_, 0, MEM_RELEASE);
}

}  // namespace belfry::test
