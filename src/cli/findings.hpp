// What is worth saying about a channel, beyond its numbers.
#pragma once

#include <belfry/inspect.hpp>

#include <string>
#include <vector>

namespace belfry::cli {

/// Whether it is a channel or companion of a known layout.
bool is_segment(const channel_info& info);
/// Whether it is a channel whose items may be dead.
bool has_dead_items(const channel_info& info);
/// Whether it is a channel for calls, whose producers are clients and whose consumers are servers.
bool has_calls(const channel_info& info);
/// "producer" or "consumer"; of a channel for calls "client" or "server".
const char* role_name(participant_role role, const channel_info& info);
std::size_t dead_participants(const channel_info& info);

/// A lock that is held only for a moment is nothing to worry about; so this looks for a tenth of a second.
bool stays_locked(const std::string& name);

/// One result of `belfry doctor`.
struct diagnosis {
  enum class level { ok, note, broken } is;
  std::string check;  ///< what was looked at: "kernel", or a name in shared memory
  std::string found;
  std::string advice;  ///< what to do; may be empty
};
const char* text_of(diagnosis::level l);

/// Why nothing may arrive, and what dead processes have left; each with what to do about it. A sentence each.
std::vector<std::string> findings(const channel_info& info);

}  // namespace belfry::cli
