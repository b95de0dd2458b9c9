// The engine below every producer and consumer: a lock, a participant of the segment, the queue of pending operations,
// and the waits in the reactor. It has one loop, carry_out(), which does what the queue decides.
//
// Attempts on the ring run on the executor of the operation at the head of the queue, and its handler is called right
// after a successful attempt, on the same executor. Completions from the reactor may run on any thread of the context;
// they only wake an endpoint that is asleep. So an endpoint is safe if its user keeps to one strand, even when many
// threads run the `io_context`, and whatever executor the endpoint itself was given. One thread may also initiate
// operations, one after the other, while other threads run the handlers of earlier ones.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/channel_options.hpp>
#include <belfry/detail/async/op_queue.hpp>
#include <belfry/detail/async/reactor_waits.hpp>
#include <belfry/detail/async/time_slice.hpp>
#include <belfry/detail/async/waitable.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/detail/layout/pause.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/detail/segment/participant.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string_view>

namespace belfry::inline BELFRY_ASIO_FLAVOUR {
class shared_memory_manager;
}

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

class endpoint_service;

class BELFRY_API endpoint : public std::enable_shared_from_this<endpoint>, private waitable::listener {
 public:
  using clock = std::chrono::steady_clock;

  endpoint(net::any_io_executor executor, const ring_traits& traits, layout::role role,
           const channel_options& options);
  endpoint(const endpoint&) = delete;
  endpoint& operator=(const endpoint&) = delete;

  /// Joins the named segment, and creates it if there is none; or joins the segment of the handles. `block`: see
  /// segment::create_or_open.
  void open(std::string_view name, failure& f, const subject& block = {});
  void open(const segment_handles& handles, failure& f,
            std::unique_ptr<manager_session> session = {});
  void open(const shared_memory_manager& manager, std::string_view name, failure& f);
  /// Completes every pending operation with `operation_aborted` and leaves the segment.
  void close() noexcept;
  bool is_open() const noexcept { return me_.is_open(); }
  /// The error with which an operation completes after this outcome; none for `done` and `would_block`.
  std::error_code error_of(outcome o) const noexcept;

  const net::any_io_executor& executor() const noexcept { return executor_; }
  const detail::segment& segment() const noexcept { return me_.segment(); }

  /// Starts an operation: see `operation`, which knows whether it is a transfer or a condition. `looked`: the caller has
  /// just tried it, and it would have blocked.
  void submit(operation& op, bool looked = false);
  /// Fast path without queueing; spins briefly if `spin` is set. Returns `would_block` also if operations are pending.
  template <class Action>
  outcome try_at_once(Action& wanted) noexcept;
  /// Whether the coroutine must now let other handlers run.
  bool time_slice_is_over() noexcept { return time_slice_.over(); }
  std::uint64_t new_id() noexcept { return ++last_id_; }

  void cancel(std::uint64_t id) noexcept;
  void cancel_all() noexcept;

  /// Blocks this thread until `wanted` succeeds, or an event, the timeout or a request to stop ends the wait.
  std::error_code block(request& wanted, std::chrono::nanoseconds timeout,
                        const std::stop_token& stop);

  bool prepare_wait();
  std::error_code finish_wait();
  native_handle_type wait_handle(failure& f);

  /// As roster::peer_came. The caller has reaped before.
  bool peer_came() const noexcept { return me_.peers().peer_came(); }
  /// Reaps, then as peer_came().
  bool has_peer() noexcept;
  void reap() noexcept;

  /// Lets the pending operations try the ring again, since a place was freed outside of an operation.
  void retry() noexcept;
  /// Looks at the conditions again, since one may hold now without a notification.
  void look_at_conditions() noexcept;
  /// Calls this under the lock, for an attempt that is not made for the operation at the head of the queue.
  template <class Function>
  auto locked(Function f) {
    const std::lock_guard lock(mutex_);
    return f();
  }

  friend void arrive(operation& op, std::shared_ptr<endpoint> e);
  friend void lose(operation& op, std::shared_ptr<endpoint> e) noexcept;
  friend class endpoint_service;

