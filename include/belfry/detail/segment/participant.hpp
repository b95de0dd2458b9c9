// A participant of a segment: how it sleeps until another participant has something for it.
#pragma once

#include <belfry/channel_options.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/detail/segment/roster.hpp>
#include <belfry/detail/segment/segment.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/ring.hpp>

#include <array>
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

/// The event count of a process in a segment. Everything that sleeps goes through it: asynchronous operations,
/// blocking calls, foreign event loops, transactions.
///
///     if (p.prepare_sleep(true, [&] { return ring.readable() || p.peers().peek_event(); })) {
///       participant::sleep s = p.begin_sleep();      // or wait for the handles in a reactor
///       s.wait(deadline);
///       p.end_sleep(s);
///     }
///     p.cancel_sleep();
///     if (p.error()) ...                             // there was no sleep
///
/// Between a waiter W and a notifier N (parking.hpp has the words and marks):
///
///   W0  drain the bell, if it was heard
///   W1  word = (next epoch, parked)             N1  publish in the ring
///   W2  set the mark; seq_cst fence             N2  seq_cst fence
///   W3  look at the ring again                  N3  mark set and word parked?
///   W4  wait for the own bell                   N4      notify: write to W's bell
///   W5  exchange the word for awake;            N5      CAS that very word to rung
///       clear the mark
///
/// No wake-up is lost: the two fences are totally ordered. If N2 comes before W2, W3 sees what N1 published.
/// Otherwise N3 sees the mark and the word, and N4 notifies. The bell is drained at W0 and not at W5, so that an
/// answer does not wait for that system call. W0 comes before W chooses which deaths to watch, as newcomers notify.
///
/// A notifier that dies between N4 and N5 has cost a spurious wake. A notifier that dies between N1 and N4 is
/// covered by its death, which wakes W as well: W watches every peer while it sleeps. The epoch keeps a notifier that
/// was slow between N4 and N5 from marking a later parking as rung, for which no other notifier would write to the
/// bell then: the word that it compares with never comes back. N5 only saves other notifiers the system call: a
/// notifier without compare-and-swap leaves it out.
///
/// Where waiters compete, N5 also says for which waiter a wake-up was meant, and a waiter that leaves at W5 what it
/// was woken for hands the wake-up off to another waiter. So W5 is one read-modify-write: a mark that came between a
/// load and a store would be lost, and the item would lie in the ring while another waiter sleeps.
///
/// Room is told at every message, as the consumer that makes it may wait for something else next; a fence for
/// each of them would cost more than the message. So the producer pays for it: the consumer has no N2, and the
/// producer that goes to sleep because the ring is full has a barrier in all processes between W2 and W3
/// (platform::barrier_everywhere()). If the barrier reaches the consumer before N3, N3 sees the mark; if after N3,
/// then after N1 as well, and W3 sees the room. A consumer that the barriers of others do not reach has N2.
///
/// tests/model/parking.pml checks all this exhaustively. Not thread-safe: its owner has a lock.
class participant {
 public:
  using clock = std::chrono::steady_clock;

  /// Waits in a reactor for what ends a sleep.
  class observer {
   public:
    /// `death` becomes ready when the owner of the slot dies.
    virtual std::error_code watch(std::size_t slot, native_handle_type death) noexcept = 0;
    /// That is over: the handle is closed next.
    virtual void unwatch(std::size_t slot) noexcept = 0;

   protected:
    ~observer() = default;
  };

  participant(const ring_traits& traits, layout::role role, observer* o = nullptr)
      : traits_(traits), role_(role), observer_(o) {}
  ~participant() { leave(); }
  participant(const participant&) = delete;
  participant& operator=(const participant&) = delete;

  /// Called with the own slot before the others see it as taken.
  using begin_side = std::function<void(const ring_memory&, std::size_t slot)>;

