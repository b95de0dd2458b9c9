// Blocks: files in the directory of this boot. README.md has the reasons.
#include "../block.hpp"
#include "../file.hpp"
#include "../handle.hpp"
#include "../machine.hpp"
#include "directory.hpp"
#include "lock_offset.hpp"
#include "system.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

namespace belfry::platform {
namespace {

constexpr DWORD to_read_and_write = GENERIC_READ | GENERIC_WRITE | DELETE;

std::string quoted(std::string_view name) { return '"' + std::string(name) + '"'; }

unique_handle open_path(const std::wstring& path, DWORD wanted, DWORD flags = 0) {
  return file_handle(::CreateFileW(path.c_str(), wanted, share_all, nullptr, OPEN_EXISTING,
                                   FILE_FLAG_OPEN_REPARSE_POINT | flags, nullptr));
}

std::optional<BY_HANDLE_FILE_INFORMATION> information_of(const unique_handle& file) noexcept {
  BY_HANDLE_FILE_INFORMATION found{};
  if (!file || ::GetFileInformationByHandle(file.get(), &found) == 0) return std::nullopt;
  return found;
}

std::uint64_t id_in(const BY_HANDLE_FILE_INFORMATION& found) noexcept {
  return std::uint64_t{found.nFileIndexHigh} << 32 | found.nFileIndexLow;
}

bool is_regular(const BY_HANDLE_FILE_INFORMATION& found) noexcept {
  return (found.dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT)) == 0;
}

/// Without replacing another file. Works while the file is open and mapped, here and elsewhere.
bool rename_to(const unique_handle& file, const std::wstring& path) {
  std::vector<std::byte> room(sizeof(FILE_RENAME_INFO) + path.size() * sizeof(wchar_t));
  auto* const info = reinterpret_cast<FILE_RENAME_INFO*>(room.data());
  info->ReplaceIfExists = FALSE;
  info->FileNameLength = static_cast<DWORD>(path.size() * sizeof(wchar_t));
  std::memcpy(info->FileName, path.data(), path.size() * sizeof(wchar_t));
  return ::SetFileInformationByHandle(file.get(), FileRenameInfo, info, static_cast<DWORD>(room.size())) != 0;
}

std::optional<BY_HANDLE_FILE_INFORMATION> information_of_name(std::string_view name, DWORD& error) {
  failure f;
  const std::wstring path = path_of(name, f);
  if (f) {
    error = ERROR_FILENAME_EXCED_RANGE;
    return std::nullopt;
  }
  const unique_handle file = open_path(path, FILE_READ_ATTRIBUTES);
  error = ::GetLastError();
  return information_of(file);
}

/// The name is free at once; the file goes with its last user. A mapped file cannot be deleted, but it can be renamed;
/// and it is deleted when the handle is closed that was opened for that.
bool remove_path(const std::wstring& path, failure& f) {
  const std::wstring gone = new_path(of_gone, f);
  if (f) return false;
  const unique_handle file = open_path(path, DELETE, FILE_FLAG_DELETE_ON_CLOSE);
  return file && rename_to(file, gone);
}

/// A block that did not get its name. It is still mapped.
void discard_unpublished(const unique_handle& block) {
  std::wstring path(1024, L'\0');
  const DWORD length = ::GetFinalPathNameByHandleW(block.get(), path.data(), static_cast<DWORD>(path.size()), 0);
  path.resize(length < path.size() ? length : 0);
  const bool unpublished = path.substr(path.rfind(L'\\') + 1).starts_with(of_new);
  if (unpublished) open_path(path, DELETE, FILE_FLAG_DELETE_ON_CLOSE);
}

}  // namespace

bool check_name(std::string_view name, std::size_t max, failure& f) {
  const auto reject = [&](std::errc code, const char* why) {
    f = {std::make_error_code(code), "the name " + quoted(name.substr(0, 64)) + ' ' + why};
    return false;
  };
  if (name.empty()) return reject(std::errc::invalid_argument, "is empty");
  if (name == "." || name == "..") return reject(std::errc::invalid_argument, "is a directory");
  if (name.find('/') != name.npos) return reject(std::errc::invalid_argument, "has a slash");
  if (name.find('\0') != name.npos) return reject(std::errc::invalid_argument, "has a NUL byte");
  if (name.size() > max) return reject(std::errc::filename_too_long, "is too long");
  return true;
}

