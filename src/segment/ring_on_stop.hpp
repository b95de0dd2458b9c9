// How a call that blocks is interrupted.
#pragma once

#include <belfry/detail/segment/doorbell.hpp>

#include <stop_token>

namespace belfry::detail {

/// A thread that blocks waits for its own bell. While this lives, a request to stop rings that bell: no
/// thread, and no handle, beside those that there are. As with every ring of a bell the truth is elsewhere:
///
///     const ring_on_stop wake(stop, roster.bell());
///     for (;;) {
///       if (stop.stop_requested()) return operation_aborted();   // before anything is taken
///       if (try_once()) return {};
///       ...                                                     // drain, park, look again
///       if (!stop.stop_requested()) wait(bell);                 // the ring may have been drained
///       ...
///     }
class ring_on_stop {
 public:
  ring_on_stop(const std::stop_token& stop, const doorbell& bell) : callback_(stop, ringing{&bell}) {}

 private:
  struct ringing {
    const doorbell* bell;
    void operator()() const noexcept { bell->ring(); }
  };

  std::stop_callback<ringing> callback_;
};

}  // namespace belfry::detail
