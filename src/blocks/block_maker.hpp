// Creating blocks and lists, which get their name last.
#pragma once

#include "../platform/memory.hpp"

#include <belfry/shareable_list.hpp>
#include <belfry/shared_memory.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace belfry::detail {

class block_maker {
 public:
  static shared_memory make(std::size_t bytes, unsigned mode, failure& f);
  /// Throws as the constructor of shareable_list.
  static shareable_list make(std::span<const shareable_list::value> values);
  /// `std::errc::invalid_argument` for a value that cannot be in a list.
  static shareable_list make(std::span<const shareable_list::value> values, failure& f);

  explicit block_maker(shared_memory& m) noexcept : block_(m) {}
  explicit block_maker(shareable_list& l) noexcept : block_(l.shm()) {}

  const std::string& name() const noexcept { return block_.name(); }
  std::uint64_t id() const noexcept { return platform::id_of(block_.block_); }
  static const memory_handle& handle_of(const shared_memory& block) noexcept { return block.block_; }
  /// As CPython names its blocks: `psm_`, on Windows `wnsm_`, and eight hexadecimal digits.
  static std::string new_name(failure& f);
  /// `std::errc::file_exists` if the name is taken.
  bool publish(std::string_view name, failure& f, unsigned mode = 0600,
               platform::contents now = platform::contents::some);
  /// An empty name is replaced by a free one.
  bool publish_as(std::string_view name, failure& f, unsigned mode = 0600,
                  platform::contents now = platform::contents::some);

 private:
  shared_memory& block_;
};

}  // namespace belfry::detail
