// Endpoints: the queue of pending operations, and what drives it.
#include "run_queue.hpp"

#include <belfry/detail/endpoint.hpp>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

void endpoint::submit(operation& op) {
  if (!is_open()) return op.post_completion(make_error_code(errc::closed));
  std::unique_lock lock(mutex_);
  const bool first = transfers_.empty();
  transfers_.push(op);
  if (!first) return;
  switch (phase_) {
    case phase::scheduled:
    case phase::running: return;  // on behalf of a condition; goes on with this one
    case phase::waiting: roster_->park().unpark(); return schedule(lock, op);
    case phase::idle: break;
  }
  // Nothing is taken in here, and nothing completes; but whether to go to sleep can be seen at once.
  if (fsm_.needs_time() || op.ready() || roster_->peek_event()) return schedule(lock, op);
  phase_ = phase::running;
  driven_ = &op;
  lock.unlock();
  const bool something = park_and_look(&op);
  lock.lock();
  if (something || wait_error_) {
    roster_->park().unpark();
    return schedule(lock, op);
  }
  settle_to_sleep(lock, op);
}

void endpoint::submit_condition(operation& op) {
  if (!is_open()) return op.post_completion(make_error_code(errc::closed));
  if (op.ready()) return op.post_completion({});
  std::unique_lock lock(mutex_);
  conditions_.push(op);
  if (phase_ != phase::idle) {
    // Whoever is at work will look after parking; whoever sleeps is rung when something changes. What
    // has changed since we looked may have rung before this operation was there.
    lock.unlock();
    return complete_conditions();
  }
  phase_ = phase::running;
  driven_ = &op;
  lock.unlock();
  park_and_look(nullptr);
  lock.lock();
  settle_to_sleep(lock, op);
}

/// The last step before sleep: unless the bell has rung since parking, or there is nobody left to
/// sleep for.
void endpoint::settle_to_sleep(std::unique_lock<std::mutex>& lock, operation& op) {
  const operation* next = head();
  if (next == &op && !rung_ && told_deaths_ == 0 && !op.cancelled) {
    phase_ = phase::waiting;
    start_waits();
    return;
  }
  roster_->park().unpark();
  schedule_next(lock);
}

operation* endpoint::head() const noexcept {
  return !transfers_.empty() ? transfers_.front() : conditions_.front();
}

/// On some executor of nobody's choice: completes, through their own, the conditions that hold and
/// those that were cancelled.
void endpoint::complete_conditions() {
  const std::scoped_lock lock(mutex_);
  if (conditions_.empty()) return;
  operation_queue waiting(std::move(conditions_));
  while (!waiting.empty()) {
    operation& op = waiting.pop();
    if (!op.cancelled && !op.ready()) {
      conditions_.push(op);
      continue;
    }
    if (driven_ == &op) driven_ = nullptr;
    op.post_completion(op.cancelled ? operation_aborted() : std::error_code());
  }
}

void endpoint::cancel(std::uint64_t id) noexcept {
  std::unique_lock lock(mutex_);
  operation_queue& queue = transfers_.find(id) != nullptr ? transfers_ : conditions_;
  operation* op = queue.find(id);
  if (op == nullptr) return;
  op->cancelled = true;
  if (op == driven_ && phase_ != phase::waiting) return;  // the drive will see it, before it takes
  queue.remove(*op);
  if (phase_ == phase::waiting) {
    // Others who wait may want less than this one did.
    roster_->park().unpark();
    driven_ = nullptr;
    if (operation* const next = head(); next != nullptr) {
      schedule(lock, *next);
    } else {
      phase_ = phase::idle;
      stop_waits();
    }
  }
  if (lock.owns_lock()) lock.unlock();
  op->post_completion(operation_aborted());
}

void endpoint::cancel_all() noexcept {
  for (;;) {
    std::uint64_t id = 0;
    {
      const std::scoped_lock lock(mutex_);
      for (const operation_queue* queue : {&transfers_, &conditions_}) {
        for (operation* op = queue->front(); op != nullptr && id == 0; op = op->next) {
          if (!op->cancelled) id = op->id;
        }
      }
    }
    if (id == 0) return;
    cancel(id);
  }
}

void endpoint::kick() {
  std::unique_lock lock(mutex_);
  if (phase_ != phase::waiting || transfers_.empty()) return;
  roster_->park().unpark();
  schedule(lock, *transfers_.front());
}

// ---- driving ------------------------------------------------------------------------------------------------

void drive(endpoint& e) { e.drive(); }

/// Lets `op` be driven where its handler is to be called. Releases the lock.
void endpoint::schedule(std::unique_lock<std::mutex>& lock, operation& op, bool dispatch) {
  phase_ = phase::scheduled;
  driven_ = &op;  // from here on it is only marked when it is cancelled
  lock.unlock();
  if (run_queue::take_over(*this, op)) return;
  if (dispatch) {
    op.dispatch_drive(shared_from_this());
  } else {
    op.post_drive(shared_from_this());
  }
}

void endpoint::schedule_next(std::unique_lock<std::mutex>& lock) {
  driven_ = nullptr;
  if (operation* const next = head(); next != nullptr) return schedule(lock, *next);
  phase_ = phase::idle;
}

void endpoint::drive() {
  net::any_io_executor executor;
  {
    const std::scoped_lock lock(mutex_);
    if (driven_ == nullptr) return;  // closed meanwhile
    executor = driven_->coroutine_executor();
  }
  run_queue queue(std::move(executor));
  queue.run(*this);
}

void endpoint::drive_once() {
  std::unique_lock lock(mutex_);
  operation* const op = driven_;
  if (op == nullptr) return;
  phase_ = phase::running;
  const bool is_transfer = op == transfers_.front();
  const bool cancelled = op->cancelled;
  lock.unlock();

  handle_deaths();
  complete_conditions();
  if (!is_transfer) {  // on behalf of conditions
    lock.lock();
    if (driven_ == nullptr) return schedule_next(lock);  // and do so no longer
    lock.unlock();
    park_and_look(nullptr);
    lock.lock();
    if (driven_ != nullptr) return settle_to_sleep(lock, *op);
    roster_->park().unpark();
    return schedule_next(lock);
  }
  if (cancelled) return finish(*op, operation_aborted());
  const progress p = advance(*op, fsm_.begin());
  switch (p.to) {
    case progress::done: return finish(*op, p.error);
    case progress::yield:
      lock.lock();
      phase_ = phase::scheduled;
      lock.unlock();
      return op->post_drive(shared_from_this());
    case progress::sleep: lock.lock(); return settle_to_sleep(lock, *op);
  }
}

void endpoint::finish(operation& op, std::error_code ec) {
  std::unique_lock lock(mutex_);
  transfers_.pop();
  schedule_next(lock);
  if (lock.owns_lock()) lock.unlock();
  op.complete(ec);
}

void endpoint::on_wait(const waitable::wait_id& which) {
  std::unique_lock lock(mutex_);
  watched& wait = which.what == waitable::kind::bell ? bell_ : deaths_[which.slot];
  if (which.serial != wait.serial) return;
  wait.on = false;
  if (which.what == waitable::kind::bell) {
    rung_ = true;
  } else {
    told_deaths_ |= std::uint64_t{1} << which.slot;
  }
  if (phase_ != phase::waiting) return;
  roster_->park().unpark();
  if (operation* const next = head(); next != nullptr) return schedule(lock, *next, true);
  phase_ = phase::idle;  // what was waited for was seen before its ring was heard
  stop_waits();
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
