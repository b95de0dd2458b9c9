// The operating system's handles, and what a fork does to them.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>

namespace belfry::platform {

using detail::unique_handle;

/// Owns a new handle, and moves it if necessary: none of our handles may have the number of a standard
/// stream, even if the program has closed that stream. Empty for an invalid handle, and if moving fails; then
/// errno says why.
unique_handle above_standard(native_handle_type handle) noexcept;

/// Whether this is the number of a standard stream.
bool is_standard(native_handle_type handle) noexcept;

/// Makes the child of a fork give up this handle at once, so that the child does not make its parent look
/// alive to other processes. In effect until the handle is closed.
void guard_against_fork(const unique_handle& handle);

/// While it exists, forks in other threads wait, so that no child gets a handle that is opened, and not yet
/// guarded. Only for a few system calls that do not block themselves.
class no_fork {
 public:
  no_fork();
  ~no_fork();
  no_fork(const no_fork&) = delete;
  no_fork& operator=(const no_fork&) = delete;
};
/// Opens a handle that the child of a fork never keeps.
template <class Open>
unique_handle open_guarded(Open open) {
  const no_fork until_guarded;
  unique_handle handle = open();
  if (handle) guard_against_fork(handle);
  return handle;
}

}  // namespace belfry::platform
