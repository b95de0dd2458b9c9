// Endpoints: the queue of pending operations, and driving it.
//
// All of it runs under the lock. The lock is released before operations are posted, and before a handler is called.
#include <belfry/detail/async/endpoint.hpp>

#include <algorithm>
#include <array>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {
namespace {

void rethrow(const std::exception_ptr& error) {
  if (error) std::rethrow_exception(error);
}

}  // namespace

std::exception_ptr endpoint::deliver(post_list& posts, const operation* whose) noexcept {
  return posts.empty() ? nullptr : posts.send(shared_from_this(), whose);
}

/// Completes an operation that never was in a queue.
void endpoint::refuse(operation& op, std::error_code why) {
  op.end(why);
  op.post(nullptr);
}

void endpoint::submit(operation& op) {
  if (!is_open()) return refuse(op, make_error_code(errc::closed));
  post_list posts;
  unique_lock lock(mutex_);
  const bool first = transfers_.empty();
  transfers_.push(op);
  switch (phase_.load(std::memory_order_relaxed)) {
    case phase::running:
    case phase::scheduled: schedule(posts); break;
    case phase::waiting:
      if (!first) return;  // the same bell wakes the operation before it
      me_.cancel_sleep();
      schedule(posts);
      break;
    case phase::idle:
      // An initiating function takes nothing and completes nothing. But it can go to sleep if nothing is ready.
      if (fsm_.needs_time() || op.ready()) {
        schedule(posts);
        break;
      }
      become(phase::running);
      if (prepare_sleep(&op, posts)) {
        settle_to_sleep(posts);
      } else {
        schedule(posts);
      }
  }
  lock.unlock();
  rethrow(deliver(posts, &op));
}

void endpoint::submit_condition(operation& op) {
  if (!is_open()) return refuse(op, make_error_code(errc::closed));
  unique_lock lock(mutex_);
  if (op.ready()) {
    lock.unlock();
    return refuse(op, {});
  }
  post_list posts;
  op.is_condition = true;
  conditions_.push(op);
  if (is(phase::idle)) {
    become(phase::running);
    sleep_for_conditions(posts);
  } else {
    // A running operation checks all conditions after it parks, and a sleeping endpoint is notified of every change.
    // But a notification may have come between ready() above and push(), so check again.
    find_conditions(posts);
    if (is(phase::scheduled)) schedule(posts);
  }
  lock.unlock();
  rethrow(deliver(posts, &op));
}

/// If the participant cannot watch its peers, the conditions fail: a sleep would miss a death.
void endpoint::sleep_for_conditions(post_list& posts) {
  prepare_sleep(nullptr, posts);
  if (const std::error_code error = me_.take_error()) {
    while (!conditions_.empty()) end(conditions_.pop(), error, posts);
  }
  settle_to_sleep(posts);
}

/// The last step before sleep. It does not sleep if the bell was notified since parking, or nothing is pending.
void endpoint::settle_to_sleep(post_list& posts) {
  if (head() != nullptr && !me_.woken()) {
    const std::error_code error = start_waits();
    if (!error) return become(phase::waiting);
    operation_queue& queue = transfers_.empty() ? conditions_ : transfers_;
    end(queue.pop(), error, posts);
  }
  me_.cancel_sleep();
  go_on(posts);
}

operation* endpoint::head() const noexcept {
  return !transfers_.empty() ? transfers_.front() : conditions_.front();
}

/// The operation has been removed from its queue. It completes on the executor of its handler.
void endpoint::end(operation& op, std::error_code why, post_list& posts) noexcept {
  op.end(why);
  if (!op.posted) posts.add(op);
}

/// Ends the conditions that hold.
void endpoint::find_conditions(post_list& posts) {
  operation_queue waiting(std::move(conditions_));
  while (!waiting.empty()) {
    operation& op = waiting.pop();
    if (op.ready()) {
      end(op, {}, posts);
    } else {
      conditions_.push(op);
    }
  }
}

void endpoint::cancel(std::uint64_t id) noexcept {
  post_list posts;
  {
    const unique_lock lock(mutex_);
    operation_queue& queue = transfers_.find(id) != nullptr ? transfers_ : conditions_;
    operation* const op = queue.find(id);
    if (op == nullptr) return;
    const bool was_head = op == head();
    queue.remove(*op);
    end(*op, operation_aborted(), posts);
    // The next operation may need less (room for a smaller message), or be driven in another context.
    if (was_head || is(phase::scheduled)) others_go_on(posts);
  }
  deliver(posts);
}

void endpoint::cancel_all() noexcept {
  post_list posts;
  {
    const unique_lock lock(mutex_);
    abort_all(posts);
  }
  deliver(posts);
}

