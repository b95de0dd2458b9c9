// A value in shared memory that others may copy while it is written.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace belfry::detail {

/// The bytes of a T in words of 8, each written and read at once: to look too early, or too late, is no data
/// race. Whether the words belong together, something else has to say.
template <class T>
class atomic_words {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t count = (sizeof(T) + 7) / 8;

  void store(const T& from) noexcept {
    std::array<std::uint64_t, count> bytes{};
    std::memcpy(bytes.data(), &from, sizeof from);
    for (std::size_t i = 0; i != count; ++i) words_[i].store(bytes[i], std::memory_order_relaxed);
  }
  void load(T& to) const noexcept {
    const std::array<std::uint64_t, count> bytes = load();
    std::memcpy(static_cast<void*>(&to), bytes.data(), sizeof to);
  }
  /// For one who does not want to touch his value before he knows that they belong together.
  std::array<std::uint64_t, count> load() const noexcept {
    std::array<std::uint64_t, count> bytes;
    for (std::size_t i = 0; i != count; ++i) bytes[i] = words_[i].load(std::memory_order_relaxed);
    return bytes;
  }

 private:
  std::array<std::atomic<std::uint64_t>, count> words_;
};

}  // namespace belfry::detail
