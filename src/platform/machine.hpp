// Properties of the machine, and random bytes.
#pragma once

#include <belfry/error.hpp>

#include <cstddef>
#include <span>

namespace belfry::platform {

using detail::failure;

std::size_t page_size() noexcept;

/// The machine's processors, even those that this process may not use.
unsigned processors() noexcept;

/// Bytes that cannot be guessed. Fails if the system provides none.
bool fill_random(std::span<std::byte> out, failure& f);

}  // namespace belfry::platform