  /// Joins the named segment, and creates it if need be; or joins that of the handles. `block`: see
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
  /// Without telling the others: in the child of a fork, where all of it is the parent's. Takes no lock.
  void abandon() noexcept;
  /// Watches no peer any more, and lets go of the handle for foreign loops.
  void stop_watching() noexcept;

  bool is_open() const noexcept { return roster_ && roster_->is_member(); }
  /// The membership is that of the process that has forked this one.
  bool is_inherited() const noexcept { return roster_ && roster_->is_inherited(); }

  const ring_traits& traits() const noexcept { return traits_; }
  layout::role role() const noexcept { return role_; }
  const detail::segment& segment() const noexcept { return segment_; }
  /// Who else is there: events, and notifying them. Only while it is open, or has been.
  roster& peers() noexcept { return *roster_; }
  const roster& peers() const noexcept { return *roster_; }
  doorbell& bell() noexcept { return roster_->bell(); }

  // ---- going to sleep

  /// W0 to W3: declares to be asleep, and looks once more. True: it may sleep. Else `look` has seen something, or
  /// there is an error(), and it is awake again. `for_room`: what is waited for may be room in the ring.
  template <class Look>
  bool prepare_sleep(bool for_room, Look look) {
    park(for_room);
    if (!look() && !error_) return true;
    cancel_sleep();
    return false;
  }
  /// W5, in whatever way the sleep has ended; nothing if it does not sleep.
  void cancel_sleep() noexcept {
    if (roster_->park().unpark()) rung_ = true;
  }

  /// Why the last sleep could not be: better to fail than to sleep without hearing of a death.
  const std::error_code& error() const noexcept { return error_; }
  std::error_code take_error() noexcept { return std::exchange(error_, {}); }

  /// Whether something has woken it since it last went to sleep.
  bool woken() const noexcept { return rung_ || deaths_ != 0; }
  /// A notifier has woken it since then: for something that others may wait for, too. Asked for once.
  bool take_wake_up() noexcept { return std::exchange(rung_, false); }

  // ---- being woken in a reactor

  /// The own bell is ready.
  void heard_bell() noexcept { rung_ = undrained_ = true; }
  /// It was notified by a thread of its own.
  void notified_itself() noexcept { undrained_ = true; }
  /// The handle of this slot is ready. That is looked into by handle_deaths().
  void heard_death(std::size_t slot) noexcept { deaths_ |= std::uint64_t{1} << slot; }
  void handle_deaths() noexcept {
    if (deaths_ != 0) look_into_deaths();
  }

  // ---- sleeping in a thread

  /// A copy of the handles to wait for: meanwhile the participant's owner may give up its lock.
  class sleep {
   public:
    /// False: the time has come before, or the system does not let it sleep.
    bool wait(clock::time_point deadline) noexcept;

   private:
    friend class participant;
    std::array<native_handle_type, 1 + layout::max_participants> handles_;
    std::array<bool, 1 + layout::max_participants> ready_{};
    std::size_t count_ = 0;
    std::error_code error_;
  };
  sleep begin_sleep() const noexcept;
  /// Takes note of what has ended it. Still parked.
  void end_sleep(const sleep& s) noexcept;

  // ---- sleeping in a foreign event loop

  /// One handle that is ready while there is a reason to wake up.
  native_handle_type wait_handle(failure& f);
  /// The loop is awake: what has made the handle ready is looked into, so that it is ready no longer.
  void end_foreign_sleep() noexcept;

 private:
  roster::joined join(const begin_side& begin, failure& f);
  void park(bool for_room) noexcept;
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
  std::vector<roster::watch_change> watch_changes_;   // kept, so that parking needs no memory
  unique_handle wait_set_;                            // bell and deaths in one, for foreign loops
  std::error_code error_;                             // of the last parking or sleep
  std::uint64_t deaths_ = 0;                          // bit per slot: its handle was ready; not looked into
  bool rung_ = false;                                 // since the last parking
  bool undrained_ = false;                            // the bell, since it was heard
};

}  // namespace belfry::detail
