// Endpoints: waiting for the bell and for deaths, in the reactor or in a thread of the caller's.
#include "../base/deadline.hpp"
#include "../platform/handle.hpp"
#include "../platform/wait.hpp"
#include "../segment/ring_on_stop.hpp"

#include <belfry/detail/async/endpoint.hpp>

#include <array>
#include <bit>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

// ---- waiting ------------------------------------------------------------------------------------

void endpoint::on_wait(const waitable::wait_id& which) {
  unique_lock lock(mutex_);
  watched& wait = which.what == waitable::kind::bell ? bell_ : deaths_[which.slot];
  if (which.serial != wait.serial) return;
  wait.on = false;
  if (which.what == waitable::kind::bell) {
    rung_ = undrained_ = true;
  } else {
    told_deaths_ |= std::uint64_t{1} << which.slot;
  }
  if (!is(phase::waiting)) return;
  rise();
  operation* const next = head();
  if (next != nullptr && next->at_home() && !next->posted) return drive(*next, std::move(lock));
  if (next == nullptr) {  // what was waited for was seen before
    become(phase::idle);
    pass_on();
    return stop_waits();
  }
  post_list posts;
  schedule(posts);
  lock.unlock();
  if (const std::exception_ptr error = deliver(posts)) std::rethrow_exception(error);
}

/// Declares to be awake. It may have been rung and not have heard of it yet.
void endpoint::rise() noexcept {
  if (roster_->park().unpark()) rung_ = true;
}

void endpoint::start(watched& wait, waitable::kind what, std::size_t slot) noexcept {
  if (wait.on || !wait.handle) return;
  try {
    wait.handle->async_wait(
        std::shared_ptr<waitable::listener>(shared_from_this(), static_cast<listener*>(this)),
        {what, static_cast<std::uint32_t>(slot), wait.serial + 1});
  } catch (...) {
    wait_error_ = std::make_error_code(std::errc::not_enough_memory);
    return;
  }
  // It may be over already, and waits for our lock.
  wait.on = true;
  ++wait.serial;
}

void endpoint::stop(watched& wait) noexcept {
  if (!std::exchange(wait.on, false)) return;
  ++wait.serial;
  wait.handle->cancel();
}

void endpoint::start_waits() noexcept {
  start(bell_, waitable::kind::bell, 0);
  for (std::size_t i = 0; i != deaths_.size(); ++i) start(deaths_[i], waitable::kind::death, i);
}

/// Waits that nobody waits for must not keep the context running.
void endpoint::stop_waits() noexcept {
  stop(bell_);
  for (watched& death : deaths_) stop(death);
}

void endpoint::rest_if_idle() noexcept {
  if (!is(phase::idle)) return;
  const unique_lock lock(mutex_);
  if (is(phase::idle)) stop_waits();
}

void endpoint::forget(std::size_t slot) noexcept {
  watched& wait = deaths_[slot];
  told_deaths_ &= ~(std::uint64_t{1} << slot);
  if (std::exchange(wait.on, false)) ++wait.serial;
  wait.handle.reset();
  if (wait_set_ && wait.owned) platform::remove_from_wait_set(wait_set_, wait.owned.get());
  wait.owned.reset();
}

void endpoint::watch_peers() noexcept {
  watch_changes_.clear();
  wait_error_ = roster_->watch_peers(watch_changes_);
  for (roster::watch_change& change : watch_changes_) {
    watched& death = deaths_[change.slot];
    forget(change.slot);
    death.owned = std::move(change.handle);
    if (!death.owned) continue;
    platform::guard_against_fork(death.owned);
    if (wait_set_) {
      if (const auto e = platform::add_to_wait_set(wait_set_, death.owned.get())) wait_error_ = e;
    }
    try {
      death.handle.emplace(executor_, death.owned.get());
    } catch (const net_system_error& e) {
      wait_error_ = e.code();
    } catch (...) {
      wait_error_ = std::make_error_code(std::errc::not_enough_memory);
    }
  }
}

// A wait of Asio's may complete without a reason: an event that was meant for a descriptor which was
// just closed reaches whoever got its place in the reactor. So the handle is asked before its owner is
// taken for dead.
void endpoint::handle_deaths() noexcept {
  while (told_deaths_ != 0) {
    const auto slot = static_cast<std::size_t>(std::countr_zero(told_deaths_));
    told_deaths_ &= ~(std::uint64_t{1} << slot);
    // If it is not, it is watched on: the next sleep starts the wait again.
    if (!platform::is_ready(deaths_[slot].owned.get())) continue;
    forget(slot);
    roster_->watched_died(slot);
  }
}

