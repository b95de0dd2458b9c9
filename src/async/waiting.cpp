// Endpoints: waiting for the bell and for deaths, in the reactor or in the caller's thread.
#include "../base/deadline.hpp"
#include "../segment/ring_on_stop.hpp"

#include <belfry/detail/async/endpoint.hpp>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

// ---- waiting ------------------------------------------------------------------------------------

void endpoint::on_wait(const waitable::wait_id& which) {
  unique_lock lock(mutex_);
  watched& wait = which.what == waitable::kind::bell ? bell_ : deaths_[which.slot];
  if (which.serial != wait.serial) return;
  wait.on = false;
  if (which.what == waitable::kind::bell) {
    me_.heard_bell();
  } else {
    me_.heard_death(which.slot);
  }
  if (!is(phase::waiting)) return;
  me_.cancel_sleep();
  operation* const next = head();
  if (next != nullptr && next->at_home() && !next->posted) return drive(*next, std::move(lock));
  if (next == nullptr) {  // the operation has ended meanwhile
    become(phase::idle);
    hand_off();
    return stop_waits();
  }
  post_list posts;
  schedule(posts);
  lock.unlock();
  if (const std::exception_ptr error = deliver(posts)) std::rethrow_exception(error);
}

std::error_code endpoint::start(watched& wait, waitable::kind what, std::size_t slot) noexcept {
  if (wait.on || !wait.handle) return {};
  try {
    wait.handle->async_wait(
        std::shared_ptr<waitable::listener>(shared_from_this(), static_cast<listener*>(this)),
        {what, static_cast<std::uint32_t>(slot), wait.serial + 1});
  } catch (...) {
    return std::make_error_code(std::errc::not_enough_memory);
  }
  // on_wait() may already be called in another thread; it waits for this lock.
  wait.on = true;
  ++wait.serial;
  return {};
}

void endpoint::stop(watched& wait) noexcept {
  if (!std::exchange(wait.on, false)) return;
  ++wait.serial;
  wait.handle->cancel();
}

std::error_code endpoint::start_waits() noexcept {
  std::error_code error = start(bell_, waitable::kind::bell, 0);
  for (std::size_t i = 0; i != deaths_.size(); ++i) {
    if (const auto e = start(deaths_[i], waitable::kind::death, i)) error = e;
  }
  return error;
}

/// Waits in the reactor must not keep the context running while nothing is pending.
void endpoint::stop_waits() noexcept {
  stop(bell_);
  for (watched& death : deaths_) stop(death);
}

void endpoint::rest_if_idle() noexcept {
  if (!is(phase::idle)) return;
  const unique_lock lock(mutex_);
  if (is(phase::idle)) stop_waits();
}

std::error_code endpoint::watch(std::size_t slot, native_handle_type death) noexcept {
  try {
    deaths_[slot].handle.emplace(executor_, death);
    return {};
  } catch (const net_system_error& e) {
    return e.code();
  } catch (...) {
    return std::make_error_code(std::errc::not_enough_memory);
  }
}

void endpoint::unwatch(std::size_t slot) noexcept {
  watched& wait = deaths_[slot];
  if (std::exchange(wait.on, false)) ++wait.serial;
  wait.handle.reset();
}

// ---- without Asio -----------------------------------------------------------------------------------------------

std::error_code endpoint::block(request& wanted, std::chrono::nanoseconds timeout,
                                const std::stop_token& stop) {
  if (!is_open()) return make_error_code(errc::closed);
  unique_lock lock(mutex_);
  if (!is(phase::idle)) return std::make_error_code(std::errc::operation_in_progress);
  const auto deadline = deadline_after(timeout);
  stop_waits();  // or a wait in the reactor would complete for the bell that this thread waits for
  const ring_on_stop wake(stop, me_.bell());
  post_list none;  // stays empty: nothing is pending
  step next = fsm_.begin();
  for (;;) {
    if (stop.stop_requested()) {
      me_.notified_itself();
      hand_off();
      return operation_aborted();
    }
    const progress p = advance(wanted, next, none);
    if (p.to == progress::done) return p.error;
    next = step::linger;
    if (p.to == progress::yield) {
      if (clock::now() >= deadline) return timed_out();
      continue;
    }
    // The request to stop may have notified the bell just before it was drained.
    const bool in_time = stop.stop_requested() || sleep_in_thread(deadline, lock);
    me_.cancel_sleep();
    if (me_.error()) return me_.take_error();
    next = fsm_.begin();
    if (in_time) continue;
    // One last attempt after the timeout.
    const outcome o = wanted.try_once();
    return o == outcome::would_block ? timed_out() : error_of(o);
  }
}

/// Sleeps until something wakes the participant. False: the deadline has passed, or the participant has an error.
bool endpoint::sleep_in_thread(clock::time_point deadline, unique_lock& lock) {
  participant::sleep s = me_.begin_sleep();
  lock.unlock();
  const bool in_time = s.wait(deadline);
  lock.lock();
  me_.end_sleep(s);
  return in_time;
}

bool endpoint::prepare_wait() {
  const unique_lock lock(mutex_);
  if (!is_open() || !is(phase::idle)) return false;
  const auto anything = [this] { return ready() || corrupted() || peers().untold_event(); };
  if (anything()) return false;
  stop_waits();
  return me_.prepare_sleep(true, anything);  // finish_wait() reports an error
}

std::error_code endpoint::finish_wait() {
  if (!is_open()) return make_error_code(errc::closed);
  const unique_lock lock(mutex_);
  if (!is(phase::idle)) return std::make_error_code(std::errc::operation_in_progress);
  me_.end_foreign_sleep();
  if (me_.error()) return me_.take_error();
  if (corrupted()) return make_error_code(errc::corrupted);
  if (const std::error_code notice = take_notice()) return notice;
  // Why the last attempt has done nothing, if a peer still cannot be reached.
  if (peers().unreachable() && !peers().reaches_peers()) return peers().unreachable();
  const std::error_code event = peers().untold_event();
  if (!event || ready()) return {};  // values in the ring come before the event
  peers().take_event();
  return event;
}

native_handle_type endpoint::wait_handle(failure& f) {
  if (!is_open()) {
    f = {make_error_code(errc::closed), "get a handle to wait for"};
    return no_handle;
  }
  const unique_lock lock(mutex_);
  return me_.wait_handle(f);
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
