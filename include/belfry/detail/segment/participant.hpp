// A participant of a segment: how it sleeps until another participant has something for it.
#pragma once

#include <belfry/channel_options.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/detail/platform/wait_set.hpp>
#include <belfry/detail/segment/roster.hpp>
#include <belfry/detail/segment/segment.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/ring.hpp>

#include <array>
#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace belfry::detail {

/// The event count of a process in a segment. Everything that sleeps uses it: asynchronous operations, blocking calls,
/// foreign event loops, transactions.
///
///     if (p.prepare_sleep(true, [&] { return ring.readable() || p.peers().peek_event(); })) {
///       participant::sleep s = p.begin_sleep();      // or wait for the handles in a reactor
///       s.wait(deadline);
///       p.end_sleep(s);
///     }
///     p.cancel_sleep();
///     if (p.error()) ...                             // it could not sleep
///
/// The protocol of a waiter W and a notifier N (parking.hpp has the words and marks):
///
///   W0  drain the bell, if it was ready
///   W1  word = (next epoch, parked)             N1  publish in the ring
///   W2  set the mark; seq_cst fence             N2  seq_cst fence
///   W3  look at the ring again                  N3  mark set and word parked?
///   W4  wait for the own bell                   N4      notify: write to W's bell
///   W5  exchange the word for awake;            N5      CAS that very word to rung
///       clear the mark
///
/// No wake-up is lost: the two fences are totally ordered. If N2 comes before W2, W3 sees what N1 published.
/// Otherwise N3 sees the mark and the word, and N4 notifies. The bell is drained at W0 and not at W5, so that a
/// reply does not wait for that system call. W0 comes before W chooses which deaths to watch: a newcomer notifies, and
/// draining after that choice could discard its notification.
///
/// A notifier that dies between N4 and N5 costs a spurious wake. If a notifier dies between N1 and N4, its death wakes
/// W: W watches every peer while it sleeps. The epoch is for a notifier that is slow between N4 and N5: it cannot mark
/// a later parking as rung, because the word that it compares with never comes back. With such a mark no other notifier
/// would write to the bell for the later parking. N5 only saves other notifiers the system call: a notifier without
/// compare-and-swap may omit it.
///
/// Where waiters compete, N5 also records for which waiter a wake-up was meant. If that waiter does not take what it
/// was woken for, it hands the wake-up off to another waiter after W5. So W5 is one read-modify-write: a mark set
/// between a load and a store would be lost, and the item would stay in the ring while another waiter sleeps. The mark
/// says whether the waiter competes (layout::park_mark): one that sleeps only for what is meant for it alone, such as the
/// reply to its call, is woken for that by its slot (roster::notify_one), with the same steps, and for nothing else.
///
/// A consumer notifies for room after every message, because it may wait for something else next. A fence for each
/// message would cost more than the message, so the producer pays: the consumer has no N2, and a producer that goes to
/// sleep because the ring is full runs a barrier in all processes between W2 and W3 (platform::barrier_everywhere()).
/// If the barrier reaches the consumer before N3, N3 sees the mark. If it reaches it after N3, then also after N1, and
/// W3 sees the room. "Before" and "after" are those of the consumer's program: the barrier is a fence in an interrupt, and
/// a load that a processor has executed too early is not kept past one. A consumer that other processes' barriers do not
/// reach has N2.
///
/// tests/model/parking.pml checks all this exhaustively, tests/model/litmus with the orders of weak processors.
/// Not thread-safe: its owner has a lock.
class participant {
 public:
  using clock = std::chrono::steady_clock;

  /// Waits in a reactor for the deaths of peers.
  class observer {
   public:
    /// Starts to wait for `death`, which becomes ready when the owner of the slot dies.
    virtual std::error_code watch(std::size_t slot, native_handle_type death) noexcept = 0;
    /// Ends that wait: the handle is closed next.
    virtual void unwatch(std::size_t slot) noexcept = 0;

   protected:
    ~observer() = default;
  };

  participant(const ring_traits& traits, layout::role role, observer* o = nullptr)
      : traits_(traits), role_(role), observer_(o) {}
  ~participant() { leave(); }
  participant(const participant&) = delete;
  participant& operator=(const participant&) = delete;

  /// Called with the own slot, before the other participants see it as taken.
  using begin_side = std::function<void(const ring_memory&, std::size_t slot)>;

  /// Joins the named segment, and creates it if there is none; or joins the segment of the handles. `block`: see
  /// segment::create_or_open.
  void open(std::string_view name, const channel_options& options, failure& f,
            const begin_side& begin = {}, const subject& block = {});
  void open(const segment_handles& handles, const channel_options& options, failure& f,
            const begin_side& begin = {}, std::unique_ptr<manager_session> session = {});
  /// See roster::undo_join().
  void undo_join() noexcept { roster_->undo_join(); }
  void leave() noexcept {
    if (roster_) roster_->leave();
  }
  /// In the child of a fork, where the membership is the parent's: closes the handles without notifying the other
  /// participants. Takes no lock.
  void abandon() noexcept;
  /// Stops watching the peers, and closes the handle for foreign loops.
  void stop_watching() noexcept;

