// Bells: what a participant sleeps on, and others ring.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <cstdint>
#include <string_view>
#include <system_error>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

/// Creates the named bell, replacing what a dead process left, and opens its sleeping end. Others may ring it
/// as far as `mode` says; its group is the block's, and if root has made it so is its owner.
unique_handle new_named_bell(std::string_view name, const unique_handle& block, unsigned mode,
                             failure& f);

/// Which bell is meant: a bell of this name, made beside this block, and of this identity (as id_of()).
struct named_bell {
  std::string_view name;
  const unique_handle& block;
  std::uint64_t id;
};
/// Opens the ringing end, and makes sure that it is the bell which is meant. `nobody_listens` if its owner is
/// dead; `no_such_file_or_directory` if there is none of this name, or it is another one.
unique_handle open_named_bell(const named_bell& bell, std::error_code& error) noexcept;
/// The same for a bell that has lost its name, through its owner's handle for it.
unique_handle open_bell_of_process(std::uint32_t pid, std::uint32_t handle, const named_bell& bell,
                                   std::error_code& error) noexcept;
inline constexpr std::errc nobody_listens = std::errc::no_such_device_or_address;
void unlink_named_bell(std::string_view name) noexcept;

/// As id_of(); 0 also if it is no bell.
std::uint64_t named_bell_id(std::string_view name) noexcept;

/// A bell without a name, to be handed over (a pipe). Not to be rung, or drained, itself: those who share a
/// description share whether it blocks, too.
unique_handle new_anonymous_bell(failure& f);
/// Both ends of such a bell, through a description of one's own, which nobody else can make block.
unique_handle open_anonymous_bell(const unique_handle& bell, std::error_code& error) noexcept;
/// Whether a handle that came from somewhere else is one.
bool is_anonymous_bell(const unique_handle& bell) noexcept;

/// False if nobody is left who could hear it. Raises no signal.
bool ring_bell(native_handle_type bell) noexcept;
/// The same for a bell of which this handle is the sleeping end as well, so that it cannot be deserted.
void ring_own_bell(native_handle_type bell) noexcept;
void drain_bell(const unique_handle& bell) noexcept;

}  // namespace belfry::platform
