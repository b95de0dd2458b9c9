// The messages that a consumer holds, in the order in which it has received them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace belfry::detail {

/// One per place at most. Adding and removing take constant time, in any order, and allocate nothing: all memory is
/// allocated at the beginning. Private to its consumer.
class held_list {
 public:
  explicit held_list(std::uint64_t places) : nodes_(static_cast<std::size_t>(places)) {}

  bool empty() const noexcept { return first_ == none; }
  std::size_t first_place() const noexcept { return first_; }
  /// The key of the oldest; `otherwise` if there is none.
  std::uint64_t oldest(std::uint64_t otherwise) const noexcept { return empty() ? otherwise : nodes_[first_].key; }

  /// As the newest. False if the place is held already.
  bool add(std::uint64_t place, std::uint64_t key) noexcept {
    const auto at = static_cast<std::uint32_t>(place);
    node& n = nodes_[at];
    if (n.held) return false;
    n = {key, last_, none, true};
    (last_ == none ? first_ : nodes_[last_].next) = at;
    last_ = at;
    return true;
  }
  /// False if it is not held.
  bool remove(std::uint64_t place) noexcept {
    node& n = nodes_[static_cast<std::size_t>(place)];
    if (!n.held) return false;
    n.held = false;
    (n.before == none ? first_ : nodes_[n.before].next) = n.next;
    (n.next == none ? last_ : nodes_[n.next].before) = n.before;
    return true;
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  struct node {
    std::uint64_t key = 0;
    std::uint32_t before = none;
    std::uint32_t next = none;
    bool held = false;
  };

  std::vector<node> nodes_;
  std::uint32_t first_ = none;
  std::uint32_t last_ = none;
};

}  // namespace belfry::detail
