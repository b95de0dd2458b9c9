// How much is unread in a ring, told from its bytes alone: the type of its values is not known.
#pragma once

#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/platform/native_handle.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace belfry::detail {

struct ring_fill {
  std::optional<std::uint64_t> unread;   ///< as channel_info::unread
  std::optional<std::uint64_t> dead;     ///< as channel_info::dead
  std::optional<std::uint64_t> dropped;  ///< as channel_info::dropped
  std::string problem;                  ///< what no correct participant would have written
  /// By slot of the roster: as participant_info::behind.
  std::array<std::optional<std::uint64_t>, layout::max_participants> behind;
  std::array<std::optional<std::uint64_t>, layout::max_participants> held;  ///< likewise
};

/// Reads, and never maps. The caller has checked that the ring lies in the file, and behind the header. Exact if no
/// participant is alive.
ring_fill fill_of(const unique_handle& block, const layout::identity& id);

/// The same from the ring's control block alone: of a work_ring an estimate.
ring_fill quick_fill_of(const unique_handle& block, const layout::identity& id);

}  // namespace belfry::detail
