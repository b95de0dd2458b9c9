// The pending operations of an endpoint, and what it does next for them: only the decisions. No I/O, no segment, no
// lock. The endpoint tells it what has happened, carries out the answer, and reports the outcome.
#pragma once

#include <belfry/detail/async/operation.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <system_error>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// Operations, first in, first out, with removal from the middle. Owns them.
class operation_list {
 public:
  operation_list() = default;
  operation_list(operation_list&& other) noexcept
      : front_(std::exchange(other.front_, nullptr)),
        back_(std::exchange(other.back_, nullptr)),
        elsewhere_(std::exchange(other.elsewhere_, 0)) {}
  operation_list& operator=(operation_list&&) = delete;
  ~operation_list() {
    while (!empty()) pop().destroy();
  }

  /// All operations belong to the endpoint's own context.
  bool one_context() const noexcept { return elsewhere_ == 0; }

  bool empty() const noexcept { return front_ == nullptr; }
  bool has_several() const noexcept { return front_ != back_; }
  operation* front() const noexcept { return front_; }

  void push(operation& op) noexcept {
    op.next = nullptr;
    elsewhere_ += op.elsewhere;
    (back_ != nullptr ? back_->next : front_) = &op;
    back_ = &op;
  }
  operation& pop() noexcept {
    operation& op = *front_;
    front_ = op.next;
    if (front_ == nullptr) back_ = nullptr;
    elsewhere_ -= op.elsewhere;
    return op;
  }
  operation* find(std::uint64_t id) const noexcept {
    operation* op = front_;
    while (op != nullptr && op->id != id) op = op->next;
    return op;
  }
  void remove(operation& op) noexcept {
    operation* before = nullptr;
    for (operation* o = front_; o != &op; o = o->next) before = o;
    (before != nullptr ? before->next : front_) = op.next;
    if (back_ == &op) back_ = before;
    elsewhere_ -= op.elsewhere;
  }

 private:
  operation* front_ = nullptr;
  operation* back_ = nullptr;
  std::size_t elsewhere_ = 0;
};

/// Operations to be posted: collected under the endpoint's lock, and posted after it is released.
class post_list {
 public:
  post_list() = default;
  post_list(post_list&& other) noexcept
      : front_(std::exchange(other.front_, nullptr)), back_(std::exchange(other.back_, nullptr)) {}
  post_list& operator=(post_list&& other) noexcept {
    std::swap(front_, other.front_);
    std::swap(back_, other.back_);
    return *this;
  }

  /// Does nothing with an operation that is posted already.
  void add(operation& op) noexcept {
    if (std::exchange(op.posted, true)) return;
    op.next_post = nullptr;
    (back_ != nullptr ? back_->next_post : front_) = &op;
    back_ = &op;
  }
  bool empty() const noexcept { return front_ == nullptr; }

  /// Always the last step: a handler may use the endpoint immediately, in another thread. If one post throws, the
  /// others are posted all the same. Returns the first exception, or, with `whose`, the exception of that operation.
  std::exception_ptr send(const std::shared_ptr<endpoint>& e,
                          const operation* whose = nullptr) noexcept {
    std::exception_ptr error;
    for (operation* op = std::exchange(front_, nullptr); op != nullptr;) {
      operation* const next = op->next_post;  // the operation may be freed before post() returns
      try {
        op->post(e);
      } catch (...) {
        if (!error && (whose == nullptr || op == whose)) error = std::current_exception();
      }
      op = next;
    }
    back_ = nullptr;
    return error;
  }

 private:
  operation* front_ = nullptr;
  operation* back_ = nullptr;
};

/// While no operation is pending it is `idle`. While one is, either an operation is on its way to its executor
/// (`scheduled`), or the endpoint sleeps (`waiting`). What an event leads to:
///
///                 idle                  scheduled         waiting
///   submitted     park; post if ready   post (1)          post if it is the first transfer
///   arrived       -                     drive             drive
///   woken         -                     -                 drive, or post (2)
///   retried       -                     -                 post the first transfer
///   cancelled     -                     post the next     post the next if it was the first
///   lost          -                     post the next     post the next
///
///   (1) if no other operation of its context is on its way
///   (2) if another executor than this one is the first operation's
///
/// If an operation has gone and no transfer is left, a received wake-up is handed off; if none at all is left, it is
/// idle again.
///
/// An operation that is driven takes these steps. A blocking call takes them, too, from attempt to finish, in its own
/// thread.
///
///   attempt ─done──────────────────────────────────────────────────────────► finish
///      │ would block                                                            ▲
///      ├── an event was seen before, so the ring is really empty ──► report ────┘
///      ▼
///    look ─an event─► attempt            values in the ring come before the event
///      │ none
///      ▼
///    linger ─ready─► attempt             for at most `spin` after a success, with a yield in between
///      │ time is up
///      ▼
///    park ─ready─► attempt
///      │ not ready
///      ▼
///    arm ──► rest; woken ──► drive ──► attempt
///
/// A condition's attempt is a look at all conditions; then it parks. A submitted operation parks before it is driven,
/// since an initiating function must take nothing and complete nothing, but may go to sleep if nothing is ready.
///
/// A call whose attempt has begun it becomes a condition before it parks, and lingers only if no transfer waits behind
/// it. A transfer whose time is up ends without an attempt, wherever it is in the queue.
///
/// Not thread-safe, except is_idle(): the endpoint has a lock.
class op_queue {
 public:
  using clock = std::chrono::steady_clock;

