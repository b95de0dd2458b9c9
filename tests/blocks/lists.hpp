// Lists whose names are removed at the end, and access to their bytes.
#pragma once

#include "support/test.hpp"

#include <belfry/shareable_list.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace belfry::test {

using value = shareable_list::value;

/// Removes a list's name at the end of its scope.
struct owned : shareable_list {
  explicit owned(const std::vector<value>& values, std::string_view what = "list")
      : shareable_list(std::span(values), unique_name(what)) {}
  ~owned() { shm().unlink(); }
  const std::string& name() const { return shm().name(); }
};

inline const std::vector<value> everything = {
    "howdy", bytes("HoWdY"), -273.154, 100, nullptr, true, 42,
};

template <std::size_t N>
shared_memory block_of(const std::array<unsigned char, N>& content, std::string_view what) {
  shared_memory m = shared_memory::create(unique_name(what), N);
  std::memcpy(m.buf().data(), content.data(), N);
  return m;
}

inline error_code open_error(std::string_view name) {
  error_code ec;
  const shareable_list l = shareable_list::open(name, ec);
  return ec;
}

inline std::error_code read_error(const shareable_list& l, std::size_t i) {
  try {
    l.at(i);
  } catch (const std::system_error& e) {
    return e.code();
  }
  return {};
}

inline std::vector<std::byte> copy_of(const shareable_list& l) {
  const auto all = l.shm().buf();
  return {all.begin(), all.end()};
}

/// The offsets of a list's parts.
struct parts {
  explicit parts(const shareable_list& l) : n(l.size()) {
    std::memcpy(&data_bytes, l.shm().buf().data() + 8 * (n + 1), 8);
  }
  std::size_t offset(std::size_t i) const { return 8 * (i + 1); }
  std::size_t data() const { return 8 * (n + 2); }
  std::size_t format(std::size_t i) const { return data() + data_bytes + 8 * i; }
  std::size_t code(std::size_t i) const { return format(n) + i; }

  std::size_t n;
  std::uint64_t data_bytes = 0;
};

inline void put(shareable_list& l, std::size_t at, std::uint64_t word) {
  std::memcpy(l.shm().buf().data() + at, &word, 8);
}
inline void put_format(shareable_list& l, std::size_t i, std::string_view format) {
  std::byte* const at = l.shm().buf().data() + parts(l).format(i);
  std::memset(at, 0, 8);
  std::memcpy(at, format.data(), std::min<std::size_t>(format.size(), 8));
}
inline void put_code(shareable_list& l, std::size_t i, int code) {
  l.shm().buf()[parts(l).code(i)] = static_cast<std::byte>(code);
}

}  // namespace belfry::test
