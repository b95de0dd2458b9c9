// What an endpoint does next for the operation at the head of its queue. Only the decisions: no I/O, no atomics, no
// Asio. The caller carries out each step and reports its outcome.
#pragma once

#include <chrono>

namespace belfry::detail {

/// attempt ─done──────────────────────────────────────────────────────────► finish
///    │ would block                                                            ▲
///    ├── an event was seen before, so the ring is really empty ──► report ────┘
///    ▼
///  look ─an event─► attempt            values in the ring come before the event
///    │ none
///    ▼
///  linger ─ready─► attempt             for at most `spin` after a success
///    │ time is up
///    ▼
///  park ─ready─► unpark ─► attempt
///    │ not ready
///    ▼
///  sleep ─rung─► unpark ─► attempt
class wait_fsm {
 public:
  using clock = std::chrono::steady_clock;

  enum class step {
    attempt,  ///< try the ring
    look,     ///< check whether the other side has closed, or died
    report,   ///< complete with the event that was seen
    linger,   ///< spin briefly on the ring, then let other handlers run
    park,     ///< declare oneself asleep, then check the ring and the events again
    sleep,    ///< wait for the bell
    unpark,   ///< declare oneself awake
    finish,   ///< complete with the result of the attempt
  };

  /// `spin` as in channel_options. With zero it never lingers and needs no time.
  explicit wait_fsm(std::chrono::nanoseconds spin) noexcept : spin_(spin) {}

  bool needs_time() const noexcept { return spin_.count() > 0; }

  step begin() noexcept {
    event_seen_ = false;
    return step::attempt;
  }
  /// `done`: the attempt has succeeded, or failed with an error.
  step attempted(bool done) noexcept {
    if (done) {
      if (!slept_) in_vain_ = false;
      slept_ = false;
      fresh_ = true;
      return step::finish;
    }
    return event_seen_ ? step::report : step::look;
  }
  step looked(bool event, clock::time_point now = {}) noexcept {
    if (event) {
      event_seen_ = true;
      return step::attempt;
    }
    return may_linger(now) ? step::linger : step::park;
  }
  step lingered(bool something, clock::time_point now = {}) noexcept {
    if (something) return step::attempt;
    return may_linger(now) ? step::linger : step::park;
  }
  step parked(bool something) noexcept {
    slept_ = !something;
    return something ? step::unpark : step::sleep;
  }
  step rung() noexcept { return step::unpark; }
  step unparked() noexcept { return begin(); }

 private:
  /// The clock is read only when the ring has nothing. `spin` counts from the first such moment after a success.
  /// After a fruitless spin, it does not spin until two messages again arrive within `spin` of each other.
  bool may_linger(clock::time_point now) noexcept {
    if (!needs_time()) return false;
    if (fresh_) {
      if (now - since_ < spin_) in_vain_ = false;
      since_ = now;
      fresh_ = false;
      lingers_ = !in_vain_;
    }
    if (!lingers_) return false;
    lingers_ = now - since_ < spin_;
    in_vain_ = !lingers_;
    return lingers_;
  }

  std::chrono::nanoseconds spin_;
  clock::time_point since_{};  // the first time that the ring had nothing after a success
  bool fresh_ = false;         // an attempt has succeeded since then
  bool lingers_ = false;
  bool in_vain_ = false;  // the last spin was fruitless
  bool slept_ = false;    // since the last success
  bool event_seen_ = false;
};

}  // namespace belfry::detail
