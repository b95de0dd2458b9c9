// Blocks: shared memory, with a name or without.
#pragma once

#include <belfry/detail/platform/mapping.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace belfry::platform {

using detail::failure;
using detail::mapping;
using detail::unique_handle;

/// Longest name of a block in bytes.
inline constexpr std::size_t max_name = 255;

/// Rejects what could not name a block: empty, `.`, `..`, a slash, an embedded NUL, longer than `max`.
bool check_name(std::string_view name, std::size_t max, failure& f);

/// A block that has no name yet, all its bytes zero and really there, so that a full memory is
/// reported now and not by a signal later.
unique_handle new_block(std::uint64_t bytes, unsigned mode, failure& f);

/// Gives a nameless block its name in one step; nobody ever sees it half-built.
/// `std::errc::file_exists` if the name is taken.
bool publish_block(const unique_handle& block, std::string_view name, failure& f);

unique_handle open_block(std::string_view name, bool writable, failure& f);
bool unlink_block(std::string_view name, failure& f);

/// The names of all that lies where blocks are.
std::vector<std::string> block_names();

/// Whether the block has a name still; without one nobody will ever join it.
bool has_name(const unique_handle& block) noexcept;

/// Whether this user may remove its name; root may always.
bool owns(const unique_handle& block) noexcept;

/// Whether the name still means this block.
bool is_name_of(std::string_view name, const unique_handle& block) noexcept;
/// Removes the name if it still means this block. The system cannot do both at once: all who remove the names of
/// such blocks must hold the same lock.
void unlink_this_block(std::string_view name, const unique_handle& block) noexcept;

/// A block without a name for ever, sealed against a change of its size.
unique_handle new_anonymous_block(std::uint64_t bytes, failure& f);
/// Whether a handle that came from somewhere else is such a block: else its memory could be taken away while it is
/// used. `errc::incompatible`, and the text says what is wrong. Opens nothing.
bool check_sealed(const unique_handle& block, failure& f);

/// An open file description of one's own for the same block: locks belong to descriptions.
unique_handle reopen_block(native_handle_type block, bool writable, failure& f);

/// Tells a block, or a bell, from another that had the same name; 0 if there is none.
std::uint64_t id_of(const unique_handle& handle) noexcept;
std::uint64_t named_block_id(std::string_view name) noexcept;

/// Whether nobody but the caller, who has opened it once and not mapped it, has the block open or mapped.
/// False also where the system does not tell, as it does not of somebody else's block.
bool is_unused_by_others(const unique_handle& block) noexcept;

std::uint64_t block_size(const unique_handle& block, failure& f);

/// Copies the block's first bytes; false if it has fewer. Never faults, whoever truncates the file.
bool peek_block(const unique_handle& block, std::span<std::byte> out) noexcept;

/// Maps `bytes` of the block. The last `mirrored` bytes of it are mapped a second time right behind,
/// so that a record which crosses the end of a ring is contiguous all the same.
mapping map_block(const unique_handle& block, std::uint64_t bytes, std::uint64_t mirrored,
                  bool writable, failure& f);

}  // namespace belfry::platform
