// A wait of the system's thread pool.
#pragma once

#include "system.hpp"

namespace belfry::platform {

/// Calls a function on a thread of the system when a handle is ready.
class pool_wait {
 public:
  enum class how {
    once,
    each_time,  ///< of an auto-reset event
  };
  using function = void (*)(void*);

  pool_wait() noexcept = default;
  ~pool_wait() { stop(); }
  pool_wait(const pool_wait&) = delete;
  pool_wait& operator=(const pool_wait&) = delete;

  bool is_running() const noexcept { return wait_ != nullptr; }

  /// The function must not block, nor call stop().
  std::error_code start(HANDLE handle, how h, function f, void* context) noexcept {
    function_ = f;
    context_ = context;
    const ULONG flags = WT_EXECUTEINWAITTHREAD | (h == how::once ? WT_EXECUTEONLYONCE : 0u);
    if (::RegisterWaitForSingleObject(&wait_, handle, call, this, INFINITE, flags) != 0) return {};
    wait_ = nullptr;
    return error_of(::GetLastError());
  }
  /// Returns when the function is not running, and will not be called again.
  void stop() noexcept {
    if (wait_ != nullptr) ::UnregisterWaitEx(std::exchange(wait_, nullptr), INVALID_HANDLE_VALUE);
  }

 private:
  static void CALLBACK call(void* self, BOOLEAN) {
    auto* const wait = static_cast<pool_wait*>(self);
    wait->function_(wait->context_);
  }

  HANDLE wait_ = nullptr;
  function function_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace belfry::platform
