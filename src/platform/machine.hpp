// Properties of the machine, and random bytes.
#pragma once

#include <belfry/error.hpp>

#include <cstddef>
#include <span>

namespace belfry::platform {

using detail::failure;

/// Every part of a mapping begins at a multiple of this, in the file and in memory: the size of a page, or more.
std::size_t mapping_granularity() noexcept;

/// The machine's processors, even those that this process may not use.
unsigned processors() noexcept;

/// Bytes that cannot be guessed. Fails if the system provides none.
bool fill_random(std::span<std::byte> out, failure& f);

}  // namespace belfry::platform
