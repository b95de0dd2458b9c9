// Producers and consumers: the asynchronous face of every ring.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/channel_handles.hpp>
#include <belfry/channel_options.hpp>
#include <belfry/client_server.hpp>
#include <belfry/detail/async/actions.hpp>
#include <belfry/detail/async/channel_base.hpp>
#include <belfry/detail/async/endpoint_handle.hpp>
#include <belfry/detail/async/ring_endpoints.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/lease.hpp>
#include <belfry/ring/message.hpp>
#include <belfry/ring/ring.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

/// The end of a channel that sends.
///
///     net::awaitable<void> stream(net::io_context& io) {
///       ticks::producer tx(io, "ticks");
///       for (std::uint64_t seq = 0;; ++seq) co_await tx.async_send({seq, price()}, net::use_awaitable);
///     }
///
/// A sent value is in the ring, whether a consumer is attached or not; a consumer may start later. A send waits only
/// while the ring is full. Then it also reports, once, that the consumer has died (`errc::peer_died`; the next send
/// waits for the next consumer), or that the consumer has closed (`errc::closed`, until another consumer joins:
/// `async_wait_peer`).
///
/// A coroutine that awaits a ready operation is not suspended (with `use_awaitable`, also in `redirect_error` or
/// `as_tuple`). Exceptions: its first operation; from Asio 1.36, a coroutine that can be cancelled; and from time to
/// time, so that other handlers can run. A handler is never called from within the initiating function.
///
/// Thread safety: distinct objects are safe; a shared one is not. Pending operations of one producer are served in
/// order, but an operation whose executor does not run does not hold up the others.
///
/// A send must be able to wake a sleeping consumer. If the system does not allow that, it fails with the system's
/// error, and has sent nothing; it may be tried again. This happens when the bell of a new consumer cannot be opened:
/// no descriptor is left, or this process has changed its user, or is in a chroot.
///
/// Cancellation: every type (terminal, partial, total) gives the strongest guarantee: an operation that completes with
/// `operation_aborted` has sent nothing (`async_send_n`: only as many values as it reports). Destroying the producer,
/// `close()` and `cancel()` complete its operations with `operation_aborted`.
template <ring Ring, class Executor = net::any_io_executor>
class basic_producer : public detail::endpoint_handle<detail::producer_endpoint<Ring>, Executor> {
  using base = detail::endpoint_handle<detail::producer_endpoint<Ring>, Executor>;
  using endpoint_type = detail::producer_endpoint<Ring>;
  using default_token = net::default_completion_token_t<Executor>;
  static constexpr bool in_place = detail::in_place_ring<Ring>;

 public:
  /// A value, or the bytes of a message.
  using value_type = typename Ring::sendable;
  template <class Other>
  struct rebind_executor {
    using other = basic_producer<Ring, Other>;
  };

  /// From an executor or an execution context, and a name or handles; see endpoint_handle.
  using base::base;
  template <std::convertible_to<Executor> Other>
  basic_producer(basic_producer<Ring, Other>&& other) : base(std::move(other)) {}

  /// Sends immediately, or not at all. False: there is no room; or the message is larger than max_message(), the ring
  /// is corrupted, or a consumer could not be woken (`send`, `async_send` and finish_wait() report which). Wakes a
  /// sleeping consumer; makes no system call if the consumer is awake.
  bool try_send(const value_type& value) noexcept {
    return this->is_open() && this->endpoint().put(value) == detail::outcome::done;
  }
  template <std::convertible_to<net::const_buffer> Buffer>
  bool try_send(const Buffer& bytes) noexcept requires in_place { return try_send(value_of(bytes)); }

  /// Sends as many values as there is room for, from the front, and returns how many. All become visible together,
  /// with one notification: much cheaper than one send per value.
  std::size_t try_send_n(std::span<const value_type> values) noexcept {
    std::size_t sent = 0;
    if (this->is_open()) this->endpoint().put_n(values, sent);
    return sent;
  }

