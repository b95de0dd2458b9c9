#include "../platform.hpp"

#include <belfry/segment/roster.hpp>

#include <thread>
#include <utility>

namespace belfry::detail {
namespace {

using layout::slot_control;
using layout::slot_end;
using layout::slot_state;

/// The roster's lock. Short, and dropped by the kernel with whoever holds it.
class roster_guard {
 public:
  explicit roster_guard(const segment& s, bool wait = true)
      : block_(s.block()),
        locked_(wait ? platform::lock_byte(block_, layout::roster_lock)
                     : platform::try_lock_byte(block_, layout::roster_lock)) {}
  ~roster_guard() {
    if (locked_) platform::unlock_byte(block_, layout::roster_lock);
  }
  roster_guard(const roster_guard&) = delete;
  roster_guard& operator=(const roster_guard&) = delete;

  explicit operator bool() const noexcept { return locked_; }

 private:
  const unique_handle& block_;
  bool locked_;
};

/// Only ever called under the roster's lock.
void increment(std::atomic<std::uint64_t>& counter) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

/// A segment that was unlinked may have a namesake by now, whose bells are not ours to remove.
void remove_bell(const segment& s, std::size_t slot) {
  if (!s.named()) return;
  const std::string name = bell_name(s.name(), slot);
  const std::uint64_t id = s.slot(slot).bell.load(std::memory_order_relaxed);
  if (id == 0 || platform::named_bell_id(name) == id) platform::unlink_named_bell(name);
}

}  // namespace

roster::roster(segment& s, layout::role role)
    : segment_(&s),
      role_(role),
      opposite_(s.traits().producers == 0 ? role : opposite(role)),
      fences_(!platform::is_reached_by_barriers()),
      past_(s.traits().participants()),
      gone_(s.traits().participants()),
      ringers_(s.traits().participants()),
      watched_(s.traits().participants()) {
  auto* const marks = reinterpret_cast<std::uint64_t*>(parked(opposite_).slots.data());
  peer_marks_ = std::span(marks, layout::max_participants / 8)
                    .first((end_slot(opposite_) + 7) / 8)
                    .subspan(first_slot(opposite_) / 8);
}

std::size_t roster::first_slot(layout::role role) const noexcept {
  return role == layout::role::producer ? 0 : segment_->traits().producers;
}

std::size_t roster::end_slot(layout::role role) const noexcept {
  return role == layout::role::producer ? segment_->traits().producers
                                        : segment_->traits().participants();
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
  {
    const roster_guard lock(*segment_);
    if (!lock) {
      f = {std::error_code(errno, std::system_category()), "lock the roster"};
      return joined::no;
    }
    if (segment_->named() && !platform::has_name(segment_->block())) return joined::gone;
    if (segment_->outdated()) {
      reap_locked({});
      return segment_->replace(f) ? joined::gone : joined::no;
    }
    // A death that nobody has noticed yet is still news to us.
    told_deaths_ = census(opposite_).deaths;
    remember_the_past();
    reap_locked({});
    if (!claim_slot(f, begin)) {
      discard_if_over();
      return joined::no;
    }
  }
  ring_everyone();
  return joined::yes;
}

void roster::remember_the_past() noexcept {
  if (role_ == layout::role::consumer) return;
  for (std::size_t i = first_slot(opposite_); i != end_slot(opposite_); ++i) {
    if (control(i).end == slot_end::left) past_[i] = control(i).generation;
  }
}

/// The last one out, or a newcomer that could not join, leaves no segment behind that nothing is in. One that has
/// been made for that newcomer goes in any case.
void roster::discard_if_over() noexcept {
  const bool alone =
      census(layout::role::producer).live == 0 && census(layout::role::consumer).live == 0;
  const bool unused = segment_->header().count.joins.load(std::memory_order_relaxed) == 0;
  const bool over = segment_->traits().drained(segment_->ring()) || segment_->has_lost_subject();
  if (alone && (unused || (over && !segment_->persistent()))) segment_->discard();
}

/// A slot that was freed on evidence may still be locked, while the kernel closes the files of its
/// dead owner one after the other; such a one is waited for, if there is no other.
std::size_t roster::lock_free_slot() noexcept {
  bool any_free = true;
  for (int attempt = 0; any_free && attempt != 200; ++attempt) {
    if (attempt != 0)
      std::this_thread::sleep_for(std::chrono::microseconds(attempt < 20 ? 20 : 1000));
    any_free = false;
    for (std::size_t i = first_slot(role_); i != end_slot(role_); ++i) {
      if (control(i).state != slot_state::free) continue;
      if (platform::try_lock_byte(segment_->block(), layout::slot_lock(i))) return i;
      any_free = true;
    }
  }
  return no_slot;
}

bool roster::claim_slot(failure& f, const std::function<void(std::size_t)>& begin) {
  const std::size_t free = lock_free_slot();
  if (free == no_slot) {
    const bool only_one = end_slot(role_) - first_slot(role_) == 1;
    f = {make_error_code(only_one ? errc::role_taken : errc::roster_full),
         std::string(role_ == layout::role::producer ? "a producer" : "a consumer") + " of \"" +
             segment_->name() + '"'};
    return false;
  }

  layout::participant_slot& slot = segment_->slot(free);
  slot.bell.store(0,
                  std::memory_order_relaxed);  // not made yet: whatever has the name goes with us
  slot_control next = control(free);
  ++next.generation;
  next.state = slot_state::joining;
  set_control(free, next);

  slot.pid.store(segment_->knows_pids() ? platform::process_id() : 0, std::memory_order_relaxed);
  bell_ = doorbell::make(*segment_, free, f);
  if (f) {
    next.state = slot_state::free;
    set_control(free, next);
    platform::unlock_byte(segment_->block(), layout::slot_lock(free));
    return false;
  }
  slot.bell.store(bell_.id(), std::memory_order_relaxed);
  slot.bell_handle.store(static_cast<std::uint32_t>(bell_.handle()), std::memory_order_relaxed);
  // The epoch goes on where the former owner left it: a notifier may still hold one of its words.
  const std::uint64_t epoch = park_epoch(slot.park.load(std::memory_order_relaxed)) + 1;
  slot.park.store(park_word(epoch, layout::park_state::awake), std::memory_order_relaxed);
  increment(segment_->header().count.joins);
  // Should we die in it: whoever reaps undoes what one has begun who was only joining, too.
  if (begin) begin(free);

  next.state = slot_state::live;
  next.end = slot_end::none;
  set_control(free, next);

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
    bell_.close();  // nobody's by now; the membership is the parent's
    segment_->release_block();
    return;
  }
  parking_.unpark();
  {
    const roster_guard lock(*segment_);
    reap_locked({});
    remove_bell(*segment_, slot_);
    slot_control last = control(slot_);
    last.state = slot_state::free;
    last.end = slot_end::left;
    set_control(slot_, last);
    layout::control_header::counters& count = segment_->header().count;
    if (undone_) {
      count.joins.store(count.joins.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    } else {
      increment(count.leaves);
    }
    discard_if_over();
    platform::unlock_byte(segment_->block(), layout::slot_lock(slot_));
  }
  ring_everyone();
  segment_->departed();
  for (ringer& r : ringers_) r.close();
  bell_.close();
  segment_->release_block();
}

// ---- the dead ---------------------------------------------------------------------------------------

bool roster::reap_locked(evidence e) noexcept {
  bool any = false;
  for (std::size_t i = 0; i != segment_->traits().participants(); ++i) {
    slot_control slot = control(i);
    if (i == slot_ || slot.state == slot_state::free) continue;
    const bool known_dead = i == e.slot && slot.generation == e.generation;
    if (!known_dead && platform::is_locked_by_another(segment_->block(), layout::slot_lock(i))) {
      continue;
    }
    segment_->traits().recover(segment_->ring(), i);
    remove_bell(*segment_, i);
    parked(i < first_slot(layout::role::consumer) ? layout::role::producer : layout::role::consumer)
        .slots[i]
        .store(0, std::memory_order_relaxed);
    if (slot.state != slot_state::joining) {
      ++slot.deaths;
      slot.end = slot_end::died;
      increment(segment_->header().count.deaths);
    }
    slot.state = slot_state::free;
    set_control(i, slot);
    any = true;
  }
  return any;
}

void roster::reap_and_tell(evidence e, bool wait) noexcept {
  bool any = false;
  {
    const roster_guard lock(*segment_, wait);
    if (lock) any = reap_locked(e);
  }
  if (any) ring_everyone();
}

void roster::heed_alarm() noexcept {
  // Acquire: the locks are looked at after it. Pairs with the release in managed_channels.
  const std::uint64_t alarms = segment_->header().count.alarms.load(std::memory_order_acquire);
  if (std::exchange(heeded_alarms_, alarms) != alarms) reap();
}

std::error_code roster::peek_event() const noexcept {
  if (opposite_ == role_) return {};  // fellows come and go
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

// A death says nothing of those who have left: they are told next.
void roster::take_event() noexcept {
  const bool death = census(opposite_).deaths != told_deaths_;
  if (death) ++told_deaths_;
  for (std::size_t i = first_slot(opposite_); i != end_slot(opposite_); ++i) {
    const slot_control slot = control(i);
    if (slot.state == slot_state::free && (!death || slot.end == slot_end::died))
      gone_[i] = slot.generation;
  }
}

bool roster::peer_came() const noexcept {
  for (std::size_t i = first_slot(opposite_); i != end_slot(opposite_); ++i) {
    const slot_control slot = control(i);
    if (slot.state == slot_state::live) return true;
    const bool came_and_went = slot.state == slot_state::free && slot.generation != gone_[i];
    if (came_and_went && role_ == layout::role::consumer) return true;
  }
  return false;
}

std::error_code roster::watch_peers(std::vector<watch_change>& changes) {
  std::error_code failed;
  for (std::size_t i = 0; i != watched_.size(); ++i) {
    const slot_control slot = control(i);
    const bool live = i != slot_ && slot.state == slot_state::live;
    if (watched_[i] == (live ? slot.generation : 0)) continue;
    unique_handle handle;
    if (live) {
      std::error_code error;
      switch (watch_for_death(*segment_, i, slot.generation, handle, error)) {
        case ringer::state::deserted: reap_and_tell({i, slot.generation}); break;
        case ringer::state::failed: failed = error; continue;
        case ringer::state::unreachable: reap(); break;  // its bell may have gone with it
        case ringer::state::reachable: break;
      }
    }
    watched_[i] = live ? slot.generation : 0;
    changes.push_back({i, std::move(handle)});
  }
  return failed;
}

// If the owner turns out to live all the same, it is not watched again.
void roster::watched_died(std::size_t slot) noexcept { reap_and_tell({slot, watched_[slot]}); }

// ---- waking -----------------------------------------------------------------------------------------

void roster::ring_parked(layout::role role, std::size_t most) noexcept {
  for (std::size_t i = first_slot(role); i != end_slot(role) && most != 0; ++i) {
    // Acquire: who sees the mark sees the word. Pairs with the release in parking::park().
    if (parked(role).slots[i].load(std::memory_order_acquire) == 0) continue;
    std::atomic<std::uint64_t>& word = segment_->slot(i).park;
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    if (state_of(seen) != layout::park_state::parked) continue;
    const slot_control slot = control(i);
    switch (ring(i, slot.generation)) {
      case rung::nobody_there: reap_and_tell({i, slot.generation}, false); continue;
      case rung::not_reached: continue;  // still parked: the next publish tries again
      case rung::yes: break;
    }
    // Ring, and only then mark: who dies in between has cost a spurious wake, not a lost one.
    // Who is not the one to mark it has rung for what another had rung for already.
    const bool mine = word.compare_exchange_strong(
        seen, park_word(park_epoch(seen), layout::park_state::rung), std::memory_order_relaxed);
    if (mine) --most;
    increment(segment_->slot(slot_).rings);
  }
}

roster::rung roster::ring(std::size_t slot, std::uint32_t generation) noexcept {
  ringer& r = ringers_[slot];
  if (!r.serves(generation)) {
    r.close();
    std::error_code ignored;
    switch (ringer::open(*segment_, slot, generation, r, ignored)) {
      case ringer::state::reachable: break;
      case ringer::state::deserted: return rung::nobody_there;
      case ringer::state::unreachable:
      case ringer::state::failed: return rung::not_reached;
    }
  }
  if (r.ring()) return rung::yes;
  r.close();
  return rung::nobody_there;
}

void roster::ring_everyone() noexcept {
  for (std::size_t i = 0; i != segment_->traits().participants(); ++i) {
    const slot_control slot = control(i);
    if (i != slot_ && slot.state == slot_state::live) ring(i, slot.generation);
  }
}

}  // namespace belfry::detail