// The directory is the user's own, so the mode only matters for bells.
unique_handle new_block(std::uint64_t bytes, unsigned, failure& f) {
  if (bytes > static_cast<std::uint64_t>(std::numeric_limits<std::ptrdiff_t>::max() / 4)) {
    f = {std::make_error_code(std::errc::file_too_large), "a block of " + std::to_string(bytes) + " bytes"};
    return {};
  }
  const std::wstring path = new_path(of_new, f);
  if (f) return {};
  unique_handle block =
      file_handle(::CreateFileW(path.c_str(), to_read_and_write, share_all, nullptr, CREATE_NEW,
                                FILE_ATTRIBUTE_TEMPORARY | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED, nullptr));
  if (!block) {
    fail(f, "create a block");
    return {};
  }
  OVERLAPPED where{};  // see sweep_directory()
  where.Offset = static_cast<DWORD>(building_lock);
  where.OffsetHigh = static_cast<DWORD>(building_lock >> 32);
  FILE_END_OF_FILE_INFO end{};
  end.EndOfFile.QuadPart = static_cast<LONGLONG>(bytes);
  if (::LockFileEx(block.get(), LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &where) == 0 ||
      ::SetFileInformationByHandle(block.get(), FileEndOfFileInfo, &end, sizeof end) == 0) {
    fail(f, "allocate " + std::to_string(bytes) + " bytes of shared memory");
    block.reset();
    ::DeleteFileW(path.c_str());
    return {};
  }
  return block;
}

bool publish_block(const unique_handle& block, std::string_view name, failure& f) {
  const std::wstring path = path_of(name, f);
  if (f) return false;
  if (rename_to(block, path)) return true;
  const DWORD error = ::GetLastError();
  discard_unpublished(block);
  fail(f, "create " + quoted(name), error);
  return false;
}

unique_handle open_block(std::string_view name, bool writable, failure& f) {
  const std::wstring path = path_of(name, f);
  if (f) return {};
  unique_handle block = open_path(path, writable ? to_read_and_write : GENERIC_READ);
  const DWORD error = ::GetLastError();
  const auto found = information_of(block);
  if (block && found && is_regular(*found)) return block;
  if (!block)
    fail(f, "open " + quoted(name), error);
  else
    f = {make_error_code(errc::incompatible), quoted(name) + " is not a regular file"};
  return {};
}

bool unlink_block(std::string_view name, failure& f) {
  const std::wstring path = path_of(name, f);
  if (f) return false;
  if (remove_path(path, f)) return true;
  if (!f) fail(f, "unlink " + quoted(name));
  return false;
}

std::vector<std::string> block_names() { return names_of_blocks(); }

bool has_name(const unique_handle& block, std::string_view name) noexcept { return is_name_of(name, block); }

bool owns(const unique_handle&) noexcept { return true; }

bool is_name_of(std::string_view name, const unique_handle& block) noexcept {
  const std::uint64_t id = id_of(block);
  return id != 0 && named_block_id(name) == id;
}

void unlink_this_block(std::string_view name, const unique_handle& block) noexcept {
  failure ignored;
  if (is_name_of(name, block)) unlink_block(name, ignored);
}

unique_handle new_anonymous_block(std::uint64_t, failure& f) {
  f = {std::make_error_code(std::errc::operation_not_supported), "a channel without a name"};
  return {};
}

bool check_sealed(const unique_handle&, failure& f) {
  f = {std::make_error_code(std::errc::operation_not_supported), "a channel without a name"};
  return false;
}

unique_handle reopen_block(native_handle_type block, bool writable, failure& f) {
  unique_handle own = file_handle(::ReOpenFile(block, writable ? to_read_and_write : GENERIC_READ, share_all, 0));
  if (!own) fail(f, "open a block again");
  return own;
}

// Mappings are not inherited. A file that is about to be deleted cannot be opened again.
unique_handle handle_to_map(native_handle_type block, bool, failure& f) {
  HANDLE copy = nullptr;
  const HANDLE here = ::GetCurrentProcess();
  if (::DuplicateHandle(here, block, here, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS) == 0) fail(f, "duplicate a handle");
  return unique_handle(copy);
}

std::uint64_t id_of(const unique_handle& handle) noexcept {
  const auto found = information_of(handle);
  return found ? id_in(*found) : 0;
}

std::uint64_t named_block_id(std::string_view name) noexcept {
  DWORD error = 0;
  const auto found = information_of_name(name, error);
  return found ? id_in(*found) : 0;
}

