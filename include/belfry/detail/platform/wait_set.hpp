// Several handles as one, for event loops other than Asio's.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <memory>
#include <system_error>

namespace belfry::detail {

/// A handle that becomes ready when any of its members is. Which one it is, the user finds out by looking at each.
class wait_set {
 public:
  wait_set() noexcept;
  wait_set(wait_set&&) noexcept;
  wait_set& operator=(wait_set&&) noexcept;
  ~wait_set();

  /// The set of this bell, which is its first member. Empty on failure. A system on which no handle stands for several
  /// ones makes the others ring this bell.
  static wait_set around(native_handle_type bell, failure& f);

  explicit operator bool() const noexcept { return implementation_ != nullptr; }
  native_handle_type handle() const noexcept;
  /// The member must stay open until it is removed.
  std::error_code add(native_handle_type member) noexcept;
  void remove(native_handle_type member) noexcept;
  void close() noexcept;

 private:
  struct implementation;
  explicit wait_set(std::unique_ptr<implementation> made) noexcept;
  std::unique_ptr<implementation> implementation_;
};

}  // namespace belfry::detail
