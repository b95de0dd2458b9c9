// Who takes part in a segment: joining, leaving, waking each other, and noticing the dead.
//
// Alive is a participant that holds the lock on the byte of its slot; the kernel takes it away at any death. A
// slot's control word is changed under the roster's lock, but for one store: a participant that leaves says so
// itself. Every change is one store, so a process may die anywhere:
//
//   joining, not yet live   the next reaper frees the slot and removes the bell
//   live                    ditto, and the death is counted in the store that makes it `going`
//   going                   has left, or its death is counted: the next reaper frees the slot
//   reaping                 the next reaper goes on; recover() may be repeated
//
// In this order, under the roster's lock where it says so:
//
//   join    lock; give up if the segment has lost its name, or loses it now because its block has lost its
//           own to another (segment::replace): open it anew; reap; open everyone's bell; take a free slot's
//           lock; bell = 0; ++generation, joining; pid; make the bell; bell = its inode, bell_handle; the
//           next epoch, awake; its side of the ring begins; live, no end; ++joins; unlock; ring everyone who
//           is live
//   reap    lock; of each slot that is not free, and whose lock is not held, or whose owner is known to be dead
//           by its bell: undo what it has begun in the ring; if it was live going, died, one more death; remove
//           its bell (that of another inode only if `bell` is 0); clear its mark; free; unlock; then ring everyone
//   leave   going, left; lock; remove the bell; unlock; give up the slot's lock; lock; reap, its own slot as well;
//           the last one out removes the segment; unlock, and once more if meanwhile a slot has come to be
//           going; ring everyone; only then close the bell
//
// The roster's lock may be held by a process that is stopped. Only a join waits for it. All others try:
//
//   leave   a participant that does not get the lock to clear up has left all the same. Its holder clears up
//           for it: if it is leaving itself it looks for such slots after it has given the lock up; else it is a
//           participant, and comes to leave. tests/model/leaving.pml checks this exhaustively.
//   reap    is noted as due, and tried again at every parking. A participant that goes to sleep meanwhile has a
//           timer beside its bell. The death is known by then: what is tried again is the lock.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>
#include <belfry/detail/segment/doorbell.hpp>
#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/segment/parking.hpp>
#include <belfry/detail/segment/segment.hpp>

#include <atomic>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace belfry::detail {

/// One participant's membership. Not thread-safe.
class roster {
 public:
  /// Does not join yet. The segment must outlive the roster.
  roster(segment& s, layout::role role);
  ~roster() { leave(); }
  roster(const roster&) = delete;
  roster& operator=(const roster&) = delete;

  enum class joined {
    yes,
    no,    ///< see the failure
    gone,  ///< the segment has lost its name: open the name again
  };
  /// `begin` is called with the slot before the others see that we are here.
  joined join(failure& f, const std::function<void(std::size_t)>& begin = {});

  /// Should what comes after the join fail: lets leave() remove what was made for this join alone, as if there had
  /// been none.
  void undo_join() noexcept { undone_ = true; }

  /// Gives up the slot; the last one out removes the segment if its lifetime says so.
  void leave() noexcept;

  bool is_member() const noexcept { return member_ && !is_inherited(); }
  /// The membership is that of the process that has forked this one.
  bool is_inherited() const noexcept {
    return fork_generation_ != fork_generation.load(std::memory_order_relaxed);
  }
  std::size_t slot() const noexcept { return slot_; }
  std::uint32_t generation() const noexcept { return control(slot_).generation; }
  /// Whether this owner of the slot takes part still, as far as it is known.
  bool lives(std::size_t slot, std::uint32_t generation) const noexcept {
    if (slot >= segment_->traits().participants()) return false;
    const layout::slot_control found = control(slot);
    return found.state == layout::slot_state::live && found.generation == generation;
  }
  doorbell& bell() noexcept { return bell_; }
  const doorbell& bell() const noexcept { return bell_; }
  parking& park() noexcept { return parking_; }

