// A byte_ring without endpoints: its memory, its control words, its data.
#pragma once

#include "raw_ring.hpp"

namespace belfry::test {

struct raw_byte_ring : raw_ring<byte_ring> {
  explicit raw_byte_ring(std::uint64_t capacity = smallest_capacity) : raw_ring(capacity) {}

  layout::byte_ring_control& control() const {
    return *reinterpret_cast<layout::byte_ring_control*>(memory.at);
  }
  std::uint64_t tail() const { return control().tail; }
  std::uint64_t head() const { return control().head; }
  std::uint64_t capacity() const { return memory.capacity; }
  std::byte* data() const { return memory.at + memory.bytes - memory.capacity; }

  layout::record_header record(std::uint64_t position) const {
    layout::record_header header;
    std::memcpy(&header, data() + position % capacity(), sizeof header);
    return header;
  }
  void set_record(std::uint64_t position, layout::record_header header) const {
    std::memcpy(data() + position % capacity(), &header, sizeof header);
  }
  /// Whether these bytes lie in the data or in its second mapping.
  bool owns(std::span<const std::byte> bytes) const {
    return bytes.data() >= data() && bytes.data() + bytes.size() <= data() + 2 * capacity();
  }
};

inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::string text_of(const byte_ring::reader::view& view) { return text_of(view.bytes); }

/// Advances an empty ring, so that its next record lies at `position`.
inline void advance_to(byte_ring::writer& writer, byte_ring::reader& reader, std::uint64_t from,
                       std::uint64_t position) {
  for (byte_ring::reader::view view; from != position;) {
    const std::uint64_t step = std::min<std::uint64_t>(position - from, 1024);
    const std::string filler(step - sizeof(layout::record_header), '.');
    REQUIRE(writer.push(as_message(filler)) == attempt::done);
    REQUIRE(reader.pop(view) == attempt::done);
    reader.release(view.position, view.bytes.size());
    from += step;
  }
}

}  // namespace belfry::test
