// How much the tests do, and how long they wait: less, and longer, where a program is slowed down.
#pragma once

#include <chrono>
#include <cstdlib>
#include <thread>

namespace belfry::test {

/// Whether this process is slowed down by a sanitizer, or by an emulator: then tests do fewer rounds.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BELFRY_TEST_SANITIZED 1
#endif
#endif
#if defined(BELFRY_TEST_SANITIZED) || defined(BELFRY_TEST_EMULATED) || defined(__SANITIZE_ADDRESS__) || \
    defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// Whether tests do all their rounds, as in the suite `long`.
inline bool all_rounds() {
  static const bool all = std::getenv("BELFRY_TEST_ALL_ROUNDS") != nullptr;
  return all;
}
/// The number of rounds of a stress test, `n` if all are wanted.
inline int often(int n) { return all_rounds() ? n : n / (sanitized ? 20 : 4); }

/// By how much a watchdog waits longer.
#if defined(BELFRY_TEST_EMULATED)
inline constexpr int slowness = 10;
#else
inline constexpr int slowness = sanitized ? 4 : 1;
#endif

/// Waits for a condition that no event reports, for example that another process sleeps. The watchdog ends it.
template <class Condition>
void await(Condition condition) {
  while (!condition()) std::this_thread::sleep_for(std::chrono::microseconds(200));
}

}  // namespace belfry::test
