// Named blocks: files in the directory of shared memory.
#include "../block.hpp"
#include "../file.hpp"
#include "../handle.hpp"
#include "../machine.hpp"
#include "fail.hpp"
#include "path.hpp"
#include "signal_guard.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

/// Of a block without a name. F_SEAL_SEAL means that no seal can be added later, above all not F_SEAL_WRITE.
constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

std::string descriptor_path(native_handle_type handle) {
  return "/proc/thread-self/fd/" + std::to_string(handle);
}

/// Checks that `off_t` and the address space can express the size.
bool check_size(std::uint64_t bytes, failure& f) {
  if (bytes <= static_cast<std::uint64_t>(std::numeric_limits<std::ptrdiff_t>::max() / 4))
    return true;
  fail(f, "a block of " + std::to_string(bytes) + " bytes", EFBIG);
  return false;
}

/// Also sets the size. If a signal interrupts an allocation, the kernel undoes what that call has allocated.
/// Then it is done in pieces, which get smaller until one is done between two signals.
bool allocate(const unique_handle& block, std::uint64_t bytes, failure& f) {
  const signal_guard guard(SIGXFSZ);  // the limit of `ulimit -f` becomes an error, like a full memory
  std::uint64_t piece = bytes;
  for (std::uint64_t done = 0; done != bytes;) {
    piece = std::min(piece, bytes - done);
    const int error =
        ::posix_fallocate(block.get(), static_cast<off_t>(done), static_cast<off_t>(piece));
    if (error == 0) {
      done += piece;
    } else if (error == EINTR) {
      piece = std::max(piece / 2, std::min<std::uint64_t>(piece, mapping_granularity()));
    } else {
      if (error == EFBIG) guard.take_back();
      fail(f, "allocate " + std::to_string(bytes) + " bytes of shared memory", error);
      return false;
    }
  }
  return true;
}

}  // namespace

bool check_name(std::string_view name, std::size_t max, failure& f) {
  const auto reject = [&](std::errc code, const char* why) {
    f = {std::make_error_code(code), "the name \"" + std::string(name.substr(0, 64)) + "\" " + why};
    return false;
  };
  if (name.empty()) return reject(std::errc::invalid_argument, "is empty");
  if (name == "." || name == "..") return reject(std::errc::invalid_argument, "is a directory");
  if (name.find('/') != name.npos) return reject(std::errc::invalid_argument, "has a slash");
  if (name.find('\0') != name.npos) return reject(std::errc::invalid_argument, "has a NUL byte");
  if (name.size() > max) return reject(std::errc::filename_too_long, "is too long");
  return true;
}

