// A typed channel whose participants are those of any_channel: so that a test of a typed channel runs over them.
#pragma once

#include "meeting.hpp"
#include "test.hpp"

#include <belfry/any_channel.hpp>
#include <belfry/detail/ring/any.hpp>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace belfry::test {

/// Instead of a message in place.
struct copied_message {
  std::array<std::byte, 1024> room{};
  std::size_t count = 0;

  std::span<const std::byte> bytes() const noexcept { return std::span(room).first(count); }
  std::size_t size() const noexcept { return count; }
};

/// A value as bytes, and room for one.
template <class T>
struct as_bytes_of {
  using sendable = T;
  using received = T;
  static std::span<const std::byte> given(const T& value) noexcept { return std::as_bytes(std::span(&value, 1)); }
  static std::span<std::byte> room(T& value) noexcept { return std::as_writable_bytes(std::span(&value, 1)); }
  static void got(T&, std::size_t bytes) noexcept {
    if (bytes != sizeof(T)) std::abort();
  }
};
template <>
struct as_bytes_of<message> {
  using sendable = std::span<const std::byte>;
  using received = copied_message;
  static std::span<const std::byte> given(sendable message) noexcept { return message; }
  static std::span<std::byte> room(copied_message& m) noexcept { return m.room; }
  static void got(copied_message& m, std::size_t bytes) noexcept { m.count = bytes; }
};

template <class Algorithm>
constexpr detail::ring_traits traits_with(detail::ring_traits t) {
  t.drained = Algorithm::drained;
  t.recover = Algorithm::recover;
  return t;
}
/// Constructed by its type, and then used without.
template <class Ring>
constexpr detail::ring_traits traits_in_bytes() {
  using detail::any_ring;
  constexpr const detail::ring_traits& t = Ring::traits;
  switch (t.kind) {
    case layout::ring_kind::spsc: return traits_with<any_ring::spsc>(t);
    case layout::ring_kind::work: return traits_with<any_ring::work>(t);
    case layout::ring_kind::broadcast:
      return t.never_full ? traits_with<any_ring::overwriting>(t) : traits_with<any_ring::blocking>(t);
    case layout::ring_kind::latest: return traits_with<any_ring::newest>(t);
    case layout::ring_kind::byte:
    case layout::ring_kind::byte_work:
    case layout::ring_kind::watch:
    case layout::ring_kind::byte_broadcast:
    case layout::ring_kind::call: break;
  }
  return t;
}

/// A ring of this type, and an any_ring on its bytes. For raw_ring.
template <class Ring>
struct any_of {
  using kind = as_bytes_of<typename Ring::received>;
  using sendable = typename kind::sendable;
  using received = typename kind::received;
  using attempt = detail::attempt;
  using ring_memory = detail::ring_memory;

  static constexpr detail::ring_traits traits = traits_in_bytes<Ring>();

  class writer : public detail::any_ring::writer {
    using base = detail::any_ring::writer;

   public:
    using base::base;
    attempt push(const sendable& value) noexcept { return base::push(kind::given(value)); }
    attempt push_n(std::span<const sendable> values, std::size_t& pushed) noexcept {
      std::vector<std::span<const std::byte>> all;
      for (const sendable& value : values) all.push_back(kind::given(value));
      return base::push_n(all, pushed);
    }
  };
  class reader : public detail::any_ring::reader {
    using base = detail::any_ring::reader;

   public:
    using base::base;
    attempt pop(received& value) noexcept {
      received copy{};
      std::span<std::byte> room = kind::room(copy);
      const attempt a = base::pop(room);
      if (a != attempt::done) return a;
      kind::got(copy, room.size());
      value = copy;
      return a;
    }
    attempt pop_n(std::span<received> values, std::size_t& popped) noexcept {
      std::vector<std::span<std::byte>> all;
      for (received& value : values) all.push_back(kind::room(value));
      const attempt a = base::pop_n(all, popped);
      for (std::size_t i = 0; i != popped; ++i) kind::got(values[i], all[i].size());
      return a;
    }
    std::uint64_t total_lost() const noexcept requires detail::lossy_ring<Ring> { return base::total_lost(); }
  };
};

/// A producer or consumer of any_channel with the face of a typed one. It makes the channel, if there is none.
template <class Channel, class Any>
class any_end : public Any {
 public:
  template <class... Ec>
  any_end(net::io_context& io, std::string_view name, const channel_options& o, Ec&... ec)
      : Any(io, made(name, o), o, ec...) {}
  template <class... Ec>
  any_end(net::io_context& io, const channel_handles& handles, const channel_options& o, Ec&... ec)
      : Any(io, handles, o, ec...) {}
  template <class... Ec>
  any_end(net::io_context& io, const shared_memory_manager& manager, std::string_view name, const channel_options& o,
          Ec&... ec)
      : Any(io, manager, made(io, manager, name, o), o, ec...) {}

 protected:
  using kind = as_bytes_of<typename Channel::ring_type::received>;

