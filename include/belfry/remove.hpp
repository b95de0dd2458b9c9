// Removing channels and blocks by name, whatever their type.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/base/api.hpp>

#include <string_view>

namespace belfry {

enum class removal {
  if_unused,  ///< only if no living process uses it
  forced,     ///< in any case: those that use it continue, and later ones do not meet them
};

/// Removes a channel, with its bells and whatever it holds; or the companion of a block, with its bells; or a block,
/// with what dead participants have left of its companion; or the bells of a channel that is gone.
///
///     belfry::error_code ec;
///     belfry::remove("ticks", ec);
///     if (ec == std::errc::device_or_resource_busy) std::cerr << "ticks is in use\n";
///
/// A channel or companion is used by its living participants, a block by every process that has it open. For another
/// user's block the system does not tell that: then it counts as used.
///
/// Throws std::system_error, or sets `ec`: `device_or_resource_busy` if it is used; `no_such_file_or_directory`;
/// `permission_denied` or `operation_not_permitted`; `invalid_argument` or `filename_too_long` for what cannot be a
/// name; `errc::incompatible` for a bell, or what is no regular file. Waits for no participant, except that a forced
/// removal waits some tenths of a second for the roster's lock. Thread-safe.
BELFRY_API void remove(std::string_view name, removal how = removal::if_unused);
BELFRY_API void remove(std::string_view name, removal how, error_code& ec);
inline void remove(std::string_view name, error_code& ec) { remove(name, removal::if_unused, ec); }

}  // namespace belfry
