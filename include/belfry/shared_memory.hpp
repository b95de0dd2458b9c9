// Named blocks of shared memory, the twin of CPython's multiprocessing.shared_memory.SharedMemory.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/detail/platform/mapping.hpp>
#include <belfry/detail/platform/memory_handle.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>
#include <belfry/transaction.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

namespace belfry {

enum class access { read_write, read_only };

namespace detail {
class block_maker;
class block_member;
}  // namespace detail

/// A named block without a structure defined by Belfry, shared with other processes, including CPython's:
/// `SharedMemory(name=...)` opens the same block.
///
///     auto a = belfry::shared_memory::create("frame", 4096);
///     std::memcpy(a.buf().data(), pixels, 4096);
///     auto b = belfry::shared_memory::open("frame");            // here, or in another process
///     a.unlink();                                                // the memory goes with its last user
///
/// No process sees an unfinished block, and its memory is reserved: a full /dev/shm is reported when the
/// block is created, not by a signal when it is used.
///
/// The destructor closes and does not unlink: a block lives until a process removes its name. Movable, not
/// copyable. Distinct objects are thread-safe; protecting the contents is the users' concern.
///
/// On Windows a block is a named section of the page file, as CPython's is there: it lives while a process has it open,
/// and goes with the last; unlink() does nothing. The process that opens it sees its size rounded up to pages. Blocks
/// are not listed, inspected or removed by name. Sessions of a user do not share them.
///
/// Setup throws std::system_error, or sets the last argument:
///   `invalid_argument`            an empty name, a slash or a NUL in it; on Windows also a backslash, or what is not
///                                 UTF-8; size 0; an empty file opened
///   `filename_too_long`           more than 255 bytes
///   `file_exists`, `no_such_file_or_directory`, `no_space_on_device`, `permission_denied`, ...
class BELFRY_API shared_memory {
 public:
  shared_memory() noexcept = default;

  /// Creates a block of `bytes` zero bytes. An empty name is replaced by a free one, `psm_xxxxxxxx`; on Windows
  /// `wnsm_xxxxxxxx`. `mode` are its permission bits.
  static shared_memory create(std::string_view name, std::size_t bytes, unsigned mode = 0600);
  static shared_memory create(std::string_view name, std::size_t bytes, unsigned mode,
                              error_code& ec);
  static shared_memory create(std::string_view name, std::size_t bytes, error_code& ec) {
    return create(name, bytes, 0600, ec);
  }

  /// Opens the block of this name. Read-only memory cannot be written, not even through a cast.
  static shared_memory open(std::string_view name, access a = access::read_write);
  static shared_memory open(std::string_view name, access a, error_code& ec);
  static shared_memory open(std::string_view name, error_code& ec) {
    return open(name, access::read_write, ec);
  }

  /// Removes the name, and what dead participants have left of the block's companion. Processes that have the
  /// block open can still use it. On Windows the name stays until they have closed it.
  static void unlink(std::string_view name);
  static void unlink(std::string_view name, error_code& ec);
  void unlink() { unlink(name_); }
  void unlink(error_code& ec) { unlink(name_, ec); }

  /// The memory. For a read-only block the writable form is empty.
  std::span<std::byte> buf() noexcept {
    return read_only_ ? std::span<std::byte>() : std::span(map_.data(), map_.size());
  }
  std::span<const std::byte> buf() const noexcept { return {map_.data(), map_.size()}; }

  /// As many elements of type T as the block has room for. Throws std::length_error if there is room for
  /// none, std::invalid_argument if the memory is not aligned for T.
  template <class T>
  std::span<T> as() {
    return detail::typed<T>(buf());
  }
  template <class T>
  std::span<const T> as() const {
    return detail::typed<const T>(buf());
  }

  /// Exclusive access among processes, see transaction. Waits for earlier holders and waiters, first come,
  /// first served. Throws std::system_error: `timed_out`, at once if the timeout is zero or less;
  /// `permission_denied` for a read-only block; `resource_deadlock_would_occur` if this object has a
  /// transaction already. The other form sets `ec` to these, and also to `errc::owner_died`, with the
  /// transaction held.
  transaction txn(std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max()) {
    return txn(std::stop_token(), timeout);
  }
  transaction txn(std::chrono::nanoseconds timeout, error_code& ec) {
    return txn(std::stop_token(), timeout, ec);
  }
  transaction txn(error_code& ec) { return txn(std::chrono::nanoseconds::max(), ec); }
  /// The same, but can be stopped: `operation_aborted` if a stop is requested before the transaction is held.
  /// Any thread may request it, but not a signal handler.
  transaction txn(const std::stop_token& stop,
                  std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max());
  transaction txn(const std::stop_token& stop, std::chrono::nanoseconds timeout, error_code& ec);
  transaction txn(const std::stop_token& stop, error_code& ec) {
    return txn(stop, std::chrono::nanoseconds::max(), ec);
  }

  /// Both stay the same after close().
  const std::string& name() const noexcept { return name_; }
  std::size_t size() const noexcept { return bytes_; }
  bool read_only() const noexcept { return read_only_; }
  bool is_open() const noexcept { return static_cast<bool>(map_); }

  /// Unmaps the memory: then buf() is empty. May be called again.
  void close() noexcept {
    map_ = {};
    block_.reset();
    member_.reset();
  }

  native_handle_type native_handle() const noexcept { return block_.block.get(); }

  /// As CPython's repr: SharedMemory('psm_12345678', size=10)
  friend std::ostream& operator<<(std::ostream& out, const shared_memory& m) {
    return out << "SharedMemory('" << m.name_ << "', size=" << m.bytes_ << ')';
  }

 private:
  friend class detail::block_maker;

  static shared_memory create(std::string_view name, std::size_t bytes, unsigned mode,
                              detail::failure& f);
  static shared_memory open(std::string_view name, access a, detail::failure& f);
  static void unlink(std::string_view name, detail::failure& f);
  transaction begin(std::chrono::nanoseconds timeout, const std::stop_token& stop,
                    detail::failure& f);

  std::string name_;
  std::size_t bytes_ = 0;
  bool read_only_ = false;
  detail::memory_handle block_;
  detail::mapping map_;
  std::shared_ptr<detail::block_member> member_;  // of the companion segment, since the first txn()
};

/// Removes a block's name at the end of its scope, if it is still there.
///
///     belfry::unlink_on_destroy owner(a);
class unlink_on_destroy {
 public:
  [[nodiscard]] explicit unlink_on_destroy(const shared_memory& block) : name_(block.name()) {}
  unlink_on_destroy(const unlink_on_destroy&) = delete;
  unlink_on_destroy& operator=(const unlink_on_destroy&) = delete;
  ~unlink_on_destroy() {
    error_code ignored;
    shared_memory::unlink(name_, ignored);
  }

 private:
  std::string name_;
};

}  // namespace belfry
