// The values in a ring, read from its bytes alone: their type is not known.
#pragma once

#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/platform/native_handle.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace belfry::detail {

struct ring_value {
  std::uint64_t position;
  std::vector<std::byte> bytes;
  bool dead = false;
};

struct ring_values {
  std::vector<ring_value> values;  ///< the oldest first
  std::string problem;             ///< what no correct participant would have written
};

/// As peek() in peek.hpp says. Reads, and never maps. The caller has checked that the ring lies in the file, and behind
/// the header. Allocates no more than a few times the bytes of the ring.
ring_values values_of(const unique_handle& block, const layout::identity& id, std::uint64_t most);

}  // namespace belfry::detail
