// iceoryx's daemon, which its processes require.
#pragma once

#include "../harness/child.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <optional>

#include <sys/types.h>

namespace belfry::bench {

/// `iox-roudi`, from when it is first needed until this program ends. Nothing of it remains, neither the
/// process nor its files, even if it crashes.
class roudi {
 public:
  /// Returns when it is ready; throws if it cannot be started, or if another one is running.
  static void need();
  ~roudi();
  roudi(const roudi&) = delete;
  roudi& operator=(const roudi&) = delete;

 private:
  roudi();
  void stop();

  pid_t owner_;
  detail::unique_handle output_;  // open for further output
  std::optional<child> process_;
};

}  // namespace belfry::bench