// ---- without Asio -----------------------------------------------------------------------------------------------

std::error_code endpoint::block(request& wanted, std::chrono::nanoseconds timeout,
                                const std::stop_token& stop) {
  if (!is_open()) return make_error_code(errc::closed);
  unique_lock lock(mutex_);
  if (!is(phase::idle)) return std::make_error_code(std::errc::operation_in_progress);
  const auto deadline = deadline_after(timeout);
  stop_waits();  // or the reactor drains the bell that this thread listens to
  const ring_on_stop wake(stop, roster_->bell());
  post_list none;  // as nothing is pending
  step next = fsm_.begin();
  for (;;) {
    if (stop.stop_requested()) {
      undrained_ = true;  // it has rung our bell
      pass_on();
      return operation_aborted();
    }
    const progress p = advance(wanted, next, none);
    if (p.to == progress::done) return p.error;
    next = step::linger;
    if (p.to == progress::yield) {
      if (clock::now() >= deadline) return timed_out();
      continue;
    }
    // The ring that told of a stop may just have been drained.
    const bool in_time = stop.stop_requested() || sleep_in_thread(deadline, lock);
    rise();
    if (wait_error_) return std::exchange(wait_error_, {});
    next = fsm_.begin();
    if (in_time) continue;
    // What came at the last moment is taken, and else left for the next call.
    const attempt outcome = wanted.try_once();
    return outcome == attempt::would_block ? timed_out() : error_of(outcome);
  }
}

/// Before looking: what rings from here on is about something new.
void endpoint::drain() noexcept {
  if (std::exchange(undrained_, false)) roster_->bell().drain();
}

/// Until the bell rings, or somebody dies, which it looks into; false if the time has come before, or with
/// `wait_error_` if the system does not let it sleep.
bool endpoint::sleep_in_thread(clock::time_point deadline, unique_lock& lock) {
  std::array<native_handle_type, 1 + layout::max_participants> handles;
  std::size_t count = 0;
  handles[count++] = roster_->bell().handle();
  for (const watched& death : deaths_) handles[count++] = death.owned.get();
  std::array<bool, handles.size()> ready{};
  lock.unlock();
  const bool in_time = platform::wait_any(std::span(handles).first(count), deadline, ready, wait_error_);
  lock.lock();
  undrained_ = undrained_ || ready[0];
  for (std::size_t i = 0; i != deaths_.size(); ++i) {
    if (ready[1 + i]) told_deaths_ |= std::uint64_t{1} << i;
  }
  handle_deaths();
  return in_time;
}

bool endpoint::prepare_wait() {
  const unique_lock lock(mutex_);
  if (!is_open() || !is(phase::idle)) return false;
  const auto anything = [this] { return ready() || corrupted() || roster_->untold_event(); };
  if (anything()) return false;
  stop_waits();
  post_list none;  // as nothing is pending
  park(true, none);
  if (!wait_error_ && !anything()) return true;
  rise();  // finish_wait() tells of the error
  return false;
}

std::error_code endpoint::finish_wait() {
  if (!is_open()) return make_error_code(errc::closed);
  unique_lock lock(mutex_);
  if (!is(phase::idle)) return std::make_error_code(std::errc::operation_in_progress);
  sleep_in_thread(clock::now(), lock);
  drain();  // or the loop would not sleep
  rise();
  if (wait_error_) return std::exchange(wait_error_, {});
  if (corrupted()) return make_error_code(errc::corrupted);
  if (const std::error_code notice = take_notice()) return notice;
  // Why the last attempt has done nothing, if that is so still.
  if (roster_->unreachable() && !roster_->reaches_peers()) return roster_->unreachable();
  const std::error_code event = roster_->untold_event();
  if (!event || ready()) return {};  // what is in the ring comes before the event
  roster_->take_event();
  return event;
}

native_handle_type endpoint::wait_handle(failure& f) {
  if (!is_open()) {
    f = {make_error_code(errc::closed), "get a handle to wait for"};
    return no_handle;
  }
  const unique_lock lock(mutex_);
  if (wait_set_) return wait_set_.get();
  unique_handle set = platform::new_wait_set(f);
  if (f) return no_handle;
  const auto add = [&](native_handle_type member) {
    if (const auto e = platform::add_to_wait_set(set, member); e && !f) f = {e, "add to a wait set"};
  };
  add(roster_->bell().handle());
  for (const watched& death : deaths_) {
    if (death.owned) add(death.owned.get());
  }
  if (f) return no_handle;
  wait_set_ = std::move(set);
  return wait_set_.get();
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
