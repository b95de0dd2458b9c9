// A trampoline for coroutines.
#pragma once

#include <belfry/detail/endpoint.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// A coroutine that was resumed by one of our operations often starts the next one at once, and that
/// one is often ready. To post it would cost a round through the scheduler, and with it a system
/// call, per message. While drive() is on the stack it takes such operations over instead, and runs
/// them as soon as the coroutine has suspended and returned to it: after the initiating function, on
/// the same executor, as if posted. Only for handlers that do nothing but resume a coroutine: one
/// that goes on after it has initiated an operation could block for it. After a while it posts all
/// the same, so that other handlers get their turn.
class endpoint::run_queue {
 public:
  explicit run_queue(net::any_io_executor executor)
      : executor_(std::move(executor)), outer_(std::exchange(current_, this)) {}
  run_queue(const run_queue&) = delete;
  run_queue& operator=(const run_queue&) = delete;

  ~run_queue() {
    current_ = outer_;
    for (std::size_t i = 0; i != count_; ++i) {  // a handler has thrown
      endpoint& e = *waiting_[i];
      if (e.driven_ != nullptr) e.driven_->post_drive(e.shared_from_this());
    }
    // Only now: a coroutine had the chance to start the next operation, which would need the waits.
    for (const std::shared_ptr<endpoint>& e : pinned_) {
      if (e) e->rest_if_idle();
    }
  }

  void run(endpoint& first) {
    pin(first);
    first.drive_once();
    while (count_ != 0) pop().drive_once();
  }

  /// True if the innermost running queue of this thread will drive the endpoint for this operation.
  static bool take_over(endpoint& e, const operation& op) {
    run_queue* const queue = current_;
    if (queue == nullptr || !queue->executor_ || queue->budget_ == 0) return false;
    const net::any_io_executor* const executor = op.coroutine_executor();
    if (executor == nullptr || *executor != queue->executor_ || !queue->pin(e)) return false;
    --queue->budget_;
    queue->waiting_[queue->count_++] = &e;
    return true;
  }

 private:
  /// Keeps the endpoint alive until the end. An endpoint is driven for one operation at a time, so
  /// there are never more waiting than pinned.
  bool pin(endpoint& e) {
    for (std::shared_ptr<endpoint>& slot : pinned_) {
      if (slot.get() == &e) return true;
      if (!slot) {
        slot = e.shared_from_this();
        return true;
      }
    }
    return false;
  }

  endpoint& pop() noexcept {
    endpoint& e = *waiting_[0];
    --count_;
    std::move(waiting_.begin() + 1, waiting_.begin() + 1 + count_, waiting_.begin());
    return e;
  }

  static inline thread_local run_queue* current_ = nullptr;

  net::any_io_executor executor_;
  run_queue* outer_;
  std::array<std::shared_ptr<endpoint>, 8> pinned_;
  std::array<endpoint*, 8> waiting_{};
  std::size_t count_ = 0;
  int budget_ = 64;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
