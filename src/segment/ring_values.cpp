#include "ring_values.hpp"

#include "ring_reader.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace belfry::detail {
namespace {

/// Others write meanwhile: so often everything is tried anew before it is told what could be read.
constexpr int attempts = 16;
constexpr std::uint64_t chunk = 64 << 10;

class value_reader {
 public:
  value_reader(const unique_handle& block, const layout::identity& id, std::uint64_t most)
      : ring_(block, id), id_(id), most_(most) {}

  ring_values read() {
    switch (id_.kind) {
      case layout::ring_kind::spsc: of_queue(); break;
      case layout::ring_kind::byte: of_bytes(); break;
      case layout::ring_kind::work: of_work(); break;
      case layout::ring_kind::broadcast: of_broadcast(); break;
      case layout::ring_kind::latest: of_latest(); break;
      case layout::ring_kind::byte_work: of_messages(); break;
      case layout::ring_kind::byte_broadcast: of_message_stream(); break;
      case layout::ring_kind::watch:
      case layout::ring_kind::call: break;
    }
    std::ranges::sort(found_.values, {}, &ring_value::position);
    drop_surplus(false);
    drop_surplus(true);
    return std::move(found_);
  }

 private:
  void corrupted(const char* what) {
    found_.values.clear();
    found_.problem = std::string("the ring is corrupted: ") + what;
  }
  /// Of the dead values, or of the others.
  void drop_surplus(bool dead) {
    const auto all = static_cast<std::uint64_t>(std::ranges::count(found_.values, dead, &ring_value::dead));
    if (all <= most_) return;
    const bool newest = id_.kind == layout::ring_kind::broadcast;
    std::uint64_t index = 0;  // among them
    std::erase_if(found_.values, [&](const ring_value& v) {
      if (v.dead != dead) return false;
      const std::uint64_t i = index++;
      return newest ? i < all - most_ : i >= most_;
    });
  }
  void too_short() { corrupted("it is too short"); }
  bool usable_slots() {
    if (ring_.has_slots()) return true;
    corrupted("its values would lie outside");
    return false;
  }

  void add(std::uint64_t position, std::span<const std::byte> bytes, bool dead = false) {
    found_.values.push_back({position, {bytes.begin(), bytes.end()}, dead});
  }

  // ---- rings whose values have a word each, which changes when the value does

  static std::uint64_t word_in(std::span<const std::byte> slot) {
    std::uint64_t word = 0;
    std::memcpy(&word, slot.data(), sizeof word);
    return word;
  }

  /// Of these slots, adds the values whose word `position_of` gives a position, before and after they were read.
  template <class PositionOf>
  bool read_slots(std::uint64_t first, std::uint64_t count, PositionOf position_of) {
    if (count == 0) return true;
    const std::uint64_t each = id_.places.stride;
    const std::uint64_t together = std::clamp<std::uint64_t>(chunk / each, 1, count);
    // One copy reads its bytes in any order. So the words are copied before and after the values: of a large slot alone.
    const std::uint64_t word_bytes = together == 1 ? 8 : together * each;
    std::vector<std::byte> before(word_bytes);
    std::vector<std::byte> values(together * each);
    std::vector<std::byte> after(word_bytes);
    for (std::uint64_t done = 0; done < count; done += together) {
      const std::uint64_t now = std::min(together, count - done);
      const std::uint64_t at = ring_.offset_of(first + done);
      const std::uint64_t bytes = together == 1 ? 8 : now * each;
      if (!ring_.read(at, std::span(before).first(bytes))) return false;
      if (!ring_.read(at, std::span(values).first(now * each))) return false;
      if (!ring_.read(at, std::span(after).first(bytes))) return false;
      for (std::uint64_t i = 0; i != now; ++i) {
        const std::uint64_t word = word_in(std::span(before).subspan(i * each));
        const std::optional<std::uint64_t> position = position_of(word, first + done + i);
        if (position && word_in(std::span(after).subspan(i * each)) == word)
          add(*position, std::span(values).subspan(i * each + id_.places.value, id_.value_bytes), is_dead(word));
      }
    }
    return true;
  }

  /// Of an item that no consumer has received, or that is dead and no consumer holds.
  std::optional<std::uint64_t> position_of_item(std::uint64_t bits, std::uint64_t index) const {
    const auto word = layout::work_word::from(bits);
    const bool there = word.state == layout::work_state::ready || word.state == layout::work_state::dead;
    return there ? std::optional(word.lap * id_.capacity + index) : std::nullopt;
  }
  bool is_dead(std::uint64_t bits) const {
    return (id_.kind == layout::ring_kind::work || id_.kind == layout::ring_kind::byte_work) &&
           layout::work_word::from(bits).state == layout::work_state::dead;
  }

  void of_work() {
    if (!usable_slots()) return;
    const bool whole = read_slots(
        0, id_.capacity, [&](std::uint64_t bits, std::uint64_t index) { return position_of_item(bits, index); });
    if (!whole) too_short();
  }

