// Awaiting a change in a block, and exclusive access to it.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/actions.hpp>
#include <belfry/detail/async/endpoint_owner.hpp>
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

/// Lets programs wait for each other's changes in a block, including a block made by CPython.
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
/// Versions, watchers and bells are in a companion segment, `<name>.watch`, which exists as long as a watch
/// does. Up to 64 watches of a block at a time, in all processes together. Nothing forces a writer to notify.
/// If a writer is killed while it notifies, it counts as having notified.
///
/// Thread safety: distinct objects are safe; a shared one is not.
///
/// Cancellation: every type completes an operation with `operation_aborted`; it then holds nothing. So do
/// destroying the watch, `close()` and `cancel()`. A transaction must not outlive its watch: it ends with the
/// watch.
template <class Executor = net::any_io_executor>
class basic_watch : public detail::endpoint_owner<detail::watch_endpoint, Executor> {
  using owner = detail::endpoint_owner<detail::watch_endpoint, Executor>;
  using default_token = net::default_completion_token_t<Executor>;

 public:
  template <class Other>
  struct rebind_executor {
    using other = basic_watch<Other>;
  };

  /// Watches the block, which may be closed afterwards. A read-only block can be watched and notified, but
  /// permits no transactions. Throws std::system_error: `errc::roster_full`, `errc::incompatible` if
  /// something else has the companion's name, or the system's error.
  basic_watch(const Executor& executor, const shared_memory& block)
      : owner(executor) {
    detail::failure f;
    endpoint_->open(block, f);
    if (f) f.raise();
  }
  basic_watch(const Executor& executor, const shared_memory& block, error_code& ec)
      : owner(executor) {
    detail::failure f;
    endpoint_->open(block, f);
    ec = detail::to_net(f.code);
  }
  template <std::derived_from<net::execution_context> Context, class... Arguments>
    requires std::constructible_from<basic_watch, const Executor&, Arguments...>
  basic_watch(Context& context, Arguments&&... arguments)
      : basic_watch(Executor(context.get_executor()), std::forward<Arguments>(arguments)...) {}

  /// Grows with every notification, even if the companion is removed and made again (unless the clock is set
  /// back in between). A program that reads the block after this call sees all changes that the version
  /// counts; async_changed() with this version reports the others.
  std::uint64_t version() const noexcept { return endpoint_ ? endpoint_->version() : 0; }

  /// Call it after changing the block: publishes a new version and wakes the waiting watchers. No system call
  /// if none sleeps. An error means that a watcher could not be woken (its bell could not be opened, for
  /// example at the limit of descriptors); all others were. The next notification that succeeds wakes that
  /// one, too. `closed` if this watch is closed.
  error_code notify() noexcept {
    return detail::to_net(endpoint_ ? endpoint_->notify() : make_error_code(errc::closed));
  }
  /// Call it after changing only this element. Exact for the first 1024 elements; beyond them, elements whose
  /// numbers are equal modulo 1024 are notified together.
  error_code notify(std::size_t element) noexcept {
    return detail::to_net(endpoint_ ? endpoint_->notify(element) : make_error_code(errc::closed));
  }

  /// Elements with smaller numbers are told apart.
  static constexpr std::size_t exact_elements = layout::watch_state::max_elements;
  /// Whether one of these elements, or the block as a whole, has changed since that version. Without elements: whether
  /// the block has, as a whole.
  bool changed_since(std::uint64_t seen, std::span<const std::size_t> elements) const noexcept {
    return endpoint_ && endpoint_->changed_since(seen, elements);
  }

  /// Completes with the newest version as soon as it is not `seen`, at once if it already is another: after
  /// ten missed changes it completes once. Signature: void(error_code, std::uint64_t).
  template <class Token = default_token>
  auto async_changed(std::uint64_t seen, Token&& token = Token()) {
    return initiate_changed(detail::changed_action{target(), seen}, std::forward<Token>(token));
  }

  /// The same for a change of one of these elements, or of the block as a whole, since `seen`. (GCC 12 takes
  /// no braced list in a `co_await`: give it an array.)
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

  /// Completes when this process, and within it this watch, has exclusive access to the block. Signature:
  /// void(error_code, transaction). First come, first served, among all waiters. Errors: `errc::owner_died`
  /// if the previous holder was killed, and *the transaction is held*: repair the data (with `use_awaitable`
  /// this error is an exception, and the transaction has ended; use `as_tuple`); `permission_denied` for a
  /// read-only block.
  template <class Token = default_token>
  auto async_txn(Token&& token = Token()) {
    detail::txn_action action{target()};
    return net::async_initiate<Token, void(error_code, transaction)>(
        detail::initiation<detail::watch_endpoint, Executor>(endpoint_, executor_), token,
        std::move(action));
  }

 private:
  using owner::endpoint_;
  using owner::executor_;
  using owner::target;

  template <class Token>
  auto initiate_changed(detail::changed_action action, Token&& token) {
    return net::async_initiate<Token, void(error_code, std::uint64_t)>(
        detail::initiation<detail::watch_endpoint, Executor>(endpoint_, executor_), token,
        std::move(action));
  }
};

using watch = basic_watch<>;

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
