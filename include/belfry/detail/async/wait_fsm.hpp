// What an endpoint does next for the operation at the head of its queue. Only the decisions: no I/O,
// no atomics, no Asio; whoever drives it carries out the step and says what came of it.
#pragma once

#include <chrono>

namespace belfry::detail {

/// attempt ─done──────────────────────────────────────────────────────────► finish
///    │ nothing there                                                          ▲
///    ├── an event was seen before: the ring is empty for certain ──► report ──┘
///    ▼
///  look ─an event─► attempt            what is in the ring comes before the event
///    │ none
///    ▼
///  linger ─something─► attempt         for a while, after a success
///    │ time is up
///    ▼
///  park ─something─► unpark ─► attempt
///    │ nothing
///    ▼
///  sleep ─rung─► unpark ─► attempt
class wait_fsm {
 public:
  using clock = std::chrono::steady_clock;

  enum class step {
    attempt,  ///< try the ring
    look,     ///< has the other side closed, or died?
    report,   ///< complete with the event that was seen
    linger,   ///< look at the ring for a while, then give way to other handlers
    park,     ///< declare to be asleep, then look at the ring and for events
    sleep,    ///< wait for the bell
    unpark,   ///< declare to be awake
    finish,   ///< complete with what the attempt brought
  };

  /// `spin` as in channel_options; zero never lingers and never asks for the time.
  explicit wait_fsm(std::chrono::nanoseconds spin) noexcept : spin_(spin) {}

  bool needs_time() const noexcept { return spin_.count() > 0; }

  step begin() noexcept {
    event_seen_ = false;
    return step::attempt;
  }
  /// `done`: it has succeeded, or failed for good.
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
  /// The time is asked for only when there is nothing to do: it counts from the first such moment
  /// after a success. Who has lingered in vain does so again only when things come so often that it
  /// would not have been.
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
  clock::time_point since_{};  // when there was nothing to do
  bool fresh_ = false;         // something was got since then
  bool lingers_ = false;
  bool in_vain_ = false;  // it was the last time
  bool slept_ = false;    // since something was got
  bool event_seen_ = false;
};

}  // namespace belfry::detail