void endpoint::abort_all(post_list& posts) noexcept {
  if (head() == nullptr) return;
  for (operation_queue* queue : {&transfers_, &conditions_}) {
    while (!queue->empty()) end(queue->pop(), operation_aborted(), posts);
  }
  others_go_on(posts);
}

/// After an operation has ended without being driven: it was cancelled, or lost.
void endpoint::others_go_on(post_list& posts) noexcept {
  if (is(phase::waiting)) me_.cancel_sleep();
  if (transfers_.empty()) hand_off();
  go_on(posts);
  if (is(phase::idle)) stop_waits();
}

/// Hands the wake-up off to another consumer, if this one was woken for an item and has no operation to take it.
void endpoint::hand_off() noexcept {
  if (is_open() && me_.traits().competing && me_.take_wake_up() && ready()) peers().hand_off();
}

void endpoint::retry() noexcept {
  post_list posts;
  {
    const unique_lock lock(mutex_);
    if (!is(phase::waiting) || transfers_.empty()) return;
    me_.cancel_sleep();
    schedule(posts);
  }
  deliver(posts);
}

// ---- driving ------------------------------------------------------------------------------------

/// Posts the first operation to the executor of its handler, where it is driven. That context may not be running, so
/// the first operation of each other context is posted as well. The operation that arrives first is driven first.
void endpoint::schedule(post_list& posts) noexcept {
  become(phase::scheduled);
  const auto post = [&](operation& op) {
    if (!op.posted) posts.add(op);
  };
  if (transfers_.one_context() && conditions_.one_context()) return post(*head());
  const auto is_first = [&](const operation& op) {
    for (const operation_queue* queue : {&transfers_, &conditions_}) {
      for (const operation* o = queue->front(); o != nullptr && o != &op; o = o->next) {
        if (o->context() == op.context()) return false;
      }
      if (!op.is_condition) break;
    }
    return true;
  };
  std::array<const void*, 8> contexts;  // already seen; beyond eight, is_first() searches the queues
  std::size_t count = 0;
  for (const operation_queue* queue : {&transfers_, &conditions_}) {
    for (operation* op = queue->front(); op != nullptr; op = op->next) {
      const auto* const end = contexts.begin() + count;
      if (std::find(contexts.cbegin(), end, op->context()) != end) continue;
      if (count != contexts.size()) {
        contexts[count++] = op->context();
      } else if (!is_first(*op)) {
        continue;
      }
      post(*op);
    }
  }
}

void endpoint::go_on(post_list& posts) noexcept {
  if (head() != nullptr) return schedule(posts);
  become(phase::idle);
}

void arrive(operation& op, std::shared_ptr<endpoint> e) {
  if (e == nullptr) return op.complete(op.result);
  e->arrived(op);
}

void lose(operation& op, std::shared_ptr<endpoint> e) noexcept {
  if (e != nullptr) e->lost(op);
  op.destroy();
}

void endpoint::arrived(operation& op) {
  unique_lock lock(mutex_);
  op.posted = false;
  if (!op.over) return drive(op, std::move(lock));
  lock.unlock();
  op.complete(op.result);
}

/// The caller owns the operation from here on.
void endpoint::lost(operation& op) noexcept {
  post_list posts;
  {
    const unique_lock lock(mutex_);
    if (op.over) return;
    (op.is_condition ? conditions_ : transfers_).remove(op);
    op.end({});
    others_go_on(posts);
  }
  deliver(posts);
}

/// `op` is in a queue, and this thread is on the executor of its handler.
void endpoint::drive(operation& op, unique_lock held) {
  struct resting {
    ~resting() { e.rest_if_idle(); }  // last: the handler may have started an operation that needs the waits
    endpoint& e;
  } const at_the_end{*this};
  unique_lock lock(std::move(held));  // released before that
  post_list posts;
  time_slice_.begin();
  if (is(phase::waiting)) me_.cancel_sleep();  // posted before the endpoint went to sleep
  become(phase::running);

  me_.handle_deaths();
  if (!conditions_.empty()) find_conditions(posts);
  if (op.is_condition) {  // drives all conditions
    if (transfers_.empty()) hand_off();
    if (transfers_.empty() && !conditions_.empty()) {
      sleep_for_conditions(posts);
    } else {
      go_on(posts);
    }
    lock.unlock();
    return rethrow(deliver(posts));
  }
  const progress p = advance(op, fsm_.begin(), posts);
  switch (p.to) {
    case progress::done:
      transfers_.remove(op);
      go_on(posts);
      break;
    case progress::yield:
      become(phase::scheduled);
      posts.add(op);
      break;
    case progress::sleep: settle_to_sleep(posts); break;
  }
  lock.unlock();
  const std::exception_ptr error = deliver(posts);
  if (p.to == progress::done) op.complete(p.error);
  rethrow(error);
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
