// Requests and their replies: many clients, many servers.
#pragma once

#include <belfry/detail/layout/description_of.hpp>
#include <belfry/detail/ring/call.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/ring/type_fingerprint.hpp>
#include <belfry/shareable.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace belfry {
namespace detail {

/// What a place of a call_ring holds behind its header.
template <class Request, class Reply>
struct call_values {
  Request request;
  Reply reply;

  static constexpr std::size_t request_at() noexcept { return offsetof(call_values, request); }
  static constexpr std::size_t reply_at() noexcept { return offsetof(call_values, reply); }
};

/// How they lie in a place. Only one side at a time uses them: which one, the word says.
template <class Request, class Reply>
struct call_access {
  using values = call_values<Request, Reply>;

  static void store_request(layout::call_place& place, const Request& request) noexcept {
    std::memcpy(at(place, values::request_at()), static_cast<const void*>(&request), sizeof request);
  }
  static void load_request(layout::call_place& place, Request& request) noexcept {
    std::memcpy(static_cast<void*>(&request), at(place, values::request_at()), sizeof request);
  }
  static void store_reply(layout::call_place& place, const Reply& reply) noexcept {
    std::memcpy(at(place, values::reply_at()), static_cast<const void*>(&reply), sizeof reply);
  }
  static void load_reply(layout::call_place& place, Reply& reply) noexcept {
    std::memcpy(static_cast<void*>(&reply), at(place, values::reply_at()), sizeof reply);
  }

 private:
  static std::byte* at(layout::call_place& place, std::size_t offset) noexcept {
    return reinterpret_cast<std::byte*>(&place) + sizeof place + offset;
  }
};

/// The two types as one structure, so that everything that knows a type knows both.
template <class Request, class Reply>
inline constexpr std::array<field_description, 2> call_fields{{
    {"request", call_values<Request, Reply>::request_at(), &description_of<Request>},
    {"reply", call_values<Request, Reply>::reply_at(), &description_of<Reply>},
}};
template <class Request, class Reply>
inline constexpr type_description call_description = [] {
  type_description type;
  type.kind = type_kind::structure;
  type.name = "call";
  type.bytes = sizeof(call_values<Request, Reply>);
  type.align = alignof(call_values<Request, Reply>);
  type.fields = call_fields<Request, Reply>;
  type.fingerprint = fingerprint<call_values<Request, Reply>>(type);
  return type;
}();

/// A ring whose places carry requests to servers and replies back. `client` and `server` are its sides, as `writer` and
/// `reader` are those of a ring that carries values one way: see call_algorithm.
template <class R>
concept calling_ring = requires {
  { R::traits } -> std::same_as<const ring_traits&>;
  typename R::client;
  typename R::server;
};

}  // namespace detail

/// Calls: each request goes to one server, and its reply to the client that sent it.
///
///     struct request { std::array<char, 8> symbol; };
///     struct reply { double bid; double ask; };
///     using quotes = belfry::channel<belfry::call_ring<request, reply, 256>>;
///
/// Up to 32 clients and 32 servers, or as many as `channel_options::participants` says; N calls at a time, from the
/// request to the end of the reply. Calls are taken roughly in the order in which they were sent, and answered in any
/// order. A slow, stopped or dead process that holds a call holds up no other. One exception: if a server was woken for a
/// call and is stopped before it takes it, the call waits until the next one is sent, or until that server is killed.
///
/// When a client is killed, its calls end: those that no server has are not executed, the others are cancelled. When a
/// server is killed, each call that it had ends with `errc::maybe_executed`, or goes to another server, as its client has
/// asked: `channel_options::retry`. A call that kills every server would do so without end: with
/// `channel_options::max_deliveries` it ends with `errc::maybe_executed` after so many.
///
/// The ring trusts no process: whatever a process writes over it, a call ends with some reply or with `errc::corrupted`,
/// and nothing outside the ring is accessed.
template <class Request, class Reply, std::size_t N>
class call_ring {
  static_assert(detail::can_be_sent<Request>() && detail::can_be_sent<Reply>());
  static_assert(N > 0 && N <= (std::size_t{1} << 24));

  using values = detail::call_values<Request, Reply>;
  static constexpr std::uint64_t stride =
      (sizeof(layout::call_place) + sizeof(values) + layout::cache_line - 1) / layout::cache_line * layout::cache_line;
  using algorithm = detail::call_algorithm<detail::fixed_call_places<N, stride>>;

 public:
  using request_type = Request;
  using reply_type = Reply;
  using client = typename algorithm::client;
  using server = typename algorithm::server;

  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::call,
      .most = {.producers = layout::max_participants / 2, .consumers = layout::max_participants / 2},
      .value_bytes = sizeof(values),
      .value_align = alignof(values),
      .type = &detail::call_description<Request, Reply>,
      .type_fingerprint = detail::call_description<Request, Reply>.fingerprint,
      .abi_fingerprint = 0,
      .align = layout::cache_line,
      .capacity = [](std::uint64_t) -> std::uint64_t { return N; },
      .layout =
          [](const detail::ring_size&) {
            return detail::ring_layout{.bytes = sizeof(layout::call_control) + N * stride,
                                       .places = {.places = N,
                                                  .first = sizeof(layout::call_control),
                                                  .stride = stride,
                                                  .value = sizeof(layout::call_place)}};
          },
      .construct = algorithm::construct,
      .drained = algorithm::drained,
      .recover = algorithm::recover,
      .competing = true,
      .silent = true,
      .chosen_seats = true,
  };
};

}  // namespace belfry