unique_handle new_block(std::uint64_t bytes, unsigned mode, failure& f) {
  if (!check_size(bytes, f)) return {};
  unique_handle block =
      above_standard(::open(shared_memory_directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!block) {
    fail(f, "create a block in " + std::string(shared_memory_directory));
    return {};
  }
  if (!allocate(block, bytes, f)) return {};
  if (::fchmod(block.get(), mode & 0777) != 0) {  // not subject to the umask: the caller chose it
    fail(f, "set the mode of a block");
    return {};
  }
  return block;
}

bool publish_block(const unique_handle& block, std::string_view name, failure& f) {
  const std::string path = path_of(name);
  // Faster, but older kernels require a capability, and report ENOENT.
  if (::linkat(block.get(), "", AT_FDCWD, path.c_str(), AT_EMPTY_PATH) == 0) return true;
  if (errno == ENOENT && ::linkat(AT_FDCWD, descriptor_path(block.get()).c_str(), AT_FDCWD,
                                  path.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return true;
  }
  fail(f, "create \"" + std::string(name) + '"');
  return false;
}

unique_handle open_block(std::string_view name, bool writable, failure& f) {
  const int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  unique_handle block = above_standard(::open(path_of(name).c_str(), flags));
  struct stat status {};
  if (!block) {
    const int error = errno;
    std::string what = "open \"" + std::string(name) + '"';
    if (error == EACCES && ::lstat(path_of(name).c_str(), &status) == 0)
      what += ", which belongs to user " + std::to_string(status.st_uid);
    fail(f, std::move(what), error);
    return {};
  }
  if (::fstat(block.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    f = {make_error_code(errc::incompatible), '"' + std::string(name) + "\" is not a regular file"};
    return {};
  }
  return block;
}

bool unlink_block(std::string_view name, failure& f) {
  if (::unlink(path_of(name).c_str()) == 0) return true;
  fail(f, "unlink \"" + std::string(name) + '"');
  return false;
}

std::vector<std::string> block_names() { return files_in(shared_memory_directory); }

bool has_name(const unique_handle& block, std::string_view) noexcept {
  struct stat status {};
  return ::fstat(block.get(), &status) == 0 && status.st_nlink > 0;
}

bool owns(const unique_handle& block) noexcept {
  struct stat status {};
  const uid_t user = ::geteuid();
  return user == 0 || (::fstat(block.get(), &status) == 0 && status.st_uid == user);
}

bool is_name_of(std::string_view name, const unique_handle& block) noexcept {
  struct stat mine {};
  struct stat named {};
  return ::fstat(block.get(), &mine) == 0 && ::lstat(path_of(name).c_str(), &named) == 0 &&
         mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
}

void unlink_this_block(std::string_view name, const unique_handle& block) noexcept {
  if (is_name_of(name, block)) ::unlink(path_of(name).c_str());
}

unique_handle new_anonymous_block(std::uint64_t bytes, failure& f) {
  if (!check_size(bytes, f)) return {};
  unique_handle block = above_standard(::memfd_create("belfry", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!block) {
    fail(f, "create an anonymous block");
    return {};
  }
  if (!allocate(block, bytes, f)) return {};
  if (::fcntl(block.get(), F_ADD_SEALS, seals) != 0) {
    fail(f, "seal an anonymous block");
    return {};
  }
  return block;
}

bool check_sealed(const unique_handle& block, failure& f) {
  const int found = ::fcntl(block.get(), F_GET_SEALS);
  if (found != -1 && (found & seals) == seals) return true;
  if (!block || (found == -1 && errno != EINVAL)) {
    fail(f, "stat the block of the handles");
    return false;
  }
  std::string what = "the handles: the block is ";
  if (found == -1) {
    what += "no memory block (memfd)";
  } else {
    what += "not sealed against";
    if ((found & F_SEAL_SHRINK) == 0) what += " shrinking,";
    if ((found & F_SEAL_GROW) == 0) what += " growing,";
    if ((found & F_SEAL_SEAL) == 0) what += " further seals,";
    what.pop_back();
  }
  f = {make_error_code(errc::incompatible), std::move(what)};
  return false;
}

unique_handle reopen_block(native_handle_type block, bool writable, failure& f) {
  unique_handle own = above_standard(
      ::open(descriptor_path(block).c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC));
  if (!own) fail(f, "reopen a block");
  return own;
}

unique_handle handle_to_map(native_handle_type block, bool writable, failure& f) {
  return reopen_block(block, writable, f);
}

std::uint64_t id_of(const unique_handle& handle) noexcept {
  struct stat status {};
  return ::fstat(handle.get(), &status) == 0 ? status.st_ino : 0;
}

std::uint64_t named_block_id(std::string_view name) noexcept {
  struct stat status {};
  return ::lstat(path_of(name).c_str(), &status) == 0 ? status.st_ino : 0;
}

// A write lease is granted only if the file has no other description, open or mapped. If another process
// opens it meanwhile, the kernel sends this thread a signal, which has no effect.
bool is_unused_by_others(const unique_handle& block) noexcept {
  const signal_guard guard(SIGURG);
  const f_owner_ex this_thread{F_OWNER_TID, static_cast<pid_t>(::syscall(SYS_gettid))};
  if (::fcntl(block.get(), F_SETSIG, SIGURG) != 0 ||
      ::fcntl(block.get(), F_SETOWN_EX, &this_thread) != 0 ||
      ::fcntl(block.get(), F_SETLEASE, F_WRLCK) != 0) {
    return false;
  }
  ::fcntl(block.get(), F_SETLEASE, F_UNLCK);
  guard.take_back();
  return true;
}

namespace {

file_status status_from(const struct stat& found) noexcept {
  using type = file_status::type;
  return {
      .is = S_ISREG(found.st_mode) ? type::regular : S_ISFIFO(found.st_mode) ? type::bell : type::other,
      .bytes = static_cast<std::uint64_t>(found.st_size),
      .id = found.st_ino,
      .written_at = found.st_mtim.tv_sec,
      .owner = {found.st_uid, found.st_gid, found.st_mode & 0777}};
}

}  // namespace

bool status_of(const unique_handle& block, file_status& out) noexcept {
  struct stat found {};
  if (::fstat(block.get(), &found) != 0) return false;
  out = status_from(found);
  return true;
}

std::error_code status_of_name(std::string_view name, file_status& out) noexcept {
  struct stat found {};
  if (::lstat(path_of(name).c_str(), &found) != 0) return {errno, std::system_category()};
  out = status_from(found);
  return {};
}

std::uint64_t block_size(const unique_handle& block, failure& f) {
  struct stat status {};
  if (::fstat(block.get(), &status) != 0) fail(f, "get the size of a block");
  return static_cast<std::uint64_t>(status.st_size);
}

bool peek_block(const unique_handle& block, std::span<std::byte> out,
                std::uint64_t offset) noexcept {
  std::size_t got = 0;
  while (got < out.size()) {
    const ssize_t n =
        ::pread(block.get(), out.data() + got, out.size() - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    got += static_cast<std::size_t>(n);
  }
  return true;
}

std::size_t mapping_granularity() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

mapping map_block(const unique_handle& block, std::uint64_t bytes, std::uint64_t mirrored,
                  bool writable, failure& f) {
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  const std::size_t size = static_cast<std::size_t>(bytes);
  const std::size_t reserved = size + static_cast<std::size_t>(mirrored);
  // One reservation for both views, so that no other mapping can get in between.
  void* base = mirrored == 0 ? ::mmap(nullptr, size, protection, MAP_SHARED, block.get(), 0)
                             : ::mmap(nullptr, reserved, PROT_NONE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    fail(f, "map " + std::to_string(bytes) + " bytes");
    return {};
  }
  mapping map(static_cast<std::byte*>(base), size, reserved);
  if (mirrored != 0) {
    const off_t tail = static_cast<off_t>(bytes - mirrored);
    if (::mmap(map.data(), size, protection, MAP_SHARED | MAP_FIXED, block.get(), 0) ==
            MAP_FAILED ||
        ::mmap(map.data() + size, static_cast<std::size_t>(mirrored), protection,
               MAP_SHARED | MAP_FIXED, block.get(), tail) == MAP_FAILED) {
      fail(f, "map " + std::to_string(bytes) + " bytes");
      return {};
    }
  }
  return map;
}

}  // namespace belfry::platform

namespace belfry::detail {

void mapping::unmap() noexcept {
  if (data_ != nullptr) ::munmap(data_, reserved_);
  data_ = nullptr;
}

}  // namespace belfry::detail
