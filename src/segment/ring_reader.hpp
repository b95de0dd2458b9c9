// Reading a ring from its file: by copies, and nothing outside of the ring, whatever the header says.
#pragma once

#include "../platform/block.hpp"

#include <belfry/detail/layout/fence.hpp>
#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/detail/ring/places.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace belfry::detail {

class ring_reader {
 public:
  /// The caller has checked that the ring lies in the file, and behind the header.
  ring_reader(const unique_handle& block, const layout::identity& id) noexcept : block_(block), id_(id) {}

  const layout::identity& id() const noexcept { return id_; }

  /// Offsets count from the start of the ring. False if that is not in the ring, or the file has become shorter. Reads
  /// happen in the order of the calls; the bytes of one call are read in any order.
  bool read(std::uint64_t offset, std::span<std::byte> out) const noexcept {
    return offset <= id_.ring_bytes && out.size() <= id_.ring_bytes - offset && peek(offset + id_.ring_offset, out);
  }
  bool read(std::uint64_t offset, std::uint64_t& word) const noexcept {
    return read(offset, std::as_writable_bytes(std::span(&word, 1)));
  }

  /// The same from the start of the segment.
  bool read_segment(std::uint64_t offset, std::uint64_t& word) const noexcept {
    return peek(offset, std::as_writable_bytes(std::span(&word, 1)));
  }

  /// Whether the values of a ring lie in it, in whole words, each behind a word of its own.
  bool has_slots() const noexcept { return id_.places.places == id_.capacity && values_fit(true, true); }
  /// The same for messages of any size.
  bool has_messages() const noexcept {
    return id_.places.places == id_.capacity && id_.places.value >= sizeof(layout::message_header) &&
           places_fit(id_.places, id_.ring_bytes, 0, id_.message_bytes, true, true);
  }
  /// Whether the values lie in it. `atomic`: in whole words.
  bool has_values(bool atomic) const noexcept { return values_fit(atomic, false); }
  std::uint64_t offset_of(std::uint64_t place) const noexcept { return id_.places.first + place * id_.places.stride; }

 private:
  bool peek(std::uint64_t offset, std::span<std::byte> out) const noexcept {
    if (!platform::peek_block(block_, out, offset)) return false;
    // The system copies with plain loads. Pairs with the releases and the release fences of the ring's participants.
    acquire_fence();
    return true;
  }
  bool values_fit(bool atomic, bool worded) const noexcept {
    return places_fit(id_.places, id_.ring_bytes, 0, id_.value_bytes, atomic, worded);
  }

  const unique_handle& block_;
  const layout::identity& id_;
};

}  // namespace belfry::detail
