// Blocks: shared memory, with or without a name.
#pragma once

#include "owner.hpp"

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

/// The longest name of a block, in bytes.
inline constexpr std::size_t max_name = 255;

/// Rejects what cannot be the name of a block: empty, `.`, `..`, a slash, an embedded NUL, longer than `max`.
bool check_name(std::string_view name, std::size_t max, failure& f);

/// A block that has no name yet. Its bytes are zero and already allocated: a full memory is reported now, and
/// not by a signal later.
unique_handle new_block(std::uint64_t bytes, unsigned mode, failure& f);

/// Gives a nameless block its name in one step: no process ever sees an unfinished block.
/// `std::errc::file_exists` if the name is taken.
bool publish_block(const unique_handle& block, std::string_view name, failure& f);

unique_handle open_block(std::string_view name, bool writable, failure& f);
bool unlink_block(std::string_view name, failure& f);

/// The names of all files in the directory of blocks.
std::vector<std::string> block_names();

/// Whether the block still has the name that it was opened by; without it no process can join it any more. Where the
/// system counts a file's names, any name will do.
bool has_name(const unique_handle& block, std::string_view name) noexcept;

/// Whether this user may remove the block's name; root always may.
bool owns(const unique_handle& block) noexcept;

/// Whether the name still belongs to this block.
bool is_name_of(std::string_view name, const unique_handle& block) noexcept;
/// Removes the name if it still belongs to this block. The system cannot do both in one step: so every
/// process that removes the name of such a block must hold the same lock.
void unlink_this_block(std::string_view name, const unique_handle& block) noexcept;

/// A block that never gets a name, sealed against a change of its size.
unique_handle new_anonymous_block(std::uint64_t bytes, failure& f);
/// Whether a handle that another process sent is such a block: otherwise its memory could be taken away while
/// it is used. `errc::incompatible`, and the text says what is wrong. Opens nothing.
bool check_sealed(const unique_handle& block, failure& f);

/// A new file description for the same block: locks belong to descriptions.
unique_handle reopen_block(native_handle_type block, bool writable, failure& f);
/// A handle to map the block through, whose description need not hold locks. Where a child inherits mappings, and with
/// them descriptions, it must be another one.
unique_handle handle_to_map(native_handle_type block, bool writable, failure& f);

/// Tells a block or bell from another one that had the same name (its inode); 0 if there is none.
std::uint64_t id_of(const unique_handle& handle) noexcept;
std::uint64_t named_block_id(std::string_view name) noexcept;

/// Whether no other process has the block open or mapped. The caller has opened it once and not mapped it.
/// False also where the system does not tell, for example for another user's block.
bool is_unused_by_others(const unique_handle& block) noexcept;

/// What the system knows of a file in the directory of blocks, whether this process may open it or not.
struct file_status {
  enum class type { regular, bell, other } is = type::other;
  std::uint64_t bytes = 0;
  std::uint64_t id = 0;        ///< as id_of()
  std::int64_t written_at = 0;  ///< seconds since 1970; for a segment when it was created, as users only map it
  ownership owner;
};
bool status_of(const unique_handle& block, file_status& out) noexcept;
std::error_code status_of_name(std::string_view name, file_status& out) noexcept;

std::uint64_t block_size(const unique_handle& block, failure& f);

/// Copies the block's bytes from `offset` on; false if it has fewer. Never faults, even if the file is truncated
/// meanwhile.
bool peek_block(const unique_handle& block, std::span<std::byte> out,
                std::uint64_t offset = 0) noexcept;

/// Maps `bytes` of the block. The last `mirrored` bytes are mapped a second time right after them, so that a
/// record that crosses the end of a ring is contiguous.
mapping map_block(const unique_handle& block, std::uint64_t bytes, std::uint64_t mirrored,
                  bool writable, failure& f);

}  // namespace belfry::platform