 private:
  static std::string_view made(std::string_view name, const channel_options& o) {
    detail::failure ignored;
    detail::segment::create_or_open(name, Channel::ring_type::traits, o, ignored);
    return name;
  }
  /// Not twice: the other participants would be told that a consumer has left.
  static std::string_view made(net::io_context& io, const shared_memory_manager& manager, std::string_view name,
                               channel_options o) {
    static std::set<std::string, std::less<>> all;
    if (!all.emplace(name).second) return name;
    o.lifetime = lifetime::persistent;
    error_code ignored;
    typename Channel::consumer maker(io, manager, name, o, ignored);
    return name;
  }
};

template <class Channel>
class any_producer : public any_end<Channel, any_channel::producer> {
  using base = any_end<Channel, any_channel::producer>;
  using any = any_channel::producer;
  using kind = typename base::kind;

 public:
  using base::base;
  using value_type = typename kind::sendable;

  bool try_send(const value_type& value) noexcept { return any::try_send(kind::given(value)); }
  std::size_t try_send_n(std::span<const value_type> values) noexcept {
    std::size_t sent = 0;
    while (sent != values.size() && try_send(values[sent])) ++sent;
    return sent;
  }
  template <class... More>
  error_code send(const value_type& value, const More&... more) {
    return any::send(kind::given(value), more...);
  }
  /// Keeps the value.
  template <class Token>
  auto async_send(const value_type& value, Token&& token) {
    return net::async_initiate<Token, void(error_code)>(
        [this](auto handler, const value_type& given) {
          auto kept = std::make_shared<value_type>(given);
          const auto executor = net::get_associated_executor(handler, this->get_executor());
          const auto bytes = kind::given(*kept);
          any::async_send(net::const_buffer(bytes.data(), bytes.size()),
                          net::bind_executor(executor, [kept, h = std::move(handler)](error_code ec) mutable {
                            std::move(h)(ec);
                          }));
        },
        token, value);
  }
  template <class Token>
  auto async_send_n(std::span<const value_type> values, Token&& token) {
    return net::async_initiate<Token, void(error_code, std::size_t)>(
        [this](auto handler, const value_type& given) {
          this->async_send(given, [h = std::move(handler)](error_code ec) mutable { std::move(h)(ec, ec ? 0u : 1u); });
        },
        token, values.front());
  }
};

template <class Channel>
class any_consumer : public any_end<Channel, any_channel::consumer> {
  using base = any_end<Channel, any_channel::consumer>;
  using any = any_channel::consumer;
  using kind = typename base::kind;

 public:
  using base::base;
  using value_type = typename kind::received;

  std::optional<value_type> try_receive() noexcept {
    std::optional<value_type> value(std::in_place);
    if (const auto bytes = any::try_receive(kind::room(*value))) {
      kind::got(*value, *bytes);
    } else {
      value.reset();
    }
    return value;
  }
  std::size_t try_receive_n(std::span<value_type> values) noexcept {
    std::size_t taken = 0;
    for (; taken != values.size(); ++taken) {
      auto value = try_receive();
      if (!value) break;
      values[taken] = *value;
    }
    return taken;
  }
  template <class... More>
  error_code receive(value_type& value, const More&... more) {
    std::size_t bytes = 0;
    const error_code ec = any::receive(kind::room(value), bytes, more...);
    if (!ec) kind::got(value, bytes);
    return ec;
  }
  template <class Token>
  auto async_receive(Token&& token) {
    return net::async_initiate<Token, void(error_code, value_type)>(
        [this](auto handler) {
          auto value = std::make_shared<value_type>();
          const auto executor = net::get_associated_executor(handler, this->get_executor());
          const auto room = kind::room(*value);
          any::async_receive(
              net::mutable_buffer(room.data(), room.size()),
              net::bind_executor(executor, [value, h = std::move(handler)](error_code ec, std::size_t bytes) mutable {
                if (!ec) kind::got(*value, bytes);
                std::move(h)(ec, *value);
              }));
        },
        token);
  }
  template <class Token>
  auto async_receive_n(std::span<value_type> values, Token&& token) {
    return net::async_initiate<Token, void(error_code, std::size_t)>(
        [this](auto handler, value_type* to) {
          this->async_receive([to, h = std::move(handler)](error_code ec, const value_type& value) mutable {
            if (!ec) *to = value;
            std::move(h)(ec, ec ? 0u : 1u);
          });
        },
        token, values.data());
  }
};

/// As the typed channel, which makes the segments.
template <class Channel>
struct any_face {
  using typed = Channel;
  using ring_type = any_of<typename Channel::ring_type>;
  using producer = any_producer<Channel>;
  using consumer = any_consumer<Channel>;
  static channel_handles make_handles(const channel_options& o = {}) { return Channel::make_handles(o); }
  template <class... Ec>
  static void unlink(std::string_view name, Ec&... ec) {
    Channel::unlink(name, ec...);
  }
};

/// A kit of support/rings.hpp.
template <class Kit>
struct through_any : Kit {
  using channel = any_face<typename Kit::channel>;
};

}  // namespace belfry::test
