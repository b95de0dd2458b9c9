// A handle of the operating system, awaited on an executor. Between the endpoint and the platform:
// src/async/linux/waitable.cpp does it with a stream descriptor.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/platform/native_handle.hpp>

#include <cstdint>
#include <memory>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// Does not own the handle, which must stay open until the waitable has gone. Not thread-safe.
class waitable {
 public:
  enum class kind { bell, death };

  /// Tells waits apart: one that was cancelled may have been over already.
  struct wait_id {
    kind what;
    std::uint32_t slot;  // whose death
    std::uint32_t serial;
  };

  class listener {
   public:
    /// On some thread of the context, never from within async_wait; not at all if the wait was
    /// cancelled.
    virtual void on_wait(const wait_id& which) = 0;

   protected:
    ~listener() = default;
  };

  waitable(const net::any_io_executor& executor, native_handle_type handle);
  ~waitable();
  waitable(const waitable&) = delete;
  waitable& operator=(const waitable&) = delete;

  /// One wait at a time. Keeps the listener alive until it was told.
  void async_wait(std::shared_ptr<listener> who, wait_id which);
  void cancel() noexcept;

  /// In the child of a fork: leaves everything to the parent, and touches nothing of Asio's, whose locks
  /// a thread of the parent's may have held.
  void abandon() noexcept;

 private:
  struct implementation;
  std::unique_ptr<implementation> implementation_;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