  /// Of a large place no more than the message is copied. A size is only believed if the word is the same afterwards.
  void of_messages() {
    if (!ring_.has_messages()) return corrupted("its messages would lie outside");
    std::vector<std::byte> bytes;
    for (std::uint64_t index = 0; index != id_.capacity; ++index) {
      std::array<std::uint64_t, 2> header{};
      std::uint64_t after = 0;
      const std::uint64_t at = ring_.offset_of(index);
      if (!ring_.read(at, header[0])) return too_short();
      const std::optional<std::uint64_t> position = position_of_item(header[0], index);
      if (!position) continue;
      if (!ring_.read(at + offsetof(layout::message_header, bytes), header[1])) return too_short();
      const bool possible = header[1] <= id_.message_bytes;
      bytes.resize(possible ? header[1] : 0);
      if (!ring_.read(at + id_.places.value, bytes)) return too_short();
      if (!ring_.read(at, after)) return too_short();
      if (after != header[0]) continue;
      if (!possible) return corrupted("a message is longer than its place");
      add(*position, bytes, is_dead(header[0]));
    }
  }

  void of_broadcast() {
    if (!usable_slots()) return;
    std::uint64_t end = 0;
    if (!ring_.read(offsetof(layout::broadcast_control, tail), end)) return too_short();
    // A producer that died may have sent one more, see broadcast_control. Slots that are not used yet have no position.
    const std::uint64_t count = std::min(most_ < id_.capacity ? most_ + 1 : id_.capacity, id_.capacity);
    const std::uint64_t first = (end % id_.capacity + id_.capacity + 1 - count) % id_.capacity;
    const auto position_of = [&](std::uint64_t stamp, std::uint64_t index) {
      const std::uint64_t position = stamp / 2 - 1;
      const bool is_one = stamp != 0 && stamp == layout::broadcast_whole(position) && position % id_.capacity == index;
      return is_one ? std::optional(position) : std::nullopt;
    };
    const std::uint64_t before_end = std::min(count, id_.capacity - first);
    if (!read_slots(first, before_end, position_of) || !read_slots(0, count - before_end, position_of)) too_short();
  }

  /// The newest messages, each only if its stamp is the same before and after it was read.
  void of_message_stream() {
    const bool blocks = id_.abi_fingerprint == 0;
    if (!ring_.has_messages()) return corrupted("its messages would lie outside");
    std::uint64_t tail = 0;  // of both kinds at the same offset
    static_assert(offsetof(layout::broadcast_control, tail) == offsetof(layout::held_broadcast_control, tail));
    if (!ring_.read(offsetof(layout::broadcast_control, tail), tail)) return too_short();
    std::vector<std::byte> bytes;
    // A producer that died may have sent one more, at the tail.
    for (std::uint64_t left = std::min(tail, id_.capacity) + 1, p = tail; left != 0 && found_.values.size() < most_;
         --left, --p) {
      const std::uint64_t whole = blocks ? layout::broadcast_whole(p) : layout::held_whole(p);
      const std::uint64_t at = ring_.offset_of(p % id_.capacity);
      std::uint64_t stamp = 0;
      std::uint64_t size = 0;
      if (!ring_.read(at, stamp)) return too_short();
      if (stamp != whole) continue;
      if (!ring_.read(at + offsetof(layout::message_header, bytes), size)) return too_short();
      std::uint64_t number = p;
      if (!blocks && !ring_.read(at + offsetof(layout::held_message_header, number), number)) return too_short();
      const bool possible = size <= id_.message_bytes;
      bytes.resize(possible ? size : 0);
      if (!ring_.read(at + id_.places.value, bytes)) return too_short();
      if (!ring_.read(at, stamp)) return too_short();
      if (stamp != whole) continue;
      if (!possible) return corrupted("a message is longer than its place");
      add(number, bytes);
    }
  }

  // ---- the others

  void of_latest() {
    using control = layout::latest_control;
    if (id_.places.places != control::places || !ring_.has_values(true))
      return corrupted("its values would lie outside");
    std::vector<std::byte> value(id_.value_bytes);
    for (int attempt = 0; attempt != attempts && most_ != 0; ++attempt) {
      std::uint64_t version = 0;
      std::uint64_t after = 0;
      if (!ring_.read(offsetof(control, version), version)) return too_short();
      if (version == 0) return;
      if (!ring_.read(ring_.offset_of(version % control::places) + id_.places.value, value)) return too_short();
      if (!ring_.read(offsetof(control, version), after)) return too_short();
      // The version after `after` is being written, perhaps to the place that was read.
      if (after - version <= control::places - 2) return add(version, value);
    }
  }

