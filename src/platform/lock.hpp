// Locks on single bytes of a block, which the kernel drops when their holder dies.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <cstdint>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

/// Blocks until no other holds it. False on failure.
bool lock_byte(const unique_handle& block, std::uint64_t offset, failure& f);
bool try_lock_byte(const unique_handle& block, std::uint64_t offset) noexcept;
void unlock_byte(const unique_handle& block, std::uint64_t offset) noexcept;
bool is_locked_by_another(const unique_handle& block, std::uint64_t offset) noexcept;
/// The same for any byte from `offset` on.
bool is_any_locked_by_another(const unique_handle& block, std::uint64_t offset) noexcept;

}  // namespace belfry::platform
