// What producers and consumers have in common.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/channel_handles.hpp>
#include <belfry/channel_options.hpp>
#include <belfry/detail/async/actions.hpp>
#include <belfry/detail/async/at_once.hpp>
#include <belfry/detail/async/endpoint_owner.hpp>
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

/// The common base of producers and consumers. Thread safety: distinct objects are safe; a shared one is not.
///
/// Construction joins a channel: by name, by handles, or through a manager. The forms without `error_code&` throw
/// std::system_error. The forms with it set `ec`; is_open() is false after an error.
template <class Endpoint, class Executor>
class endpoint_handle : public endpoint_owner<Endpoint, Executor> {
  using owner = endpoint_owner<Endpoint, Executor>;
  using default_token = net::default_completion_token_t<Executor>;

 public:
  /// Joins the channel of this name, and creates it if there is none:
  ///
  ///     ticks::consumer rx(io, "ticks");
  ///
  /// Throws std::system_error; its text names the field or argument that was wrong:
  ///   `errc::role_taken`, `errc::roster_full`   all places of this role are taken by living participants
  ///   `errc::incompatible`                      the segment has another type, ring, size or version
  ///   `invalid_argument`, `filename_too_long`   not a valid name (246 bytes at most), capacity, number of participants or mode
  ///   `permission_denied`                       no access, or another user has created the channel: see `mode`
  ///   `no_space_on_device`, `file_too_large`, ... an error of the system
  endpoint_handle(const Executor& executor, std::string_view name,
                  const channel_options& options = {})
      : endpoint_handle(executor, options) {
    failure f;
    endpoint_->open(name, f);
    throw_if(f);
  }
  /// The same. Sets `ec`; after an error `is_open()` is false.
  endpoint_handle(const Executor& executor, std::string_view name, const channel_options& options,
                  error_code& ec)
      : endpoint_handle(executor, options) {
    failure f;
    endpoint_->open(name, f);
    ec = to_net(f.code);
  }
  endpoint_handle(const Executor& executor, std::string_view name, error_code& ec)
      : endpoint_handle(executor, name, channel_options{}, ec) {}

  /// Joins the channel of these handles. They are copied: the caller may use them again, or destroy them. Errors: as
  /// above.
  endpoint_handle(const Executor& executor, const channel_handles& handles,
                  const channel_options& options = {})
      : endpoint_handle(executor, options) {
    failure f;
    endpoint_->open(handles_of(handles), f);
    throw_if(f);
  }
  endpoint_handle(const Executor& executor, const channel_handles& handles,
                  const channel_options& options, error_code& ec)
      : endpoint_handle(executor, options) {
    failure f;
    endpoint_->open(handles_of(handles), f);
    ec = to_net(f.code);
  }
  endpoint_handle(const Executor& executor, const channel_handles& handles, error_code& ec)
      : endpoint_handle(executor, handles, channel_options{}, ec) {}

  /// Joins the manager's channel of this name; for the first participant the manager creates it. The channel has no
  /// file, and only clients of the manager can join. The manager reports the death of a participant to the others,
  /// also across PID namespaces. The manager must be connected through a Unix socket. Blocks until the manager has
  /// answered. Further errors: `not_connected`, `timed_out`, `errc::protocol_error`.
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

  /// The same with an execution context instead of an executor.
  template <std::derived_from<net::execution_context> Context, class... Arguments>
    requires std::constructible_from<endpoint_handle, const Executor&, Arguments...>
  endpoint_handle(Context& context, Arguments&&... arguments)
      : endpoint_handle(Executor(context.get_executor()), std::forward<Arguments>(arguments)...) {}

  template <std::convertible_to<Executor> Other>
  endpoint_handle(endpoint_handle<Endpoint, Other>&& other) : owner(std::move(other)) {}

  /// The name of the channel; empty if it was joined by handles.
  std::string name() const { return endpoint_ ? endpoint_->segment().name() : std::string(); }

  /// How many values (bytes for a byte_ring) the ring can hold.
  std::size_t capacity() const noexcept {
    return endpoint_ ? static_cast<std::size_t>(endpoint_->segment().ring().capacity) : 0;
  }

  /// Completes when an attempt may succeed: there is something to receive, or room to send (in a byte_ring: room for
  /// the last message that did not fit). Takes nothing from the ring, so nothing can be lost when it is combined with
  /// other operations. Signature: void(error_code). Errors: as async_receive, async_send. Cancellation: every type.
  template <class Token = default_token>
  auto async_wait(Token&& token = Token()) {
    return initiate<void(error_code)>(wait_action<Endpoint>{target()},
                                      std::forward<Token>(token));
  }

