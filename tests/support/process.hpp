// Tests with several processes: children, events that order their steps, memory shared with the parent.
//
// A child is forked before its test has an io_context or a thread, does its part, and ends with _exit. The
// parent reaps it in any case.
#pragma once

#include "effort.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <signal.h>
#include <sys/mman.h>
#include <sys/types.h>

namespace belfry::test {

/// Thrown by a failed EXPECT; the child exits with an error.
struct unexpected : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// REQUIRE for children: standard error says what was wrong, and the parent sees the exit status.
#define EXPECT(...)                                                                         \
  do {                                                                                      \
    if (!(__VA_ARGS__)) {                                                                   \
      throw ::belfry::test::unexpected(std::string(__FILE__ ":") + std::to_string(__LINE__) + \
                                       ": " #__VA_ARGS__);                                  \
    }                                                                                       \
  } while (false)

/// The same for an equation; shows both sides.
#define EXPECT_EQ(left, right) \
  ::belfry::test::expect_equal((left), (right), __FILE__, __LINE__, #left " == " #right)

template <class T>
std::string shown(const T& value) {
  if constexpr (requires { value.message(); }) {
    return value.message();
  } else if constexpr (std::is_arithmetic_v<T>) {
    return std::to_string(value);
  } else if constexpr (std::is_convertible_v<T, std::error_code>) {
    return std::error_code(value).message();
  } else if constexpr (std::is_convertible_v<T, std::error_condition>) {
    return std::error_condition(value).message();
  } else if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<std::intmax_t>(value));
  } else {
    return std::string(value);
  }
}

template <class L, class R>
void expect_equal(const L& left, const R& right, const char* file, int line, const char* what) {
  if (left == right) return;
  throw unexpected(std::string(file) + ':' + std::to_string(line) + ": " + what + ": " + shown(left) +
                   " is not " + shown(right));
}

/// A process that the test has started.
class child {
 public:
  child() noexcept = default;
  /// Forks. The child runs `body`, and exits with 0 unless `body` throws. It is killed if the parent dies
  /// first, and ends itself if it takes too long.
  explicit child(const std::function<void()>& body);
  child(child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  child& operator=(child&& other) noexcept;
  ~child() { kill(); }

  pid_t pid() const noexcept { return pid_; }
  bool running() const noexcept { return pid_ > 0; }

  /// Waits for its end. Returns the exit status, or 128 plus the number of the signal that killed it.
  int wait();
  /// kill -9, then reaps. Does nothing if it is reaped already.
  void kill() noexcept;
  /// kill -9, then waits until it is dead, but leaves it a zombie.
  void kill_unreaped();
  /// SIGSTOP, then waits until it has stopped.
  void stop();
  void resume() { ::kill(pid_, SIGCONT); }
  /// Another process has reaped it.
  void forget() noexcept { pid_ = -1; }

 private:
  pid_t pid_ = -1;
};

/// Orders the steps of processes: each set() lets one wait() return. Inherited by children.
class event {
 public:
  event();
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event();

  void set(std::uint64_t times = 1) const;
  void wait() const;
  int descriptor() const noexcept { return descriptor_; }

 private:
  int descriptor_;
};

/// A value shared with children; must be trivially destructible.
template <class T>
class shared {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  shared() {
    void* const memory =
        ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    value_ = new (memory) T();
  }
  shared(const shared&) = delete;
  shared& operator=(const shared&) = delete;
  ~shared() { ::munmap(value_, sizeof(T)); }

  T* operator->() const noexcept { return value_; }
  T& operator*() const noexcept { return *value_; }

 private:
  T* value_;
};

/// Ends the program with the status that Meson takes for "skipped". For tests with their own tag, which run
/// in a program of their own.
[[noreturn]] void skip(std::string_view why);

}  // namespace belfry::test
