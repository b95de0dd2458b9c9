// Interrupting a blocking call.
#pragma once

#include <belfry/detail/segment/doorbell.hpp>

#include <stop_token>

namespace belfry::detail {

/// A blocking call waits for its own bell. During the life of this object a request to stop notifies that bell, so no
/// further thread or handle is needed. The bell is only a hint, as always:
///
///     const ring_on_stop wake(stop, roster.bell());
///     for (;;) {
///       if (stop.stop_requested()) return operation_aborted();   // before anything is taken
///       if (try_once()) return {};
///       ...                                                     // drain, park, look again
///       if (!stop.stop_requested()) wait(bell);                 // the notification may have been drained
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