  bool is_open() const noexcept { return roster_ && roster_->is_member(); }
  /// This process is the child of a fork, and the membership is the parent's.
  bool is_inherited() const noexcept { return roster_ && roster_->is_inherited(); }

  /// Once it has joined, those of the ring that is there.
  const ring_traits& traits() const noexcept { return roster_ ? segment_.traits() : traits_; }
  layout::role role() const noexcept { return role_; }
  const detail::segment& segment() const noexcept { return segment_; }
  /// The other participants: their events, and notifying them. Only while it is open, or has been.
  roster& peers() noexcept { return *roster_; }
  const roster& peers() const noexcept { return *roster_; }
  doorbell& bell() noexcept { return roster_->bell(); }

  // ---- going to sleep

  /// W0 to W3: declares this participant asleep, and looks once more. True: it may sleep. False: `look` has returned
  /// true, or there is an error(), and it is awake again. `for_ring`: it may be waiting for a value or for room in the
  /// ring. If not, and participants compete for these, it is not woken for them.
  template <class Look>
  bool prepare_sleep(bool for_ring, Look look) {
    park(for_ring);
    if (!look() && !error_) return true;
    cancel_sleep();
    return false;
  }
  /// W5, however the sleep has ended. Does nothing if it is awake.
  void cancel_sleep() noexcept {
    if (roster_->park().unpark()) rung_ = true;
  }

  /// Why the last sleep was refused. A participant that cannot watch its peers must not sleep: it would miss a death.
  const std::error_code& error() const noexcept { return error_; }
  std::error_code take_error() noexcept { return std::exchange(error_, {}); }

  /// Whether a notification or a death has woken it since it last parked.
  bool woken() const noexcept { return rung_ || deaths_.any(); }
  /// Whether a notifier has woken it since it last parked: for something that other participants may wait for, too. The
  /// next call returns false.
  bool take_wake_up() noexcept { return std::exchange(rung_, false); }

  // ---- being woken in a reactor

  /// Called when the own bell is ready.
  void heard_bell() noexcept { rung_ = undrained_ = true; }
  /// Called when a thread of this process has notified the own bell.
  void notified_itself() noexcept { undrained_ = true; }
  /// Called when the handle of this slot is ready. handle_deaths() checks it later.
  void heard_death(std::size_t slot) noexcept { deaths_.set(slot); }
  void handle_deaths() noexcept {
    if (deaths_.any()) look_into_deaths();
  }

  // ---- sleeping in a thread

  /// A copy of the handles to wait for, so that the participant's owner can release its lock during the wait.
  class sleep {
   public:
    /// False: the deadline has passed, or the system has refused the wait.
    bool wait(clock::time_point deadline) noexcept;

   private:
    friend class participant;
    std::array<native_handle_type, 1 + layout::max_participants> handles_;
    std::array<bool, 1 + layout::max_participants> ready_{};
    std::size_t count_ = 0;
    std::error_code error_;
  };
  sleep begin_sleep() const noexcept;
  /// Records which handles ended the sleep. The participant is still parked.
  void end_sleep(const sleep& s) noexcept;

  // ---- sleeping in a foreign event loop

  /// One handle that is ready while the bell or the handle of a death is.
  native_handle_type wait_handle(failure& f);
  /// That handle also becomes ready at this time, until the next sleep. `time_point::max()`: never.
  void wake_loop_at(clock::time_point time) noexcept;
  /// Called when the loop is awake: drains the bell and handles deaths, so that the handle is no longer ready.
  void end_foreign_sleep() noexcept;

 private:
  void refused(std::string_view name, const failure& f) noexcept;
  roster::joined join(const begin_side& begin, failure& f);
  void park(bool for_ring) noexcept;
  void drain() noexcept;
  void look_into_deaths() noexcept;
  void watch_peers() noexcept;
  void unwatch(std::size_t slot) noexcept;

  const ring_traits& traits_;
  layout::role role_;
  observer* observer_;
  detail::segment segment_;
  std::optional<roster> roster_;
  std::vector<unique_handle> watched_;                // per slot: becomes ready when its owner dies
  std::vector<roster::watch_change> watch_changes_;   // kept, so that parking allocates nothing
  unique_handle loop_timer_;
  detail::wait_set wait_set_;                         // bell, deaths and timer in one, for foreign loops
  std::error_code error_;                             // of the last parking or sleep
  std::bitset<layout::max_participants> deaths_;      // per slot: its handle was ready, not checked yet
  bool rung_ = false;                                 // since the last parking
  bool undrained_ = false;                            // the bell was ready, not drained yet
};

}  // namespace belfry::detail
