// Bells: they wake a sleeping process. A bell is a hint, never the truth: the truth is in the ring. A bell knows no
// ring. The woken participant looks at the ring, and drains the bell before it sleeps again.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/detail/segment/segment.hpp>

#include <cstdint>

namespace belfry::detail {

/// The waiter's end: a participant's own bell.
class doorbell {
 public:
  doorbell() noexcept = default;

  /// Makes the slot's bell: a named one beside a named segment, else the one received with the handles.
  static doorbell make(const segment& s, std::size_t slot, failure& f);

  /// Readable while the bell has been notified and not drained.
  native_handle_type handle() const noexcept { return handle_.get(); }
  std::uint64_t id() const noexcept { return id_; }
  void drain() const noexcept;
  /// Wakes its owner, from any thread of the owner's process.
  void ring() const noexcept;
  void close() noexcept;

 private:
  unique_handle handle_;
  std::uint64_t id_ = 0;
};

/// The notifier's end: a participant's handle of another participant's bell.
class ringer {
 public:
  ringer() noexcept = default;

  /// The result of opening a bell.
  enum class state {
    reachable,
    deserted,     ///< the bell exists and no process has it open: its owner is dead
    unreachable,  ///< no such bell was found; the owner may be alive or not
    failed,       ///< the system refused, see the error
  };

  /// Opens the bell of the slot's owner of this generation.
  static state open(const segment& s, std::size_t slot, std::uint32_t generation, ringer& out,
                    std::error_code& error);

  bool serves(std::uint32_t generation) const noexcept {
    return handle_ != no_handle && generation_ == generation;
  }
  /// Notifies. False: the bell is deserted.
  bool ring() const noexcept;
  void close() noexcept;

 private:
  unique_handle own_;                      // only of a named bell
  unique_handle owner_;                    // the owner's process, where the bell does not tell of its death
  native_handle_type handle_ = no_handle;  // own_, or the segment's while it is attached
  std::uint32_t generation_ = 0;
};

/// A handle that becomes ready when the slot's owner dies: the notifier's end of its named bell, if that tells; or a
/// handle of its process. Where a manager reports deaths: `reachable`, no handle.
ringer::state watch_for_death(const segment& s, std::size_t slot, std::uint32_t generation,
                              unique_handle& out, std::error_code& error);

}  // namespace belfry::detail