  /// Before an attempt that may have to wake a peer. False: one that is alive cannot be woken, see
  /// unreachable(). Ringing ends are opened here, when a newcomer is there, and not when it has to be woken:
  /// so the error is known before anything was done. One load, of a line that only joins and deaths change.
  bool reaches_peers() noexcept {
    // Acquire: a newcomer that is counted is seen. Pairs with the release in claim_slot().
    if (segment_->header().count.joins.load(std::memory_order_acquire) == met_) [[likely]]
      return true;
    return meet_newcomers();
  }
  /// Why a peer could not be reached, the last time; none if all could be.
  std::error_code unreachable() const noexcept { return unreachable_; }

  /// After a publish: wakes whoever sleeps at the other side; if they compete, as many as there is something
  /// for. One fence and one load if nobody does. A newcomer of this very moment that cannot be reached
  /// is rung as soon as it can: each further attempt, and parking, tries it, and fails until then.
  void notify(std::size_t amount = 1) noexcept {
    publish_fence();
    if (peer_parked()) [[unlikely]]
      ring_parked(opposite_, segment_->traits().competing ? amount : ~std::size_t{0});
  }
  /// The same for room, in two steps, as it is asked after every message: without the fence, see parking.hpp.
  /// `Producers`: how many there may be.
  template <std::size_t Producers>
  bool room_may_be_wanted() const noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);  // N1 before N3 also to the compiler
    std::uint64_t any = fences_;
    for (std::size_t eight = 0; eight != (Producers + 7) / 8; ++eight) {
      any |= std::atomic_ref(peer_marks_[eight]).load(std::memory_order_relaxed);
    }
    return any != 0;
  }
  void notify_room(std::size_t amount) noexcept {
    if (fences_) publish_fence();
    if (peer_parked())
      ring_parked(opposite_, segment_->traits().competing ? amount : ~std::size_t{0});
  }
  /// Who was woken for something, and leaves it, wakes another one at its own side.
  void hand_off() noexcept {
    publish_fence();
    ring_parked(role_, 1);
  }

  /// Looks for the dead, and frees their slots; if another participant holds the roster's lock, later.
  void reap() noexcept;
  /// The same if a manager has rung because it has seen someone die.
  void heed_alarm() noexcept;

  /// What to report next about the other side: `peer_died`, once per death; `closed`, if everybody
  /// there has left for good; nothing. A consumer is told of a producer that left before it came, as
  /// it may have something to read; to a producer a consumer of the past is nothing.
  /// `peek` only looks, `take` makes it told: a death for good, `closed` for async_wait_peer.
  std::error_code peek_event() const noexcept;
  /// The same for loops that are told of `closed` once, too, until the next peer has come and left.
  std::error_code untold_event() const noexcept;
  void take_event() noexcept;

  /// How many of the other side have died, modulo 2^16.
  unsigned deaths() const noexcept { return census(opposite_).deaths; }

  /// Whether somebody of the other side is there. To a consumer also, whether a producer has come and
  /// gone again without having been reported as gone: what it sent may be in the ring.
  bool peer_came() const noexcept;

  /// Who sleeps must hear of every death, since nobody else may be there to tell: a participant that
  /// is awake may be busy with something else for hours. Adds to `changes` who is to be watched, and
  /// who no longer. An error says that somebody could not be watched, or woken. At the own slot's place there is a
  /// timer, if the roster's lock is to be tried again.
  struct watch_change {
    std::size_t slot;
    unique_handle handle;  ///< becomes ready when the slot's owner dies; empty: watch it no longer
  };
  std::error_code watch_peers(std::vector<watch_change>& changes);
  /// The handle that watches this slot is ready.
  void watched_died(std::size_t slot) noexcept;

 private:
  static constexpr std::size_t no_slot = ~std::size_t{0};

  static constexpr std::uint64_t never = ~std::uint64_t{0};

  struct count {
    unsigned live = 0;
    std::uint16_t deaths = 0;
    bool left = false;
  };

  count census(layout::role role) const noexcept;
  std::size_t first_slot(layout::role role) const noexcept;
  std::size_t end_slot(layout::role role) const noexcept;
  layout::slot_control control(std::size_t slot) const noexcept {
    // Pairs with the release in set_control().
    return segment_->slot(slot).control.load(std::memory_order_acquire);
  }
  void set_control(std::size_t slot, layout::slot_control value) noexcept {
    // Whoever sees the new state sees what was done before it. Pairs with control().
    segment_->slot(slot).control.store(value, std::memory_order_release);
  }
  layout::control_header::parked_line& parked(layout::role role) const noexcept {
    return segment_->header().parked[static_cast<std::size_t>(role)];
  }
  /// One load for up to eight peers.
  bool peer_parked() const noexcept {
    for (std::uint64_t& eight : peer_marks_) {
      if (std::atomic_ref(eight).load(std::memory_order_relaxed) != 0) return true;
    }
    return false;
  }

  static bool is_over(const layout::slot_control& slot) noexcept {
    return slot.state == layout::slot_state::free || slot.state == layout::slot_state::going;
  }
  /// Lives, whatever its slot says.
  bool holds_lock(std::size_t slot) const noexcept;
  bool is_there(std::size_t slot, std::uint32_t generation) const noexcept;

  using slots = std::bitset<layout::max_participants>;
  void remember_the_past() noexcept;
  void discard_if_over() noexcept;
  bool meet_everyone(failure& f) noexcept;
  std::size_t lock_free_slot(const slots& unusable) noexcept;
  bool claim_slot(failure& f, const std::function<void(std::size_t)>& begin);
  bool settle_in(std::size_t slot, failure& f, const std::function<void(std::size_t)>& begin);
  void clear_up() noexcept;
  bool any_slot_going() const noexcept;

  bool reap_locked() noexcept;
  void found_dead(std::size_t slot, std::uint32_t generation) noexcept;
  std::error_code watch_lock(std::vector<watch_change>& changes);

  bool meet_newcomers() noexcept;
  void ring_parked(layout::role role, std::size_t most) noexcept;
  ringer::state reach(std::size_t slot, std::uint32_t generation) noexcept;
  enum class rung { yes, deserted, not_reached };
  rung ring(std::size_t slot, std::uint32_t generation) noexcept;
  void ring_everyone() noexcept;

  segment* segment_;
  layout::role role_;
  layout::role opposite_;                // whom we wake; our own where all participants are alike
  std::span<std::uint64_t> peer_marks_;  // who is parked at the other side, eight to a word
  std::size_t slot_ = no_slot;
  bool member_ = false;
  bool undone_ = false;
  const bool fences_;  // no barrier of others reaches us
  unsigned fork_generation_ = fork_generation.load(std::memory_order_relaxed);
  doorbell bell_;
  parking parking_;
  std::uint16_t told_deaths_ = 0;
  std::uint64_t heeded_alarms_ = 0;
  std::vector<std::uint32_t> past_;  // per slot: the generation that had left before we came
  std::vector<std::uint32_t> gone_;  // per slot: the generation that was reported as gone
  std::vector<std::uint32_t> watched_;  // per slot: the generation that is watched, else 0

  /// Per slot: the generation of which nobody listens at the bell. It is dead, though the kernel may not have come
  /// to its lock yet: a process loses its memory before its files, so it can do no more harm.
  std::vector<std::uint32_t> known_dead_;
  bool reap_due_ = false;      // the roster's lock was held by another participant
  bool lock_watched_ = false;  // there is a timer for it
  std::chrono::milliseconds retry_after_{1};

  std::vector<ringer> ringers_;
  std::uint64_t met_ = never;    // of the joins that were counted, who has to be woken can be
  std::error_code unreachable_;  // but for this reason
  bool missed_ = false;          // one that was asleep was not reached
};

}  // namespace belfry::detail
