// Reading a ring from its file: by copies, and nothing outside of the ring, whatever the header says.
#pragma once

#include "../platform/block.hpp"

#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/platform/native_handle.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace belfry::detail {

class ring_reader {
 public:
  /// The caller has checked that the ring lies in the file, and behind the header.
  ring_reader(const unique_handle& block, const layout::identity& id) noexcept : block_(block), id_(id) {}

  const layout::identity& id() const noexcept { return id_; }

  /// Offsets count from the start of the ring. False if that is not in the ring, or the file has become shorter.
  bool read(std::uint64_t offset, std::span<std::byte> out) const noexcept {
    return offset <= id_.ring_bytes && out.size() <= id_.ring_bytes - offset &&
           platform::peek_block(block_, out, id_.ring_offset + offset);
  }
  bool read(std::uint64_t offset, std::uint64_t& word) const noexcept {
    return read(offset, std::as_writable_bytes(std::span(&word, 1)));
  }

  /// The same from the start of the segment.
  bool read_segment(std::uint64_t offset, std::uint64_t& word) const noexcept {
    return platform::peek_block(block_, std::as_writable_bytes(std::span(&word, 1)), offset);
  }

  /// Whether the places of a ring whose values have a word each lie in the ring.
  bool has_slots() const noexcept {
    const layout::geometry& g = id_.places;
    return g.first <= id_.ring_bytes && g.stride >= 8 && g.stride % 8 == 0 && g.places == id_.capacity &&
           g.places != 0 && g.places <= (id_.ring_bytes - g.first) / g.stride;
  }
  /// Whether each place has room for its value.
  bool has_values() const noexcept {
    const layout::geometry& g = id_.places;
    return id_.value_bytes != 0 && g.first <= id_.ring_bytes && g.value <= g.stride &&
           id_.value_bytes <= g.stride - g.value && g.places != 0 &&
           g.places <= (id_.ring_bytes - g.first) / g.stride;
  }
  std::uint64_t offset_of(std::uint64_t place) const noexcept { return id_.places.first + place * id_.places.stride; }

 private:
  const unique_handle& block_;
  const layout::identity& id_;
};

}  // namespace belfry::detail
