// Producers and consumers, clients and servers of whatever channel has a name, without its C++ types.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/channel_handles.hpp>
#include <belfry/channel_options.hpp>
#include <belfry/client_server.hpp>
#include <belfry/detail/async/actions.hpp>
#include <belfry/detail/blocks/any_call_endpoint.hpp>
#include <belfry/detail/blocks/any_endpoint.hpp>
#include <belfry/error.hpp>
#include <belfry/inspect.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <utility>

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

/// The end of any channel that sends: a value is its bytes.
///
/// It joins an existing channel, of any ring, and takes a place among its producers. It never creates one:
/// `std::errc::no_such_file_or_directory`. All that is said of a producer holds (see basic_producer): when a send waits,
/// what cancelling means, threads, deaths.
template <class Executor = net::any_io_executor>
class basic_any_producer : public detail::any_endpoint_handle<detail::any_producer_endpoint, Executor> {
  using base = detail::any_endpoint_handle<detail::any_producer_endpoint, Executor>;
  using action = detail::send_action<detail::any_producer_endpoint>;
  static auto value_in(std::span<const std::byte> value) { return detail::kept<std::span<const std::byte>>(value); }
  using default_token = net::default_completion_token_t<Executor>;

 public:
  using value_type = std::span<const std::byte>;
  template <class Other>
  struct rebind_executor {
    using other = basic_any_producer<Other>;
  };

  /// From an executor or an execution context, and a name, handles, or a manager and a name; see endpoint_handle. Further
  /// errors: `no_such_file_or_directory`; and `errc::incompatible` for what is no channel, has another layout version,
  /// or is damaged. Of the options, `mode`, `spin` and `capacity` count; 0 accepts any capacity.
  using base::base;
  template <std::convertible_to<Executor> Other>
  basic_any_producer(basic_any_producer<Other>&& other) : base(std::move(other)) {}

  /// Sends immediately, or not at all. False: there is no room; or the value does not have the size of the channel's
  /// values; or as basic_producer::try_send.
  bool try_send(value_type value) noexcept {
    return this->is_open() && this->endpoint().put(value) == detail::outcome::done;
  }
  template <std::convertible_to<net::const_buffer> Buffer>
  bool try_send(const Buffer& bytes) noexcept { return try_send(value_of(bytes)); }

  /// Blocks this thread until the value is in the ring. Errors: `std::errc::invalid_argument` if the value does not have
  /// the size of the channel's values (the log says which one that is); `message_too_large` if the ring can never hold
  /// the message; otherwise as basic_producer::send.
  error_code send(value_type value, std::chrono::nanoseconds timeout = detail::for_ever) {
    return this->block(action{this->target(), value_in(value)}, timeout);
  }
  error_code send(value_type value, const std::stop_token& stop,
                  std::chrono::nanoseconds timeout = detail::for_ever) {
    return this->block(action{this->target(), value_in(value)}, timeout, stop);
  }
  template <std::convertible_to<net::const_buffer> Buffer>
  error_code send(const Buffer& bytes, std::chrono::nanoseconds timeout = detail::for_ever) {
    return send(value_of(bytes), timeout);
  }
  template <std::convertible_to<net::const_buffer> Buffer>
  error_code send(const Buffer& bytes, const std::stop_token& stop,
                  std::chrono::nanoseconds timeout = detail::for_ever) {
    return send(value_of(bytes), stop, timeout);
  }

  /// Completes when the value is in the ring. Signature: void(error_code). Errors: as send(), and `operation_aborted`.
  /// The bytes must stay valid until then.
  template <class Token = default_token>
  auto async_send(net::const_buffer bytes, Token&& token = Token()) {
    return async_send(value_of(bytes), std::forward<Token>(token));
  }
  template <class Token = default_token>
  auto async_send(value_type value, Token&& token = Token()) {
    return this->template initiate<void(error_code)>(action{this->target(), value_in(value)}, std::forward<Token>(token));
  }

  /// The same for an item of a work_ring or byte_work_ring that was delivered `deliveries` times before it came to this
  /// channel: its next consumer's deliveries() goes on counting from there, up to 255. For other rings it is as
  /// try_send(value).
  bool try_send(value_type value, unsigned deliveries) noexcept {
    return this->is_open() && this->endpoint().put_delivered(value, static_cast<std::uint8_t>(std::min(deliveries, 255u))) ==
                                  detail::outcome::done;
  }

  /// Of an spsc_ring and a byte_ring: where the next value goes. It only grows, by 1 for each value, or by the bytes that
  /// a message takes in a byte_ring: 8, and its size rounded up to a multiple of 8. All producers of a segment count on,
  /// also after one was killed: a value is in the ring exactly if the position is past it.
  std::optional<std::uint64_t> position() const noexcept {
    return this->is_open() ? this->endpoint().position() : std::nullopt;
  }

  /// Values in the ring (bytes, headers included, for a byte_ring); a snapshot.
  std::size_t size() const noexcept { return this->is_open() ? this->endpoint().writer().size() : 0; }

