// A handle of the operating system, awaited on an executor. Between the endpoint and the platform:
// src/posix/waitable.cpp does it with a stream descriptor.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/native_handle.hpp>

#include <cstdint>
#include <memory>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// Does not own the handle, which must stay open until the waitable has gone. Not thread-safe.
class waitable {
 public:
  enum class kind {
    bell,   ///< drained by the wait
    death,  ///< becomes ready once
  };

  class listener {
   public:
    /// On some thread of the context, never from within async_wait; not at all if the wait was
    /// cancelled.
    virtual void on_wait(kind what, std::uint32_t serial) = 0;

   protected:
    ~listener() = default;
  };

  waitable(const net::any_io_executor& executor, native_handle_type handle, kind what);
  ~waitable();
  waitable(const waitable&) = delete;
  waitable& operator=(const waitable&) = delete;

  /// One wait at a time. Keeps the listener alive until it was told. The serial tells it which wait
  /// this was: one that was cancelled may have been over already.
  void async_wait(std::shared_ptr<listener> who, std::uint32_t serial);
  void cancel() noexcept;

 private:
  struct implementation;
  std::unique_ptr<implementation> implementation_;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
