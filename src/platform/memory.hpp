// The named memory of users, which CPython's SharedMemory opens, too: a block as others are; on Windows a section of the
// page file, because CPython's are.
#pragma once

#include "block.hpp"

#include <belfry/detail/platform/mapping.hpp>
#include <belfry/detail/platform/memory_handle.hpp>
#include <belfry/error.hpp>

#include <cstdint>
#include <string_view>

namespace belfry::platform {

using detail::memory_handle;

/// The names that CPython makes up begin like this.
std::string_view prefix_of_names() noexcept;

/// Zero bytes that have no name yet. As new_block() otherwise.
memory_handle new_memory(std::uint64_t bytes, unsigned mode, failure& f);

enum class contents { zero, some };
/// Gives it its name in one step: no process ever sees it unfinished. `std::errc::file_exists` if the name is taken. `map`
/// is the mapping of all of it. Where a name cannot be given later, another handle and mapping take their place; what is
/// zero is not copied.
bool publish_memory(memory_handle& memory, detail::mapping& map, contents now, std::string_view name, unsigned mode,
                    failure& f);

memory_handle open_memory(std::string_view name, bool writable, failure& f);
/// A handle of its own for the same memory.
memory_handle reopen_memory(const memory_handle& memory, bool writable, failure& f);
/// Removes the name. Does nothing where a name goes with the last handle.
bool unlink_memory(std::string_view name, failure& f);

/// In bytes; what the system has rounded up to, where it does not know more.
std::uint64_t memory_size(const unique_handle& memory, failure& f);
mapping map_memory(const unique_handle& memory, std::uint64_t bytes, bool writable, failure& f);

/// Tells it from other memory that had the same name; 0 if there is none.
std::uint64_t id_of(const memory_handle& memory) noexcept;
std::uint64_t named_memory_id(std::string_view name) noexcept;

/// Whether lock.hpp is for memory, too, or only for segments.
bool memory_has_locks() noexcept;

}  // namespace belfry::platform
