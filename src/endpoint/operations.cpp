// Endpoints: the queue of pending operations, and what drives it.
//
// All of it is done under the lock, which is given up before a handler is called.
#include <belfry/detail/endpoint.hpp>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

void endpoint::submit(operation& op) {
  if (!is_open()) return op.post_completion(make_error_code(errc::closed));
  unique_lock lock(mutex_);
  const bool first = transfers_.empty();
  transfers_.push(op);
  if (!first) return;
  switch (phase_.load(std::memory_order_relaxed)) {
    case phase::scheduled:
    case phase::running: return;  // on behalf of a condition; goes on with this one
    case phase::waiting: rise(); return schedule(op, std::move(lock));
    case phase::idle: break;
  }
  // Nothing is taken in here, and nothing completes; but whether to go to sleep can be seen at once.
  if (fsm_.needs_time() || op.ready()) return schedule(op, std::move(lock));
  become(phase::running);
  driven_ = &op;
  const bool something = park_and_look(&op) || wait_error_;
  operation_queue over(std::move(over_));
  if (something) {
    rise();
    schedule(op, std::move(lock));
  } else {
    settle_to_sleep(op, std::move(lock));
  }
  tell(over);
}

void endpoint::submit_condition(operation& op) {
  if (!is_open()) return op.post_completion(make_error_code(errc::closed));
  unique_lock lock(mutex_);
  if (op.ready()) {
    lock.unlock();
    return op.post_completion({});
  }
  conditions_.push(op);
  if (!is(phase::idle)) {
    // Whoever is at work will look after parking; whoever sleeps is rung when something changes. What
    // has changed since we looked may have rung before this operation was there.
    find_conditions();
    operation_queue over(std::move(over_));
    lock.unlock();
    return tell(over);
  }
  become(phase::running);
  driven_ = &op;
  park_and_look(nullptr);
  if (wait_error_) fail_conditions();
  operation_queue over(std::move(over_));
  settle_to_sleep(op, std::move(lock));
  tell(over);
}

/// The last step before sleep: unless the bell has rung since parking, or there is nobody left to
/// sleep for.
void endpoint::settle_to_sleep(operation& op, unique_lock lock) {
  const bool still_wanted = driven_ == &op && head() == &op && !op.cancelled;
  if (still_wanted && !rung_ && told_deaths_ == 0) {
    start_waits();
    become(phase::waiting);
    return;
  }
  rise();
  schedule_next(std::move(lock));
}

operation* endpoint::head() const noexcept {
  return !transfers_.empty() ? transfers_.front() : conditions_.front();
}

/// Sorts out the conditions that hold and those that were cancelled.
void endpoint::find_conditions() {
  operation_queue waiting(std::move(conditions_));
  while (!waiting.empty()) {
    operation& op = waiting.pop();
    const bool over = op.cancelled || op.ready();
    if (over && driven_ == &op) driven_ = nullptr;
    (over ? over_ : conditions_).push(op);
  }
}

/// Better than to wait on without hearing of a death.
void endpoint::fail_conditions() noexcept {
  const std::error_code error = std::exchange(wait_error_, {});
  driven_ = nullptr;
  while (!conditions_.empty()) {
    operation& op = conditions_.pop();
    op.failure = error;
    over_.push(op);
  }
}

/// Completes them, each through its own executor. Always the last thing that is done: whoever is told
/// may use the endpoint at once, in another thread.
void endpoint::tell(operation_queue& over) {
  while (!over.empty()) {
    operation& op = over.pop();
    op.post_completion(op.cancelled ? operation_aborted() : op.failure);
  }
}

void endpoint::cancel(std::uint64_t id) noexcept {
  unique_lock lock(mutex_);
  operation_queue& queue = transfers_.find(id) != nullptr ? transfers_ : conditions_;
  operation* const op = queue.find(id);
  if (op == nullptr) return;
  op->cancelled = true;
  const bool asleep = is(phase::waiting);
  if (op == driven_ && !asleep) return;  // the drive will see it, before it takes
  queue.remove(*op);
  if (asleep) {
    // Others who wait may want less than this one did.
    rise();
    driven_ = nullptr;
    if (transfers_.empty()) pass_on();
    if (head() == nullptr) stop_waits();
    schedule_next(std::move(lock));
  } else {
    lock.unlock();
  }
  op->post_completion(operation_aborted());
}

void endpoint::cancel_all() noexcept {
  for (;;) {
    std::uint64_t id = 0;
    {
      const unique_lock lock(mutex_);
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

/// We were woken for something that others wait for, too, and nobody here is going to take it.
void endpoint::pass_on() noexcept {
  if (traits_.competing && std::exchange(rung_, false) && ready()) roster_->pass_on();
}

void endpoint::kick() {
  unique_lock lock(mutex_);
  if (!is(phase::waiting) || transfers_.empty()) return;
  rise();
  schedule(*transfers_.front(), std::move(lock));
}

// ---- driving ------------------------------------------------------------------------------------

void drive(endpoint& e) { e.drive(endpoint::unique_lock(e.mutex_)); }

/// Lets `op` be driven where its handler is to be called. From here on it is only marked when it is
/// cancelled, or the endpoint closed.
void endpoint::schedule(operation& op, unique_lock) {
  driven_ = &op;
  become(phase::scheduled);
  op.post_drive(shared_from_this());
}

void endpoint::schedule_next(unique_lock lock) {
  driven_ = nullptr;
  if (operation* const next = head(); next != nullptr) return schedule(*next, std::move(lock));
  become(phase::idle);
}

void endpoint::drive(unique_lock held) {
  struct resting {
    ~resting() { e.rest_if_idle(); }  // last: a handler has had the chance to start what needs the waits
    endpoint& e;
  } const at_the_end{*this};
  unique_lock lock(std::move(held));  // given up before that
  operation* const op = driven_;
  if (op == nullptr) {
    // It was over before its turn came, and the others wait for it; or the context is going.
    if (is(phase::scheduled)) schedule_next(std::move(lock));
    return;
  }
  turn_.begin();
  become(phase::running);
  const bool is_transfer = op == transfers_.front();

  if (told_deaths_ != 0) handle_deaths();
  if (!conditions_.empty()) find_conditions();
  if (!is_transfer) {  // on behalf of conditions
    pass_on();
    const bool still_pending = driven_ != nullptr;
    if (still_pending) park_and_look(nullptr);
    if (wait_error_) fail_conditions();
    operation_queue over(std::move(over_));
    if (still_pending) {
      settle_to_sleep(*op, std::move(lock));
    } else {
      schedule_next(std::move(lock));
    }
    return tell(over);
  }
  progress p{progress::done, operation_aborted()};
  if (!op->cancelled) p = advance(*op, fsm_.begin());
  operation_queue over(std::move(over_));
  switch (p.to) {
    case progress::done:
      transfers_.pop();
      if (op->cancelled && transfers_.empty()) pass_on();
      schedule_next(std::move(lock));
      break;
    case progress::yield:
      become(phase::scheduled);
      op->post_drive(shared_from_this());
      lock.unlock();
      break;
    case progress::sleep: settle_to_sleep(*op, std::move(lock)); break;
  }
  tell(over);
  if (p.to == progress::done) op->complete(p.error);
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
