// A value in shared memory that may be read while it is written.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace belfry::detail {

/// The bytes of a T as 8-byte words, each read and written atomically: so a read during a write is no data
/// race. Whether the words belong to the same value must be found out in another way (a stamp, a version).
template <class T>
class atomic_words {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t count = (sizeof(T) + 7) / 8;
  using image = std::array<std::uint64_t, count>;

  void store(const T& from) noexcept {
    const auto* const bytes = reinterpret_cast<const std::byte*>(&from);
    for (std::size_t i = 0; i != count; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes + 8 * i, bytes_of(i));
      words_[i].store(word, std::memory_order_relaxed);
    }
  }
  void load(T& to) const noexcept {
    auto* const bytes = reinterpret_cast<std::byte*>(&to);
    for (std::size_t i = 0; i != count; ++i) {
      const std::uint64_t word = words_[i].load(std::memory_order_relaxed);
      std::memcpy(bytes + 8 * i, &word, bytes_of(i));
    }
  }

  /// In two steps, for a reader that must not change its value before it knows that the words belong
  /// together.
  image load() const noexcept {
    image words;
    for (std::size_t i = 0; i != count; ++i) words[i] = words_[i].load(std::memory_order_relaxed);
    return words;
  }
  static void unpack(const image& words, T& to) noexcept {
    std::memcpy(static_cast<void*>(&to), words.data(), sizeof to);
  }

 private:
  static constexpr std::size_t bytes_of(std::size_t word) noexcept {
    return word + 1 == count ? sizeof(T) - 8 * word : 8;
  }

  std::array<std::atomic<std::uint64_t>, count> words_;
};

}  // namespace belfry::detail