 private:
  static value_type value_of(const net::const_buffer& bytes) noexcept {
    return {static_cast<const std::byte*>(bytes.data()), bytes.size()};
  }
};

/// The end of any channel that receives: a value is copied into a buffer.
///
///     belfry::any_channel::consumer rx(io, "ticks");
///     const auto type = belfry::described_type::parse(rx.info().type);
///     std::vector<std::byte> buffer(rx.info().value_bytes);
///     for (;;) {
///       co_await rx.async_receive(net::buffer(buffer), net::use_awaitable);
///       std::cout << type.to_json(buffer) << '\n';
///     }
///
/// It joins an existing channel, of any ring, and takes a place among its consumers: what it receives, other consumers of
/// a work_ring, or of a ring for one consumer, do not. It never creates a channel. An item of a work_ring is acknowledged
/// at once, unless it is leased. All that is said of a consumer holds (see basic_consumer). If nothing is received, the
/// contents of the buffer are unspecified.
template <class Executor = net::any_io_executor>
class basic_any_consumer : public detail::any_endpoint_handle<detail::any_consumer_endpoint, Executor> {
  using base = detail::any_endpoint_handle<detail::any_consumer_endpoint, Executor>;
  using action = detail::receive_into_action<detail::any_consumer_endpoint>;
  using default_token = net::default_completion_token_t<Executor>;

 public:
  using value_type = std::span<std::byte>;
  template <class Other>
  struct rebind_executor {
    using other = basic_any_consumer<Other>;
  };

  /// As basic_any_producer. `start` counts as well.
  using base::base;
  template <std::convertible_to<Executor> Other>
  basic_any_consumer(basic_any_consumer<Other>&& other) : base(std::move(other)) {}

  /// Takes the next value if there is one; its size. Empty also if the room is too small for it: then it stays in the
  /// ring; or as basic_consumer::try_receive.
  std::optional<std::size_t> try_receive(std::span<std::byte> room) noexcept {
    if (!this->is_open() || !this->endpoint().try_take(room)) return {};
    return room.size();
  }

  /// Blocks this thread until there is a value; `bytes` becomes its size. Errors: `message_too_large` if the room is too
  /// small for it: then it stays in the ring; otherwise as basic_consumer::receive.
  error_code receive(std::span<std::byte> room, std::size_t& bytes,
                     std::chrono::nanoseconds timeout = detail::for_ever) {
    return receive(room, bytes, std::stop_token(), timeout);
  }
  error_code receive(std::span<std::byte> room, std::size_t& bytes, const std::stop_token& stop,
                     std::chrono::nanoseconds timeout = detail::for_ever) {
    action wanted{this->target(), room};
    const error_code ec = this->block(wanted, timeout, stop);
    bytes = wanted.bytes;
    return ec;
  }

  /// Completes when a value is in the buffer. Signature: void(error_code, std::size_t bytes). Errors: as receive(), and
  /// `operation_aborted`. The buffer must stay valid until then.
  template <class Token = default_token>
  auto async_receive(net::mutable_buffer buffer, Token&& token = Token()) {
    const std::span room(static_cast<std::byte*>(buffer.data()), buffer.size());
    return this->template initiate<void(error_code, std::size_t)>(action{this->target(), room},
                                                                  std::forward<Token>(token));
  }

  /// Of a work_ring or byte_work_ring: takes a dead item, if there is one, and removes it. As try_receive() and
  /// async_receive(), but it takes no turn among the other operations, and reports no `peer_died` or `closed`. (Of other
  /// rings there never is one.)
  std::optional<std::size_t> try_receive_dead(std::span<std::byte> room) noexcept {
    if (!this->is_open() || this->endpoint().take_dead(room) != detail::outcome::done) return {};
    return room.size();
  }
  template <class Token = default_token>
  auto async_receive_dead(net::mutable_buffer buffer, Token&& token = Token()) {
    using dead_action = detail::receive_dead_into_action<detail::any_consumer_endpoint, Executor>;
    const std::span room(static_cast<std::byte*>(buffer.data()), buffer.size());
    dead_action wanted{this->target(), this->executor_, room};
    return net::async_initiate<Token, void(error_code, std::size_t)>(
        detail::initiation<detail::any_consumer_endpoint, Executor>(this->endpoint_, this->executor_), token,
        std::move(wanted));
  }

  /// A value that was copied into a buffer, and that the ring keeps until it is acknowledged: `value()` is the part of the
  /// buffer that has it. Its own end, and close(), acknowledge nothing.
  using lease_type = lease<std::span<std::byte>>;

