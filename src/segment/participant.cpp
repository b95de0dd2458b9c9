// Participants: joining, and sleeping.
#include "../platform/barrier.hpp"
#include "../platform/handle.hpp"
#include "../platform/wait.hpp"
#include "log.hpp"

#include <belfry/detail/segment/participant.hpp>

#include <algorithm>
#include <span>
#include <utility>

namespace belfry::detail {
// ---- joining and leaving ----------------------------------------------------------------------------

void participant::open(std::string_view name, const channel_options& options, failure& f,
                       const begin_side& begin, const subject& block) {
  for (;;) {
    segment_ = segment::create_or_open(name, traits_, options, f, block);
    // Gone: the last participant has removed the segment meanwhile, so open the name again.
    if (!f && join(begin, f) == roster::joined::gone) continue;
    if (f) refused(name, f);
    return;
  }
}

void participant::open(const segment_handles& handles, const channel_options& options, failure& f,
                       const begin_side& begin, std::unique_ptr<manager_session> session) {
  segment_ = segment::attach(handles, traits_, options, f, std::move(session));
  if (!f) join(begin, f);
  if (f) refused(segment_.name(), f);
}

/// Its owner may keep it: it must not hold a manager's channel, or a descriptor.
void participant::refused(std::string_view name, const failure& f) noexcept {
  log_refusal(name, f);
  roster_.reset();
  segment_.release_block();
}

roster::joined participant::join(const begin_side& begin, failure& f) {
  watched_ = std::vector<unique_handle>(segment_.participants());
  watch_changes_.reserve(segment_.participants());
  roster_.emplace(segment_, role_);
  return roster_->join(f, [&](std::size_t slot) {
    if (begin) begin(segment_.ring(), slot);
  });
}

void participant::abandon() noexcept {
  loop_timer_.reset();
  for (unique_handle& handle : watched_) handle.reset();
  wait_set_.close();
  leave();
}

void participant::stop_watching() noexcept {
  wait_set_.close();  // before its members
  for (std::size_t i = 0; i != watched_.size(); ++i) unwatch(i);
  loop_timer_.reset();
}

// ---- going to sleep -----------------------------------------------------------------------------------

/// W0 to W2.
void participant::park(bool for_ring) noexcept {
  rung_ = false;
  drain();
  watch_peers();  // before parking: a later newcomer notifies, and is watched at the next sleep
  const bool for_all = for_ring || !traits().competing;
  roster_->park().park(for_all ? layout::park_mark::ring : layout::park_mark::own);
  // (The places of calls are freed by an operation that is itself a fence.)
  if (for_ring && role_ == layout::role::producer && !traits().silent) platform::barrier_everywhere();
  roster_->heed_alarm();
}

/// Before looking: a later notification is about something new.
void participant::drain() noexcept {
  if (std::exchange(undrained_, false)) roster_->bell().drain();
}

void participant::watch_peers() noexcept {
  watch_changes_.clear();
  error_ = roster_->watch_peers(watch_changes_);
  for (roster::watch_change& change : watch_changes_) {
    unwatch(change.slot);
    unique_handle& death = watched_[change.slot];
    death = std::move(change.handle);
    if (!death) continue;
    platform::guard_against_fork(death);
    std::error_code refused;
    if (wait_set_) refused = wait_set_.add(death.get());
    if (!refused && observer_ != nullptr) refused = observer_->watch(change.slot, death.get());
    if (!refused) continue;
    error_ = refused;
    unwatch(change.slot);
    roster_->is_not_watched(change.slot);  // the next parking tries again
  }
}

void participant::unwatch(std::size_t slot) noexcept {
  deaths_.reset(slot);
  if (!watched_[slot]) return;
  if (observer_ != nullptr) observer_->unwatch(slot);
  if (wait_set_) wait_set_.remove(watched_[slot].get());
  watched_[slot].reset();
}

// ---- being woken ------------------------------------------------------------------------------------

// A wait in Asio may complete without reason: an event for a descriptor that was just closed can reach the descriptor
// that took its place in the reactor. So check the handle before its owner is taken for dead.
void participant::look_into_deaths() noexcept {
  const auto heard = std::exchange(deaths_, {});
  for (std::size_t slot = 0; slot != watched_.size(); ++slot) {
    if (!heard[slot]) continue;
    // Not ready: keep watching it; the next sleep waits for it again.
    if (!platform::is_ready(watched_[slot].get())) continue;
    unwatch(slot);
    roster_->watched_died(slot);
  }
}

bool participant::sleep::wait(clock::time_point deadline) noexcept {
  return platform::wait_any(std::span(handles_).first(count_), deadline, ready_, error_);
}

participant::sleep participant::begin_sleep() const noexcept {
  sleep s;
  s.handles_[s.count_++] = roster_->bell().handle();
  for (const unique_handle& death : watched_) s.handles_[s.count_++] = death.get();
  return s;
}

void participant::end_sleep(const sleep& s) noexcept {
  if (s.error_) error_ = s.error_;
  undrained_ = undrained_ || s.ready_[0];
  for (std::size_t i = 0; i != watched_.size(); ++i) {
    if (s.ready_[1 + i]) heard_death(i);
  }
  handle_deaths();
}

// ---- in a foreign event loop --------------------------------------------------------------------------

native_handle_type participant::wait_handle(failure& f) {
  if (wait_set_) return wait_set_.handle();
  detail::wait_set set = detail::wait_set::around(roster_->bell().handle(), f);
  for (const unique_handle& death : watched_) {
    if (!death || f) continue;
    if (const std::error_code refused = set.add(death.get())) f = {refused, "add to a wait set"};
  }
  if (f) return no_handle;
  wait_set_ = std::move(set);
  return wait_set_.handle();
}

void participant::wake_loop_at(clock::time_point time) noexcept {
  if (loop_timer_) wait_set_.remove(loop_timer_.get());
  loop_timer_.reset();
  if (time == clock::time_point::max() || !wait_set_ || error_) return;
  const auto after = std::max<clock::duration>(time - clock::now(), std::chrono::nanoseconds(1));
  loop_timer_ = platform::new_timer(after, error_);
  if (!loop_timer_) return;
  platform::guard_against_fork(loop_timer_);
  if (const std::error_code refused = wait_set_.add(loop_timer_.get())) error_ = refused;
}

void participant::end_foreign_sleep() noexcept {
  wake_loop_at(clock::time_point::max());
  sleep s = begin_sleep();
  s.wait(clock::now());
  end_sleep(s);
  drain();  // or the loop would not sleep any more
  cancel_sleep();
}

}  // namespace belfry::detail
