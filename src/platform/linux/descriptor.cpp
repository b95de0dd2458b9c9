
#include "descriptor.hpp"

#include "../handle.hpp"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace belfry::platform {

bool is_standard(native_handle_type descriptor) noexcept {
  return descriptor >= 0 && descriptor < first_descriptor;
}

unique_handle above_standard(native_handle_type descriptor) noexcept {
  unique_handle low(descriptor);
  if (!is_standard(descriptor)) return low;
  unique_handle high(::fcntl(descriptor, F_DUPFD_CLOEXEC, first_descriptor));
  const int error = errno;
  low.reset();
  errno = error;
  return high;
}

}  // namespace belfry::platform
