// Up to where a channel of this machine has received a stream.
#pragma once

#include "link.hpp"

#include <belfry/shared_memory.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace belfry::detail::nats {

struct received_mark {
  std::uint64_t source = 0;           ///< the subject and the stream, with the time when it was made: a hash
  std::uint64_t sequence = 0;         ///< of the last message of the stream that is in the ring
  segment_number segment = 0;         ///< the ring that it was sent from; 0: not known
  std::uint64_t next_position = 0;    ///< the position in that ring of the value after it
  segment_number segment_before = 0;  ///< the same of the ring before that one
  std::uint64_t next_position_before = 0;
  std::array<std::uint64_t, 2> local_segment{};  ///< the ring that it is in
  std::uint64_t local_position = 0;   ///< the position in this ring behind it
};

/// In the block `NAME.nats`: two copies, each with a version, of which the older one is overwritten. So one is whole, when
/// ever the process is killed. It lives as long as the ring does, in the same memory: until it is removed, or the machine
/// restarts.
class import_mark {
 public:
  /// Throws std::system_error.
  import_mark(const std::string& channel, unsigned mode);

  /// The last one that was stored; none: zeros.
  const received_mark& get() const noexcept { return mark_; }
  void set(const received_mark& m) noexcept;
  /// Removes the block.
  void remove() noexcept;

 private:
  static constexpr std::size_t words = sizeof(received_mark) / 8;
  std::uint64_t* copy(std::uint64_t version) noexcept;

  shared_memory block_;
  received_mark mark_;
  std::uint64_t version_ = 0;
};

}  // namespace belfry::detail::nats
