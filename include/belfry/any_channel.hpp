// Producers and consumers of whatever channel has a name, without its C++ type.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/channel_handles.hpp>
#include <belfry/channel_options.hpp>
#include <belfry/detail/async/actions.hpp>
#include <belfry/detail/blocks/any_endpoint.hpp>
#include <belfry/error.hpp>
#include <belfry/inspect.hpp>

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
    return this->block(action{this->target(), value}, timeout);
  }
  error_code send(value_type value, const std::stop_token& stop,
                  std::chrono::nanoseconds timeout = detail::for_ever) {
    return this->block(action{this->target(), value}, timeout, stop);
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
    return this->template initiate<void(error_code)>(action{this->target(), value}, std::forward<Token>(token));
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
/// at once. All that is said of a consumer holds (see basic_consumer). If nothing is received, the contents of the buffer
/// are unspecified.
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

  /// Of a broadcast_ring that overwrites, else 0: how many values the last `errc::lagged` was about.
  std::uint64_t lost() const noexcept { return this->is_open() ? this->endpoint().lost() : 0; }
  /// The same: how many values this consumer has lost since it joined, reported or not.
  std::uint64_t total_lost() const noexcept { return this->is_open() ? this->endpoint().reader().total_lost() : 0; }

  /// Values in the ring (bytes, headers included, for a byte_ring); a snapshot.
  std::size_t size() const noexcept { return this->is_open() ? this->endpoint().reader().size() : 0; }
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
};

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
