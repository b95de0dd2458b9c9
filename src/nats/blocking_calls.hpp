// A thread for calls of the client that block.
#pragma once

#include "net.hpp"

#include <atomic>
#include <memory>
#include <utility>

namespace belfry::detail::nats {

/// What completes on the context's executors must not outlive the context: its destruction waits for the calls that have
/// begun. So does this object's.
class blocking_calls {
 public:
  static std::shared_ptr<blocking_calls> of(net::execution_context& context);
  blocking_calls() = default;
  blocking_calls(const blocking_calls&) = delete;
  blocking_calls& operator=(const blocking_calls&) = delete;
  ~blocking_calls();

  net::thread_pool& thread() noexcept { return thread_; }
  /// In the thread; or here and now, if the context is being destroyed.
  template <class Function>
  void run(Function f) {
    // Relaxed: what runs after shutdown() has begun runs in its thread.
    if (over_.load(std::memory_order_relaxed)) return f();
    net::post(thread_, std::move(f));
  }

 private:
  class all_of_context;
  void end();

  net::thread_pool thread_{1};
  std::atomic<bool> over_{false};
};

}  // namespace belfry::detail::nats
