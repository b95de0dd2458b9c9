// The participants of a segment: joining, leaving, waking each other, and noticing deaths.
//
// A participant is alive while it holds the lock on the byte of its slot; the kernel releases that lock at any death.
// The control word of a slot is changed only under the roster's lock, with one exception: a leaving participant sets
// its own to `going` without it. Every change is one store, so a process may die between any two steps. If it dies
//
//   joining, not yet live   the next reaper frees the slot and removes the bell
//   live                    the same, and the store that makes the slot `going` also counts the death
//   going                   has left, or its death is counted: the next reaper frees the slot
//   reaping                 the next reaper continues; recover() may be repeated
//
// The steps in order; "lock" and "unlock" are of the roster's lock:
//
//   join    lock; give up and open the name again if the segment has lost its name, or loses it now because the
//           block's name means another block (segment::replace); reap; open the bell of every live participant; take
//           a free slot's lock; bell = 0; joining; pid; make the bell; bell = its inode, bell_handle; next epoch, awake;
//           attach its side of the ring; ++generation, live, no end; ++joins; unlock; notify all live participants
//   reap    lock; for each slot that is not free, and whose lock is not held or whose owner's bell is deserted: undo
//           what the owner has begun in the ring; if it was live: going, died, ++deaths; remove its bell (a bell of
//           another inode only if `bell` is 0); clear its mark; free; unlock; then notify all live participants
//   leave   going, left; lock; remove the bell; unlock; release the slot's lock; lock; reap, its own slot as well;
//           the last participant removes the segment; unlock, and repeat from the second lock if another slot has
//           become `going` in the meantime; notify all live participants; only then close the bell
//
// A stopped process may hold the roster's lock. Only a join waits for the lock. The others only try:
//
//   leave   a participant that does not get the lock has left all the same. The holder of the lock clears up for it:
//           if the holder is leaving, it looks for such slots after it has released the lock; otherwise it is still a
//           participant, and clears up when it leaves. tests/model/leaving.pml checks this exhaustively.
//   reap    is remembered as due, and tried again at every parking. A participant that goes to sleep before that has
//           a timer beside its bell. The death itself is known by then; only the lock is tried again.
#pragma once