 protected:
  virtual ~endpoint();

  /// This endpoint has its slot, and the other participants do not see it yet: attach the reader or writer.
  virtual void attach(const ring_memory& memory, std::size_t slot) = 0;
  /// There is something to read, or room to write.
  virtual bool ready() noexcept = 0;
  virtual bool corrupted() const noexcept = 0;
  /// A notice that comes before the next value and was not reported yet (`lagged`); marks it as reported.
  virtual std::error_code take_notice() noexcept { return {}; }
  /// For foreign loops: whether there is something to do.
  virtual bool has_work() noexcept { return ready(); }
  /// For foreign loops: whether the loop sleeps for what other participants may take as well.
  virtual bool competes() const noexcept { return true; }
  /// When this endpoint has to look again, although it was not woken; `max()`: never. Looks, if it is due.
  virtual clock::time_point wakes_at() noexcept { return clock::time_point::max(); }
  /// The membership is about to end.
  virtual void closing() noexcept {}
  /// The membership has ended. The user may still hold claims, messages or leases.
  virtual void closed() noexcept {}

  /// Called within a look that has found nothing: the same look may find something at this time, without a notification.
  void look_again_at(clock::time_point time) noexcept {
    if (time < next_look_.load(std::memory_order_relaxed)) next_look_.store(time, std::memory_order_relaxed);
  }

  roster& peers() noexcept { return me_.peers(); }
  const roster& peers() const noexcept { return me_.peers(); }
  const channel_options& options() const noexcept { return options_; }
  /// Only before open().
  void set_options(const channel_options& o) { options_ = o; }

 private:
  using step = op_queue::step;

  participant::begin_side begin_side();
  void joined(failure& f);
  void abandon() noexcept;
  void shutdown() noexcept;

  static void refuse(operation& op, std::error_code why);
  void arrived(operation& op);
  void lost(operation& op) noexcept;
  void on_wait(const waitable::wait_id& which) override;

  template <class Event>
  std::exception_ptr handle(Event event, const operation* whose = nullptr);
  step begin(operation& op);
  void start_alarm();
  void carry_out(step next);
  step advance(step next);
  step prepare_sleep();
  void wake_up() noexcept;
  void hand_off() noexcept;
  void rest_if_idle() noexcept;
  /// Spins for a moment. True: the request is ready.
  template <class Request>
  static bool linger(Request& wanted) noexcept;
  clock::time_point now() const;
  bool sleep_in_thread(clock::time_point deadline, std::unique_lock<std::mutex>& lock);

  net::any_io_executor executor_;
  channel_options options_;
  std::uint64_t last_id_ = 0;
  endpoint_service* service_ = nullptr;
  time_slice time_slice_;  // of coroutines that are not suspended

  // Guards the members below and the ring. Not held while a handler is called. Immediate calls (try_*, releasing a
  // message, ending a claim) and try_at_once() do not lock it: the user must not make them concurrently with the
  // attempts of pending operations.
  std::mutex mutex_;
  participant me_;
  op_queue queue_;
  reactor_waits waits_;
  /// See look_again_at(). Atomic, since immediate calls look without the lock.
  std::atomic<clock::time_point> next_look_{clock::time_point::max()};
  bool asleep_ = false;  // parked for the queue, and not for a blocking call or a foreign loop
};

template <class Request>
bool endpoint::linger(Request& wanted) noexcept {
  for (int i = 0; i != 64; ++i) {
    if (wanted.ready()) return true;
    pause();
  }
  return false;
}

template <class Action>
outcome endpoint::try_at_once(Action& wanted) noexcept {
  // While nothing is pending, no other thread uses the ring.
  if (!queue_.is_idle() || !is_open()) return outcome::would_block;
  outcome o = wanted.try_once();
  if (o == outcome::would_block && queue_.needs_time() && linger(wanted)) o = wanted.try_once();
  if (o != outcome::would_block) queue_.succeeded();
  return o;
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
