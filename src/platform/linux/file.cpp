// The files of a server, in a directory that only its user can access.
#include "../file.hpp"
#include "../handle.hpp"
#include "../process.hpp"
#include "fail.hpp"
#include "signal_guard.hpp"

#include <cerrno>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

bool is_mine(const char* path) {
  struct stat status {};
  return ::lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == ::geteuid();
}

}  // namespace

bool use_directory(const std::string& path, failure& f) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    fail(f, "create \"" + path + '"');
    return false;
  }
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    fail(f, "stat \"" + path + '"');
    return false;
  }
  // A user that may write to it could replace our files.
  if (S_ISDIR(status.st_mode) && status.st_uid == ::geteuid() && (status.st_mode & 022) == 0)
    return true;
  fail(f, '"' + path + "\" is not a directory that only this user may write to", EPERM);
  return false;
}

std::string run_directory(failure& f) {
  const uid_t user = ::geteuid();
  const char* const session = trusted_environment("XDG_RUNTIME_DIR");
  const std::string users = "/run/user/" + std::to_string(user);
  std::string path;
  if (user == 0) {
    path = "/run/belfry";  // a system service looks there as well
  } else if (session != nullptr && is_mine(session)) {
    path = std::string(session) + "/belfry";
  } else if (is_mine(users.c_str())) {
    path = users + "/belfry";
  } else {
    path = "/tmp/belfry-" + std::to_string(user);
  }
  use_directory(path, f);
  return path;
}

std::vector<std::string> files_in(const std::string& directory) {
  std::vector<std::string> names;
  unique_handle handle =
      above_standard(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto close = [](DIR* d) { ::closedir(d); };
  const std::unique_ptr<DIR, decltype(close)> entries(::fdopendir(handle.get()), close);
  if (!entries) return names;
  handle.release();  // the directory stream owns it now
  while (const dirent* entry = ::readdir(entries.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  return names;
}

unique_handle open_file(const std::string& path, bool create, failure& f) {
  const int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0);
  unique_handle file = above_standard(::open(path.c_str(), flags, 0600));
  if (!file) fail(f, "open \"" + path + '"');
  return file;
}

std::uint64_t file_id(const std::string& path) noexcept {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

std::string read_file(const unique_handle& file, failure& f) {
  std::string all;
  for (;;) {
    char bytes[4096];
    const ssize_t n = ::pread(file.get(), bytes, sizeof bytes, static_cast<off_t>(all.size()));
    if (n == -1 && errno == EINTR) continue;
    if (n == -1) fail(f, "read a file");
    if (n <= 0) return all;
    all.append(bytes, static_cast<std::size_t>(n));
  }
}

bool append_to_file(const unique_handle& file, std::string_view bytes, failure& f) {
  struct stat before {};
  if (::fstat(file.get(), &before) == 0) {
    const signal_guard guard(SIGXFSZ);  // the limit of `ulimit -f` becomes an error, like a full disk
    ssize_t n;
    do {
      n = ::write(file.get(), bytes.data(), bytes.size());
    } while (n == -1 && errno == EINTR);
    if (n == -1 && errno == EFBIG) {
      guard.take_back();
      errno = EFBIG;
    }
    if (n == static_cast<ssize_t>(bytes.size())) return true;
    if (n >= 0) {  // no space for the rest
      errno = ::ftruncate(file.get(), before.st_size) == 0 ? ENOSPC : errno;
    }
  }
  fail(f, "write to a file");
  return false;
}

bool truncate_file(const unique_handle& file, std::uint64_t bytes, failure& f) {
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) == 0) return true;
  fail(f, "truncate a file");
  return false;
}

bool rename_file(const std::string& from, const std::string& to, failure& f) {
  if (::rename(from.c_str(), to.c_str()) == 0) return true;
  fail(f, "rename \"" + from + '"');
  return false;
}

void remove_file(const std::string& path) noexcept { ::unlink(path.c_str()); }

}  // namespace belfry::platform
