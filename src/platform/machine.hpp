// What the machine is, and random bytes.
#pragma once

#include <belfry/error.hpp>

#include <cstddef>
#include <span>

namespace belfry::platform {

using detail::failure;

std::size_t page_size() noexcept;

/// Processors of the machine, whatever this process may use of them.
unsigned processors() noexcept;

/// Bytes that cannot be guessed. Fails where the system refuses them in every way.
bool fill_random(std::span<std::byte> out, failure& f);

}  // namespace belfry::platform