  /// Completes when a participant of the other side is attached. A consumer's wait also completes if a producer has
  /// joined and left again since `closed` or `peer_died` was last reported, because its values are in the ring. So
  /// after one of these errors it waits for the next producer. Signature: void(error_code). Takes nothing and reports
  /// no deaths. Any number may be pending beside other operations. Cancellation: every type.
  template <class Token = default_token>
  auto async_wait_peer(Token&& token = Token()) {
    wait_peer_action<Endpoint> action{target()};
    endpoint_->reap();  // a dead participant must not count
    return net::async_initiate<Token, void(error_code)>(
        initiation<Endpoint, Executor>(endpoint_, executor_), token, std::move(action));
  }

  /// For event loops other than Asio's: a handle that becomes ready (readable, for poll) when there may be something
  /// to do:
  ///
  ///     pollfd p{rx.native_handle(), POLLIN, 0};
  ///     for (;;) {
  ///       while (auto t = rx.try_receive()) use(*t);
  ///       if (rx.prepare_wait()) poll(&p, 1, -1);        // with the other handles of the loop
  ///       if (auto ec = rx.finish_wait()) report(ec);    // closed, peer_died, lagged: each of them once
  ///     }
  ///
  /// The endpoint owns the handle, and it stays the same until the endpoint is closed. Throws std::system_error:
  /// `errc::closed`, or an error of the system such as `too_many_files_open`.
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

  /// Declares this endpoint asleep. True: there is nothing to do, wait for the handle. False: do not wait. In both
  /// cases call finish_wait() next. Not while asynchronous operations are pending.
  bool prepare_wait() { return endpoint_ && endpoint_->prepare_wait(); }

  /// Declares this endpoint awake, and returns what is to be reported besides the values in the ring:
  ///   `closed`, `peer_died`     once each time that the other side goes, after its values were received; then the
  ///                             loop sleeps until the next peer joins (see has_peer())
  ///   `lagged`                  once for each loss
  ///   `corrupted`               every time: close the endpoint
  ///   `operation_in_progress`   asynchronous operations are pending
  ///   `closed`                  also if this endpoint is itself closed
  ///   errors of the system      this endpoint could not wait, because it would not notice the death of a peer; or it
  ///                             could not wake a peer, which is why an attempt has done nothing. Try again.
  error_code finish_wait() {
    return to_net(endpoint_ ? endpoint_->finish_wait() : make_error_code(errc::closed));
  }

  /// The condition of async_wait_peer, for such loops: whether a participant of the other side is attached, or, for a
  /// consumer, has been attached since `closed` or `peer_died` was last reported. The handle becomes ready when this
  /// may have changed.
  bool has_peer() noexcept { return endpoint_ && endpoint_->has_peer(); }

 protected:
  using owner::endpoint_;
  using owner::executor_;

  Endpoint& endpoint() const noexcept { return *endpoint_; }

  /// As owner::target(), for actions, which the operation keeps alive.
  Endpoint* target() { return owner::target().get(); }

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

  /// Starts to wait for a dead item, as a condition.
  template <class Token>
  auto initiate_dead(Token&& token) {
    receive_dead_action<Endpoint, Executor> action{target(), executor_};
    return net::async_initiate<Token, void(error_code, typename Endpoint::dead_type)>(
        initiation<Endpoint, Executor>(endpoint_, executor_), token, std::move(action));
  }

  template <class Action>
  error_code block(Action&& action, std::chrono::nanoseconds timeout,
                   const std::stop_token& stop = {}) {
    if (stop.stop_requested()) return to_net(operation_aborted());
    // First the fast path: even reading the clock takes longer.
    const outcome o = endpoint_->try_at_once(action);
    if (o == outcome::done) return {};
    if (o != outcome::would_block) return to_net(endpoint_->error_of(o));
    blocking_request<std::decay_t<Action>> request(std::move(action));
    const std::error_code ec = endpoint_->block(request, timeout, stop);
    action = std::move(request.action);
    return to_net(ec);
  }

 private:
  endpoint_handle(const Executor& executor, const channel_options& options) : owner(executor, options) {}

  void throw_if(const failure& f) {
    if (f) f.raise();
  }
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
