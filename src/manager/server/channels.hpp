// The channels that a server hands out: memory and bells without names, which it made, and which it gives
// to whoever may have them. It reads nothing of what the participants write, but for their locks.
#pragma once

#include <belfry/detail/segment/segment.hpp>

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace belfry::detail {

class managed_channels {
 public:
  struct channel;

  /// The channel of this name, made if there is none. `errc::incompatible` if its ring is another.
  std::shared_ptr<channel> join(const std::string& name, const layout::identity& wanted,
                                bool any_capacity, failure& f);
  static const segment_handles& handles(const channel& c) noexcept;

  /// One who had joined is no longer there. `drained`: it says that nothing is left to be received; then the
  /// channel goes with the last one.
  void gone(channel& c, bool drained) noexcept;

  /// Rings everybody if there is somebody dead, so that the living find it.
  static void alarm(channel& c) noexcept;

 private:
  std::map<std::string, std::shared_ptr<channel>> channels_;
};

/// An identity as it is sent: in hexadecimal digits.
std::string to_text(const layout::identity& id);
bool from_text(std::string_view text, layout::identity& id) noexcept;

}  // namespace belfry::detail
