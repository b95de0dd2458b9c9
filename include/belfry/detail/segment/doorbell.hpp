// Bells: what wakes a sleeping process. A hint, never the truth: the truth is in the ring. A bell
// knows no ring; whoever is woken looks, and drains it before it sleeps again.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/detail/segment/segment.hpp>

#include <cstdint>

namespace belfry::detail {

/// The sleeping end: a participant's own bell.
class doorbell {
 public:
  doorbell() noexcept = default;

  /// Makes the slot's bell: a named event beside a named segment, else the one that was handed over.
  static doorbell make(const segment& s, std::size_t slot, failure& f);

  /// Ready to be read while the bell has been rung and not drained.
  native_handle_type handle() const noexcept { return handle_.get(); }
  std::uint64_t id() const noexcept { return id_; }
  void drain() const noexcept;
  /// Wakes its own owner, from any thread.
  void ring() const noexcept;
  void close() noexcept;

 private:
  unique_handle handle_;
  std::uint64_t id_ = 0;
};

/// The ringing end: what one participant holds of another's bell.
class ringer {
 public:
  ringer() noexcept = default;

  /// What an attempt to reach a bell has found.
  enum class state {
    reachable,
    deserted,     ///< the bell is there and nobody sleeps at it: its owner is dead
    unreachable,  ///< no such bell is to be found; that says nothing about its owner
    failed,       ///< there may be, but the system refused, see the error
  };

  /// Opens the bell that the slot's owner of this generation has made.
  static state open(const segment& s, std::size_t slot, std::uint32_t generation, ringer& out,
                    std::error_code& error);

  bool serves(std::uint32_t generation) const noexcept {
    return handle_ != no_handle && generation_ == generation;
  }
  /// False: nobody is left to hear it.
  bool ring() const noexcept;
  void close() noexcept;

 private:
  unique_handle own_;                      // of a named bell
  native_handle_type handle_ = no_handle;  // that, or the segment's, as long as it is attached
  std::uint32_t generation_ = 0;
};

/// A handle that becomes ready when the slot's owner dies: the ringing end of its named event, which
/// tells when no reader is left, or a handle of its process. Reachable, and none, where a manager tells.
ringer::state watch_for_death(const segment& s, std::size_t slot, std::uint32_t generation,
                              unique_handle& out, std::error_code& error);

}  // namespace belfry::detail