  /// As async_receive, but if this consumer is killed, or closed, before it acknowledges the value, it is delivered again.
  /// Signature: void(error_code, lease_type). Errors and cancellation: as async_receive. The buffer must stay valid until
  /// then, and as long as value() is used.
  ///
  ///     auto l = co_await rx.async_receive_lease(net::buffer(buffer), net::use_awaitable);
  ///     if (store(l.value())) l.ack();
  ///
  /// | ring | |
  /// |---|---|
  /// | work_ring, byte_work_ring | as of a typed consumer: any consumer receives it again, also after requeue(); any order |
  /// | byte_ring | the next consumer receives it again, and all that were sent after it; any order; no requeue() |
  /// | spsc_ring | the same; ack(), like a receive, also acknowledges all values before it |
  /// | broadcast_ring, byte_broadcast_ring, latest | it is received at once, and ack() does nothing |
  ///
  /// The producer cannot use the room of what is leased.
  template <class Token = default_token>
  auto async_receive_lease(net::mutable_buffer buffer, Token&& token = Token()) {
    const std::span room(static_cast<std::byte*>(buffer.data()), buffer.size());
    using lease_action = detail::lease_into_action<detail::any_consumer_endpoint, lease_type>;
    return this->template initiate<void(error_code, lease_type)>(lease_action{this->target(), room},
                                                                 std::forward<Token>(token));
  }
  /// The same, immediately; an empty lease as try_receive().
  lease_type try_receive_lease(std::span<std::byte> room) noexcept {
    lease_type l;
    if (this->is_open()) this->endpoint().take_lease(l, room);
    return l;
  }

  /// Of an spsc_ring and a byte_ring: the position of the next value, as basic_any_producer::position(). A value that is
  /// delivered again has the position that it had before.
  std::optional<std::uint64_t> position() const noexcept {
    return this->is_open() ? this->endpoint().position() : std::nullopt;
  }

  /// Of a broadcast_ring that overwrites, else 0: how many values the last `errc::lagged` was about.
  std::uint64_t lost() const noexcept { return this->is_open() ? this->endpoint().lost() : 0; }
  /// The same: how many values this consumer has lost since it joined, reported or not.
  std::uint64_t total_lost() const noexcept { return this->is_open() ? this->endpoint().reader().total_lost() : 0; }

  /// Values in the ring (bytes, headers included, for a byte_ring); a snapshot.
  std::size_t size() const noexcept { return this->is_open() ? this->endpoint().reader().size() : 0; }
};

/// The end of any channel of calls that calls: requests and replies are bytes.
///
///     belfry::any_channel::client c(io, "quotes");
///     const belfry::message r = co_await c.async_call(net::buffer(request), net::use_awaitable);
///     use(r.bytes());
///
/// It joins an existing channel, a call_ring or byte_call_ring, and takes a place among its clients. It never creates one:
/// `std::errc::no_such_file_or_directory`. All that is said of the client of a byte_call_ring holds; see basic_client. If
/// requests are values, a request of another size than max_message() is `std::errc::invalid_argument`, and replies have
/// the size of replies.
template <class Executor = net::any_io_executor>
class basic_any_client : public basic_client<detail::any_call_ring, Executor> {
  using base = basic_client<detail::any_call_ring, Executor>;

 public:
  template <class Other>
  struct rebind_executor {
    using other = basic_any_client<Other>;
  };

  /// As basic_any_producer. Further errors: `errc::incompatible` for a channel that is not one of calls, or does not tell
  /// where its requests and replies are. `retry`, `wait_for_server` and `wait_for_place` count as well.
  using base::base;
  template <std::convertible_to<Executor> Other>
  basic_any_client(basic_any_client<Other>&& other) : base(std::move(other)) {}

  /// As basic_any_producer::info(); `value_bytes` is 0 if requests and replies have any size, and `type` has a field
  /// "request" and a field "reply" otherwise.
  const channel_info& info() const noexcept {
    static const channel_info nothing;
    return this->endpoint_ ? this->endpoint_->info() : nothing;
  }
};

/// The end of any channel of calls that answers them: requests and replies are bytes.
///
///     belfry::any_channel::server s(io, "quotes");
///     belfry::byte_call c = co_await s.async_accept(net::use_awaitable);
///     c.reply(answer_to(c.request()));
///
/// It joins an existing channel, as basic_any_client does. All that is said of the server of a byte_call_ring holds; see
/// basic_server and byte_call.
template <class Executor = net::any_io_executor>
class basic_any_server : public basic_server<detail::any_call_ring, Executor> {
  using base = basic_server<detail::any_call_ring, Executor>;

 public:
  template <class Other>
  struct rebind_executor {
    using other = basic_any_server<Other>;
  };

  /// As basic_any_client.
  using base::base;
  template <std::convertible_to<Executor> Other>
  basic_any_server(basic_any_server<Other>&& other) : base(std::move(other)) {}

  /// As basic_any_client.
  const channel_info& info() const noexcept {
    static const channel_info nothing;
    return this->endpoint_ ? this->endpoint_->info() : nothing;
  }
};

/// Whatever channel has a name: its ring and the type of its values are those that the segment tells. For tools, and for
/// programs that do not have the type.
///
///     belfry::any_channel::producer tx(io, "ticks");
///     tx.try_send(belfry::described_type::parse(tx.info().type).from_json(R"({"seq": 7, "price": 1.5})"));
///
/// It makes no channel. Programs that have the type use `channel`, and both kinds of endpoints meet.
struct any_channel {
  using producer = basic_any_producer<>;
  using consumer = basic_any_consumer<>;
  using client = basic_any_client<>;  ///< of a channel of calls
  using server = basic_any_server<>;
};

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