  /// Blocks this thread until the value is in the ring. Errors: `timed_out` after the timeout (immediately if it is
  /// zero or less); `operation_in_progress` while asynchronous operations are pending; otherwise as async_send.
  error_code send(const value_type& value, std::chrono::nanoseconds timeout = detail::for_ever) {
    return this->block(detail::send_from_action<endpoint_type>{this->target(), &value}, timeout);
  }
  /// The same, and a request to stop ends the wait: `operation_aborted`, and nothing was sent. Any thread may request
  /// the stop, but a signal handler must not.
  error_code send(const value_type& value, const std::stop_token& stop,
                  std::chrono::nanoseconds timeout = detail::for_ever) {
    return this->block(detail::send_from_action<endpoint_type>{this->target(), &value}, timeout, stop);
  }
  template <std::convertible_to<net::const_buffer> Buffer>
  error_code send(const Buffer& bytes, std::chrono::nanoseconds timeout = detail::for_ever)
    requires in_place { return send(value_of(bytes), timeout); }
  template <std::convertible_to<net::const_buffer> Buffer>
  error_code send(const Buffer& bytes, const std::stop_token& stop,
                  std::chrono::nanoseconds timeout = detail::for_ever)
    requires in_place { return send(value_of(bytes), stop, timeout); }

  /// Completes when the value is in the ring. Signature: void(error_code). Errors: `peer_died`, `closed`, `corrupted`,
  /// `message_too_large`, and `operation_aborted` (see the class). The bytes of a message must stay valid until then. A
  /// value is copied into the operation; of a value of more than 4096 bytes the copy is on the heap, and throws
  /// std::bad_alloc if there is no memory. async_send_n() does without: it sends from the caller's memory.
  template <class Token = default_token>
  auto async_send(const value_type& value, Token&& token = Token()) {
    return this->template initiate<void(error_code)>(
        detail::send_action<endpoint_type>{this->target(), detail::kept<value_type>(value)},
        std::forward<Token>(token));
  }
  template <class Token = default_token>
  auto async_send(net::const_buffer bytes, Token&& token = Token()) requires in_place {
    return async_send(value_of(bytes), std::forward<Token>(token));
  }

  /// Completes when all values are in the ring. Signature: void(error_code, std::size_t sent); after
  /// an error the first `sent` of them are in the ring. The values must stay valid until then.
  template <class Token = default_token>
  auto async_send_n(std::span<const value_type> values, Token&& token = Token()) {
    return this->template initiate<void(error_code, std::size_t)>(
        detail::send_n_action<endpoint_type>{this->target(), values},
        std::forward<Token>(token));
  }

  /// Room for a message of so many bytes, to be written in place and committed; empty if there is none. One claim at a
  /// time.
  claim try_claim(std::size_t bytes) noexcept requires in_place {
    claim result;
    if (this->is_open()) this->endpoint().reserve(bytes, result);
    return result;
  }

  /// Completes with room for a message of so many bytes. Signature: void(error_code, claim). Errors: as async_send.
  template <class Token = default_token>
  auto async_claim(std::size_t bytes, Token&& token = Token()) requires in_place {
    return this->template initiate<void(error_code, claim)>(
        detail::claim_action<endpoint_type, claim>{this->target(), bytes},
        std::forward<Token>(token));
  }

  /// The size of the largest possible message, in bytes.
  std::size_t max_message() const noexcept requires in_place {
    return this->capacity() == 0 ? 0 : static_cast<std::size_t>(Ring::max_message(this->endpoint().segment().ring()));
  }

  /// Of a byte_broadcast_ring: for how many consumers the next send would wait. They hold messages that it must not
  /// overwrite, or, with `overflow::block`, have not received them. 0: there is room. A snapshot.
  std::size_t pinned() const noexcept requires detail::pinned_ring<Ring> {
    return this->is_open() ? this->endpoint().writer().pinned() : 0;
  }

  /// Values in the ring (bytes, headers included, for a byte_ring); a snapshot.
  std::size_t size() const noexcept {
    return this->is_open() ? static_cast<std::size_t>(this->endpoint().writer().size()) : 0;
  }

 private:
  static value_type value_of(const net::const_buffer& bytes) noexcept requires in_place {
    return value_type(static_cast<const std::byte*>(bytes.data()), bytes.size());
  }
};

