// How an attempt of a request has ended.
#pragma once

#include <belfry/ring/ring.hpp>

namespace belfry::detail {

/// The ring's answer, or why the ring was not asked.
enum class outcome {
  done = static_cast<int>(attempt::done),
  would_block = static_cast<int>(attempt::would_block),
  corrupted = static_cast<int>(attempt::corrupted),
  too_large = static_cast<int>(attempt::too_large),
  lagged = static_cast<int>(attempt::lagged),
  wrong_size = static_cast<int>(attempt::wrong_size),
  denied,       ///< the block is read-only
  unreachable,  ///< a peer that may need a wake-up cannot be woken; the roster says why
  no_server,    ///< a call would have to wait for one, and its client does not want to
  overloaded,   ///< a call would have to wait for a place, and its client does not want to
};

constexpr outcome outcome_of(attempt answer) noexcept { return static_cast<outcome>(answer); }

}  // namespace belfry::detail
