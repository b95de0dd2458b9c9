// Awaiting a change in a block, and exclusive access to it.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/actions.hpp>
#include <belfry/detail/async/endpoint_handle.hpp>
#include <belfry/detail/blocks/watch_endpoint.hpp>
#include <belfry/error.hpp>
#include <belfry/shared_memory.hpp>
#include <belfry/transaction.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

/// Lets programs wait for each other's changes in a block, also in one that CPython has made.
///
///     belfry::watch w(io, config);                            // a shared_memory, or a list's shm()
///     for (std::uint64_t seen = w.version();;) {
///       reload(config);
///       seen = co_await w.async_changed(seen, net::use_awaitable);
///     }
///
///     limits[3] = 100;                                         // the other program
///     belfry::watch(io, limits.shm()).notify(3);
///
/// Versions, watchers and bells are in a companion segment, `<name>.watch`, which is there as long as
/// somebody watches. Up to 64 watches of a block at a time, in all processes together. Nothing
/// forces a writer to notify; one that is killed while it does is taken for having notified.
///
/// Thread safety: distinct objects are safe; a shared one is not.
///
/// Cancellation: every type completes an operation with `operation_aborted`; it then holds nothing.
/// Destroying the watch, `close()` and `cancel()` do the same. A transaction must not outlive its
/// watch: it ends with it.
template <class Executor = net::any_io_executor>
class basic_watch {
  using default_token = net::default_completion_token_t<Executor>;

 public:
  using executor_type = Executor;
  template <class Other>
  struct rebind_executor {
    using other = basic_watch<Other>;
  };

  /// Watches the block, which may be closed afterwards. A read-only one can be watched and notified,
  /// and permits no transactions. Throws std::system_error: `errc::roster_full`, `errc::incompatible`
  /// if something else has the companion's name, or what the system says.
  basic_watch(const Executor& executor, const shared_memory& block)
      : endpoint_(std::make_shared<detail::watch_endpoint>(net::any_io_executor(executor))),
        executor_(executor) {
    detail::failure f;
    endpoint_->open(block, f);
    if (f) f.raise();
  }
  basic_watch(const Executor& executor, const shared_memory& block, error_code& ec)
      : endpoint_(std::make_shared<detail::watch_endpoint>(net::any_io_executor(executor))),
        executor_(executor) {
    detail::failure f;
    endpoint_->open(block, f);
    ec = detail::to_net(f.code);
  }
  template <std::derived_from<net::execution_context> Context, class... Arguments>
  basic_watch(Context& context, Arguments&&... arguments)
      : basic_watch(Executor(context.get_executor()), std::forward<Arguments>(arguments)...) {}

  /// What was moved from is as if it were closed.
  basic_watch(basic_watch&& other) noexcept
      : endpoint_(std::move(other.endpoint_)), executor_(other.executor_) {}
  basic_watch& operator=(basic_watch&& other) noexcept {
    if (this != &other) {
      if (endpoint_) endpoint_->close();
      endpoint_ = std::move(other.endpoint_);
      executor_ = other.executor_;
    }
    return *this;
  }
  ~basic_watch() {
    if (endpoint_) endpoint_->close();
  }

  executor_type get_executor() const noexcept { return executor_; }
  bool is_open() const noexcept { return endpoint_ && endpoint_->is_open(); }
  void close() noexcept {
    if (endpoint_) endpoint_->close();
  }
  void cancel() noexcept {
    if (endpoint_) endpoint_->cancel_all();
  }

  /// Grows with every notification, also across the lives of the companion (should the clock not be set
  /// back in between). What is read of the block after this shows everything whose notification the version
  /// counts; all else is told by async_changed() of this version.
  std::uint64_t version() const noexcept { return endpoint_ ? endpoint_->version() : 0; }

  /// The block has changed: publishes a new version and wakes who waits for it. No system call if
  /// nobody sleeps. An error says that some watcher could not be woken (its bell could not be opened, as at the
  /// limit of descriptors); all others were. It is woken by the next notification, if that succeeds. `closed` of a
  /// watch that is closed.
  error_code notify() noexcept {
    return detail::to_net(endpoint_ ? endpoint_->notify() : make_error_code(errc::closed));
  }
  /// Only this element has changed. Exact for the first 1024 elements; of more, those whose numbers
  /// are equal modulo 1024 are told alike.
  error_code notify(std::size_t element) noexcept {
    return detail::to_net(endpoint_ ? endpoint_->notify(element) : make_error_code(errc::closed));
  }

  /// Completes when the block has another version than `seen`, at once if it has already, with the
  /// newest one: who has missed ten changes is told once. Signature: void(error_code, std::uint64_t).
  template <class Token = default_token>
  auto async_changed(std::uint64_t seen, Token&& token = Token()) {
    return initiate_changed(detail::changed_action{target(), seen}, std::forward<Token>(token));
  }

  /// The same for a change of one of these elements, or of the block as a whole, since `seen`. (GCC 12
  /// takes no braced list in a `co_await`: give it an array.)
  template <class Token = default_token>
  auto async_changed(std::uint64_t seen, std::span<const std::size_t> elements,
                     Token&& token = Token()) {
    return initiate_changed(
        detail::changed_action{target(), seen, {elements.begin(), elements.end()}},
        std::forward<Token>(token));
  }
  template <class Token = default_token>
  auto async_changed(std::uint64_t seen, std::initializer_list<std::size_t> elements,
                     Token&& token = Token()) {
    return async_changed(seen, std::span(elements.begin(), elements.size()),
                         std::forward<Token>(token));
  }

  /// Completes when this process, and within it this watch, has exclusive access to the block.
  /// Signature: void(error_code, transaction). First come, first served, among all who wait. Errors:
  /// `errc::owner_died` if the holder before was killed, and *the transaction is held*: put the data
  /// right (with `use_awaitable` that is an exception, and the transaction ended; use `as_tuple`);
  /// `permission_denied` for a read-only block.
  template <class Token = default_token>
  auto async_txn(Token&& token = Token()) {
    detail::txn_action action{target()};
    return net::async_initiate<Token, void(error_code, transaction)>(
        detail::initiation<detail::watch_endpoint, Executor>(endpoint_, executor_), token,
        std::move(action));
  }

 private:
  /// What an operation is for: after a move a closed endpoint, which completes it.
  const std::shared_ptr<detail::watch_endpoint>& target() {
    if (!endpoint_)
      endpoint_ = std::make_shared<detail::watch_endpoint>(net::any_io_executor(executor_));
    return endpoint_;
  }

  template <class Token>
  auto initiate_changed(detail::changed_action action, Token&& token) {
    return net::async_initiate<Token, void(error_code, std::uint64_t)>(
        detail::condition_initiation<detail::watch_endpoint, Executor>(endpoint_, executor_), token,
        std::move(action));
  }

  std::shared_ptr<detail::watch_endpoint> endpoint_;
  Executor executor_;
};

using watch = basic_watch<>;

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
