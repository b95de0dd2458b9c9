// The roster: noticing deaths, and the events of the other side.
#include "../platform/wait.hpp"
#include "log.hpp"
#include "roster_guard.hpp"

#include <belfry/detail/segment/roster.hpp>

#include <algorithm>
#include <utility>

namespace belfry::detail {

using layout::slot_control;
using layout::slot_end;
using layout::slot_state;

namespace {

/// Only under the roster's lock.
void increment(std::atomic<std::uint64_t>& counter) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace

bool roster::reap_locked() noexcept {
  bool any = false;
  for (std::size_t i = 0; i != segment_->participants(); ++i) {
    slot_control slot = control(i);
    if ((member_ && i == slot_) || slot.state == slot_state::free) continue;
    if (known_dead_[i] != slot.generation && holds_lock(i)) continue;
    // A participant that leaves says so before it gives up its slot's lock, perhaps just now.
    slot = control(i);
    if (slot.state != slot_state::going) segment_->traits().recover(segment_->ring(), i);
    if (slot.state == slot_state::live) {
      ++slot.deaths;
      slot.end = slot_end::died;
      slot.state = slot_state::going;
      increment(segment_->header().count.deaths);
      set_control(i, slot);
      log(log_level::warning, "died", segment_->name(),
          {{"role", name_of(role_of(i))},
           {"slot", digits(i)},
           {"pid", digits(segment_->slot(i).pid.load(std::memory_order_relaxed))}});
    } else if (slot.state == slot_state::going && slot.end == slot_end::left) {
      increment(segment_->header().count.leaves);
    }
    segment_->remove_bell(i);
    parked(role_of(i)).slots[i].store(0, std::memory_order_relaxed);
    slot.state = slot_state::free;
    set_control(i, slot);
    any = true;
  }
  return any;
}

void roster::reap() noexcept {
  bool any = false;
  {
    const roster_guard lock(segment_->block(), roster_guard::only_try);
    reap_due_ = !lock;
    if (lock) any = reap_locked();
  }
  if (any) ring_everyone();
}

void roster::found_dead(std::size_t slot, std::uint32_t generation) noexcept {
  known_dead_[slot] = generation;
  reap();
}

void roster::heed_alarm() noexcept {
  // Acquire: reap() checks the locks after this load. Pairs with the release in managed_channels.
  const std::uint64_t alarms = segment_->header().count.alarms.load(std::memory_order_acquire);
  if (std::exchange(heeded_alarms_, alarms) != alarms) reap();
}

// ---- events -----------------------------------------------------------------------------------------

std::error_code roster::peek_event() const noexcept {
  if (opposite_ == role_ || segment_->traits().silent) return {};  // with one role there are no such events
  const count c = census(opposite_);
  if (c.deaths != told_deaths_) return make_error_code(errc::peer_died);
  if (c.live == 0 && c.left) return make_error_code(errc::closed);
  return {};
}

std::error_code roster::untold_event() const noexcept {
  const std::error_code event = peek_event();
  if (event != errc::closed) return event;
  for (std::size_t i = first_slot(opposite_); i != end_slot(opposite_); ++i) {
    const slot_control slot = control(i);
    const bool of_the_past = slot.generation == past_[i] || slot.generation == gone_[i];
    if (slot.end == slot_end::left && !of_the_past) return event;
  }
  return {};
}

// If the event is a death, participants that have left are not marked: `closed` is reported next.
void roster::take_event() noexcept {
  const bool death = census(opposite_).deaths != told_deaths_;
  if (death) ++told_deaths_;
  for (std::size_t i = first_slot(opposite_); i != end_slot(opposite_); ++i) {
    const slot_control slot = control(i);
    if (is_over(slot) && (!death || slot.end == slot_end::died)) gone_[i] = slot.generation;
  }
}

bool roster::has_live_peer() const noexcept { return census(opposite_).live != 0; }

bool roster::peer_came() const noexcept {
  for (std::size_t i = first_slot(opposite_); i != end_slot(opposite_); ++i) {
    const slot_control slot = control(i);
    // A death may be known, or visible from the lock, before the slot could be changed under the roster's lock.
    const bool dead =
        slot.state == slot_state::live && (known_dead_[i] == slot.generation || !holds_lock(i));
    if (slot.state == slot_state::live && !dead) return true;
    const bool came_and_went = (dead || is_over(slot)) && slot.generation != gone_[i];
    if (came_and_went && role_ == layout::role::consumer && !segment_->traits().silent) return true;
  }
  return false;
}

// ---- watching ---------------------------------------------------------------------------------------

/// A missing bell alone proves nothing: its owner may be leaving, or be reaped, at this moment. Both change the slot
/// before they remove the bell.
bool roster::is_there(std::size_t slot, std::uint32_t generation) const noexcept {
  const slot_control now = control(slot);
  return now.state == slot_state::live && now.generation == generation && holds_lock(slot);
}

std::error_code roster::watch_peers(std::vector<watch_change>& changes) {
  std::error_code failed;
  if (missed_ && !meet_newcomers()) failed = unreachable_;
  for (std::size_t i = 0; i != watched_.size(); ++i) {
    if (i == slot_) continue;
    const slot_control slot = control(i);
    const bool live = slot.state == slot_state::live;
    if (watched_[i] == (live ? slot.generation : 0)) continue;
    unique_handle handle;
    if (live) {
      std::error_code error;
      switch (watch_for_death(*segment_, i, slot.generation, handle, error)) {
        case ringer::state::reachable: break;
        case ringer::state::deserted: found_dead(i, slot.generation); break;
        case ringer::state::unreachable:
        case ringer::state::failed:
          if (is_there(i, slot.generation)) {
            failed = error;
          } else {
            reap();  // the owner is dead; or the slot has changed, and this participant will be notified
          }
          continue;
      }
    }
    watched_[i] = live ? slot.generation : 0;
    changes.push_back({i, std::move(handle)});
  }
  if (const std::error_code error = watch_lock(changes)) failed = error;
  return failed;
}

/// There is no event for the release of the roster's lock, and its holder need not be a participant: so a timer.
std::error_code roster::watch_lock(std::vector<watch_change>& changes) {
  if (reap_due_) reap();
  if (!reap_due_) retry_after_ = std::chrono::milliseconds(1);
  if (reap_due_ == lock_watched_) return {};
  unique_handle timer;
  if (reap_due_) {
    std::error_code error;
    timer = platform::new_timer(retry_after_, error);
    if (!timer) return error;
    retry_after_ = std::min(2 * retry_after_, std::chrono::milliseconds(256));
  }
  lock_watched_ = reap_due_;
  changes.push_back({slot_, std::move(timer)});
  return {};
}

void roster::is_not_watched(std::size_t slot) noexcept {
  if (slot == slot_) {
    lock_watched_ = false;
  } else {
    watched_[slot] = 0;
  }
}

// An owner that is alive after all is not watched again.
void roster::watched_died(std::size_t slot) noexcept {
  if (slot == slot_) {
    lock_watched_ = false;
    return reap();
  }
  found_dead(slot, watched_[slot]);
}

}  // namespace belfry::detail
