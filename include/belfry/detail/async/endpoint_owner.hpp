// What producers, consumers and watches have in common: each owns an endpoint.
#pragma once

#include <belfry/asio.hpp>

#include <concepts>
#include <memory>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// Owns an endpoint, and leaves the segment with it. A moved-from object behaves as a closed one.
/// Thread safety: distinct objects are safe; a shared one is not.
template <class Endpoint, class Executor>
class endpoint_owner {
 public:
  using executor_type = Executor;

  endpoint_owner(endpoint_owner&& other) noexcept
      : endpoint_(std::move(other.endpoint_)), executor_(other.executor_) {}
  template <std::convertible_to<Executor> Other>
  endpoint_owner(endpoint_owner<Endpoint, Other>&& other)
      : endpoint_(std::move(other.endpoint_)), executor_(other.executor_) {}
  endpoint_owner& operator=(endpoint_owner&& other) noexcept {
    if (this != &other) {
      close();
      endpoint_ = std::move(other.endpoint_);
      executor_ = other.executor_;
    }
    return *this;
  }
  /// As close().
  ~endpoint_owner() { close(); }

  executor_type get_executor() const noexcept { return executor_; }

  /// Leaves for good. Pending operations complete with `operation_aborted`; later ones with `errc::closed`. The other
  /// side of a channel first receives everything in the ring, then `errc::closed`.
  void close() noexcept {
    if (endpoint_) endpoint_->close();
  }

  /// Completes all pending operations with `operation_aborted`. They have taken and sent nothing, except async_send_n,
  /// whose handler is told how many values were sent.
  void cancel() noexcept {
    if (endpoint_) endpoint_->cancel_all();
  }

  bool is_open() const noexcept { return endpoint_ && endpoint_->is_open(); }

 protected:
  template <class... Arguments>
  explicit endpoint_owner(const Executor& executor, const Arguments&... arguments)
      : endpoint_(std::make_shared<Endpoint>(net::any_io_executor(executor), arguments...)),
        executor_(executor) {}

  /// The endpoint of a new operation. After a move: a new, closed endpoint, which completes it with `errc::closed`.
  const std::shared_ptr<Endpoint>& target() {
    if (!endpoint_) endpoint_ = std::make_shared<Endpoint>(net::any_io_executor(executor_));
    return endpoint_;
  }

  std::shared_ptr<Endpoint> endpoint_;  // null after a move
  Executor executor_;

 private:
  template <class, class>
  friend class endpoint_owner;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
