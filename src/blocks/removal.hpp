// Removing segments and bells that no living process needs.
#pragma once

#include <belfry/error.hpp>

#include <cstddef>
#include <string_view>

namespace belfry::detail {

/// What may be removed.
struct removal_rules {
  bool holding = false;     ///< although it holds something that a later participant needs, or that cannot be told
  bool persistent = false;  ///< although its lifetime is persistent
  bool in_use = false;      ///< although a participant is alive; it continues without the name
};

enum class segment_fate {
  removed,
  in_use,      ///< a participant is alive, or the roster's lock is held
  holding,     ///< something is unread, or a death in a transaction is to be told, or neither can be told
  persistent,
  gone,        ///< the name means no segment, or another one by now
  refused,     ///< see the failure
};

/// Removes a segment's name and bells, under its roster's lock, if the rules let it.
segment_fate remove_segment(std::string_view name, const removal_rules& rules, failure& f);

/// Removes the bells of a segment that is gone, except those that a process still has open. Returns how many.
std::size_t remove_stray_bells(std::string_view segment);

}  // namespace belfry::detail
