// Whatever ring a segment has, without its C++ type: values are bytes.
#pragma once

#include <belfry/detail/base/api.hpp>
#include <belfry/detail/ring/broadcast.hpp>
#include <belfry/detail/ring/latest.hpp>
#include <belfry/detail/ring/places.hpp>
#include <belfry/detail/ring/spsc.hpp>
#include <belfry/detail/ring/work.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/byte_broadcast_ring.hpp>
#include <belfry/ring/byte_ring.hpp>
#include <belfry/ring/byte_work_ring.hpp>
#include <belfry/ring/ring.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

namespace belfry::detail {

/// The kind is decided once per call; then the algorithm of that ring runs on the places that the segment tells.
///
/// - push: `wrong_size` unless the value has the size of the ring's values. A ring of messages takes any size.
/// - pop: the room for a value becomes the value. `too_large` if the room is too small, and the value stays in the ring.
///   If no value is received, the contents of the room are unspecified. pop_dead: the same for a dead item.
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
      .layout = [](const ring_size&) { return ring_layout{}; },
      .construct = [](const ring_memory&) {},
      .drained = [](const ring_memory&) { return false; },
      .recover = [](const ring_memory&, std::size_t) {},
      .competing = true,
      .chosen_capacity = true,
      .chosen_messages = true,
      .redelivers = true,
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
      case layout::ring_kind::byte_broadcast:
        if (memory.abi_fingerprint == 0) return Sides(std::in_place_index<6>, memory, arguments...);
        return Sides(std::in_place_index<7>, memory, arguments...);
      case layout::ring_kind::byte_work: return Sides(std::in_place_index<8>, memory, arguments...);
      case layout::ring_kind::byte:
      case layout::ring_kind::watch:
      case layout::ring_kind::call: break;
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
  /// The same with the number of deliveries that an item of work has behind it.
  attempt push(const sendable& value, std::uint8_t deliveries) noexcept {
    if (!fits(value.size())) return attempt::wrong_size;
    return std::visit([&](auto& side) {
      if constexpr (requires { side.push(value, deliveries); }) return side.push(value, deliveries);
      return side.push(value);
    }, side_);
  }
  attempt push_n(std::span<const sendable> values, std::size_t& pushed) noexcept {
    const auto wrong = std::ranges::find_if(values, [&](const sendable& value) { return !fits(value.size()); });
    const auto right = static_cast<std::size_t>(wrong - values.begin());
    const attempt a = std::visit([&](auto& side) { return side.push_n(values.first(right), pushed); }, side_);
    return a == attempt::done && right != values.size() ? attempt::wrong_size : a;
  }
  /// Whether an attempt to send a value of `bytes` bytes would not block.
  bool writable(std::uint64_t bytes) noexcept {
    if (!fits(bytes)) return true;
    return std::visit([&](auto& side) {
      if constexpr (requires { side.writable(bytes); }) return side.writable(bytes);
      else return side.writable();
    }, side_);
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
  std::uint64_t uncounted(std::uint64_t counted) const noexcept {
    const auto* const ring = std::get_if<spsc::writer>(&side_);
    return ring == nullptr ? 0 : ring->uncounted(counted);
  }
  /// Where the next value goes; `counted` were counted so far. None: this ring does not keep them in order.
  std::optional<std::uint64_t> position(std::uint64_t counted) const noexcept {
    if (const auto* const ring = std::get_if<byte_ring::writer>(&side_)) return ring->position();
    if (std::holds_alternative<spsc::writer>(side_)) return counted;
    return {};
  }

 private:
  using sides = std::variant<spsc::writer, work::writer, blocking::writer, overwriting::writer, newest::writer,
                             byte_ring::writer, blocking_messages::writer, overwriting_messages::writer, byte_work_ring::writer>;
  bool fits(std::uint64_t bytes) const noexcept { return value_bytes_ == 0 || bytes == value_bytes_; }

  std::uint64_t value_bytes_;  // 0: messages of any size
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

  /// As pop(), and the value stays in the ring until it is acknowledged, if the ring can do that.
  attempt lease(received& value, lease_ticket& what) noexcept {
    if (value.size() < value_bytes_) return attempt::too_large;
    return std::visit([&](auto& side) { return lease_from(side, value, what); }, side_);
  }
  bool acknowledge(const lease_ticket& what) noexcept {
    if (auto* const ring = std::get_if<byte_ring::reader>(&side_)) {
      ring->release(what.lap, what.index);
      return true;
    }
    if (auto* const ring = std::get_if<spsc::holding_reader>(&side_)) {
      const std::size_t released = ring->release(what);
      released_ += released;
      return released != 0;
    }
    if (auto* const ring = std::get_if<byte_work_ring::reader>(&side_)) return ring->release(what, 0);
    if (auto* const ring = std::get_if<work::reader>(&side_)) return ring->acknowledge(what);
    return true;
  }
  /// False also where values stay in order: the next consumer receives it again.
  bool give_back(const lease_ticket& what) noexcept {
    return std::visit([&](auto& side) {
      if constexpr (requires { side.give_back(what); }) return side.give_back(what);
      return false;
    }, side_);
  }
  /// False also where values stay in order.
  bool reject(const lease_ticket& what) noexcept {
    return std::visit([&](auto& side) {
      if constexpr (requires { side.reject(what); }) return side.reject(what);
      return false;
    }, side_);
  }
  /// Whether a leased value is counted when it is released, and not before: see newly_released().
  bool counts_released() const noexcept { return std::holds_alternative<spsc::holding_reader>(side_); }
  /// How many such values were released since the last call.
  std::uint64_t newly_released() noexcept { return std::exchange(released_, 0); }
  std::uint64_t uncounted(std::uint64_t counted) const noexcept {
    const auto* const ring = std::get_if<spsc::holding_reader>(&side_);
    return ring == nullptr ? 0 : ring->uncounted(counted);
  }
  /// Of the next value; `counted` were counted so far. None: this ring does not keep them in order.
  std::optional<std::uint64_t> position(std::uint64_t counted) const noexcept {
    if (const auto* const ring = std::get_if<byte_ring::reader>(&side_)) return ring->position();
    if (const auto* const ring = std::get_if<spsc::holding_reader>(&side_)) return counted + ring->held();
    return {};
  }

  std::size_t more_room() noexcept {
    return std::visit([](auto& side) -> std::size_t {
      if constexpr (requires { side.more_room(); }) return side.more_room();
      return 0;
    }, side_);
  }

  // ---- of a ring that delivers items again

  attempt lease_dead(received& value, lease_ticket& what) noexcept {
    if (value.size() < value_bytes_) return attempt::too_large;
    return std::visit([&](auto& side) {
      if constexpr (delivers_again<decltype(side)>) return lease_dead_from(side, value, what);
      return attempt::would_block;
    }, side_);
  }
  attempt pop_dead(received& value) noexcept {
    lease_ticket what;
    const attempt a = lease_dead(value, what);
    return a == attempt::done && !acknowledge(what) ? attempt::would_block : a;
  }
  bool has_dead() noexcept {
    return std::visit([](auto& side) {
      if constexpr (delivers_again<decltype(side)>) return side.has_dead();
      return false;
    }, side_);
  }
  bool made_dead() noexcept {
    return std::visit([](auto& side) {
      if constexpr (delivers_again<decltype(side)>) return side.made_dead();
      return false;
    }, side_);
  }
  std::chrono::steady_clock::time_point look_at_leases() noexcept {
    return std::visit([](auto& side) {
      if constexpr (delivers_again<decltype(side)>) return side.look_at_leases();
      return std::chrono::steady_clock::time_point::max();
    }, side_);
  }

  std::uint64_t total_lost() const noexcept {
    return std::visit([](const auto& side) -> std::uint64_t {
      if constexpr (requires { side.total_lost(); }) return side.total_lost();
      return 0;
    }, side_);
  }
  bool hesitated() noexcept {
    auto* const ring = std::get_if<overwriting_messages::reader>(&side_);
    return ring != nullptr && ring->hesitated();
  }

 private:
  using sides = std::variant<spsc::holding_reader, work::reader, blocking::reader, overwriting::reader, newest::reader,
                             byte_ring::reader, blocking_messages::reader, overwriting_messages::reader, byte_work_ring::reader>;
  template <class Side>
  static constexpr bool delivers_again = requires(Side side) { side.has_dead(); };

  template <class Side>
  static attempt pop_from(Side& side, received& value) noexcept {
    return side.pop(value);
  }
  attempt pop_from(spsc::holding_reader& side, received& value) noexcept {
    lease_ticket what;
    const attempt a = side.lease(value, what);
    if (a == attempt::done) released_ += side.release(what) - 1;  // those that were leased before it
    return a;
  }
  static attempt pop_from(byte_ring::reader& side, received& value) noexcept {
    byte_ring::reader::view view;
    const attempt a = read_from(side, value, view);
    if (a == attempt::done) side.release(view.position, value.size());
    return a;
  }
  static attempt read_from(byte_ring::reader& side, received& value, byte_ring::reader::view& view) noexcept {
    const attempt a = side.peek(view);
    if (a != attempt::done) return a;
    if (view.bytes.size() > value.size()) return attempt::too_large;
    side.take(view);
    value = value.first(view.bytes.size());
    if (!value.empty()) std::memcpy(value.data(), view.bytes.data(), value.size());
    return attempt::done;
  }
  template <class Side>
    requires requires(Side& side, typename Side::view& view, std::uint64_t most) { side.pop(view, most); }
  static attempt pop_from(Side& side, received& value) noexcept {
    for (int tries = 0; tries != 4; ++tries) {
      typename Side::view view;
      if (const attempt a = side.pop(view, value.size()); a != attempt::done) return a;
      if (!view.bytes.empty()) std::memcpy(value.data(), view.bytes.data(), view.bytes.size());
      if constexpr (delivers_again<Side&>) {
        if (!side.release(view.position, view.bytes.size())) continue;  // the copy took longer than a lease may
      } else {
        side.release(view.position, view.bytes.size());
      }
      value = value.first(view.bytes.size());
      return attempt::done;
    }
    return attempt::would_block;
  }
  template <class Side>
  attempt lease_from(Side& side, received& value, lease_ticket& what) noexcept {
    if constexpr (requires { side.lease(value, what); }) return side.lease(value, what);
    what = {.deliveries = 1};
    return pop_from(side, value);
  }
  static attempt lease_from(byte_ring::reader& side, received& value, lease_ticket& what) noexcept {
    byte_ring::reader::view view;
    const attempt a = read_from(side, value, view);
    if (a == attempt::done) what = {.index = value.size(), .lap = view.position, .deliveries = 1};
    return a;
  }
  static attempt lease_from(byte_work_ring::reader& side, received& value, lease_ticket& what) noexcept {
    return hold(side, value, what, [&](auto& view) { return side.pop(view, value.size()); });
  }
  static attempt lease_dead_from(byte_work_ring::reader& side, received& value, lease_ticket& what) noexcept {
    return hold(side, value, what, [&](auto& view) { return side.pop_dead(view, value.size()); });
  }
  static attempt lease_dead_from(work::reader& side, received& value, lease_ticket& what) noexcept {
    return side.lease_dead(value, what);
  }
  template <class Pop>
  static attempt hold(byte_work_ring::reader& side, received& value, lease_ticket& what, Pop pop) noexcept {
    for (int tries = 0; tries != 4; ++tries) {
      byte_work_ring::reader::view view;
      if (const attempt a = pop(view); a != attempt::done) return a;
      if (!view.bytes.empty()) std::memcpy(value.data(), view.bytes.data(), view.bytes.size());
      if (!side.holds(view.position)) continue;  // the copy took longer than a lease may
      value = value.first(view.bytes.size());
      what = view.position;
      return attempt::done;
    }
    return attempt::would_block;
  }
  template <class Side>
  attempt pop_n_from(Side& side, std::span<received> values, std::size_t& popped) noexcept {
    if constexpr (!requires { typename Side::view; }) return side.pop_n(values, popped);
    return one_by_one(side, values, popped);
  }
  attempt pop_n_from(spsc::holding_reader& side, std::span<received> values, std::size_t& popped) noexcept {
    if (side.held() == 0) return side.pop_n(values, popped);
    return one_by_one(side, values, popped);
  }
  template <class Side>
  attempt one_by_one(Side& side, std::span<received> values, std::size_t& popped) noexcept {
    for (popped = 0; popped != values.size(); ++popped) {
      const attempt a = pop_from(side, values[popped]);
      if (a != attempt::done) return popped != 0 && a == attempt::lagged ? attempt::would_block : a;
    }
    return attempt::done;
  }

  std::uint64_t value_bytes_;  // 0: messages of any size
  sides side_;
  std::uint64_t released_ = 0;
};

static_assert(leasing_ring<any_ring>);

}  // namespace belfry::detail
