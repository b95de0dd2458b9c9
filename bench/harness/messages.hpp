// The messages: numbered, and written, copied out and checked alike by all contenders.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace belfry::bench {

/// Numbered in the first word of every 64 bytes.
template <std::size_t Bytes>
struct message {
  static_assert(Bytes % 8 == 0);

  void number(std::uint64_t n) noexcept {
    for (std::size_t i = 0; i < words.size(); i += 8) words[i] = n;
  }

  std::array<std::uint64_t, Bytes / 8> words;
};

/// Throws if it is not message `n`. The caller has its own copy, whatever the message came through.
template <std::size_t Bytes>
void check(const message<Bytes>& m, std::uint64_t n) {
  asm volatile("" : : "r"(&m) : "memory");  // read all of it, not only the numbers
  std::uint64_t wrong = 0;
  for (std::size_t i = 0; i < m.words.size(); i += 8) wrong |= m.words[i] ^ n;
  if (wrong != 0) throw std::runtime_error("a message is not the one that was expected");
}

}  // namespace belfry::bench
