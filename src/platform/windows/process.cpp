// Processes, the machine, and random bytes.
#include "../machine.hpp"
#include "../process.hpp"
#include "system.hpp"

#include <bcrypt.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>

namespace belfry::platform {

std::uint32_t process_id() noexcept { return ::GetCurrentProcessId(); }

std::array<char, 16> program_name() noexcept {
  std::array<char, 16> name{};
  std::array<wchar_t, 1024> path{};
  const DWORD length = ::GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size()));
  std::wstring_view full(path.data(), length);
  full.remove_prefix(full.find_last_of(L"\\/") + 1);
  std::ranges::transform(full.substr(0, name.size()), name.begin(),
                         [](wchar_t c) { return c < 0x80 ? static_cast<char>(c) : '?'; });
  return name;
}

// A program always runs with the privileges of the process that has started it, or is told that it does not.
const char* trusted_environment(const char* variable) noexcept { return std::getenv(variable); }

// Pids are those of the machine.
std::uint64_t process_namespace() noexcept { return 1; }

unique_handle watch_process(std::uint32_t pid, std::error_code& error) noexcept {
  unique_handle process(::OpenProcess(SYNCHRONIZE, FALSE, pid));
  if (process) return process;
  const DWORD code = ::GetLastError();
  error = code == ERROR_INVALID_PARAMETER ? std::make_error_code(std::errc::no_such_process) : error_of(code);
  return {};
}

std::size_t mapping_granularity() noexcept {
  static const std::size_t bytes = [] {
    SYSTEM_INFO info{};
    ::GetSystemInfo(&info);
    return static_cast<std::size_t>(info.dwAllocationGranularity);
  }();
  return bytes;
}

unsigned processors() noexcept {
  static const unsigned count = std::max<unsigned>(::GetActiveProcessorCount(ALL_PROCESSOR_GROUPS), 1);
  return count;
}

bool fill_random(std::span<std::byte> out, failure& f) {
  while (!out.empty()) {
    const std::size_t some = std::min<std::size_t>(out.size(), 1 << 20);
    const auto status = ::BCryptGenRandom(nullptr, reinterpret_cast<UCHAR*>(out.data()), static_cast<ULONG>(some),
                                          BCRYPT_USE_SYSTEM_PREFERRED_RNG);
    if (status < 0) {
      f = {std::make_error_code(std::errc::io_error), "get random bytes"};
      return false;
    }
    out = out.subspan(some);
  }
  return true;
}

}  // namespace belfry::platform
