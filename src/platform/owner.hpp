// Whose something is in the file system, and for whose use.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <cstdint>
#include <string_view>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

/// The user and the group that something belongs to, and its permission bits; root's, and none, also if the
/// system does not tell.
struct ownership {
  std::uint64_t user = 0;
  std::uint64_t group = 0;
  unsigned mode = 0;
};
ownership ownership_of(const unique_handle& handle) noexcept;
/// Gives what was made beside a block, and for its users, this group and mode. A group that the caller may not give
/// does not matter if the mode lets in all users, or no group. What root has made for the block of another user
/// becomes that user's: else it would be out of its reach.
bool give_to_users(const unique_handle& made, const ownership& as, failure& f);
/// Whether what lies under a name may be trusted with what is ours: its owner is this user, root, or `trusted`, or
/// one of those that `mode`, the caller's own wish, lets in. Else `permission_denied`, and the text names the owner.
bool check_owner(const unique_handle& handle, std::string_view name, unsigned mode,
                 std::uint64_t trusted, failure& f);

}  // namespace belfry::platform
