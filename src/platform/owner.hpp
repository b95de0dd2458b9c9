// The owner of a file, and the users that may access it.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <cstdint>
#include <string_view>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

/// Owner, group and permission bits of a file. If the system does not tell: root's, and no bits.
struct ownership {
  std::uint64_t user = 0;
  std::uint64_t group = 0;
  unsigned mode = 0;
};
ownership ownership_of(const unique_handle& handle) noexcept;
/// Gives a file that was made beside a block, for the block's users, this group and mode. It does not matter
/// if the caller may not set the group, as long as the mode lets in all users, or no group. If root made the
/// file for another user's block, it becomes that user's: otherwise that user could not access it.
bool give_to_users(const unique_handle& made, const ownership& as, failure& f);
/// Whether a file may be trusted with our data: its owner is this user, root, `trusted`, or a user that
/// `mode`, which the caller chose, lets in. Otherwise `permission_denied`, and the text names the owner.
bool check_owner(const unique_handle& handle, std::string_view name, unsigned mode,
                 std::uint64_t trusted, failure& f);

}  // namespace belfry::platform