/// The end of a channel that receives.
///
///     net::awaitable<void> print(net::io_context& io) {
///       ticks::consumer rx(io, "ticks");
///       for (;;) {
///         tick t = co_await rx.async_receive(net::use_awaitable);
///         std::cout << t.seq << ' ' << t.price << '\n';
///       }
///     }
///
/// A consumer first receives everything that was sent. Then a receive reports, once, that a producer has died
/// (`errc::peer_died`; the next receive waits for the next producer), or that the producer has closed (`errc::closed`,
/// until another producer joins). If a consumer is killed, the next consumer receives what it had not received.
/// Coroutines: as for a producer.
///
/// Thread safety: distinct objects are safe; a shared one is not. Pending operations of one consumer are served in
/// order, but an operation whose executor does not run does not hold up the others.
///
/// Cancellation: every type (terminal, partial, total) gives the strongest guarantee: an operation that completes with
/// `operation_aborted` has taken nothing out of the ring, also under `||` and `&&`. Destroying the consumer, `close()`
/// and `cancel()` complete its operations with `operation_aborted`.
template <ring Ring, class Executor = net::any_io_executor>
class basic_consumer : public detail::endpoint_handle<detail::consumer_endpoint<Ring>, Executor> {
  using base = detail::endpoint_handle<detail::consumer_endpoint<Ring>, Executor>;
  using endpoint_type = detail::consumer_endpoint<Ring>;
  using default_token = net::default_completion_token_t<Executor>;

 public:
  /// A value, or a message in place.
  using value_type = typename Ring::received;
  /// A dead item, which this consumer holds: see async_receive_dead().
  using dead_type = std::conditional_t<detail::in_place_ring<Ring>, message, lease<value_type>>;
  template <class Other>
  struct rebind_executor {
    using other = basic_consumer<Ring, Other>;
  };

  using base::base;
  template <std::convertible_to<Executor> Other>
  basic_consumer(basic_consumer<Ring, Other>&& other) : base(std::move(other)) {}

  /// Takes the next value if there is one. Makes no system call, unless a producer sleeps because the ring was full.
  /// Empty also if values were lost (in a broadcast_ring that overwrites): the next call continues after them,
  /// total_lost() counts them, and the next operation, receive() or finish_wait() reports `lagged`.
  std::optional<value_type> try_receive() noexcept {
    std::optional<value_type> value;
    if (!this->is_open()) return value;
    if (!this->endpoint().try_take(value.emplace())) value.reset();
    return value;
  }

  /// The same into the caller's memory, for values that are too large for the stack. False: nothing was taken; then a
  /// value of up to 4096 bytes is unchanged, and the contents of a larger one are unspecified.
  ///
  ///     auto image = std::make_unique<picture>();
  ///     while (rx.try_receive(*image)) show(*image);
  bool try_receive(value_type& value) noexcept { return this->is_open() && this->endpoint().try_take(value); }

  /// Takes as many values as there are, in order, at most `values.size()`, and returns how many. None if values were
  /// lost, as try_receive().
  std::size_t try_receive_n(std::span<value_type> values) noexcept {
    std::size_t taken = 0;
    if (this->is_open()) this->endpoint().try_take_n(values, taken);
    return taken;
  }

  /// Blocks this thread until there is a value. After an error the contents of a value of more than 4096 bytes are
  /// unspecified; a smaller one is unchanged. Errors: `timed_out` after the timeout (immediately if it is zero or
  /// less); `operation_in_progress` while asynchronous operations are pending; otherwise as async_receive.
  error_code receive(value_type& value, std::chrono::nanoseconds timeout = detail::for_ever) {
    return receive(value, std::stop_token(), timeout);
  }
  /// The same, and a request to stop ends the wait: `operation_aborted`, and nothing was taken. Any thread may request
  /// the stop, but a signal handler must not.
  ///
  ///     void work(std::stop_token stop) {                        // of a std::jthread
  ///       ticks::consumer rx(io, "ticks");
  ///       for (tick t; !rx.receive(t, stop);) use(t);
  ///     }
  error_code receive(value_type& value, const std::stop_token& stop,
                     std::chrono::nanoseconds timeout = detail::for_ever) {
    return this->block(detail::receive_to_action<endpoint_type>{this->target(), &value}, timeout, stop);
  }

