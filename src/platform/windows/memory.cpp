// The named memory of users: sections of the page file, as CPython's are. A name is its section's from the beginning, and
// goes with the last handle. So what is not zero is copied into a section that no other process may open yet.
//
// A section has no identity of its own. A second one beside it, `NAME.belfry.id`, has a random number, which the first
// process to come stores; all users of Belfry's hold both.
#include "../machine.hpp"
#include "../memory.hpp"
#include "security.hpp"
#include "system.hpp"

#include <atomic>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>

namespace belfry::platform {
namespace {

std::string in_quotes(std::string_view name) { return '"' + std::string(name) + '"'; }

/// As CPython passes it on. A backslash would mean another directory of the system's.
std::optional<std::wstring> system_name(std::string_view name, failure& f) {
  const auto size = static_cast<int>(name.size());
  std::wstring wide(name.size(), L'\0');
  const int length = ::MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name.data(), size, wide.data(), size);
  if (length > 0 && name.find('\\') == name.npos) {
    wide.resize(static_cast<std::size_t>(length));
    return wide;
  }
  f = {std::make_error_code(std::errc::invalid_argument), "the name " + in_quotes(name) + " has a backslash, or is not UTF-8"};
  return std::nullopt;
}

unique_handle new_section(std::uint64_t bytes, SECURITY_ATTRIBUTES* access, const wchar_t* name) noexcept {
  return unique_handle(::CreateFileMappingW(INVALID_HANDLE_VALUE, access, PAGE_READWRITE, static_cast<DWORD>(bytes >> 32),
                                            static_cast<DWORD>(bytes), name));
}

constexpr DWORD access_for(bool writable) noexcept { return writable ? FILE_MAP_READ | FILE_MAP_WRITE : FILE_MAP_READ; }

/// All of it. Null on failure.
std::byte* view_of(const unique_handle& section, std::uint64_t bytes, bool writable) noexcept {
  return static_cast<std::byte*>(
      ::MapViewOfFile(section.get(), access_for(writable), 0, 0, static_cast<std::size_t>(bytes)));
}

constexpr std::uint64_t bytes_of_identity = sizeof(std::uint64_t);

/// The number in a section of an identity; one that is zero becomes a random one.
std::uint64_t number_in(const unique_handle& identity) noexcept {
  if (!identity) return 0;
  const detail::mapping map(view_of(identity, bytes_of_identity, true), bytes_of_identity, bytes_of_identity);
  if (!map) return 0;
  const std::atomic_ref<std::uint64_t> number(*reinterpret_cast<std::uint64_t*>(map.data()));
  std::uint64_t found = number.load(std::memory_order_relaxed);
  std::uint64_t made = 0;
  failure f;
  if (found != 0 || !fill_random(std::as_writable_bytes(std::span(&made, 1)), f) || made == 0) return found;
  return number.compare_exchange_strong(found, made, std::memory_order_relaxed) ? made : found;
}

/// Empty if there may be none: for memory of another user.
unique_handle new_identity(const std::wstring& name, unsigned mode) {
  failure ignored;
  const access_list access(mode, ignored);
  SECURITY_ATTRIBUTES attributes = access.attributes();
  unique_handle identity = ignored ? unique_handle() : new_section(bytes_of_identity, &attributes, (name + L".belfry.id").c_str());
  if (number_in(identity) == 0) identity.reset();
  return identity;
}

unique_handle duplicate(native_handle_type handle) noexcept {
  HANDLE copy = nullptr;
  const HANDLE here = ::GetCurrentProcess();
  if (handle == detail::no_handle || ::DuplicateHandle(here, handle, here, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS) == 0)
    return {};
  return unique_handle(copy);
}

}  // namespace

std::string_view prefix_of_names() noexcept { return "wnsm_"; }

memory_handle new_memory(std::uint64_t bytes, unsigned, failure& f) {
  if (bytes > static_cast<std::uint64_t>(std::numeric_limits<std::ptrdiff_t>::max() / 4)) {
    f = {std::make_error_code(std::errc::file_too_large), "a block of " + std::to_string(bytes) + " bytes"};
    return {};
  }
  memory_handle made{new_section(bytes, nullptr, nullptr), {}};
  if (!made) fail(f, "allocate " + std::to_string(bytes) + " bytes of shared memory");
  return made;
}