  /// What the consumer has received since the segment was made, without the batch that it may be receiving.
  std::optional<std::uint64_t> received() const {
    std::uint64_t messages = 0;
    const std::uint64_t at = sizeof(layout::control_header) + id_.producers * sizeof(layout::participant_slot) +
                             offsetof(layout::participant_slot, count) +
                             offsetof(layout::participant_slot::traffic, messages);
    return ring_.read_segment(at, messages) ? std::optional(messages) : std::nullopt;
  }

  /// The values between the indices stay until the consumer's index is past them. An index begins anew after the last
  /// place: that it has not come around meanwhile tells the number of values that the consumer has counted.
  void of_queue() {
    const std::uint64_t places = id_.places.places;
    if (!ring_.has_values(false) || id_.capacity >= id_.ring_bytes || places != id_.capacity + 1)
      return corrupted("its values would lie outside");
    const auto distance = [&](std::uint64_t from, std::uint64_t to) { return to >= from ? to - from : places - from + to; };
    std::vector<std::byte> bytes;
    for (int attempt = 0; attempt != attempts; ++attempt) {
      std::uint64_t read = 0;
      std::uint64_t written = 0;
      std::uint64_t read_after = 0;
      const std::optional<std::uint64_t> counted = received();
      if (!counted || !ring_.read(id_.places.read, read) || !ring_.read(id_.places.written, written)) return too_short();
      if (read >= places || written >= places) return corrupted("an index is outside");
      const std::uint64_t unread = distance(read, written);
      const std::uint64_t count = attempt < 2 ? std::min(unread, most_) : unread;
      const std::uint64_t before_end = std::min(count, places - read);
      bytes.resize(count * id_.places.stride);
      const std::span all(bytes);
      if (!ring_.read(ring_.offset_of(read), all.first(before_end * id_.places.stride)) ||
          !ring_.read(ring_.offset_of(0), all.subspan(before_end * id_.places.stride))) {
        return too_short();
      }
      const std::optional<std::uint64_t> counted_after =
          ring_.read(id_.places.read, read_after) ? received() : std::nullopt;
      if (!counted_after || read_after >= places) return too_short();
      const std::uint64_t passed = distance(read, read_after);
      const bool one_round = *counted_after - *counted <= passed + id_.capacity / 2;
      const bool last = attempt + 1 == attempts;
      if (!one_round || (passed != 0 && passed >= count && !last)) continue;  // it streams
      for (std::uint64_t i = passed; i < count; ++i)
        add(i - passed, all.subspan(i * id_.places.stride + id_.places.value, id_.value_bytes));
      return;
    }
  }

  /// The bytes between the positions stay until the consumer's position, which is at the beginning of a record, is past
  /// them.
  void of_bytes() {
    const std::uint64_t capacity = id_.capacity;
    if (!std::has_single_bit(capacity) || id_.places.first > id_.ring_bytes || capacity > id_.ring_bytes - id_.places.first)
      return corrupted("its messages would lie outside");
    std::vector<std::byte> bytes;
    for (int attempt = 0; attempt != attempts; ++attempt) {
      std::uint64_t head = 0;
      std::uint64_t tail = 0;
      std::uint64_t head_after = 0;
      if (!ring_.read(offsetof(layout::byte_ring_control, head), head) ||
          !ring_.read(offsetof(layout::byte_ring_control, tail), tail)) {
        return too_short();
      }
      const bool last = attempt + 1 == attempts;
      if (tail - head > capacity || head % 8 != 0 || tail % 8 != 0) {  // the head may be older than the tail
        if (last) return corrupted("its positions are impossible");
        continue;
      }
      bytes.resize(tail - head);
      const std::span all(bytes);
      const std::uint64_t before_end = std::min(tail - head, capacity - head % capacity);
      if (!ring_.read(id_.places.first + head % capacity, all.first(before_end)) ||
          !ring_.read(id_.places.first, all.subspan(before_end))) {
        return too_short();
      }
      if (!ring_.read(offsetof(layout::byte_ring_control, head), head_after)) return too_short();
      const std::uint64_t passed = head_after - head;
      if (passed > tail - head || (passed != 0 && passed == tail - head && !last)) continue;  // it streams
      if (passed % 8 != 0) return corrupted("its positions are impossible");
      return walk(all.subspan(passed), head_after);
    }
  }

  void walk(std::span<const std::byte> records, std::uint64_t position) {
    while (!records.empty() && found_.values.size() < most_) {
      layout::record_header header{};
      std::memcpy(&header, records.data(), sizeof header);  // there are 8 bytes: sizes are multiples of it
      const std::uint64_t record = layout::record_bytes(header.bytes);
      if (record > records.size()) return corrupted("a message is longer than what is there");
      add(position, records.subspan(sizeof header, header.bytes));
      records = records.subspan(record);
      position += record;
    }
  }

  const ring_reader ring_;
  const layout::identity& id_;
  const std::uint64_t most_;
  ring_values found_;
};

}  // namespace

ring_values values_of(const unique_handle& block, const layout::identity& id, std::uint64_t most) {
  return value_reader(block, id, most).read();
}

}  // namespace belfry::detail
