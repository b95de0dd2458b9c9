// Whatever ring a segment has, without its C++ type: values are bytes.
#pragma once

#include <belfry/detail/base/api.hpp>
#include <belfry/detail/ring/broadcast.hpp>
#include <belfry/detail/ring/latest.hpp>
#include <belfry/detail/ring/places.hpp>
#include <belfry/detail/ring/spsc.hpp>
#include <belfry/detail/ring/work.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/byte_ring.hpp>
#include <belfry/ring/ring.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <variant>

namespace belfry::detail {

/// The kind is decided once per call; then the algorithm of that ring runs on the places that the segment tells.
///
/// - push: `wrong_size` unless the value has the size of the ring's values. A byte_ring takes any size.
/// - pop: the room for a value becomes the value. `too_large` if the room is too small, and the value stays in the ring.
///   If no value is received, the contents of the room are unspecified.
class any_ring {
  BELFRY_API static const ring_traits* of_segment(const layout::identity& found, std::uint64_t file_bytes,
                                                  const std::string& label, failure& f);

 public:
  using spsc = spsc_algorithm<byte_places>;
  using work = work_algorithm<byte_places>;
  using blocking = broadcast_algorithm<byte_places, true>;
  using overwriting = broadcast_algorithm<byte_places, false>;
  using newest = latest_algorithm<byte_places>;

  using sendable = std::span<const std::byte>;
  using received = std::span<std::byte>;
  class writer;
  class reader;

  /// Those of the segment take their place when it is joined. Until then: what any ring may need.
  static constexpr ring_traits traits{
      .kind = layout::ring_kind{},
      .most = {.producers = layout::max_participants / 2, .consumers = layout::max_participants - 1},
      .value_bytes = 0,
      .value_align = 0,
      .type_fingerprint = 0,
      .abi_fingerprint = 0,
      .align = layout::cache_line,
      .capacity = [](std::uint64_t wish) { return std::max<std::uint64_t>(wish, 1); },
      .layout = [](std::uint64_t, std::size_t, std::uint64_t) { return ring_layout{}; },
      .construct = [](const ring_memory&) {},
      .drained = [](const ring_memory&) { return false; },
      .recover = [](const ring_memory&, std::size_t) {},
      .competing = true,
      .chosen_capacity = true,
      .any = true,
      .of_segment = of_segment,
  };

 private:
  /// One side of the ring that is there.
  template <class Sides, class... Arguments>
  static Sides side_of(const ring_memory& memory, Arguments... arguments) {
    switch (memory.kind) {
      case layout::ring_kind::spsc: return Sides(std::in_place_index<0>, memory, arguments...);
      case layout::ring_kind::work: return Sides(std::in_place_index<1>, memory, arguments...);
      case layout::ring_kind::broadcast:
        if (memory.abi_fingerprint == 0) return Sides(std::in_place_index<2>, memory, arguments...);
        return Sides(std::in_place_index<3>, memory, arguments...);
      case layout::ring_kind::latest: return Sides(std::in_place_index<4>, memory, arguments...);
      case layout::ring_kind::byte:
      case layout::ring_kind::watch: break;
    }
    return Sides(std::in_place_index<5>, memory, arguments...);
  }
};

/// A producer's side.
class any_ring::writer {
 public:
  writer(const ring_memory& memory, std::size_t slot)
      : value_bytes_(memory.value_bytes), side_(side_of<sides>(memory, slot)) {}

  attempt push(const sendable& value) noexcept {
    if (!fits(value.size())) return attempt::wrong_size;
    return std::visit([&](auto& side) { return side.push(value); }, side_);
  }
  attempt push_n(std::span<const sendable> values, std::size_t& pushed) noexcept {
    const auto wrong = std::ranges::find_if(values, [&](const sendable& value) { return !fits(value.size()); });
    const auto right = static_cast<std::size_t>(wrong - values.begin());
    const attempt a = std::visit([&](auto& side) { return side.push_n(values.first(right), pushed); }, side_);
    return a == attempt::done && right != values.size() ? attempt::wrong_size : a;
  }
  /// Whether an attempt to send a value of `bytes` bytes would not block.
  bool writable(std::uint64_t bytes) noexcept {
    if (auto* const ring = std::get_if<byte_ring::writer>(&side_)) return ring->writable(bytes);
    return !fits(bytes) || writable();
  }
  bool writable() noexcept {
    return std::visit([](auto& side) { return side.writable(); }, side_);
  }
  bool corrupted() const noexcept {
    return std::visit([](const auto& side) { return side.corrupted(); }, side_);
  }
  std::size_t size() noexcept {
    return std::visit([](auto& side) { return static_cast<std::size_t>(side.size()); }, side_);
  }