  /// Completes with the next value. Signature: void(error_code, value_type). Errors: `peer_died`, `closed`,
  /// `corrupted`, and `operation_aborted` (see the class). In a broadcast_ring that overwrites also `lagged`, once for
  /// each loss (see lost()): the next receive gets the oldest value that is still there.
  template <class Token = default_token>
  auto async_receive(Token&& token = Token()) {
    return this->template initiate<void(error_code, value_type)>(
        detail::receive_action<endpoint_type>{this->target()}, std::forward<Token>(token));
  }
  /// The same into the caller's memory, which must stay valid until then; for values that are too large for the stack.
  /// (A handler that takes its value by reference, and `co_await`, do without a copy on the stack as well.) Signature:
  /// void(error_code). After an error the contents of a value of more than 4096 bytes are unspecified; a smaller one is
  /// unchanged.
  template <class Token = default_token>
  auto async_receive(value_type& value, Token&& token = Token()) {
    return this->template initiate<void(error_code)>(detail::receive_to_action<endpoint_type>{this->target(), &value},
                                                     std::forward<Token>(token));
  }

  /// The same, but this consumer holds the item until it acknowledges it or gives it back. If the consumer is killed
  /// before, another consumer receives the item. Signature: void(error_code, lease<value_type>).
  template <class Token = default_token>
  auto async_receive_lease(Token&& token = Token()) requires detail::leasing_ring<Ring> {
    return this->template initiate<void(error_code, lease<value_type>)>(
        detail::lease_action<endpoint_type, lease<value_type>>{this->target()},
        std::forward<Token>(token));
  }
  /// The same, immediately; an empty lease if there is no item.
  lease<value_type> try_receive_lease() noexcept requires detail::leasing_ring<Ring> {
    lease<value_type> l;
    if (this->is_open()) this->endpoint().take_lease(l);
    return l;
  }

  /// Completes with a dead item: one that was delivered `channel_options::max_deliveries` times without being
  /// acknowledged, or that was rejected. This consumer holds it until it acknowledges it (or releases it); whatever else
  /// ends the lease (or the message) leaves it dead, for the next one that asks. Dead items are received in no particular
  /// order. Signature: void(error_code, lease<value_type>), of a byte_work_ring void(error_code, message). Errors:
  /// `corrupted`, `operation_aborted`, and those of the system; neither `peer_died` nor `closed`. It takes no turn among
  /// the other operations of this consumer, and holds up none. Cancellation: as async_receive.
  ///
  ///     for (;;) {
  ///       auto dead = co_await rx.async_receive_dead(net::use_awaitable);
  ///       log(dead.value(), dead.deliveries());
  ///       dead.ack();
  ///     }
  template <class Token = default_token>
  auto async_receive_dead(Token&& token = Token()) requires detail::redelivering_ring<Ring> {
    return this->initiate_dead(std::forward<Token>(token));
  }
  /// The same, immediately; an empty lease (or message) if there is no dead item.
  auto try_receive_dead() noexcept requires detail::redelivering_ring<Ring> {
    typename endpoint_type::dead_type dead;
    if (this->is_open()) this->endpoint().take_dead(dead);
    return dead;
  }

  /// The same, and blocks this thread until there is one. Errors: `timed_out` after the timeout (immediately if it is zero
  /// or less); `operation_in_progress` while asynchronous operations are pending; otherwise as async_receive_dead. After an
  /// error `dead` is unchanged.
  error_code receive_dead(dead_type& dead, std::chrono::nanoseconds timeout = detail::for_ever)
    requires detail::redelivering_ring<Ring> {
    return receive_dead(dead, std::stop_token(), timeout);
  }
  /// The same, and a request to stop ends the wait: `operation_aborted`, and nothing was taken. Any thread may request
  /// the stop, but a signal handler must not.
  ///
  ///     void report(std::stop_token stop) {                      // of a std::jthread
  ///       jobs::consumer rx(io, "jobs");
  ///       for (belfry::lease<job> dead; !rx.receive_dead(dead, stop); dead.ack()) log(dead.value());
  ///     }
  error_code receive_dead(dead_type& dead, const std::stop_token& stop,
                          std::chrono::nanoseconds timeout = detail::for_ever)
    requires detail::redelivering_ring<Ring> {
    detail::receive_dead_to_action<endpoint_type> action{this->target()};
    const error_code ec = this->block(action, timeout, stop);
    if (!ec) dead = std::move(action.dead);
    return ec;
  }

