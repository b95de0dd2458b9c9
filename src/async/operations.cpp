// Endpoints: the queue of pending operations, and what drives it.
//
// All of it is done under the lock, which is given up before anything is posted, and before a handler is called.
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

/// It is over before it has begun.
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
      if (!first) return;  // woken by the same bell as the one before it
      me_.cancel_sleep();
      schedule(posts);
      break;
    case phase::idle:
      // Nothing is taken in here, and nothing completes; but whether to go to sleep can be seen at once.
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
    // The operation at work will look after parking, and a sleeping endpoint is rung when something changes. What
    // has changed since we looked may have rung before this operation was there.
    find_conditions(posts);
    if (is(phase::scheduled)) schedule(posts);
  }
  lock.unlock();
  rethrow(deliver(posts, &op));
}

/// Better to fail than to sleep without hearing of a death.
void endpoint::sleep_for_conditions(post_list& posts) {
  prepare_sleep(nullptr, posts);
  if (const std::error_code error = me_.take_error()) {
    while (!conditions_.empty()) end(conditions_.pop(), error, posts);
  }
  settle_to_sleep(posts);
}

/// The last step before sleep: unless the bell has rung since parking, or nothing is left to sleep for.
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

/// What was in a queue is in none any more, and completes where its handler is to be called.
void endpoint::end(operation& op, std::error_code why, post_list& posts) noexcept {
  op.end(why);
  if (!op.posted) posts.add(op);
}

/// Sorts out the conditions that hold.
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
    // Others who wait may want less than this one did, or have their own way to be driven.
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

/// After the end of an operation that was not driven to it.
void endpoint::others_go_on(post_list& posts) noexcept {
  if (is(phase::waiting)) me_.cancel_sleep();
  if (transfers_.empty()) hand_off();
  go_on(posts);
  if (is(phase::idle)) stop_waits();
}

/// We were woken for something that others wait for, too, and nobody here is going to take it.
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

/// Lets the first operation be driven where its handler is to be called. That may be in a context that does not
/// run: the first one of each other context is on its way as well, and goes before it if it arrives before it.
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
  std::array<const void*, 8> contexts;  // that were met; should there be more, it takes longer to find out
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

/// Its owner is the caller from here on.
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

/// `op` is in a queue, and this is where its handler is to be called.
void endpoint::drive(operation& op, unique_lock held) {
  struct resting {
    ~resting() { e.rest_if_idle(); }  // last: a handler has had the chance to start what needs the waits
    endpoint& e;
  } const at_the_end{*this};
  unique_lock lock(std::move(held));  // given up before that
  post_list posts;
  time_slice_.begin();
  if (is(phase::waiting)) me_.cancel_sleep();  // it has come late
  become(phase::running);

  me_.handle_deaths();
  if (!conditions_.empty()) find_conditions(posts);
  if (op.is_condition) {  // on behalf of all of them
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
