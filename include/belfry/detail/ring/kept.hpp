// Values of any size in objects that are moved, and that may be on a stack.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace belfry::detail {

/// A value larger than this is never put on a stack by the library.
inline constexpr std::size_t large_value = 4096;
template <class T>
inline constexpr bool is_large = sizeof(T) > large_value;

/// A value: inside of this object, or on the heap if it is large. Then moving it moves no value, and what was moved from
/// has none.
template <class T>
class kept {
 public:
  kept() = default;
  explicit kept(const T& value) : value_(value) {}
  /// For one that gets its value later.
  static kept none() noexcept { return {}; }

  T& operator*() noexcept { return value_; }
  const T& operator*() const noexcept { return value_; }

 private:
  T value_{};
};

template <class T>
  requires is_large<T>
class kept<T> {
 public:
  kept() : value_(std::make_unique<T>()) {}
  explicit kept(const T& value) : value_(std::make_unique_for_overwrite<T>()) { *value_ = value; }
  kept(kept&&) noexcept = default;
  kept(const kept& other) : value_(other.value_ ? std::make_unique_for_overwrite<T>() : nullptr) {
    if (value_) *value_ = *other.value_;
  }
  kept& operator=(kept&&) noexcept = default;
  kept& operator=(const kept& other) {
    if (this != &other) *this = kept(other);
    return *this;
  }
  static kept none() noexcept { return kept(nullptr); }

  T& operator*() noexcept { return *value_; }
  const T& operator*() const noexcept { return *value_; }

 private:
  explicit kept(std::nullptr_t) noexcept {}

  std::unique_ptr<T> value_;
};

}  // namespace belfry::detail
