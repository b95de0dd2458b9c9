// Errors and handles of Windows.
#include "system.hpp"

#include "../handle.hpp"

namespace belfry::platform {

std::error_code error_of(DWORD code) noexcept {
  const auto as = [](std::errc e) { return std::make_error_code(e); };
  switch (code) {
    case ERROR_SUCCESS: return {};
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND: return as(std::errc::no_such_file_or_directory);
    case ERROR_ALREADY_EXISTS:
    case ERROR_FILE_EXISTS: return as(std::errc::file_exists);
    case ERROR_ACCESS_DENIED:
    case ERROR_PRIVILEGE_NOT_HELD: return as(std::errc::permission_denied);
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION:
    case ERROR_USER_MAPPED_FILE: return as(std::errc::device_or_resource_busy);
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL: return as(std::errc::no_space_on_device);
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_COMMITMENT_LIMIT:
    case ERROR_NO_SYSTEM_RESOURCES: return as(std::errc::not_enough_memory);
    case ERROR_TOO_MANY_OPEN_FILES: return as(std::errc::too_many_files_open);
    case ERROR_FILENAME_EXCED_RANGE:
    case ERROR_BUFFER_OVERFLOW: return as(std::errc::filename_too_long);
    case ERROR_INVALID_NAME:
    case ERROR_INVALID_PARAMETER: return as(std::errc::invalid_argument);
    case ERROR_INVALID_HANDLE: return as(std::errc::bad_file_descriptor);
    case ERROR_CALL_NOT_IMPLEMENTED:
    case ERROR_NOT_SUPPORTED: return as(std::errc::operation_not_supported);
    case ERROR_BROKEN_PIPE:
    case ERROR_NO_DATA: return as(std::errc::broken_pipe);
    default: return {static_cast<int>(code), std::system_category()};
  }
}

// There is no fork, and handles have no numbers that standard streams could take.

unique_handle above_standard(native_handle_type handle) noexcept { return unique_handle(handle); }
bool is_standard(native_handle_type) noexcept { return false; }
void guard_against_fork(const unique_handle&) {}
no_fork::no_fork() {}
no_fork::~no_fork() {}

}  // namespace belfry::platform

namespace belfry::detail {

void close_handle(native_handle_type handle) noexcept { ::CloseHandle(handle); }

}  // namespace belfry::detail
