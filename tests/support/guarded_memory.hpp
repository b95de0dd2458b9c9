// Memory between pages that cannot be accessed: an access outside ends the process.
#pragma once

#include <cstddef>

namespace belfry::test {

class guarded_memory {
 public:
  /// `bytes` that end where a page ends. Behind them their last `mirrored`, whole pages, are mapped a second time.
  explicit guarded_memory(std::size_t bytes, std::size_t mirrored = 0);
  ~guarded_memory();
  guarded_memory(const guarded_memory&) = delete;
  guarded_memory& operator=(const guarded_memory&) = delete;

  /// Behind the bytes, and before their second mapping.
  std::byte* end() const noexcept { return end_; }

 private:
  std::byte* begin_ = nullptr;  // with the page before
  std::byte* end_ = nullptr;
  std::size_t mirrored_ = 0;
};

}  // namespace belfry::test