 private:
  using sides = std::variant<spsc::writer, work::writer, blocking::writer, overwriting::writer, newest::writer,
                             byte_ring::writer>;
  bool fits(std::uint64_t bytes) const noexcept { return value_bytes_ == 0 || bytes == value_bytes_; }

  std::uint64_t value_bytes_;  // 0: a byte_ring
  sides side_;
};

/// A consumer's side.
class any_ring::reader {
 public:
  reader(const ring_memory& memory, std::size_t slot, start where)
      : value_bytes_(memory.value_bytes), side_(side_of<sides>(memory, slot, where)) {}

  attempt pop(received& value) noexcept {
    if (value.size() < value_bytes_) return attempt::too_large;
    return std::visit([&](auto& side) { return pop_from(side, value); }, side_);
  }
  attempt pop_n(std::span<received> values, std::size_t& popped) noexcept {
    const auto small = std::ranges::find_if(values, [&](const received& room) { return room.size() < value_bytes_; });
    const auto enough = static_cast<std::size_t>(small - values.begin());
    const attempt a = std::visit([&](auto& side) { return pop_n_from(side, values.first(enough), popped); }, side_);
    return a == attempt::done && enough != values.size() ? attempt::too_large : a;
  }
  /// Whether an attempt with so much room would not block.
  bool readable(std::uint64_t room) noexcept { return room < value_bytes_ || readable(); }
  bool readable() noexcept {
    return std::visit([](auto& side) { return side.readable(); }, side_);
  }
  bool corrupted() const noexcept {
    return std::visit([](const auto& side) { return side.corrupted(); }, side_);
  }
  std::size_t size() noexcept {
    return std::visit([](auto& side) { return static_cast<std::size_t>(side.size()); }, side_);
  }
  void leave() noexcept {
    std::visit([](auto& side) { side.leave(); }, side_);
  }
  std::size_t more_room() noexcept {
    auto* const ring = std::get_if<work::reader>(&side_);
    return ring == nullptr ? 0 : ring->more_room();
  }
  std::uint64_t total_lost() const noexcept {
    const auto* const ring = std::get_if<overwriting::reader>(&side_);
    return ring == nullptr ? 0 : ring->total_lost();
  }

 private:
  using sides = std::variant<spsc::reader, work::reader, blocking::reader, overwriting::reader, newest::reader,
                             byte_ring::reader>;

  template <class Side>
  static attempt pop_from(Side& side, received& value) noexcept {
    return side.pop(value);
  }
  static attempt pop_from(byte_ring::reader& side, received& value) noexcept {
    byte_ring::reader::view view;
    const attempt a = side.peek(view);
    if (a != attempt::done) return a;
    if (view.bytes.size() > value.size()) return attempt::too_large;
    side.take(view);
    value = value.first(view.bytes.size());
    if (!value.empty()) std::memcpy(value.data(), view.bytes.data(), value.size());
    side.release(view.position, value.size());
    return attempt::done;
  }
  template <class Side>
  static attempt pop_n_from(Side& side, std::span<received> values, std::size_t& popped) noexcept {
    return side.pop_n(values, popped);
  }
  static attempt pop_n_from(byte_ring::reader& side, std::span<received> values, std::size_t& popped) noexcept {
    for (popped = 0; popped != values.size(); ++popped) {
      if (const attempt a = pop_from(side, values[popped]); a != attempt::done) return a;
    }
    return attempt::done;
  }

  std::uint64_t value_bytes_;  // 0: a byte_ring
  sides side_;
};

static_assert(ring<any_ring>);

}  // namespace belfry::detail
