// Tells the processor that this is a loop which waits for another processor.
#pragma once

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

namespace belfry::detail {

inline void pause() noexcept {
#if defined(_MSC_VER) && !defined(__clang__) && defined(_M_X64)
  _mm_pause();
#elif defined(_MSC_VER) && !defined(__clang__)
  __yield();
#elif defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace belfry::detail