  /// Of a byte_broadcast_ring: takes the newest message, and skips those before it that this consumer has not received.
  /// That is no loss: `lagged` is not reported, and total_lost() does not count them. A message that was received before
  /// is not received again. Empty if there is no newer one, or as try_receive().
  ///
  ///     while (auto frame = rx.try_receive_newest()) show(frame->bytes());
  std::optional<value_type> try_receive_newest() noexcept requires detail::newest_ring<Ring> {
    std::optional<value_type> value;
    if (!this->is_open()) return value;
    if (this->endpoint().take_newest(value.emplace()) != detail::outcome::done) value.reset();
    return value;
  }
  /// Completes with the newest message, as soon as there is one that this consumer has not received. Signature:
  /// void(error_code, message). Errors: as async_receive, without `lagged`. Cancellation: every type; nothing was taken.
  ///
  ///     for (;;) show(co_await rx.async_receive_newest(net::use_awaitable));
  template <class Token = default_token>
  auto async_receive_newest(Token&& token = Token()) requires detail::newest_ring<Ring> {
    return this->template initiate<void(error_code, value_type)>(
        detail::receive_newest_action<endpoint_type>{this->target()}, std::forward<Token>(token));
  }
  /// The same, and blocks this thread. Errors: also as receive().
  error_code receive_newest(value_type& value, std::chrono::nanoseconds timeout = detail::for_ever)
    requires detail::newest_ring<Ring> {
    return receive_newest(value, std::stop_token(), timeout);
  }
  error_code receive_newest(value_type& value, const std::stop_token& stop,
                            std::chrono::nanoseconds timeout = detail::for_ever)
    requires detail::newest_ring<Ring> {
    detail::receive_newest_action<endpoint_type> action{this->target()};
    const error_code ec = this->block(action, timeout, stop);
    if (!ec) value = std::move(action.value);
    return ec;
  }

  /// Completes with as many values as there are, at least one. Signature: void(error_code, std::size_t received). The
  /// span must stay valid until then. Errors: as async_receive.
  template <class Token = default_token>
  auto async_receive_n(std::span<value_type> values, Token&& token = Token()) {
    return this->template initiate<void(error_code, std::size_t)>(
        detail::receive_n_action<endpoint_type>{this->target(), values},
        std::forward<Token>(token));
  }

  /// How many values the last `errc::lagged` was about.
  std::uint64_t lost() const noexcept requires detail::lossy_ring<Ring> {
    return this->is_open() ? this->endpoint().lost() : 0;
  }
  /// How many values this consumer has lost since it joined, reported or not. It only grows.
  std::uint64_t total_lost() const noexcept requires detail::lossy_ring<Ring> {
    return this->is_open() ? this->endpoint().reader().total_lost() : 0;
  }

  /// Values in the ring (bytes, headers included, for a byte_ring); a snapshot.
  std::size_t size() const noexcept {
    return this->is_open() ? static_cast<std::size_t>(this->endpoint().reader().size()) : 0;
  }
};

