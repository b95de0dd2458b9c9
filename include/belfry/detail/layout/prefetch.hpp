// Asks for a cache line before it is needed.
#pragma once

namespace belfry::detail {

/// For writing: a line that another processor has written last comes over once, and not twice, first to be
/// read and then to be changed. (The builtin, without more options, would ask for reading on x86; processors
/// that do not know this one do nothing.)
inline void prefetch_for_write(const void* at) noexcept {
#if defined(__GNUC__) && defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(at)));
#elif defined(__GNUC__)
  __builtin_prefetch(at, 1);
#else
  static_cast<void>(at);
#endif
}

}  // namespace belfry::detail
