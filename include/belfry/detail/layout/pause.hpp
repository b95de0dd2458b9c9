// Tells the processor that this is a loop which waits for another processor.
#pragma once

namespace belfry::detail {

inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace belfry::detail
