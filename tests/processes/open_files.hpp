// Which files a process has open.
#pragma once

#include <array>
#include <cstdio>
#include <string_view>

#include <unistd.h>

namespace belfry::test {

/// Whether a descriptor of this process, below 256, is of a file whose name satisfies the condition. Allocates nothing: in
/// the child of a process with threads the sanitizers' allocator may be locked for ever.
template <class Condition>
bool any_open(Condition is_it) {
  for (int fd = 0; fd != 256; ++fd) {
    std::array<char, 32> link{};
    std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", fd);
    std::array<char, 512> target;
    const ssize_t length = ::readlink(link.data(), target.data(), target.size());
    if (is_it(std::string_view(target.data(), length > 0 ? static_cast<std::size_t>(length) : 0))) return true;
  }
  return false;
}

}  // namespace belfry::test
