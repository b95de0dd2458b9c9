// A trampoline for coroutines.
#pragma once

#include <belfry/detail/endpoint.hpp>

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
    while (count_ != 0) {  // a handler has thrown
      const std::shared_ptr<endpoint> e = pop();
      const std::scoped_lock lock(e->mutex_);
      if (e->driven_ != nullptr) e->driven_->post_drive(e);
    }
    for (std::shared_ptr<endpoint>& e : driven_) {
      if (e) e->rest_if_idle();
    }
  }

  void run(endpoint& first) {
    drive(first.shared_from_this());
    while (count_ != 0) drive(pop());
  }

  /// True if the innermost running queue of this thread will drive the endpoint for this operation.
  static bool take_over(endpoint& e, const operation& op) {
    run_queue* const queue = current_;
    if (queue == nullptr || !queue->executor_ || queue->budget_ == 0 ||
        queue->count_ == queue->waiting_.size()) {
      return false;
    }
    if (op.coroutine_executor() != queue->executor_) return false;
    --queue->budget_;
    queue->waiting_[queue->count_++] = e.shared_from_this();
    return true;
  }

 private:
  std::shared_ptr<endpoint> pop() noexcept {
    std::shared_ptr<endpoint> e = std::move(waiting_[0]);
    --count_;
    std::move(waiting_.begin() + 1, waiting_.begin() + 1 + count_, waiting_.begin());
    return e;
  }

  void drive(std::shared_ptr<endpoint> e) {
    endpoint& driven = *e;
    remember(std::move(e));
    driven.drive_once();
  }

  /// An endpoint whose operation has completed stops its waits only when the coroutine has had the
  /// chance to start the next one, which would need them again.
  void remember(std::shared_ptr<endpoint> e) {
    for (std::shared_ptr<endpoint>& seen : driven_) {
      if (seen == e) return;
      if (!seen) {
        seen = std::move(e);
        return;
      }
    }
    std::swap(driven_.front(), e);
    e->rest_if_idle();
  }

  static inline thread_local run_queue* current_ = nullptr;

  net::any_io_executor executor_;
  run_queue* outer_;
  std::array<std::shared_ptr<endpoint>, 8> waiting_;
  std::array<std::shared_ptr<endpoint>, 8> driven_;
  std::size_t count_ = 0;
  int budget_ = 64;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
