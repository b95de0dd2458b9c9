// A mapping of shared memory into this process.
#pragma once

#include <belfry/detail/base/api.hpp>

#include <cstddef>
#include <utility>

namespace belfry::detail {

class mapping {
 public:
  mapping() noexcept = default;
  mapping(std::byte* data, std::size_t bytes, std::size_t reserved) noexcept
      : data_(data), bytes_(bytes), reserved_(reserved) {}
  mapping(mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)),
        reserved_(std::exchange(other.reserved_, 0)) {}
  mapping& operator=(mapping&& other) noexcept {
    if (this != &other) {
      unmap();
      data_ = std::exchange(other.data_, nullptr);
      bytes_ = std::exchange(other.bytes_, 0);
      reserved_ = std::exchange(other.reserved_, 0);
    }
    return *this;
  }
  ~mapping() { unmap(); }

  std::byte* data() const noexcept { return data_; }
  /// Bytes of the block; the mirrored tail after them (see `map_block`) is not counted.
  std::size_t size() const noexcept { return bytes_; }
  explicit operator bool() const noexcept { return data_ != nullptr; }
  BELFRY_API void unmap() noexcept;

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t reserved_ = 0;  // bytes of address space, the mirrored tail included
};

}  // namespace belfry::detail
