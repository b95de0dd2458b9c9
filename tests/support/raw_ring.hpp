// A ring on memory of its own: no segment, no roster, no endpoints.
#pragma once

#include "guarded_memory.hpp"
#include "rings.hpp"

#include <optional>

namespace belfry::test {

using detail::attempt;
using detail::lease_ticket;
using detail::ring_layout;
using detail::ring_memory;

using numbers = std::vector<std::uint64_t>;
inline numbers from_to(std::uint64_t first, std::uint64_t end) {
  numbers all;
  for (; first < end; ++first) all.push_back(first);
  return all;
}

/// The pages before the ring and after it cannot be accessed.
template <class Ring>
struct raw_ring {
  explicit raw_ring(std::uint64_t capacity = 0, std::size_t participants = 64, std::size_t message_bytes = 0)
      : raw_ring(options_of(capacity, participants, message_bytes)) {}
  explicit raw_ring(const channel_options& options) {
    const detail::seats places = Ring::traits.seats_for(options.participants);
    memory.capacity = Ring::traits.capacity(Ring::traits.chosen_messages ? options.slots : options.capacity);
    memory.participants = places.all();
    memory.message_bytes = Ring::traits.message_bytes(options.message_bytes);
    memory.max_deliveries = options.max_deliveries;
    memory.lease_timeout = static_cast<std::uint64_t>(options.lease_timeout.count());
    const ring_layout shape = Ring::traits.layout({.capacity = memory.capacity,
                                                   .message_bytes = memory.message_bytes,
                                                   .participants = memory.participants,
                                                   .lease_timeout = memory.lease_timeout});
    memory.bytes = shape.bytes;
    memory.kind = Ring::traits.kind;
    memory.abi_fingerprint = Ring::traits.abi_fingerprint;
    memory.value_bytes = Ring::traits.value_bytes;
    memory.places = shape.places;
    memory_.emplace(shape.bytes, shape.mirrored);
    memory.at = memory_->end() - (shape.bytes + Ring::traits.align - 1) / Ring::traits.align * Ring::traits.align;
    Ring::traits.construct(memory);
  }
  raw_ring(const raw_ring&) = delete;
  raw_ring& operator=(const raw_ring&) = delete;

  using writer_type = typename Ring::writer;
  using reader_type = typename Ring::reader;
  /// The first producer has slot 0; the first consumer comes after the last producer. (With 64 participants.)
  static constexpr detail::seats places = Ring::traits.seats_for(64);
  static constexpr std::size_t first_consumer = places.producers;
  writer_type writer(std::size_t slot = 0) const { return writer_type(memory, slot); }
  reader_type reader(std::size_t slot = first_consumer, start where = start::newest) const {
    return reader_type(memory, slot, where);
  }
  bool drained() const { return Ring::traits.drained(memory); }
  void recover(std::size_t slot) const { Ring::traits.recover(memory, slot); }

  std::uint64_t& word(std::size_t offset) const {
    return *reinterpret_cast<std::uint64_t*>(memory.at + offset);
  }

  ring_memory memory;

 private:
  static channel_options options_of(std::uint64_t capacity, std::size_t participants, std::size_t message_bytes) {
    channel_options o;
    o.capacity = static_cast<std::size_t>(capacity);
    o.slots = o.capacity;
    o.message_bytes = message_bytes;
    o.participants = participants;
    return o;
  }

  std::optional<guarded_memory> memory_;
};

}  // namespace belfry::test