#include <belfry/detail/base/api.hpp>
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
  /// `begin` is called with the slot, before the other participants see it as live.
  joined join(failure& f, const std::function<void(std::size_t)>& begin = {});

  /// For a failure after the join: leave() then also removes a segment that was created for this join alone.
  void undo_join() noexcept { undone_ = true; }

  /// Gives up the slot. The last participant removes the segment if its lifetime says so.
  void leave() noexcept;

  bool is_member() const noexcept { return member_ && !is_inherited(); }
  /// This process is the child of a fork, and the membership is the parent's.
  bool is_inherited() const noexcept {
    return fork_generation_ != fork_generation.load(std::memory_order_relaxed);
  }
  std::size_t slot() const noexcept { return slot_; }
  std::uint32_t generation() const noexcept { return control(slot_).generation; }
  /// Whether the owner of this generation is still live according to its slot; it may have died unnoticed.
  bool lives(std::size_t slot, std::uint32_t generation) const noexcept {
    if (slot >= segment_->participants()) return false;
    const layout::slot_control found = control(slot);
    return found.state == layout::slot_state::live && found.generation == generation;
  }
  doorbell& bell() noexcept { return bell_; }
  const doorbell& bell() const noexcept { return bell_; }
  parking& park() noexcept { return parking_; }

  /// Called before an attempt that may have to wake a peer. False: a live peer cannot be woken, see unreachable().
  /// This opens the bells of newcomers when they have joined, not when they must be woken, so that an error is known
  /// before the attempt has changed anything. Usually one load, from a cache line that only joins and deaths change.
  bool reaches_peers() noexcept {
    // Acquire: a counted newcomer's slot is seen as live. Pairs with the release in settle_in().
    if (segment_->header().count.joins.load(std::memory_order_acquire) == met_) [[likely]]
      return true;
    return meet_newcomers();
  }
  /// Why a peer could not be reached by the last attempt; none if all could.
  std::error_code unreachable() const noexcept { return unreachable_; }

  /// As an amount: also those that wait neither for values nor for room.
  static constexpr std::size_t everyone = ~std::size_t{0};

  /// After a publish: wakes the participants that sleep at the other side; where they compete for items, at most
  /// `amount` of them. If none sleeps: one fence and one load. If a newcomer has joined at this moment and cannot be
  /// reached, it is notified as soon as it can be: every later attempt and every parking tries, and fails until then.
  void notify(std::size_t amount = 1) noexcept {
    publish_fence();
    if (peer_parked()) [[unlikely]]
      ring_parked(opposite_, segment_->traits().competing ? amount : everyone);
  }
  /// The same for room, without the fence (see participant.hpp), and in two steps because it runs after every message.
  /// `Producers`: the greatest number of producers. Relaxed, and the processor may even read the marks before N1 is visible:
  /// the barrier of the producer that goes to sleep orders them here.
  template <std::size_t Producers>
  bool room_may_be_wanted() const noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);  // N1 before N3, for the compiler as well
    if constexpr (Producers > 8) return fences_ || peer_parked();
    return fences_ || std::atomic_ref(peer_marks_[0]).load(std::memory_order_relaxed) != 0;
  }
  void notify_room(std::size_t amount) noexcept {
    if (fences_) publish_fence();
    if (peer_parked())
      ring_parked(opposite_, segment_->traits().competing ? amount : everyone);
  }
  /// After a publish that concerns one participant: wakes it if it sleeps, whatever for. If it does not: one fence and
  /// one load.
  BELFRY_API void notify_one(std::size_t slot) noexcept;
  /// After a read-modify-write in the total order (seq_cst), which has published something that participants of the own
  /// role compete for: wakes one that sleeps for that. If none does: a load for up to eight of them.
  void notify_rival() noexcept {
    for (std::uint64_t& eight : own_marks_) {
      // seq_cst: with that operation it is what the fence and the load of notify() are. (A relaxed load would do on x86,
      // where a read-modify-write is a fence. On ARM64 the load could overtake the store of that operation.)
      if ((std::atomic_ref(eight).load(std::memory_order_seq_cst) & rivals) == 0) continue;
      ring_parked(role_, 1);
      return;
    }
  }
  /// Called by a participant that was woken for an item and does not take it, or has given one back: wakes others of its
  /// own role.
  void hand_off(std::size_t amount = 1) noexcept {
    publish_fence();
    ring_parked(role_, amount);
  }

  /// What this participant has sent or received: for tools, and for positions in an spsc_ring. `bytes`: of messages that
  /// have a size of their own.
  void count_messages(std::uint64_t messages, std::uint64_t bytes = 0) noexcept {
    add(traffic_->messages, messages);
    if (bytes != 0) add(traffic_->bytes, bytes);
  }
  /// What the owners of this slot have counted.
  std::uint64_t counted_messages() const noexcept { return traffic_->messages.load(std::memory_order_relaxed); }
  void count_lost(std::uint64_t values) noexcept { add(traffic_->lost, values); }

  /// Frees the slots of dead participants; later, if another process holds the roster's lock.
  void reap() noexcept;
  /// Reaps if a manager has reported a death since the last call.
  void heed_alarm() noexcept;

  /// What to report next about the other side: `peer_died`, once per death; `closed`, if all its participants have
  /// left; or nothing. A producer that left before this consumer joined counts, since its values may be in the ring. A
  /// consumer that left before this producer joined does not count.
  /// peek_event() only looks. take_event() marks the event as reported: a death for good, `closed` for async_wait_peer.
  std::error_code peek_event() const noexcept;
  /// The same for foreign loops, to which `closed` is reported once, too, until another peer has joined and left.
  std::error_code untold_event() const noexcept;
  void take_event() noexcept;

  /// How many participants of the other side have died, modulo 2^16.
  unsigned deaths() const noexcept { return census(opposite_).deaths; }

  /// Whether the roster has a live participant of the other side; it may have died unnoticed.
  BELFRY_API bool has_live_peer() const noexcept;
  /// Whether a participant of the other side is attached. For a consumer, true also if a producer has joined and left
  /// again and this was not reported: its values may be in the ring.
  BELFRY_API bool peer_came() const noexcept;

  /// A sleeping participant must itself notice every death: another participant that is awake may be busy for hours,
  /// and report none. Adds to `changes` which slots to watch, and which no longer. An error: a peer could not be
  /// watched, or woken. A change with the own slot is a timer, after which the roster's lock is tried again.
  struct watch_change {
    std::size_t slot;
    unique_handle handle;  ///< becomes ready when the slot's owner dies; empty: watch it no longer
  };
  std::error_code watch_peers(std::vector<watch_change>& changes);
  /// The handle of such a change cannot be waited for: it is added again at the next call.
  void is_not_watched(std::size_t slot) noexcept;
  /// The handle that watches this slot is ready.
  void watched_died(std::size_t slot) noexcept;

 private:
  static constexpr std::size_t no_slot = ~std::size_t{0};

  static constexpr std::uint64_t never = ~std::uint64_t{0};
  static constexpr std::uint64_t rivals = 0x0101010101010101;  // park_mark::ring in any of eight marks

  struct count {
    unsigned live = 0;
    std::uint16_t deaths = 0;
    bool left = false;
  };

  count census(layout::role role) const noexcept;
  std::size_t first_slot(layout::role role) const noexcept;
  std::size_t end_slot(layout::role role) const noexcept;
  layout::role role_of(std::size_t slot) const noexcept {
    return slot < first_slot(layout::role::consumer) ? layout::role::producer : layout::role::consumer;
  }
  layout::slot_control control(std::size_t slot) const noexcept {
    // Pairs with the release in set_control().
    return segment_->slot(slot).control.load(std::memory_order_acquire);
  }
  void set_control(std::size_t slot, layout::slot_control value) noexcept {
    // Release: a participant that sees the new state sees everything done before it. Pairs with control().
    segment_->slot(slot).control.store(value, std::memory_order_release);
  }
  layout::control_header::parked_marks& parked(layout::role role) const noexcept {
    return segment_->header().parked[static_cast<std::size_t>(role)];
  }
  std::atomic<std::uint8_t>& mark_of(std::size_t slot) const noexcept { return parked(role_of(slot)).slots[slot]; }
  std::span<std::uint64_t> marks_of(layout::role role) const noexcept;
  /// N3 for up to eight peers with one load, which sees each mark as a load of that byte would. Relaxed: N2 is before it,
  /// and wake() reads the mark again.
  bool peer_parked() const noexcept {
    for (std::uint64_t& eight : peer_marks_) {
      if (std::atomic_ref(eight).load(std::memory_order_relaxed) != 0) return true;
    }
    return false;
  }

  static bool is_over(const layout::slot_control& slot) noexcept {
    return slot.state == layout::slot_state::free || slot.state == layout::slot_state::going;
  }
  /// The owner of the slot is alive, whatever the control word says.
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

  BELFRY_API bool meet_newcomers() noexcept;
  BELFRY_API void ring_parked(layout::role role, std::size_t most) noexcept;
  bool wake(std::size_t slot) noexcept;
  ringer::state reach(std::size_t slot, std::uint32_t generation) noexcept;
  enum class rung { yes, deserted, not_reached };
  rung ring(std::size_t slot, std::uint32_t generation) noexcept;
  void ring_everyone() noexcept;

  /// A counter that only this participant writes.
  static void add(std::atomic<std::uint64_t>& counter, std::uint64_t more) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }

  segment* segment_;
  layout::role role_;
  layout::role opposite_;                // the role to notify; role_ itself where there is only one role
  std::span<std::uint64_t> peer_marks_;  // which peers are parked, eight marks in a word
  std::span<std::uint64_t> own_marks_;   // the same of the own role
  std::size_t slot_ = no_slot;
  bool member_ = false;
  bool undone_ = false;
  const bool fences_;  // the barriers of other processes do not reach this one
  unsigned fork_generation_ = fork_generation.load(std::memory_order_relaxed);
  doorbell bell_;
  parking parking_;
  layout::participant_slot::traffic* traffic_ = nullptr;
  std::uint16_t told_deaths_ = 0;
  std::uint64_t heeded_alarms_ = 0;
  std::vector<std::uint32_t> past_;  // per slot: the generation that had left before the join
  std::vector<std::uint32_t> gone_;  // per slot: the generation that was reported as gone
  std::vector<std::uint32_t> watched_;  // per slot: the generation that is watched, else 0

  /// Per slot: the generation whose bell is deserted. It is dead, although the kernel may not have released its lock
  /// yet. A process loses its memory before its files, so it cannot write to the segment any more.
  std::vector<std::uint32_t> known_dead_;
  bool reap_due_ = false;      // the roster's lock was held by another participant
  bool lock_watched_ = false;  // a timer is set for it
  std::chrono::milliseconds retry_after_{1};

  std::vector<ringer> ringers_;
  std::uint64_t met_ = never;    // the count of joins at which all peers could be woken
  std::error_code unreachable_;  // why a peer cannot be
  bool missed_ = false;          // a sleeping peer could not be notified
  bool unreachable_logged_ = false;
};

}  // namespace belfry::detail
