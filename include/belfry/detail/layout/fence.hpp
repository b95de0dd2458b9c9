// Memory fences.
#pragma once

#include <atomic>

namespace belfry::detail {

#if defined(__GNUC__) && !defined(__clang__)
// GCC's thread sanitizer warns that it does not understand fences. It only sees the threads of one process,
// and these order nothing by a fence alone: the atomics on either side order what they share.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
inline void seq_cst_fence() noexcept { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void release_fence() noexcept { __atomic_thread_fence(__ATOMIC_RELEASE); }
inline void acquire_fence() noexcept { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
#pragma GCC diagnostic pop
#else
inline void seq_cst_fence() noexcept { std::atomic_thread_fence(std::memory_order_seq_cst); }
inline void release_fence() noexcept { std::atomic_thread_fence(std::memory_order_release); }
inline void acquire_fence() noexcept { std::atomic_thread_fence(std::memory_order_acquire); }
#endif

}  // namespace belfry::detail
