// The roster: joining and leaving.
#include "../base/clock.hpp"
#include "../platform/barrier.hpp"
#include "../platform/block.hpp"
#include "../platform/lock.hpp"
#include "../platform/process.hpp"
#include "log.hpp"
#include "roster_guard.hpp"

#include <belfry/detail/segment/roster.hpp>

#include <array>
#include <bit>
#include <thread>
#include <utility>

namespace belfry::detail {

using layout::slot_control;
using layout::slot_end;
using layout::slot_state;

namespace {

/// In a sticky directory no other user can remove the bell of this one. So where several users may participate, leaving
/// waits a moment for the lock.
roster_guard::how how_to_leave(const segment& s) noexcept {
  const bool shared = s.named() && (s.bell_mode() & 066) != 0;
  return shared ? roster_guard::try_for_a_moment : roster_guard::only_try;
}

}  // namespace

roster::roster(segment& s, layout::role role)
    : segment_(&s),
      role_(role),
      opposite_(s.places().producers == 0 ? role : opposite(role)),
      fences_(!platform::is_reached_by_barriers()),
      past_(s.participants()),
      gone_(s.participants()),
      watched_(s.participants()),
      known_dead_(s.participants()),
      ringers_(s.participants()) {
  peer_marks_ = marks_of(opposite_);
  own_marks_ = marks_of(role_);
}

std::span<std::uint64_t> roster::marks_of(layout::role role) const noexcept {
  auto* const marks = reinterpret_cast<std::uint64_t*>(parked(role).slots.data());
  return std::span(marks, sizeof(layout::control_header::parked_marks) / sizeof(std::uint64_t))
      .first((end_slot(role) + 7) / 8)
      .subspan(first_slot(role) / 8);
}

std::size_t roster::first_slot(layout::role role) const noexcept {
  return role == layout::role::producer ? 0 : segment_->places().producers;
}

std::size_t roster::end_slot(layout::role role) const noexcept {
  return role == layout::role::producer ? segment_->places().producers
                                        : segment_->participants();
}

roster::count roster::census(layout::role role) const noexcept {
  count c;
  for (std::size_t i = first_slot(role); i != end_slot(role); ++i) {
    const slot_control slot = control(i);
    if (slot.state == slot_state::live) ++c.live;
    if (slot.end == slot_end::left && slot.generation != past_[i]) c.left = true;
    c.deaths = static_cast<std::uint16_t>(c.deaths + slot.deaths);
  }
  return c;
}

// ---- joining and leaving ----------------------------------------------------------------------------

roster::joined roster::join(failure& f, const std::function<void(std::size_t)>& begin) {
  bool done = false;
  {
    const roster_guard lock(segment_->block(), f);
    if (!lock) {
      f.what = "lock the roster of " + segment_->title();
      return joined::no;
    }
    if (segment_->named() && !platform::has_name(segment_->block(), segment_->name())) return joined::gone;
    if (segment_->outdated()) {
      reap_locked();
      return segment_->replace(f) ? joined::gone : joined::no;
    }
    // Before reaping: a death that was not noticed yet is reported to this participant.
    told_deaths_ = census(opposite_).deaths;
    remember_the_past();
    reap_locked();
    done = meet_everyone(f) && claim_slot(f, begin);
  }
  if (!done) clear_up();
  ring_everyone();
  if (done) {
    log(log_level::debug, "joined", segment_->name(), {{"role", name_of(role_)}, {"slot", digits(slot_)}});
  }
  return done ? joined::yes : joined::no;
}

void roster::remember_the_past() noexcept {
  if (role_ == layout::role::consumer) return;
  for (std::size_t i = first_slot(opposite_); i != end_slot(opposite_); ++i) {
    if (control(i).end == slot_end::left) past_[i] = control(i).generation;
  }
}

/// The lock of a free slot may still be held: its owner was known to be dead by its bell, and the kernel has not closed
/// all its files yet. If no other slot is free, this waits for such a lock.
std::size_t roster::lock_free_slot(const slots& unusable) noexcept {
  bool any_free = true;
  for (int attempt = 0; any_free && attempt != 200; ++attempt) {
    if (attempt != 0)
      std::this_thread::sleep_for(std::chrono::microseconds(attempt < 20 ? 20 : 1000));
    any_free = false;
    for (std::size_t i = first_slot(role_); i != end_slot(role_); ++i) {
      if (control(i).state != slot_state::free || unusable[i]) continue;
      if (platform::try_lock_byte(segment_->block(), layout::slot_lock(i))) return i;
      any_free = true;
    }
  }
  return no_slot;
}

/// In a sticky directory a newcomer cannot replace the bell that a dead process of another user has left. Then it tries
/// the next slot.
bool roster::claim_slot(failure& f, const std::function<void(std::size_t)>& begin) {
  slots unusable;
  for (;;) {
    const std::size_t free = lock_free_slot(unusable);
    if (free == no_slot) break;
    f = {};
    if (settle_in(free, f, begin)) return true;
    platform::unlock_byte(segment_->block(), layout::slot_lock(free));
    if (f.code != std::errc::file_exists) return false;
    unusable.set(free);
  }
  if (f) return false;
  const std::size_t places = end_slot(role_) - first_slot(role_);
  std::string what = role_ == layout::role::producer ? "a producer" : "a consumer";
  what += " of " + segment_->title();
  if (places == 1) {
    f = {make_error_code(errc::role_taken), what};
  } else {
    f = {make_error_code(errc::roster_full),
         what + ": all " + std::to_string(places) + " places are taken"};
  }
  return false;
}

bool roster::settle_in(std::size_t free, failure& f,
                       const std::function<void(std::size_t)>& begin) {
  layout::participant_slot& slot = segment_->slot(free);
  slot.bell.store(0, std::memory_order_relaxed);  // not made yet: a reaper removes any bell of this name
  // The generation, and the end that the slot tells, are the former owner's until this one is live.
  slot_control next = control(free);
  next.state = slot_state::joining;
  set_control(free, next);

  slot.pid.store(segment_->knows_pids() ? platform::process_id() : 0, std::memory_order_relaxed);
  slot.since.store(now_since_1970(), std::memory_order_relaxed);
  const auto program = std::bit_cast<std::array<std::uint64_t, 2>>(platform::program_name());
  for (std::size_t i = 0; i != program.size(); ++i)
    slot.program[i].store(program[i], std::memory_order_relaxed);
  bell_ = doorbell::make(*segment_, free, f);
  if (f) {
    next.state = slot_state::free;
    set_control(free, next);
    return false;
  }
  slot.bell.store(bell_.id(), std::memory_order_relaxed);
  slot.bell_handle.store(number_of(bell_.handle()), std::memory_order_relaxed);
  // The epoch continues where the former owner left it: a notifier may still hold one of its words.
  const std::uint64_t epoch = park_epoch(slot.park.load(std::memory_order_relaxed)) + 1;
  slot.park.store(park_word(epoch, layout::park_state::awake), std::memory_order_relaxed);
  traffic_ = &slot.count;
  // If this process dies in `begin`, the reaper undoes what it has begun, as it does for a joining slot, too.
  if (begin) begin(free);

  ++next.generation;
  next.state = slot_state::live;
  next.end = slot_end::none;
  set_control(free, next);
  // Counted only now: a participant that sees the count sees a newcomer that is live. Pairs with the acquire in
  // reaches_peers().
  std::atomic<std::uint64_t>& joins = segment_->header().count.joins;
  joins.store(joins.load(std::memory_order_relaxed) + 1, std::memory_order_release);

  parking_.attach(segment_->header(), slot, role_, free);
  slot_ = free;
  member_ = true;
  fork_generation_ = fork_generation.load(std::memory_order_relaxed);
  return true;
}

void roster::leave() noexcept {
  if (!member_) return;
  member_ = false;
  if (is_inherited()) {
    bell_.close();  // the child's copy of the descriptor; the membership is the parent's
    segment_->release_block();
    return;
  }
  parking_.unpark();
  // While its lock is held only its owner changes the control word of a slot, so this needs no roster's lock.
  slot_control last = control(slot_);
  last.state = slot_state::going;
  last.end = slot_end::left;
  set_control(slot_, last);
  if (const roster_guard lock(segment_->block(), how_to_leave(*segment_)); lock) segment_->remove_bell(slot_);
  platform::unlock_byte(segment_->block(), layout::slot_lock(slot_));
  clear_up();
  ring_everyone();
  segment_->departed();
  for (ringer& r : ringers_) r.close();
  bell_.close();
  segment_->release_block();
  log(log_level::debug, "left", segment_->name(), {{"role", name_of(role_)}, {"slot", digits(slot_)}});
}

/// Called by a participant that has left, or a newcomer that failed to join.
void roster::clear_up() noexcept {
  do {
    const roster_guard lock(segment_->block(), how_to_leave(*segment_));
    if (!lock) return;  // the holder of the lock clears up
    reap_locked();
    discard_if_over();
  } while (any_slot_going());
}

/// The last participant, or a newcomer that failed to join, removes the segment if nothing is unread. A segment that
/// was created for that newcomer is removed in any case.
void roster::discard_if_over() noexcept {
  const bool alone =
      census(layout::role::producer).live == 0 && census(layout::role::consumer).live == 0;
  const std::uint64_t joins = segment_->header().count.joins.load(std::memory_order_relaxed);
  const bool unused = joins == (undone_ ? 1 : 0);
  const bool over = segment_->traits().drained(segment_->ring()) || segment_->has_lost_subject();
  if (alone && (unused || (over && !segment_->persistent()))) {
    segment_->discard();
    log(log_level::debug, "removed", segment_->name());
  }
}

/// Whether a participant has left while this one held the roster's lock, and left the reaping to it. The other one
/// released its slot's lock before it tried the roster's, so this check, after the roster's lock was released, sees it.
bool roster::any_slot_going() const noexcept {
  for (std::size_t i = 0; i != segment_->participants(); ++i) {
    if (control(i).state == slot_state::going && !holds_lock(i)) return true;
  }
  return false;
}

bool roster::holds_lock(std::size_t slot) const noexcept {
  return platform::is_locked_by_another(segment_->block(), layout::slot_lock(slot));
}

}  // namespace belfry::detail
