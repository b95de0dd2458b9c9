// A value that has come in several messages.
#pragma once

#include "link.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::detail::nats {

/// Puts the parts of one value together. None of its messages is acknowledged before the value is in the ring: so a bridge
/// that is killed meanwhile, or loses its connection, gets all of them again.
class value_parts {
 public:
  enum class outcome {
    more,     ///< the message was taken, and others must follow
    whole,    ///< that was the last one
    again,    ///< it was taken before
    missing,  ///< a part, of whose value there was not the first one; it was not taken
    broken    ///< not what must follow; it was not taken
  };

  bool empty() const noexcept { return replies_.empty(); }
  /// Of the value that has begun.
  const message_id& id() const noexcept { return id_; }
  /// A message that has this id and part, or, with a count of 1, is none. `reply`: where it is acknowledged.
  outcome take(const message_id& id, const message_part& part, std::span<const std::byte> data, std::string_view reply);
  void clear() noexcept { *this = {}; }

  const std::vector<std::byte>& data() const noexcept { return data_; }
  /// Of all its messages.
  const std::vector<std::string>& replies() const noexcept { return replies_; }

 private:
  message_id id_;
  message_part next_;
  std::vector<std::byte> data_;
  std::vector<std::string> replies_;
};

}  // namespace belfry::detail::nats
