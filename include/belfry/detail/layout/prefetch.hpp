// Fetches a cache line before it is needed.
#pragma once

namespace belfry::detail {

/// For writing: a line last written by another processor then travels once, not twice (first to be read, then
/// to be changed). On x86 the builtin without this option would fetch for reading. Processors without the
/// instruction ignore it.
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
