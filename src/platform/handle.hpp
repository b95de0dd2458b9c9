// Handles of the operating system, and what a fork does to them.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>

namespace belfry::platform {

using detail::unique_handle;

/// Owns a new handle, moved out of the way if need be: no handle of ours is one of the standard streams,
/// whatever of these the program has closed. Empty, with the system's error left as it is, if that fails, and
/// for what was none to begin with.
unique_handle above_standard(native_handle_type handle) noexcept;

/// Whether this is the number of a standard stream.
bool is_standard(native_handle_type handle) noexcept;

/// Opens what is missing of the standard streams, for a program that is ours as a whole: the reactor's handles
/// are Asio's to open. They lead nowhere.
void fill_standard_streams() noexcept;

/// Makes the child of a fork give up this handle at once, so that it does not keep its parent
/// alive in the eyes of others. Until the handle is closed.
void guard_against_fork(const unique_handle& handle);

/// While it lives the forks of other threads wait, so that no child has a handle which is opened, and guarded,
/// meanwhile. For the time of a few system calls that do not wait themselves.
class no_fork {
 public:
  no_fork();
  ~no_fork();
  no_fork(const no_fork&) = delete;
  no_fork& operator=(const no_fork&) = delete;
};
/// Opens a handle that no child of a fork ever has.
template <class Open>
unique_handle open_guarded(Open open) {
  const no_fork until_guarded;
  unique_handle handle = open();
  if (handle) guard_against_fork(handle);
  return handle;
}

}  // namespace belfry::platform