// The system does not tell.
bool is_unused_by_others(const unique_handle&) noexcept { return false; }

namespace {

file_status status_from(const BY_HANDLE_FILE_INFORMATION& found) noexcept {
  using type = file_status::type;
  const std::uint64_t created = std::uint64_t{found.ftCreationTime.dwHighDateTime} << 32 | found.ftCreationTime.dwLowDateTime;
  constexpr std::uint64_t seconds_until_1970 = 11'644'473'600;
  return {.is = is_regular(found) ? type::regular : type::other,
          .bytes = std::uint64_t{found.nFileSizeHigh} << 32 | found.nFileSizeLow,
          .id = id_in(found),
          .written_at = static_cast<std::int64_t>(created / 10'000'000) - static_cast<std::int64_t>(seconds_until_1970),
          .owner = {0, 0, 0600}};
}

}  // namespace

bool status_of(const unique_handle& block, file_status& out) noexcept {
  const auto found = information_of(block);
  if (found) out = status_from(*found);
  return found.has_value();
}

std::error_code status_of_name(std::string_view name, file_status& out) noexcept {
  DWORD error = 0;
  const auto found = information_of_name(name, error);
  if (!found) return error_of(error);
  out = status_from(*found);
  return {};
}

std::uint64_t block_size(const unique_handle& block, failure& f) {
  LARGE_INTEGER size{};
  if (::GetFileSizeEx(block.get(), &size) == 0) fail(f, "get the size of a block");
  return static_cast<std::uint64_t>(size.QuadPart);
}

bool peek_block(const unique_handle& block, std::span<std::byte> out, std::uint64_t offset) noexcept {
  while (!out.empty()) {
    OVERLAPPED where{};
    where.Offset = static_cast<DWORD>(offset);
    where.OffsetHigh = static_cast<DWORD>(offset >> 32);
    DWORD got = 0;
    const auto wanted = static_cast<DWORD>(std::min<std::size_t>(out.size(), 1 << 30));
    if (::ReadFile(block.get(), out.data(), wanted, &got, &where) == 0 || got == 0) return false;
    out = out.subspan(got);
    offset += got;
  }
  return true;
}

namespace {

std::byte* map_at(void* address, HANDLE section, std::uint64_t offset, std::size_t bytes, bool writable) {
  const DWORD access = writable ? FILE_MAP_READ | FILE_MAP_WRITE : FILE_MAP_READ;
  return static_cast<std::byte*>(::MapViewOfFileEx(section, access, static_cast<DWORD>(offset >> 32),
                                                   static_cast<DWORD>(offset), bytes, address));
}

}  // namespace

// Both views cannot be reserved at once on all systems. So a place for both is looked for, and given up again; if another
// thread takes it before it is used, this is repeated.
mapping map_block(const unique_handle& block, std::uint64_t bytes, std::uint64_t mirrored, bool writable, failure& f) {
  const auto size = static_cast<std::size_t>(bytes);
  const auto tail = static_cast<std::size_t>(mirrored);
  const unique_handle section(
      ::CreateFileMappingW(block.get(), nullptr, writable ? PAGE_READWRITE : PAGE_READONLY, 0, 0, nullptr));
  for (int attempt = 0; section && attempt != 100; ++attempt) {
    void* place = nullptr;
    if (tail != 0) {
      place = ::VirtualAlloc(nullptr, size + tail, MEM_RESERVE, PAGE_NOACCESS);
      if (place == nullptr) break;
      ::VirtualFree(place, 0, MEM_RELEASE);
    }
    std::byte* const first = map_at(place, section.get(), 0, size, writable);
    if (first != nullptr && tail == 0) return {first, size, size};
    if (first != nullptr) {
      if (map_at(first + size, section.get(), bytes - mirrored, tail, writable) != nullptr) return {first, size, size + tail};
      const DWORD error = ::GetLastError();
      ::UnmapViewOfFile(first);
      ::SetLastError(error);
    }
    if (::GetLastError() != ERROR_INVALID_ADDRESS) break;
  }
  fail(f, "map " + std::to_string(bytes) + " bytes");
  return {};
}

}  // namespace belfry::platform

namespace belfry::detail {

void mapping::unmap() noexcept {
  if (data_ == nullptr) return;
  ::UnmapViewOfFile(data_);
  if (reserved_ != bytes_) ::UnmapViewOfFile(data_ + bytes_);
  data_ = nullptr;
}

}  // namespace belfry::detail
