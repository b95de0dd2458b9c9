// The numbers that a consumer receives while another process sends them, from 1 on.
#pragma once

#include <belfry/detail/layout/layout.hpp>
#include <belfry/ring/ring.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>

namespace belfry::test {

/// None comes twice, and none is missing, except through a ring that overwrites. They come in order, except through a ring of
/// work, whose consumers skip an item that is still being written.
class arrivals {
 public:
  explicit arrivals(const detail::ring_traits& traits)
      : in_order_(traits.kind != layout::ring_kind::work && traits.kind != layout::ring_kind::byte_work),
        may_lose_(traits.overwrites || traits.never_full) {}

  /// False: this number may not come now.
  bool add(std::uint64_t number) {
    if (in_order_ && number <= largest_) return false;
    largest_ = std::max(largest_, number);
    return all_.insert(number).second;
  }
  std::uint64_t largest() const { return largest_; }
  bool none_missing() const { return may_lose_ || all_.size() == largest_; }

 private:
  bool in_order_;
  bool may_lose_;
  std::uint64_t largest_ = 0;
  std::set<std::uint64_t> all_;
};

}  // namespace belfry::test
