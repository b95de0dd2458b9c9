// A memory barrier in all processes.
#pragma once

namespace belfry::platform {

/// Whether the barriers of others reach this process: what it has stored before one of them is seen by its
/// caller, or what that had stored before is seen by what this process loads afterwards.
bool is_reached_by_barriers() noexcept;
/// A full barrier in every process that is reached, wherever it runs just now. Some 10 us.
void barrier_everywhere() noexcept;

}  // namespace belfry::platform
