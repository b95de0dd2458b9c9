#include "directory.hpp"

#include "../random_digits.hpp"
#include "lock_offset.hpp"
#include "system.hpp"

#include <sddl.h>

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace belfry::platform {
namespace {

using detail::failure;
using detail::unique_handle;

constexpr std::size_t longest_component = 255;

std::wstring widened(std::string_view ascii) { return {ascii.begin(), ascii.end()}; }

std::wstring local_app_data(failure& f) {
  std::wstring path(32767, L'\0');
  const DWORD length = ::GetEnvironmentVariableW(L"LOCALAPPDATA", path.data(), static_cast<DWORD>(path.size()));
  if (length == 0) fail(f, "LOCALAPPDATA is not set", ERROR_PATH_NOT_FOUND);
  path.resize(length);
  return path;
}

bool make_directory(const std::wstring& path, failure& f) {
  if (::CreateDirectoryW(path.c_str(), nullptr) != 0 || ::GetLastError() == ERROR_ALREADY_EXISTS) return true;
  fail(f, "create the directory of blocks");
  return false;
}

/// Held from looking for the number of this boot until it is there. A process that dies with it leaves it to the next.
class boot_mutex {
 public:
  explicit boot_mutex(const std::wstring& user)
      : mutex_(::CreateMutexW(nullptr, FALSE, (L"Global\\belfry.boot." + user).c_str())) {
    if (!mutex_) return;
    const DWORD result = ::WaitForSingleObject(mutex_.get(), INFINITE);
    owned_ = result == WAIT_OBJECT_0 || result == WAIT_ABANDONED;
  }
  ~boot_mutex() {
    if (owned_) ::ReleaseMutex(mutex_.get());
  }
  boot_mutex(const boot_mutex&) = delete;
  boot_mutex& operator=(const boot_mutex&) = delete;
  explicit operator bool() const noexcept { return owned_; }

 private:
  unique_handle mutex_;
  bool owned_ = false;
};

class registry_key {
 public:
  /// Volatile: the key is gone after a reboot.
  explicit registry_key(const wchar_t* path, LSTATUS& status) {
    status = ::RegCreateKeyExW(HKEY_CURRENT_USER, path, 0, nullptr, REG_OPTION_VOLATILE, KEY_READ | KEY_WRITE, nullptr,
                               &key_, nullptr);
  }
  ~registry_key() {
    if (key_ != nullptr) ::RegCloseKey(key_);
  }
  registry_key(const registry_key&) = delete;
  registry_key& operator=(const registry_key&) = delete;
  HKEY get() const noexcept { return key_; }

 private:
  HKEY key_ = nullptr;
};

/// A random number that all processes of this user share until the machine is started anew.
std::wstring boot_number(failure& f) {
  const std::wstring user = user_sid(f);
  if (f) return {};
  const boot_mutex alone(user);
  if (!alone) {
    fail(f, "wait for the number of this boot");
    return {};
  }
  LSTATUS status = ERROR_SUCCESS;
  const registry_key key(L"Software\\belfry-boot", status);
  std::array<wchar_t, 17> number{};  // 16 digits and a zero
  constexpr DWORD size = sizeof number;
  DWORD bytes = size;
  DWORD type = 0;
  if (status == ERROR_SUCCESS) {
    status = ::RegQueryValueExW(key.get(), L"number", nullptr, &type, reinterpret_cast<BYTE*>(number.data()), &bytes);
    if (status == ERROR_SUCCESS && type == REG_SZ && bytes == size && number.back() == 0) return number.data();
    const std::wstring made = widened(detail::random_digits(16, f));
    if (f) return {};
    status = ::RegSetValueExW(key.get(), L"number", 0, REG_SZ, reinterpret_cast<const BYTE*>(made.c_str()), size);
    if (status == ERROR_SUCCESS) return made;
  }
  fail(f, "read or write the number of this boot", static_cast<DWORD>(status));
  return {};
}

std::wstring root_directory(failure& f) {
  std::wstring path = local_app_data(f);
  if (f) return {};
  return L"\\\\?\\" + path + L"\\belfry\\";
}

std::wstring made_directory(failure& f) {
  const std::wstring root = root_directory(f);
  if (f) return {};
  const std::wstring boot = boot_number(f);
  if (f) return {};
  std::wstring path = root + boot + L'\\';
  return make_directory(root, f) && make_directory(path, f) ? path : std::wstring();
}

bool is_plain(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

/// None if it is not what path_of() writes.
std::optional<std::string> decoded(std::wstring_view file) {
  const auto digit = [](wchar_t c) { return c >= L'0' && c <= L'9' ? c - L'0' : c >= L'a' && c <= L'f' ? c - L'a' + 10 : -1; };
  std::string name;
  for (std::size_t i = 0; i < file.size(); ++i) {
    if (file[i] != L'%') {
      if (file[i] >= 0x80) return std::nullopt;
      name += static_cast<char>(file[i]);
      continue;
    }
    if (i + 2 >= file.size() || digit(file[i + 1]) < 0 || digit(file[i + 2]) < 0) return std::nullopt;
    name += static_cast<char>(digit(file[i + 1]) * 16 + digit(file[i + 2]));
    i += 2;
  }
  return name;
}

template <class Function>
void for_each_file(const std::wstring& directory, Function f) {
  WIN32_FIND_DATAW found{};
  HANDLE search = ::FindFirstFileW((directory + L'*').c_str(), &found);
  if (search == INVALID_HANDLE_VALUE) return;
  const auto close = [](void* handle) { ::FindClose(handle); };
  const std::unique_ptr<void, decltype(close)> owner(search, close);
  do {
    const std::wstring_view name = found.cFileName;
    if (name != L"." && name != L"..") f(name, (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0);
  } while (::FindNextFileW(search, &found) != 0);
}

bool is_being_built(const std::wstring& path) {
  const unique_handle file = file_handle(::CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE, share_all, nullptr,
                                                       OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT, nullptr));
  if (!file) return true;
  OVERLAPPED where{};
  where.Offset = static_cast<DWORD>(building_lock);
  where.OffsetHigh = static_cast<DWORD>(building_lock >> 32);
  // Released when the handle is closed.
  return ::LockFileEx(file.get(), LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &where) == 0;
}

}  // namespace

std::wstring user_sid(failure& f) {
  HANDLE opened = nullptr;
  if (::OpenProcessToken(::GetCurrentProcess(), TOKEN_QUERY, &opened) != 0) {
    const unique_handle token(opened);
    alignas(TOKEN_USER) std::array<std::byte, sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE> user{};
    DWORD bytes = 0;
    wchar_t* text = nullptr;
    if (::GetTokenInformation(token.get(), TokenUser, user.data(), static_cast<DWORD>(user.size()), &bytes) != 0 &&
        ::ConvertSidToStringSidW(reinterpret_cast<TOKEN_USER*>(user.data())->User.Sid, &text) != 0) {
      std::wstring sid = text;
      ::LocalFree(text);
      return sid;
    }
  }
  fail(f, "find out which user this is");
  return {};
}

const std::wstring& block_directory(failure& f) {
  static std::mutex mutex;
  static std::wstring directory;
  const std::scoped_lock lock(mutex);
  if (directory.empty()) directory = made_directory(f);
  return directory;
}

std::wstring path_of(std::string_view name, failure& f) {
  std::wstring file(of_name);
  for (const char c : name) {
    if (is_plain(c)) {
      file += static_cast<wchar_t>(c);
      continue;
    }
    constexpr wchar_t digits[] = L"0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    file += L'%';
    file += digits[byte >> 4];
    file += digits[byte & 15];
  }
  if (file.size() > longest_component) {
    f = {std::make_error_code(std::errc::filename_too_long),
         "the name \"" + std::string(name.substr(0, 64)) + "\" is too long for a file of Windows"};
    return {};
  }
  const std::wstring& directory = block_directory(f);
  return f ? std::wstring() : directory + file;
}

std::wstring new_path(std::wstring_view kind, failure& f) {
  const std::wstring& directory = block_directory(f);
  if (f) return {};
  const std::string digits = detail::random_digits(16, f);
  if (f) return {};
  return directory + std::wstring(kind) + widened(digits);
}

std::vector<std::string> names_of_blocks() {
  std::vector<std::string> names;
  failure f;
  const std::wstring& directory = block_directory(f);
  if (f) return names;
  for_each_file(directory, [&](std::wstring_view file, bool is_directory) {
    if (is_directory || !file.starts_with(of_name)) return;
    if (auto name = decoded(file.substr(of_name.size()))) names.push_back(std::move(*name));
  });
  return names;
}

std::vector<std::string> sweep_directory(failure& f) {
  std::vector<std::string> removed;
  const auto remove = [&](const std::wstring& path, std::wstring_view file) {
    if (::DeleteFileW(path.c_str()) == 0) return;  // a process has it open
    std::string& name = removed.emplace_back();
    for (const wchar_t c : file) name += c < 0x80 ? static_cast<char>(c) : '?';
  };
  const std::wstring& directory = block_directory(f);
  const std::wstring root = root_directory(f);
  if (f) return removed;
  for_each_file(directory, [&](std::wstring_view file, bool) {
    const std::wstring path = directory + std::wstring(file);
    const bool left = file.starts_with(of_gone) || (file.starts_with(of_new) && !is_being_built(path));
    if (left) remove(path, file);
  });
  for_each_file(root, [&](std::wstring_view boot, bool is_directory) {
    const std::wstring old = root + std::wstring(boot) + L'\\';
    if (!is_directory || old == directory) return;
    for_each_file(old, [&](std::wstring_view file, bool) { remove(old + std::wstring(file), file); });
    ::RemoveDirectoryW(old.c_str());
  });
  return removed;
}

}  // namespace belfry::platform
