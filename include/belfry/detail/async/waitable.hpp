// A handle of the operating system, awaited on an executor. On Linux this is a stream descriptor
// (src/async/linux/waitable.cpp).
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/platform/native_handle.hpp>

#include <chrono>
#include <cstdint>
#include <memory>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// Does not own the handle, which must stay open until the waitable is destroyed. Not thread-safe.
class waitable {
 public:
  enum class kind { bell, death, alarm };

  /// Identifies a wait: a cancelled wait may have completed already, and its completion must then be ignored.
  struct wait_id {
    kind what;
    std::uint32_t slot;  // of the participant whose death is awaited
    std::uint32_t serial;
  };

  class listener {
   public:
    /// Called on a thread of the context, never from within async_wait. Not called if the wait was cancelled in time.
    virtual void on_wait(const wait_id& which) = 0;

   protected:
    ~listener() = default;
  };

  waitable(const net::any_io_executor& executor, native_handle_type handle);
  ~waitable();
  waitable(const waitable&) = delete;
  waitable& operator=(const waitable&) = delete;

  /// One wait at a time. Keeps the listener alive until on_wait() returns.
  void async_wait(std::shared_ptr<listener> to_call, wait_id which);
  void cancel() noexcept;
  /// Before a thread, or a foreign loop, waits for the handle itself: from now on no wait of this object takes what the
  /// handle tells, until the next async_wait. No wait is running.
  void detach() noexcept;

  /// In the child of a fork: leaves the wait to the parent. Does not call Asio, since a thread of the parent may have
  /// held its locks during the fork.
  void abandon() noexcept;

 private:
  struct implementation;
  std::unique_ptr<implementation> implementation_;
};

/// A time, awaited on an executor. As waitable otherwise.
class alarm {
 public:
  explicit alarm(const net::any_io_executor& executor);
  ~alarm();
  alarm(const alarm&) = delete;
  alarm& operator=(const alarm&) = delete;

  void async_wait(std::chrono::steady_clock::time_point time, std::shared_ptr<waitable::listener> to_call,
                  waitable::wait_id which);
  void cancel() noexcept;
  void abandon() noexcept;

 private:
  struct implementation;
  std::unique_ptr<implementation> implementation_;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
