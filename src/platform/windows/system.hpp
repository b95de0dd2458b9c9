// The declarations of Windows, without the macros that collide with ours, and how its errors are reported.
#pragma once

#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#if !defined(WIN32_LEAN_AND_MEAN)
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <string>
#include <system_error>
#include <utility>

namespace belfry::platform {

/// As `std::errc` where there is one that means the same: not every standard library compares the numbers of Windows
/// with it.
std::error_code error_of(DWORD code) noexcept;

inline void fail(detail::failure& f, std::string what, DWORD code = ::GetLastError()) {
  f = {error_of(code), std::move(what)};
}

/// CreateFile says INVALID_HANDLE_VALUE where other functions say null.
inline detail::unique_handle file_handle(HANDLE handle) noexcept {
  return detail::unique_handle(handle == INVALID_HANDLE_VALUE ? nullptr : handle);
}

/// All files may be read, written, renamed and removed by any number of processes at a time.
inline constexpr DWORD share_all = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

}  // namespace belfry::platform
