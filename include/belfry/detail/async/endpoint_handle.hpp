// What producers and consumers have in common.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/channel_handles.hpp>
#include <belfry/channel_options.hpp>
#include <belfry/detail/async/actions.hpp>
#include <belfry/detail/async/at_once.hpp>
#include <belfry/error.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

namespace belfry::inline BELFRY_ASIO_FLAVOUR {
class shared_memory_manager;
}

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

inline constexpr std::chrono::nanoseconds for_ever = std::chrono::nanoseconds::max();

template <class Endpoint, class Executor>
class endpoint_handle {
  using default_token = net::default_completion_token_t<Executor>;

 public:
  using executor_type = Executor;

  /// Joins the channel of this name, creating it if it is not there yet. Throws std::system_error
  /// whose text names what was wrong:
  ///   `errc::role_taken`, `errc::roster_full`   all places of this role are taken by the living
  ///   `errc::incompatible`                      the segment is of another type, ring, size, version
  ///   `invalid_argument`, `filename_too_long`   no name for a channel (247 bytes at most); no capacity, or mode
  ///   `permission_denied`                       it may not be opened, or another user has made it, see `mode`
  ///   `no_space_on_device`, `file_too_large`, ... what the system says
  endpoint_handle(const Executor& executor, std::string_view name,
                  const channel_options& options = {})
      : endpoint_handle(executor, options) {
    failure f;
    endpoint_->open(name, f);
    throw_if(f);
  }
  /// The same, but `is_open()` is false and `ec` set if it fails.
  endpoint_handle(const Executor& executor, std::string_view name, const channel_options& options,
                  error_code& ec)
      : endpoint_handle(executor, options) {
    failure f;
    endpoint_->open(name, f);
    ec = to_net(f.code);
  }
  endpoint_handle(const Executor& executor, std::string_view name, error_code& ec)
      : endpoint_handle(executor, name, channel_options{}, ec) {}

  /// Joins the channel of these handles, which may be used again and dropped.
  endpoint_handle(const Executor& executor, const channel_handles& handles,
                  const channel_options& options = {})
      : endpoint_handle(executor, options) {
    failure f;
    endpoint_->open(handles.get(), f);
    throw_if(f);
  }
  endpoint_handle(const Executor& executor, const channel_handles& handles,
                  const channel_options& options, error_code& ec)
      : endpoint_handle(executor, options) {
    failure f;
    endpoint_->open(handles.get(), f);
    ec = to_net(f.code);
  }
  endpoint_handle(const Executor& executor, const channel_handles& handles, error_code& ec)
      : endpoint_handle(executor, handles, channel_options{}, ec) {}

  /// Joins the channel that a manager has under this name; it makes it for whoever comes first. Nothing of it
  /// can be seen in the file system, only clients of the manager can join, and they are attended: it
  /// tells the others of a death, across PID namespaces, too. The manager must be reached over a Unix socket.
  /// Blocks until it has answered. Throws in addition: `not_connected`, `timed_out`, `protocol_error`.
  endpoint_handle(const Executor& executor, const shared_memory_manager& manager,
                  std::string_view name, const channel_options& options = {})
      : endpoint_handle(executor, options) {
    failure f;
    endpoint_->open(manager, name, f);
    throw_if(f);
  }
  endpoint_handle(const Executor& executor, const shared_memory_manager& manager,
                  std::string_view name, const channel_options& options, error_code& ec)
      : endpoint_handle(executor, options) {
    failure f;
    endpoint_->open(manager, name, f);
    ec = to_net(f.code);
  }
  endpoint_handle(const Executor& executor, const shared_memory_manager& manager,
                  std::string_view name, error_code& ec)
      : endpoint_handle(executor, manager, name, channel_options{}, ec) {}

  /// The same from an execution context.
  template <std::derived_from<net::execution_context> Context, class... Arguments>
  endpoint_handle(Context& context, Arguments&&... arguments)
      : endpoint_handle(Executor(context.get_executor()), std::forward<Arguments>(arguments)...) {}

  /// What was moved from is as if it were closed.
  endpoint_handle(endpoint_handle&& other) noexcept
      : endpoint_(std::move(other.endpoint_)), executor_(other.executor_) {}
  endpoint_handle& operator=(endpoint_handle&& other) noexcept {
    if (this != &other) {
      if (endpoint_) endpoint_->close();
      endpoint_ = std::move(other.endpoint_);
      executor_ = other.executor_;
    }
    return *this;
  }
  template <std::convertible_to<Executor> Other>
  endpoint_handle(endpoint_handle<Endpoint, Other>&& other)
      : endpoint_(std::move(other.endpoint_)), executor_(other.executor_) {}

  /// Leaves the channel, as close().
  ~endpoint_handle() {
    if (endpoint_) endpoint_->close();
  }

  executor_type get_executor() const noexcept { return executor_; }

  /// Leaves the channel for good: the other side is told `errc::closed`, after what is in the ring.
  /// Pending operations complete with `operation_aborted`; later ones with `errc::closed`.
  void close() noexcept {
    if (endpoint_) endpoint_->close();
  }

  /// Completes all pending operations with `operation_aborted`. They have taken and sent nothing.
  void cancel() noexcept {
    if (endpoint_) endpoint_->cancel_all();
  }

  bool is_open() const noexcept { return endpoint_ && endpoint_->is_open(); }

  /// The name of the channel; empty if it was met by handles.
  std::string name() const { return endpoint_ ? endpoint_->segment().name() : std::string(); }