  /// What the endpoint does next, and the function that it reports the outcome to.
  enum class step {
    rest,     ///< nothing, until the next event
    drive,    ///< declare itself awake, and handle deaths: driven()
    attempt,  ///< try the current request: tried()
    look,     ///< check whether the other side has closed, or died: looked()
    report,   ///< take that event: reported()
    linger,   ///< spin briefly on the current request: lingered()
    yield,    ///< let other handlers run: yielded()
    park,     ///< declare itself asleep, look_again(): parked()
    arm,      ///< start to wait for the bell and for deaths: armed()
    finish,   ///< the current request has ended, with result()
    hand_off  ///< hand a received wake-up off to another participant, since no transfer is left here to use it
  };

  /// `spin` as in channel_options. With zero it never lingers and needs no time.
  explicit op_queue(std::chrono::nanoseconds spin) noexcept : spin_(spin) {}

  /// Nothing is pending. May be called without the lock: a thread that sees it also sees everything done before.
  bool is_idle() const noexcept {
    // Pairs with the release in become().
    return phase_.load(std::memory_order_acquire) == phase::idle;
  }
  bool is_waiting() const noexcept { return is(phase::waiting); }
  bool has_transfers() const noexcept { return !transfers_.empty(); }
  bool needs_time() const noexcept { return spin_.count() > 0; }

  // ---- what has happened

  /// `looked`: its caller has just tried the request, and it would have blocked.
  step submitted(operation& op, bool looked = false) noexcept;
  /// A posted operation is on its executor.
  step arrived(operation& op) noexcept;
  /// The bell, or the handle of a death, was ready. The caller is on the endpoint's own executor.
  step woken() noexcept;
  /// A place was freed outside of an operation.
  step retried() noexcept;
  /// What conditions look at may have changed, without a notification.
  step changed() noexcept;
  step cancelled(std::uint64_t id) noexcept;
  step all_cancelled() noexcept;
  /// An operation that is in no list has ended.
  step refused(operation& op, std::error_code why) noexcept;
  /// A posted operation will never arrive, and the caller owns it now.
  step lost(operation& op) noexcept;
  /// A blocking call begins. Only while idle.
  step began(request& wanted) noexcept;

  // ---- the outcome of a step

  step driven() noexcept;
  /// `result`: the error with which the operation completes, if the attempt would not block.
  step tried(bool would_block, std::error_code result = {}) noexcept;
  step looked(bool event, clock::time_point now = {}) noexcept;
  /// No error: the event has vanished, since a peer has joined.
  step reported(std::error_code event) noexcept;
  step lingered(bool ready, clock::time_point now = {}) noexcept;
  step yielded() noexcept;
  /// `asleep`: nothing was ready. `error`: why the participant cannot sleep. `woken`: but it was notified already.
  step parked(bool asleep, std::error_code error, bool woken) noexcept;
  step armed(std::error_code error) noexcept;

  /// Called when parked: ends the conditions that hold. Whether the current request, or the first one, is ready.
  bool look_again() noexcept;
  /// An attempt that is no step has succeeded.
  void succeeded() noexcept {
    if (!slept_) in_vain_ = false;
    slept_ = false;
    fresh_ = true;
  }

  /// The request to try, or to sleep for; null if only conditions are pending.
  request* current() const noexcept { return current_; }
  /// With what the last attempt, event or parking has ended the current request.
  const std::error_code& result() const noexcept { return result_; }

  /// What is due when the lock is released: operations to post, and one to complete on this thread.
  struct due {
    post_list posts;
    operation* finished = nullptr;
  };
  due take_due() noexcept;

  /// Ends all operations, none of which will be called again. Returns those that are not posted.
  operation_list shut_down() noexcept;

 private:
  enum class phase : std::uint8_t { idle, scheduled, waiting };

  bool is(phase p) const noexcept { return phase_.load(std::memory_order_relaxed) == p; }
  void become(phase p) noexcept { phase_.store(p, std::memory_order_release); }

  operation_list& list_of(const operation& op) noexcept {
    return op.is_condition ? conditions_ : transfers_;
  }
  bool only_conditions() const noexcept { return transfers_.empty() && !conditions_.empty(); }
  operation* head() const noexcept {
    return !transfers_.empty() ? transfers_.front() : conditions_.front();
  }
  void end(operation& op, std::error_code result) noexcept;
  void end_all(operation_list& list, std::error_code result) noexcept;
  void end_conditions_that_hold() noexcept;
  void end_expired_transfers() noexcept;
  void cancel(operation& op) noexcept;
  step schedule() noexcept;
  bool is_first_of_context(const operation& op) const noexcept;
  step go_on() noexcept;
  step go_on_without() noexcept;
  step drive(operation& op) noexcept;
  step attempt_current() noexcept;
  step sleep_for(request* wanted) noexcept;
  step go_to_sleep() noexcept;
  step finish(std::error_code result) noexcept;
  bool may_linger(clock::time_point now) noexcept;
  bool holds_up_others() const noexcept;

  std::atomic<phase> phase_{phase::idle};
  operation_list transfers_;
  operation_list conditions_;
  post_list posts_;

  request* current_ = nullptr;     // see current()
  operation* driven_ = nullptr;    // the operation whose executor this is
  bool may_attempt_ = false;       // current_ is the driven operation's or a blocking call's
  operation* finished_ = nullptr;
  std::error_code result_;         // of a blocking call
  bool timed_ = false;             // a transfer with a deadline was submitted
  bool event_seen_ = false;        // since the last attempt began
  bool first_is_ready_ = false;    // as look_again() found; and the first operation is not the driven one

  const std::chrono::nanoseconds spin_;
  clock::time_point since_{};  // the first time that the ring had nothing after a success
  bool fresh_ = false;         // an attempt has succeeded since then
  bool lingers_ = false;
  bool in_vain_ = false;  // the last spin was fruitless
  bool slept_ = false;    // since the last success
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