/// The type that both programs agree on: usually one line in a header that both include.
///
///     using ticks = belfry::channel<belfry::spsc_ring<tick, 4096>>;
///     using quotes = belfry::channel<belfry::call_ring<request, reply, 256>>;
///
/// A channel has a `producer` and a `consumer`, or, for a ring of calls, a `client` and a `server`.
///
/// # Guarantees
///
/// A message is received once, in the order of sending, by a living consumer. Either side may start first.
///
/// ## Killed processes
///
/// - **The producer is killed** (`kill -9`, a crash, out of memory). The consumer receives everything that was sent,
///   then `errc::peer_died`, once. The next receive waits for the next producer. A partly written message is
///   discarded.
/// - **The consumer is killed.** The next consumer continues with the first value not received (`spsc_ring`) or the
///   first message not released (`byte_ring`). The producer is told `errc::peer_died`, once: if it waits for room,
///   or the next time that it does.
/// - **A consumer of a `work_ring` is killed while it holds an item.** The item is delivered again, to one other
///   consumer.
/// - **The server of a call is killed.** The call ends with `errc::maybe_executed`, or another server gets it, as its
///   client has asked (`channel_options::retry`), at most `max_deliveries` times in all.
/// - **The client of a call is killed.** Its calls end. A server that has one is told (`call::cancelled`).
/// - **Both sides are killed.** The segment stays. The next participants continue.
///
/// ## Leaving
///
/// - **The producer leaves**, by close() or its destructor; a process that ends without either counts as killed. The
///   consumer receives everything that was sent, then `errc::closed`, until the next producer joins.
/// - **The consumer leaves.** The producer can fill the ring. After that every send fails with `errc::closed`, at
///   once, until the next consumer joins; async_wait_peer() waits for it.
/// - **The producer sends and leaves before a consumer starts.** The segment stays. The next consumer receives
///   everything, then `errc::closed`.
/// - **The last participant leaves, and nothing is unread.** Segment and bells are removed (`lifetime::drained`); with
///   `lifetime::persistent` they stay until unlink(). A call ends with its client, so no call is unread. Where every consumer gets each value (`latest`,
///   `broadcast_ring`), nothing is unread as soon as one consumer has received the newest value: a state that is to
///   outlive all participants needs `persistent`.
/// - **An operation is cancelled**, also by `||` or `&&`. A receive completes with `operation_aborted` and has taken
///   nothing out of the ring. A send has sent nothing, except async_send_n(), whose handler is told how many values
///   were sent.
///
/// ## Joining
///
/// - **A second producer or consumer joins** a ring for one. It gets `errc::role_taken`.
/// - **The newcomer expects another type, size, capacity, ring or version** than the segment has. It gets
///   `errc::incompatible`, with the difference in the text of the exception. Nothing is written.
/// - **Shared memory is full, or `ulimit -f` is too small.** The creating process gets `ENOSPC`, or `EFBIG` (without
///   `SIGXFSZ`). All memory is allocated then, so there is no `SIGBUS` later.
/// - **A newcomer fails to join:** no descriptor is left, there is no room for its bell, and so on. It gets an error,
///   and what it has made is removed.
///
/// ## Hostile peers
///
/// - **A peer writes arbitrary bytes.** The result is `errc::corrupted`, or wrong values, but no access outside the
///   ring. `spsc_ring` trusts its peer.
///
/// ## Blocks and managers
///
/// - **The holder of a transaction is killed.** Exactly one next holder is told `errc::owner_died`, and holds the
///   transaction.
/// - **A process is killed while it notifies a watch.** The watchers are told that the whole block has changed.
/// - **All processes that watch a block, or have had transactions, end without destructors** (`_exit`, `kill -9`).
///   unlink() of the block removes its companion. If the block has lost its name before, `belfry gc` does.
/// - **The process that started a manager is killed.** The server ends, and removes every block that it is
///   responsible for.
/// - **A manager's server is killed.** Blocks and channels stay usable. The next server at its address, or
///   `belfry gc`, removes the blocks that no living process has open.
/// - **A client of a manager is killed.** What it made is removed with the rest when the server ends. The other
///   participants of its channels are told.
///
/// # Costs
///
/// While both sides are busy there is no system call per message. While nothing is sent no process runs. A death is an
/// event from the kernel, never a timeout.
template <class Ring>
struct channel;

template <ring Ring>
struct channel<Ring> : detail::channel_base<Ring> {
  using producer = basic_producer<Ring>;
  using consumer = basic_consumer<Ring>;
};

template <detail::calling_ring Ring>
struct channel<Ring> : detail::channel_base<Ring> {
  using client = basic_client<Ring>;
  using server = basic_server<Ring>;
};

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