  /// Values (bytes for a byte_ring) that the ring can hold.
  std::size_t capacity() const noexcept {
    return endpoint_ ? static_cast<std::size_t>(endpoint_->segment().ring().capacity) : 0;
  }

  /// Completes when an attempt may succeed: there is something to receive; there is room to send
  /// (in a byte_ring, for what the last attempt wanted). Takes nothing, so that nothing is lost
  /// whatever it is combined with. Signature: void(error_code). Errors as async_receive, async_send.
  template <class Token = default_token>
  auto async_wait(Token&& token = Token()) {
    return initiate<void(error_code)>(wait_action<Endpoint>{target()},
                                      std::forward<Token>(token));
  }

  /// Completes when somebody of the other side is there. A consumer's also if a producer has come and
  /// gone again since `closed` or `peer_died` was last reported: what it sent is in the ring. So after
  /// one of these it waits for the next. Signature: void(error_code). Takes nothing and reports no
  /// deaths. Any number may be pending beside other operations.
  template <class Token = default_token>
  auto async_wait_peer(Token&& token = Token()) {
    wait_peer_action<Endpoint> action{target()};
    endpoint_->reap();  // who is dead is not there
    return net::async_initiate<Token, void(error_code)>(
        condition_initiation<Endpoint, Executor>(endpoint_, executor_), token,
        std::move(action));
  }

  /// A handle that becomes ready (readable, for poll) when there is a reason to look, for event loops
  /// that are not Asio's:
  ///
  ///     pollfd p{rx.native_handle(), POLLIN, 0};
  ///     for (;;) {
  ///       while (auto t = rx.try_receive()) use(*t);
  ///       if (rx.prepare_wait()) poll(&p, 1, -1);        // with whatever else the loop waits for
  ///       if (auto ec = rx.finish_wait()) tell(ec);      // closed, peer_died, lagged: each of them once
  ///     }
  ///
  /// Stays the same for the life of the endpoint, which owns it. Throws std::system_error: `errc::closed`, or
  /// what the system says when it cannot be made, such as `too_many_files_open`.
  native_handle_type native_handle() {
    failure f;
    const native_handle_type handle = target()->wait_handle(f);
    throw_if(f);
    return handle;
  }
  native_handle_type native_handle(error_code& ec) {
    failure f;
    const native_handle_type handle = target()->wait_handle(f);
    ec = to_net(f.code);
    return handle;
  }

  /// Declares this side to be asleep. True: there is nothing to do, wait for the handle. False: look
  /// at once. Either way finish_wait() is next. Not while asynchronous operations are pending.
  bool prepare_wait() { return endpoint_ && endpoint_->prepare_wait(); }

  /// Declares this side to be awake, and tells what there is to be told beside what is in the ring, after
  /// it: `closed` and `peer_died`, once each time that the other side goes, after which the loop
  /// sleeps until the next peer comes (see has_peer()); `lagged`, once for each loss; `corrupted`, which
  /// stays: close it. `operation_in_progress` if operations are pending, `closed` if it is closed itself. And what
  /// the system says if it does not let this side wait, as the death of a peer would not be noticed, or wake a
  /// peer: why an attempt has done nothing. It may be tried again.
  error_code finish_wait() {
    return to_net(endpoint_ ? endpoint_->finish_wait() : make_error_code(errc::closed));
  }

  /// What async_wait_peer waits for, for such loops: whether somebody of the other side is there, or, for
  /// a consumer, has been there since `closed` or `peer_died` was last told. The handle is ready when that
  /// may have changed.
  bool has_peer() noexcept { return endpoint_ && endpoint_->has_peer(); }

 protected:
  Endpoint& endpoint() const noexcept { return *endpoint_; }

  /// What an operation is for: after a move a closed endpoint, which completes it.
  Endpoint* target() {
    if (!endpoint_)
      endpoint_ = std::make_shared<Endpoint>(net::any_io_executor(executor_), channel_options{});
    return endpoint_.get();
  }

  template <class Signature, class Action, class Token>
  auto initiate(Action action, Token&& token) {
    using start = initiation<Endpoint, Executor>;
    if constexpr (awaiting<std::decay_t<Token>>::value) {
      return go_on_or_wait<Signature>(start(endpoint_, executor_), std::move(action),
                                      std::decay_t<Token>(std::as_const(token)));
    } else {
      return net::async_initiate<Token, Signature>(start(endpoint_, executor_), token,
                                                   std::move(action));
    }
  }

  template <class Action>
  error_code block(Action&& action, std::chrono::nanoseconds timeout,
                   const std::stop_token& stop = {}) {
    if (stop.stop_requested()) return to_net(operation_aborted());
    // Before anything that takes longer than this, as to ask for the time.
    const attempt outcome = endpoint_->try_at_once(action);
    if (outcome == attempt::done) return {};
    if (outcome != attempt::would_block) return to_net(endpoint_->error_of(outcome));
    blocking_request<std::decay_t<Action>> request(std::move(action));
    const std::error_code ec = endpoint_->block(request, timeout, stop);
    action = std::move(request.action);
    return to_net(ec);
  }

 private:
  template <class, class>
  friend class endpoint_handle;

  endpoint_handle(const Executor& executor, const channel_options& options)
      : endpoint_(std::make_shared<Endpoint>(net::any_io_executor(executor), options)),
        executor_(executor) {}

  void throw_if(const failure& f) {
    if (f) f.raise();
  }

  std::shared_ptr<Endpoint> endpoint_;
  Executor executor_;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
