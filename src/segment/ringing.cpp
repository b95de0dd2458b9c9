// The roster: notifying other participants.
#include "log.hpp"

#include <belfry/detail/segment/roster.hpp>

#include <utility>

namespace belfry::detail {

using layout::slot_control;
using layout::slot_state;

// ---- opening bells ------------------------------------------------------------------------------------

/// Opens the bell of a slot's owner, unless it is open. `failed`: the owner is alive, and cannot be reached.
ringer::state roster::reach(std::size_t slot, std::uint32_t generation) noexcept {
  ringer& r = ringers_[slot];
  if (r.serves(generation)) return ringer::state::reachable;
  std::error_code error;
  const ringer::state found = ringer::open(*segment_, slot, generation, r, error);
  if (found == ringer::state::reachable || found == ringer::state::deserted) return found;
  if (!is_there(slot, generation)) return ringer::state::unreachable;
  unreachable_ = error;
  if (current_log() != nullptr && !std::exchange(unreachable_logged_, true)) {
    log(log_level::warning, "unreachable", segment_->name(), {{"slot", digits(slot)}, {"error", error.message()}});
  }
  return ringer::state::failed;
}

/// Called while joining, under the roster's lock: all participants must be notified of the newcomer.
bool roster::meet_everyone(failure& f) noexcept {
  unreachable_.clear();
  for (std::size_t i = 0; i != ringers_.size(); ++i) {
    const slot_control slot = control(i);
    if (slot.state != slot_state::live) continue;
    if (reach(i, slot.generation) == ringer::state::deserted) known_dead_[i] = slot.generation;
  }
  reap_locked();
  if (!unreachable_) return true;
  f = {unreachable_, "reach the bell of a participant of " + segment_->title()};
  return false;
}

bool roster::meet_newcomers() noexcept {
  // Read the count before the slots: a participant that joins meanwhile is for the next call. Acquire: as in
  // reaches_peers().
  const std::uint64_t joins = segment_->header().count.joins.load(std::memory_order_acquire);
  unreachable_.clear();
  for (std::size_t i = 0; i != ringers_.size(); ++i) {
    const bool opposite = first_slot(opposite_) <= i && i < end_slot(opposite_);
    if (i == slot_ || (!opposite && !segment_->traits().competing)) continue;
    const slot_control slot = control(i);
    if (slot.state != slot_state::live) continue;
    if (reach(i, slot.generation) == ringer::state::deserted) found_dead(i, slot.generation);
  }
  if (!unreachable_ && std::exchange(missed_, false)) {
    ring_parked(opposite_, everyone);
    if (segment_->traits().competing) ring_parked(role_, everyone);
  }
  met_ = unreachable_ ? never : joins;
  if (!unreachable_) unreachable_logged_ = false;
  return !unreachable_;
}

// ---- notifying ------------------------------------------------------------------------------------------

void roster::ring_parked(layout::role role, std::size_t most) noexcept {
  const bool all = most == ~std::size_t{0};
  for (std::size_t i = first_slot(role); i != end_slot(role) && most != 0; ++i) {
    const auto mark = static_cast<layout::park_mark>(parked(role).slots[i].load(std::memory_order_relaxed));
    if (mark == layout::park_mark::none || (mark == layout::park_mark::own && !all)) continue;
    if (wake(i)) --most;
  }
}

void roster::notify_one(std::size_t slot) noexcept {
  publish_fence();
  if (slot < segment_->participants() && mark_of(slot).load(std::memory_order_relaxed) != 0) wake(slot);
}

/// N3 to N5. True: it was asleep, and this notifier woke it.
bool roster::wake(std::size_t i) noexcept {
  // Acquire: a notifier that sees the mark sees the word. Pairs with the release in parking::park().
  if (mark_of(i).load(std::memory_order_acquire) == 0) return false;
  std::atomic<std::uint64_t>& word = segment_->slot(i).park;
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  if (state_of(seen) != layout::park_state::parked) return false;
  const slot_control slot = control(i);
  switch (ring(i, slot.generation)) {
    case rung::deserted: found_dead(i, slot.generation); return false;
    case rung::not_reached: return false;
    case rung::yes: break;
  }
  // Notify, and only then mark: a notifier that dies in between costs a spurious wake, not a lost one.
  // CAS lost: another notifier woke this parking, so do not count it.
  // Release: the participant that finds itself woken sees what it was woken for. Pairs with the acquire in
  // parking::unpark(); after notify_rival() there is no fence that would do it.
  const bool mine = word.compare_exchange_strong(seen, park_word(park_epoch(seen), layout::park_state::rung),
                                                 std::memory_order_release, std::memory_order_relaxed);
  std::atomic<std::uint64_t>& rings = segment_->slot(slot_).rings;
  rings.store(rings.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return mine;
}

roster::rung roster::ring(std::size_t slot, std::uint32_t generation) noexcept {
  if (slot == slot_) {  // of a watch, which also sees its own notifications
    bell_.ring();
    return rung::yes;
  }
  switch (reach(slot, generation)) {
    case ringer::state::reachable: break;
    case ringer::state::deserted: return rung::deserted;
    case ringer::state::unreachable:
      return rung::not_reached;  // the owner has left, or was reaped
    case ringer::state::failed:
      missed_ = true;
      met_ = never;
      return rung::not_reached;
  }
  if (ringers_[slot].ring()) return rung::yes;
  ringers_[slot].close();
  return rung::deserted;
}

void roster::ring_everyone() noexcept {
  for (std::size_t i = 0; i != ringers_.size(); ++i) {
    const slot_control slot = control(i);
    if (i != slot_ && slot.state == slot_state::live) ring(i, slot.generation);
  }
}

}  // namespace belfry::detail