namespace {

/// A section of this name. Others get access when it is filled, if there is something to fill it with.
unique_handle named_section(std::string_view name, std::uint64_t bytes, contents now, unsigned mode, failure& f) {
  const std::optional<std::wstring> wide = system_name(name, f);
  const access_list access(now == contents::zero ? mode : access_list::none, f);
  if (f) return {};
  SECURITY_ATTRIBUTES attributes = access.attributes();
  unique_handle section = new_section(bytes, &attributes, wide->c_str());
  const DWORD error = ::GetLastError();
  // INVALID_HANDLE: something else has the name, for example an event.
  const bool taken =
      error == ERROR_ALREADY_EXISTS || (!section && (error == ERROR_ACCESS_DENIED || error == ERROR_INVALID_HANDLE));
  if (taken)
    f = {std::make_error_code(std::errc::file_exists), "create " + in_quotes(name)};
  else if (!section)
    fail(f, "create " + in_quotes(name), error);
  return f ? unique_handle() : std::move(section);
}

bool give_access(const unique_handle& section, unsigned mode, failure& f) {
  const access_list access(mode, f);
  if (f) return false;
  if (::SetKernelObjectSecurity(section.get(), DACL_SECURITY_INFORMATION, access.get()) != 0) return true;
  fail(f, "give access to a block");
  return false;
}

/// Memory of this name. Empty on failure.
memory_handle named_memory(const mapping& filled, std::uint64_t bytes, contents now, std::string_view name, unsigned mode,
                           mapping& map, failure& f) {
  unique_handle section = named_section(name, bytes, now, mode, f);
  if (!section) return {};
  map = map_memory(section, bytes, true, f);
  if (!map) return {};
  if (now == contents::some) {
    std::memcpy(map.data(), filled.data(), bytes);
    if (!give_access(section, mode, f)) return {};
  }
  return {std::move(section), new_identity(*system_name(name, f), mode)};
}

}  // namespace

// What is zero is given up first: the system may not have twice as much.
bool publish_memory(memory_handle& memory, mapping& map, contents now, std::string_view name, unsigned mode, failure& f) {
  const std::uint64_t bytes = map.size();
  if (now == contents::zero) {
    map = {};
    memory.reset();
  }
  mapping named;
  memory_handle published = named_memory(map, bytes, now, name, mode, named, f);
  if (published) {
    map = std::move(named);
    memory = std::move(published);
    return true;
  }
  if (now == contents::zero) {  // the caller may choose another name
    failure ignored;
    memory = new_memory(bytes, mode, ignored);
    if (memory) map = map_memory(memory.block, bytes, true, ignored);
  }
  return false;
}

// Access is refused while its maker fills it, which may be stopped at that; but not for ever.
memory_handle open_memory(std::string_view name, bool writable, failure& f) {
  const std::optional<std::wstring> wide = system_name(name, f);
  if (!wide) return {};
  for (int attempt = 0;; ++attempt) {
    unique_handle section(::OpenFileMappingW(access_for(writable), FALSE, wide->c_str()));
    if (section) return {std::move(section), new_identity(*wide, 0600)};
    const DWORD error = ::GetLastError();
    if (error == ERROR_ACCESS_DENIED && attempt != 200) {
      ::Sleep(attempt < 100 ? 1 : 20);
      continue;
    }
    if (error == ERROR_INVALID_HANDLE)
      f = {make_error_code(errc::incompatible), in_quotes(name) + " is not shared memory"};
    else
      fail(f, "open " + in_quotes(name), error);
    return {};
  }
}

memory_handle reopen_memory(const memory_handle& memory, bool, failure& f) {
  memory_handle own{duplicate(memory.block.get()), duplicate(memory.identity.get())};
  if (!own.block) fail(f, "duplicate a handle");
  else if (!own.identity) f = {std::make_error_code(std::errc::permission_denied), "identify memory of another user"};
  if (f) own.reset();
  return own;
}

bool unlink_memory(std::string_view, failure&) { return true; }

std::uint64_t memory_size(const unique_handle& memory, failure& f) {
  MEMORY_BASIC_INFORMATION found{};
  const detail::mapping all(view_of(memory, 0, false), 0, 0);
  if (!all || ::VirtualQuery(all.data(), &found, sizeof found) == 0) fail(f, "get the size of a block");
  return found.RegionSize;
}

mapping map_memory(const unique_handle& memory, std::uint64_t bytes, bool writable, failure& f) {
  const auto size = static_cast<std::size_t>(bytes);
  mapping map(view_of(memory, bytes, writable), size, size);
  if (!map) fail(f, "map " + std::to_string(bytes) + " bytes");
  return map;
}

std::uint64_t id_of(const memory_handle& memory) noexcept { return number_in(memory.identity); }

std::uint64_t named_memory_id(std::string_view name) noexcept try {
  failure f;
  const std::optional<std::wstring> wide = system_name(name, f);
  if (!wide) return 0;
  return number_in(unique_handle(::OpenFileMappingW(access_for(true), FALSE, (*wide + L".belfry.id").c_str())));
} catch (...) {
  return 0;
}

bool memory_has_locks() noexcept { return false; }

}  // namespace belfry::platform
