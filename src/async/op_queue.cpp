#include <belfry/detail/async/op_queue.hpp>

#include <belfry/error.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

using step = op_queue::step;

// ---- what has happened --------------------------------------------------------------------------------

step op_queue::submitted(operation& op, bool looked) noexcept {
  list_of(op).push(op);
  timed_ = timed_ || op.timed;
  // After it is in the queue: a notification that comes later than this look wakes the endpoint.
  if (op.is_condition && op.ready()) {
    conditions_.remove(op);
    end(op, {});
    return step::rest;
  }
  switch (phase_.load(std::memory_order_relaxed)) {
    case phase::idle:
      if (op.is_condition) return sleep_for(nullptr);
      if (needs_time() || (!looked && op.ready())) return schedule();
      return sleep_for(&op);
    case phase::scheduled: return schedule();
    case phase::waiting:
      // The notification that it needs also wakes the operation before it, and all conditions are looked at.
      if (op.is_condition || transfers_.front() != &op) return step::rest;
      return schedule();
  }
  return step::rest;
}

step op_queue::arrived(operation& op) noexcept {
  op.posted = false;
  if (!op.over) return drive(op);
  finished_ = &op;
  return step::finish;
}

step op_queue::woken() noexcept {
  if (!is(phase::waiting)) return step::rest;
  operation& next = *head();
  return next.at_home() && !next.posted ? drive(next) : schedule();
}

step op_queue::retried() noexcept {
  return is(phase::waiting) && has_transfers() ? schedule() : step::rest;
}

step op_queue::changed() noexcept {
  if (conditions_.empty()) return step::rest;
  const operation* const first = head();
  end_conditions_that_hold();
  return is(phase::waiting) && head() == first ? step::rest : go_on_without();
}

step op_queue::refused(operation& op, std::error_code why) noexcept {
  end(op, why);
  return step::rest;
}

step op_queue::cancelled(std::uint64_t id) noexcept {
  operation* op = transfers_.find(id);
  if (op == nullptr) op = conditions_.find(id);
  if (op == nullptr) return step::rest;
  const bool others_sleep_on = is(phase::waiting) && op != head();
  list_of(*op).remove(*op);
  cancel(*op);
  // The next operation may need less (room for a smaller message), or be driven in another context.
  return others_sleep_on ? step::rest : go_on_without();
}

step op_queue::all_cancelled() noexcept {
  if (head() == nullptr) return step::rest;
  for (operation_list* list : {&transfers_, &conditions_}) {
    while (!list->empty()) cancel(list->pop());
  }
  return go_on_without();
}

step op_queue::lost(operation& op) noexcept {
  if (op.over) return step::rest;
  list_of(op).remove(op);
  op.over = true;
  return go_on_without();
}

step op_queue::began(request& wanted) noexcept {
  current_ = &wanted;
  return attempt_current();
}

// ---- the steps of a request -----------------------------------------------------------------------------

step op_queue::drive(operation& op) noexcept {
  driven_ = &op;
  return step::drive;
}

step op_queue::driven() noexcept {
  current_ = nullptr;
  end_conditions_that_hold();
  if (timed_) end_expired_transfers();
  if (driven_->is_condition || driven_->over) return only_conditions() ? sleep_for(nullptr) : go_on();
  current_ = driven_;
  return attempt_current();
}

step op_queue::attempt_current() noexcept {
  may_attempt_ = true;
  event_seen_ = false;
  return step::attempt;
}

step op_queue::tried(bool would_block, std::error_code result) noexcept {
  if (would_block) return event_seen_ ? step::report : step::look;
  succeeded();
  return finish(result);
}

step op_queue::looked(bool event, clock::time_point now) noexcept {
  if (event) {
    event_seen_ = true;
    return step::attempt;
  }
  return !holds_up_others() && may_linger(now) ? step::linger : go_to_sleep();
}

step op_queue::reported(std::error_code event) noexcept {
  return event ? finish(event) : attempt_current();
}

step op_queue::lingered(bool ready, clock::time_point now) noexcept {
  if (ready) return step::attempt;
  return may_linger(now) ? step::yield : go_to_sleep();
}

step op_queue::yielded() noexcept {
  become(phase::scheduled);
  posts_.add(*driven_);
  return step::rest;
}

/// An operation that has begun holds up no transfer, and need not be driven for its reply.
step op_queue::go_to_sleep() noexcept {
  if (driven_ == nullptr || !driven_->is_begun()) return step::park;
  transfers_.remove(*driven_);
  driven_->is_condition = true;
  conditions_.push(*driven_);
  slept_ = true;
  return has_transfers() ? go_on() : sleep_for(nullptr);
}

bool op_queue::holds_up_others() const noexcept {
  return driven_ != nullptr && transfers_.has_several() && driven_->is_begun();
}

/// It may not attempt `wanted` before that is driven.
step op_queue::sleep_for(request* wanted) noexcept {
  current_ = wanted;
  may_attempt_ = false;
  return step::park;
}

/// An operation that is driven out of turn, in another context, also looks for the first one: while this participant
/// was awake, a notifier of that one saw no need to notify.
bool op_queue::look_again() noexcept {
  end_conditions_that_hold();
  if (timed_) end_expired_transfers();
  if (current_ == nullptr) return false;
  operation* const first = head();
  first_is_ready_ = driven_ != nullptr && first != nullptr && first != driven_ && first->ready();
  return first_is_ready_ || current_->ready();
}

