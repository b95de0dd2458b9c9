// Endpoints: waiting without Asio, in the caller's thread or in a foreign event loop.
#include "../base/deadline.hpp"
#include "../segment/ring_on_stop.hpp"

#include <belfry/detail/async/endpoint.hpp>

#include <algorithm>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

std::error_code endpoint::block(request& wanted, std::chrono::nanoseconds timeout,
                                const std::stop_token& stop) {
  if (!is_open()) return make_error_code(errc::closed);
  std::unique_lock lock(mutex_);
  if (!queue_.is_idle()) return std::make_error_code(std::errc::operation_in_progress);
  const auto deadline = deadline_after(timeout);
  waits_.detach();  // or a wait in the reactor would complete for the bell that this thread waits for
  const ring_on_stop wake(stop, me_.bell());
  for (step next = queue_.began(wanted);;) {
    if (stop.stop_requested()) {
      me_.notified_itself();
      hand_off();
      return operation_aborted();
    }
    next = advance(next);
    if (next == step::finish) return queue_.result();
    if (next == step::yield) {
      if (clock::now() >= deadline) return timed_out();
      next = step::linger;
      continue;
    }
    asleep_ = false;  // it is this thread that sleeps: no event of the reactor may end that
    // The request to stop may have notified the bell just before it was drained.
    const bool in_time = stop.stop_requested() || sleep_in_thread(std::min(deadline, next_look_.load(std::memory_order_relaxed)), lock) ||
                         (!me_.error() && clock::now() < deadline);
    me_.cancel_sleep();
    if (me_.error()) {
      hand_off();
      return me_.take_error();
    }
    next = queue_.began(wanted);
    if (in_time) continue;
    // One last attempt after the timeout.
    const outcome o = wanted.try_once();
    return o == outcome::would_block ? timed_out() : error_of(o);
  }
}

/// Sleeps until something wakes the participant. False: the deadline has passed, or the participant has an error.
bool endpoint::sleep_in_thread(clock::time_point deadline, std::unique_lock<std::mutex>& lock) {
  participant::sleep s = me_.begin_sleep();
  lock.unlock();
  const bool in_time = s.wait(deadline);
  lock.lock();
  me_.end_sleep(s);
  return in_time;
}

bool endpoint::prepare_wait() {
  const std::lock_guard lock(mutex_);
  if (!is_open() || !queue_.is_idle()) return false;
  const auto anything = [this] {
    next_look_.store(clock::time_point::max(), std::memory_order_relaxed);
    look_again_at(wakes_at());
    return has_work() || corrupted() || peers().untold_event();
  };
  if (anything()) return false;
  waits_.detach();
  if (!me_.prepare_sleep(competes(), anything)) return false;  // finish_wait() reports an error
  me_.wake_loop_at(next_look_.load(std::memory_order_relaxed));
  return true;
}

std::error_code endpoint::finish_wait() {
  if (!is_open()) return make_error_code(errc::closed);
  const std::lock_guard lock(mutex_);
  if (!queue_.is_idle()) return std::make_error_code(std::errc::operation_in_progress);
  me_.end_foreign_sleep();
  if (me_.error()) return me_.take_error();
  if (corrupted()) return error_of(outcome::corrupted);
  if (const std::error_code notice = take_notice()) return notice;
  // Why the last attempt has done nothing, if a peer still cannot be reached.
  if (peers().unreachable() && !peers().reaches_peers()) return peers().unreachable();
  const std::error_code event = peers().untold_event();
  if (!event || has_work()) return {};  // values in the ring come before the event
  peers().take_event();
  return event;
}

native_handle_type endpoint::wait_handle(failure& f) {
  if (!is_open()) {
    f = {make_error_code(errc::closed), "get a handle to wait for"};
    return no_handle;
  }
  const std::lock_guard lock(mutex_);
  return me_.wait_handle(f);
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
