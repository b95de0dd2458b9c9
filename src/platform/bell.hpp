// Bells: a participant sleeps on its own, and others notify it.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <cstdint>
#include <string_view>
#include <system_error>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

/// The sleeping end of a new named bell, and its identity.
struct made_bell {
  unique_handle handle;
  std::uint64_t id = 0;
};
/// Creates the named bell and opens its sleeping end; replaces a bell that a dead process left. Other users
/// may notify it if `mode` lets them. Its group is the block's; if root creates it, so is its owner.
made_bell new_named_bell(std::string_view name, const unique_handle& block, unsigned mode, failure& f);

/// Identifies one bell: its name, the block beside which it was made, its identity, its owner, and the owner's handle:
/// a number.
struct named_bell {
  std::string_view name;
  const unique_handle& block;
  std::uint64_t id;
  std::uint32_t owner;
  std::uint32_t number;
};
/// The notifying end of a named bell. It tells of its owner's death itself, or comes with a handle of the owner's
/// process, which becomes ready then. That process is known by its pid only: the caller checks that the pid has not
/// been reused.
struct notifying_end {
  unique_handle bell;
  unique_handle owner;
};
/// Opens the notifying end, and checks that it is the expected bell. `nobody_listens` if its owner is dead;
/// `no_such_file_or_directory` if no bell has this name, or it is another one.
notifying_end open_named_bell(const named_bell& bell, std::error_code& error) noexcept;
/// The same for a bell that has lost its name, through its owner's handle.
notifying_end open_bell_of_process(const named_bell& bell, std::error_code& error) noexcept;
inline constexpr std::errc nobody_listens = std::errc::no_such_device_or_address;
void unlink_named_bell(std::string_view name) noexcept;

/// The identity of the bell that has this name; 0 if there is none.
std::uint64_t named_bell_id(std::string_view name) noexcept;

/// Whether a process has no bell of this name open for sleeping, and it may be told: it was left by a dead one.
bool is_deserted_bell(std::string_view name) noexcept;

/// A bell without a name, to be handed to other processes (a pipe). Neither notify it nor drain it directly:
/// processes that share a file description also share its non-blocking flag.
unique_handle new_anonymous_bell(failure& f);
/// Opens both ends of such a bell through a new file description, which no other process can make blocking.
unique_handle open_anonymous_bell(const unique_handle& bell, std::error_code& error) noexcept;
/// Whether a handle that another process sent is such a bell.
bool is_anonymous_bell(const unique_handle& bell) noexcept;

/// False if the bell's owner is dead. Raises no signal. Both handles are those of the notifying_end.
bool ring_bell(native_handle_type bell, native_handle_type owner) noexcept;
/// The same for a handle that is also the sleeping end, so that there always is a reader.
void ring_own_bell(native_handle_type bell) noexcept;
void drain_bell(const unique_handle& bell) noexcept;

}  // namespace belfry::platform
