// A handle is registered with the system's thread pool when it is awaited for the first time, and stays so: Asio's
// object_handle would register it anew for every wait, which takes longer than the wait itself.
#include "../../platform/windows/pool_wait.hpp"

#include <belfry/detail/async/waitable.hpp>

#include <mutex>
#include <optional>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

struct waitable::implementation {
  implementation(const net::any_io_executor& e, native_handle_type h) : executor(e), handle(h) {}

  /// Keeps the context running while there is a wait.
  net::any_io_executor tracked() const { return net::prefer(executor, net::execution::outstanding_work.tracked); }

  /// On a thread of the pool, which has taken the notification if the handle is a bell.
  void ready() noexcept {
    for (;;) {
      {
        const std::lock_guard lock(mutex);
        told = true;
        if (!to_call) return;
        try {
          tell();
          return;
        } catch (...) {  // no memory: nothing else would wake the listener
        }
      }
      ::Sleep(1);
    }
  }

  /// Under the lock. Only a bell is quiet again when the wait has ended.
  void tell() {
    net::post(*work, [to_call = to_call, which = which] { to_call->on_wait(which); });
    if (which.what == kind::bell) told = false;
    to_call.reset();
    work.reset();
  }

  const net::any_io_executor executor;
  const native_handle_type handle;
  std::mutex mutex;
  std::shared_ptr<listener> to_call;        // null: nothing waits
  std::optional<net::any_io_executor> work;
  wait_id which{};
  bool told = false;                        // the handle was ready, and nothing waited
  platform::pool_wait wait;                 // ended before the members that its function uses
};

waitable::waitable(const net::any_io_executor& executor, native_handle_type handle)
    : implementation_(new implementation(executor, handle)) {}

waitable::~waitable() = default;

void waitable::async_wait(std::shared_ptr<listener> to_call, wait_id which) {
  implementation& i = *implementation_;
  if (!i.wait.is_running()) {
    const auto how = which.what == kind::bell ? platform::pool_wait::how::each_time : platform::pool_wait::how::once;
    const std::error_code error = i.wait.start(
        i.handle, how, [](void* self) { static_cast<implementation*>(self)->ready(); }, &i);
    if (error) throw std::system_error(error, "wait for a handle");
  }
  const std::lock_guard lock(i.mutex);
  i.work.emplace(i.tracked());
  i.to_call = std::move(to_call);
  i.which = which;
  if (!i.told) return;
  try {
    i.tell();
  } catch (...) {
    i.to_call.reset();
    i.work.reset();
    throw;
  }
}

void waitable::cancel() noexcept {
  implementation& i = *implementation_;
  std::shared_ptr<listener> dropped;  // destroyed without the lock
  std::optional<net::any_io_executor> work;
  const std::lock_guard lock(i.mutex);
  dropped.swap(i.to_call);
  work.swap(i.work);
}

// What the pool has taken by now was told before the caller looks at the ring again.
void waitable::detach() noexcept {
  implementation& i = *implementation_;
  i.wait.stop();
  i.told = false;
}

// There is no fork.
void waitable::abandon() noexcept {}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
