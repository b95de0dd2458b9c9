// Locks on single bytes of a block, dropped by the kernel with their holder.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>

#include <cstdint>

namespace belfry::platform {

using detail::unique_handle;

bool lock_byte(const unique_handle& block, std::uint64_t offset) noexcept;  // waits
bool try_lock_byte(const unique_handle& block, std::uint64_t offset) noexcept;
void unlock_byte(const unique_handle& block, std::uint64_t offset) noexcept;
bool is_locked_by_another(const unique_handle& block, std::uint64_t offset) noexcept;

}  // namespace belfry::platform
