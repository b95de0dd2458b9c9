// The channels that a server hands out: memory and bells without names, which it makes and sends to its
// clients. It reads nothing that participants write, except their locks and control words.
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

  /// The channel of this name, made if there is none. `errc::incompatible` if the channel has another ring. A newcomer
  /// that wants no ring kind in particular joins whatever ring there is; `no_such_file_or_directory` if there is none.
  std::shared_ptr<channel> join(const std::string& name, const described_segment& wanted,
                                bool any_capacity, failure& f);
  static const segment_handles& handles(const channel& c) noexcept;

  /// A participant has left or died. `drained`: it says that every value was received; then the channel is
  /// removed with its last participant.
  void gone(channel& c, bool drained) noexcept;

  /// Notifies all bells if a participant is dead, so that the living ones find it.
  static void alarm(channel& c) noexcept;

 private:
  std::map<std::string, std::shared_ptr<channel>> channels_;
};

/// An identity as it is sent: hexadecimal digits.
std::string to_text(const layout::identity& id);
bool from_text(std::string_view text, layout::identity& id) noexcept;

}  // namespace belfry::detail
