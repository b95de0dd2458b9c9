// iceoryx's daemon, which its processes cannot do without.
#pragma once

#include "../harness/child.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <optional>

#include <sys/types.h>

namespace belfry::bench {

/// `iox-roudi`, from when it is first needed until this program ends. Nothing of it remains: not the
/// process, and not its files, whatever has happened to it.
class roudi {
 public:
  /// Returns when it is ready; throws if there is none, or if somebody else has one running.
  static void need();
  ~roudi();
  roudi(const roudi&) = delete;
  roudi& operator=(const roudi&) = delete;

 private:
  roudi();
  void stop();

  pid_t owner_;
  detail::unique_handle output_;  // it may say more
  std::optional<child> process_;
};

}  // namespace belfry::bench