step op_queue::parked(bool asleep, std::error_code error, bool woken) noexcept {
  if (may_attempt_) {
    slept_ = asleep;
    if (error) return finish(error);
    if (asleep) return step::arm;
    return std::exchange(first_is_ready_, false) ? go_on() : attempt_current();
  }
  // Conditions would miss a death. A submitted transfer is told of the error when it is driven, if there still is one.
  if (error && current_ == nullptr) end_all(conditions_, error);
  if (!asleep || woken || head() == nullptr) return go_on();
  return step::arm;
}

step op_queue::armed(std::error_code error) noexcept {
  if (!error) {
    become(phase::waiting);
    return step::rest;
  }
  operation& op = *head();
  list_of(op).remove(op);
  end(op, error);
  return go_on_without();
}

step op_queue::finish(std::error_code result) noexcept {
  result_ = result;
  if (driven_ == nullptr) return step::finish;
  list_of(*driven_).remove(*driven_);
  end(*driven_, result);
  go_on();
  return step::finish;
}

/// After a success it lingers, counting from the first moment that the ring has nothing. After a fruitless spin, it
/// does not spin until two messages again arrive within `spin` of each other.
bool op_queue::may_linger(clock::time_point now) noexcept {
  if (!needs_time()) return false;
  if (fresh_) {
    if (now - since_ < spin_) in_vain_ = false;
    since_ = now;
    fresh_ = false;
    lingers_ = !in_vain_;
  }
  if (!lingers_) return false;
  lingers_ = now - since_ < spin_;
  in_vain_ = !lingers_;
  return lingers_;
}

// ---- the queue --------------------------------------------------------------------------------------------

op_queue::due op_queue::take_due() noexcept {
  driven_ = nullptr;
  return {std::move(posts_), std::exchange(finished_, nullptr)};
}

operation_list op_queue::shut_down() noexcept {
  operation_list here;
  for (operation_list* list : {&transfers_, &conditions_}) {
    while (!list->empty()) {
      operation& op = list->pop();
      op.over = true;
      op.result = operation_aborted();
      if (!op.posted) here.push(op);
    }
  }
  become(phase::idle);
  return here;
}

/// The operation is no longer in its list. It completes on its executor: here, or after it was posted.
void op_queue::end(operation& op, std::error_code result) noexcept {
  op.over = true;
  op.result = result;
  if (&op == driven_) {
    finished_ = &op;
  } else {
    posts_.add(op);
  }
}

void op_queue::end_all(operation_list& list, std::error_code result) noexcept {
  while (!list.empty()) end(list.pop(), result);
}

void op_queue::cancel(operation& op) noexcept {
  op.give_up();
  end(op, operation_aborted());
}

/// All but the current request, which says itself that it is ready.
void op_queue::end_expired_transfers() noexcept {
  for (operation* op = transfers_.front(); op != nullptr;) {
    operation* const next = op->next;
    if (op->timed && op->is_expired() && op != current_) {
      transfers_.remove(*op);
      end(*op, {});
    }
    op = next;
  }
}

void op_queue::end_conditions_that_hold() noexcept {
  if (conditions_.empty()) return;
  operation_list waiting(std::move(conditions_));
  while (!waiting.empty()) {
    operation& op = waiting.pop();
    if (op.ready()) {
      if (op.is_begun()) succeeded();
      end(op, {});
    } else {
      conditions_.push(op);
    }
  }
}

/// Posts the first operation to the executor of its handler, where it is driven. That context may not be running, so
/// the first operation of each other context is posted as well. The operation that arrives first is driven first.
step op_queue::schedule() noexcept {
  become(phase::scheduled);
  if (transfers_.one_context() && conditions_.one_context()) {
    posts_.add(*head());
    return step::rest;
  }
  std::array<const void*, 8> contexts;  // already seen; beyond eight, is_first_of_context() searches the queue
  std::size_t count = 0;
  for (const operation_list* list : {&transfers_, &conditions_}) {
    for (operation* op = list->front(); op != nullptr; op = op->next) {
      const auto* const end = contexts.begin() + count;
      if (std::find(contexts.cbegin(), end, op->context()) != end) continue;
      if (count != contexts.size()) {
        contexts[count++] = op->context();
      } else if (!is_first_of_context(*op)) {
        continue;
      }
      posts_.add(*op);
    }
  }
  return step::rest;
}

bool op_queue::is_first_of_context(const operation& op) const noexcept {
  for (const operation_list* list : {&transfers_, &conditions_}) {
    for (const operation* o = list->front(); o != nullptr && o != &op; o = o->next) {
      if (o->context() == op.context()) return false;
    }
    if (!op.is_condition) break;
  }
  return true;
}

step op_queue::go_on() noexcept {
  if (head() != nullptr) {
    schedule();
  } else {
    become(phase::idle);
  }
  return step::rest;
}

/// After an operation has ended without success, although it may have been woken for something.
step op_queue::go_on_without() noexcept {
  go_on();
  return has_transfers() ? step::rest : step::hand_off;
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
