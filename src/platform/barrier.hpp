// A memory barrier in other processes.
#pragma once

namespace belfry::platform {

/// Whether the barriers of other processes reach this one. If so, either the process that issues a barrier
/// sees what this process stored before it, or this process's later loads see what that process stored before
/// it.
bool is_reached_by_barriers() noexcept;
/// A full barrier in every process that barriers reach, whichever processor runs it at the moment. About 10
/// us.
void barrier_everywhere() noexcept;

}  // namespace belfry::platform
