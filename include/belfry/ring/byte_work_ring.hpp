// Many producers, many consumers; messages of any size, each for one consumer, written and read in place.
#pragma once

#include <belfry/detail/ring/work.hpp>
#include <belfry/ring/message.hpp>
#include <belfry/ring/ring.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace belfry {

/// Work of any size, each item for one consumer.
///
///     using tasks = belfry::channel<belfry::byte_work_ring>;
///
///     belfry::channel_options options;
///     options.slots = 256;                            // so many messages
///     options.message_bytes = 1 << 20;                // of at most so many bytes
///     tasks::producer tx(io, "tasks", options);
///     if (auto c = tx.try_claim(size)) c.commit(render(c.bytes()));
///
///     tasks::consumer rx(io, "tasks");
///     auto m = co_await rx.async_receive(net::use_awaitable);
///     if (!work_on(m.bytes())) m.requeue();           // else its end says that it is done
///
/// As a work_ring, which says how many participants there may be, in what order items are received, and what
/// `max_deliveries` and `lease_timeout` do: only that a consumer reads a message where it lies, and holds it meanwhile. It
/// may hold several. When it is killed, or closed, they are delivered again. When a producer is killed, the message that
/// it was writing is discarded, and its place is free. A producer has one claim at a time.
///
/// No producer writes into a place that a consumer holds. But after `lease_timeout` the message belongs to another
/// consumer, and when that has released it, its place may be written to, while the consumer that was too late still reads
/// it. A consumer that may be too late copies the message first, and uses the result only if release() says true.
///
/// The ring trusts no process: whatever a process writes over it, a receive gives some message or `errc::corrupted`, and
/// accesses nothing outside the ring. The size of a message is read once. If it is impossible, the receive fails with
/// `errc::corrupted`, and the message stays, so that it is not taken for one that was done. Another process can still change
/// the contents of a message: if it may be hostile, copy first, then check, then use.
class byte_work_ring {
  using algorithm = detail::work_algorithm<detail::message_places>;
  using control = layout::work_control;
  using attempt = detail::attempt;
  using ring_memory = detail::ring_memory;

 public:
  using sendable = std::span<const std::byte>;
  using received = message;
  class writer;
  class reader;

  static constexpr std::uint64_t default_slots = 64;
  static constexpr std::uint64_t max_slots = std::uint64_t{1} << 24;

  static constexpr std::uint64_t max_message(const ring_memory& memory) noexcept { return memory.message_bytes; }

  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::byte_work,
      .most = {.producers = layout::max_participants / 2, .consumers = layout::max_participants / 2},
      .value_bytes = 0,
      .value_align = alignof(layout::message_header),
      .type_fingerprint = 0,
      .abi_fingerprint = 0,
      .align = layout::cache_line,
      .capacity = [](std::uint64_t wish) -> std::uint64_t {
        return wish == 0 ? default_slots : wish <= max_slots ? wish : 0;
      },
      .layout =
          [](const detail::ring_size& size) {
            const layout::geometry places = layout::message_places(size.capacity, sizeof(control),
                                                                   sizeof(layout::message_header), size.message_bytes);
            return detail::ring_layout{.bytes = places.first + places.places * places.stride +
                                                layout::lease_times_bytes(size.capacity, size.lease_timeout),
                                       .places = places};
          },
      .construct = algorithm::construct,
      .drained = algorithm::drained,
      .recover = algorithm::recover,
      .competing = true,
      .chosen_messages = true,
      .redelivers = true,
      .chosen_seats = true,
  };
};

/// A producer's side.
class byte_work_ring::writer : algorithm::writer {
  using base = algorithm::writer;

 public:
  using base::base;
  using base::corrupted;
  using base::size;

  /// Reserves a place for a message of `bytes` bytes. Only one claim at a time.
  attempt claim(std::uint64_t bytes, std::span<std::byte>& room) noexcept {
    if (bytes > places_.largest()) return attempt::too_large;
    if (claimed_) return attempt::would_block;
    if (const attempt a = begin(place_); a != attempt::done) return a;
    claimed_ = true;
    room = places_.room(index_of(place_.position)).first(static_cast<std::size_t>(bytes));
    return attempt::done;
  }
  /// Sends the first `bytes` of the claim.
  void commit(std::uint64_t bytes) noexcept {
    claimed_ = false;
    places_.set_size(index_of(place_.position), bytes);
    publish(place_);
  }
  void abandon() noexcept {
    claimed_ = false;
    discard(place_);
  }

  /// `deliveries`: how often the message was delivered before it came into this ring.
  attempt push(const sendable& message, std::uint8_t deliveries = 0) noexcept {
    if (message.size() > places_.largest()) return attempt::too_large;
    return claimed_ ? attempt::would_block : base::push(message, deliveries);
  }
  attempt push_n(std::span<const sendable> messages, std::size_t& pushed) noexcept {
    pushed = 0;
    const auto large = std::ranges::find_if(messages, [&](const sendable& m) { return m.size() > places_.largest(); });
    const auto fit = static_cast<std::size_t>(large - messages.begin());
    if (claimed_ && fit != 0) return attempt::would_block;
    const attempt a = base::push_n(messages.first(fit), pushed);
    return a == attempt::done && fit != messages.size() ? attempt::too_large : a;
  }

  /// Whether an attempt to send a message of `bytes` bytes would not block.
  bool writable(std::uint64_t bytes) noexcept { return bytes > places_.largest() || writable(); }
  bool writable() noexcept { return !claimed_ && base::writable(); }

 private:
  hold place_{};
  bool claimed_ = false;
};

/// A consumer's side.
class byte_work_ring::reader : algorithm::reader {
  using base = algorithm::reader;

 public:
  /// A message in place, and how it is released.
  struct view {
    std::span<const std::byte> bytes;
    detail::lease_ticket position;
  };

  using base::base;
  using base::corrupted;
  using base::give_back;
  using base::has_dead;
  using base::holds;
  using base::leave;
  using base::look_at_leases;
  using base::made_dead;
  using base::more_room;
  using base::readable;
  using base::reject;
  using base::size;

  /// This consumer holds the message until it releases it. `too_large`: it has more than `most` bytes, and stays in the
  /// ring.
  attempt pop(view& out, std::uint64_t most = ~std::uint64_t{0}) noexcept {
    return base::lease(out.bytes, out.position, most);
  }
  attempt pop_dead(view& out, std::uint64_t most = ~std::uint64_t{0}) noexcept {
    return base::lease_dead(out.bytes, out.position, most);
  }
  /// In any order. False if this consumer no longer holds the message.
  bool release(const detail::lease_ticket& what, std::uint64_t) noexcept { return base::acknowledge(what); }
};

static_assert(detail::holding_ring<byte_work_ring>);

}  // namespace belfry
